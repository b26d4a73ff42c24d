package suspension

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"mailmirror/internal/audit"
)

// Request asks for a suspension or a resumption.
type Request struct {
	// Link is the link that is meant by itself; "" is everything.
	Link string `json:"link,omitempty"`
	// Reason and Who are shown and kept. They are the operator's own words.
	Reason string `json:"reason,omitempty"`
	Who    string `json:"who,omitempty"`
	// Epoch is the suspension that the request is about: for a suspension, the
	// one that was recorded already; for a resumption, the one that it ends. 0
	// means whatever there is.
	Epoch int64 `json:"epoch,omitempty"`
	// Way is how the request came.
	Way audit.Way `json:"way,omitempty"`
}

const (
	maxReason = 500
	maxWho    = 100
)

// Validate reports what is wrong with a request.
func (r Request) Validate() error {
	var faults []error
	for _, text := range []struct {
		what, value string
		most        int
	}{{"reason", r.Reason, maxReason}, {"who", r.Who, maxWho}} {
		if !utf8.ValidString(text.value) {
			faults = append(faults, fmt.Errorf("%s: not UTF-8", text.what))
		}
		if len(text.value) > text.most {
			faults = append(faults, fmt.Errorf("%s: %d bytes are more than %d", text.what, len(text.value), text.most))
		}
	}
	return errors.Join(faults...)
}

// Shortened cuts what is too long, for requests that nobody is there to mend.
func (r Request) Shortened() Request {
	cut := func(text string, most int) string {
		return strings.ToValidUTF8(text[:min(len(text), most)], "")
	}
	r.Reason, r.Who = cut(r.Reason, maxReason), cut(r.Who, maxWho)
	return r
}
