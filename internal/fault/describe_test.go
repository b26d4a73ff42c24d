package fault_test

import (
	"strings"
	"testing"

	"mailmirror/internal/fault"
)

func TestLongErrorTextsAreCut(t *testing.T) {
	_, text, _ := fault.Describe(fault.Newf(fault.Permanent, "%s", strings.Repeat("é", 400)))
	if len(text) > 500 || strings.ContainsRune(text, '�') || strings.ToValidUTF8(text, "?") != text {
		t.Errorf("%d bytes, valid: %v", len(text), strings.ToValidUTF8(text, "?") == text)
	}
}
