package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxText bounds the text of an error in histories and in the database, bytes.
const maxText = 500

// Describe returns what others may read of an error: its kind, its text and its hint.
// The text of an error that no adapter classified is left out: nobody vouches that it
// holds no content.
func Describe(err error) (kind Kind, text, hint string) {
	_, classified := errors.AsType[*Error](err)
	switch {
	case classified:
		text = Plain(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		text = "timed out"
	default:
		text = fmt.Sprintf("unexpected error of type %T", innermost(err))
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") // the cut may split a character
	}
	return KindOf(err), text, Plain(HintOf(err))
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
