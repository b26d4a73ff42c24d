package mailbox_test

import (
	"strings"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func TestNumber(t *testing.T) {
	for name, number := range map[string]mailbox.Number{
		"digits": "4711", "address": "anna@example.org", "one": "7", "longest": mailbox.Number(strings.Repeat("7", 128)),
		"umlauts count as one": mailbox.Number(strings.Repeat("ü", 128)), "dots and signs": "+49-711.5_x",
	} {
		t.Run(name, func(t *testing.T) {
			if err := number.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
	for name, number := range map[string]mailbox.Number{
		"empty": "", "too long": mailbox.Number(strings.Repeat("7", 129)), "blank": "47 11", "tab": "47\t11",
		"line break": "4711\n", "NUL": "4711\x00", "slash": "47/11", "star": "47*", "percent": "47%", "quote": `47"`,
		"backslash": `47\`, "parenthesis": "47(", "brace": "{47", "no UTF-8": "47\xff", "no-break space": "47\u00a011",
		"zero width": "47\u200b11", "end of text": "4711\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			if err := number.Validate(); !fault.Is(err, fault.Config) {
				t.Errorf("%q: got %v", string(number), err)
			}
		})
	}
}

func TestCountersUnchanged(t *testing.T) {
	base := mailbox.Counters{UIDValidity: 7, UIDNext: 12, Messages: 3, HighestModSeq: 99}
	for _, tt := range []struct {
		name   string
		change func(*mailbox.Counters)
		want   bool
	}{
		{"nothing", func(*mailbox.Counters) {}, true},
		{"uidvalidity", func(c *mailbox.Counters) { c.UIDValidity++ }, false},
		{"uidnext", func(c *mailbox.Counters) { c.UIDNext++ }, false},
		{"messages", func(c *mailbox.Counters) { c.Messages-- }, false},
		{"modseq", func(c *mailbox.Counters) { c.HighestModSeq++ }, false},
		{"modseq gone", func(c *mailbox.Counters) { c.HighestModSeq = 0 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := base
			tt.change(&now)
			if got := base.Unchanged(now); got != tt.want {
				t.Errorf("Unchanged is %v, want %v", got, tt.want)
			}
		})
	}
	without := mailbox.Counters{UIDValidity: 7, UIDNext: 12, Messages: 3}
	if without.Unchanged(without) {
		t.Error("without mod-sequences a changed flag would go unseen")
	}
	if (mailbox.Counters{}).Unchanged(mailbox.Counters{}) {
		t.Error("counters that were never seen prove nothing")
	}
}
