package copier

import (
	"testing"
	"time"

	"mailmirror/internal/mailbox"
)

// TestUndoneRoundTrip: the ledger's text of what the target undid keeps where the copy of
// a message is, whatever its folder is called. Text of earlier releases has no copy.
func TestUndoneRoundTrip(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, name := range []string{"Filed", "My Mail/ 1  2 ", " ", "日本", "7"} {
		u := undone{times: 4, at: at, copy: copyAt{validity: 1, uid: 2, witness: Witness{Size: 3, Date: 1<<32 - 1}, of: Witness{Size: 5, Date: 6}}}
		u.copy.folder = mailbox.FolderName(name)
		if got := undoneOf(u.String()); got != u {
			t.Errorf("%q is read as %+v, want %+v", u, got, u)
		}
	}
	for text, want := range map[string]undone{
		"3 1700000000":                             {times: 3, at: at},
		"3 1700000000 1 2 3":                       {times: 3, at: at},
		"3 1700000000 1 2 3 4 Filed":               {times: 3, at: at},
		"3 1700000000 1 x 3 4 5 6 Filed":           {times: 3, at: at},
		"3 1700000000 1 2 3 4 5 99999999999 Filed": {times: 3, at: at},
		"Filed": {},
	} {
		if got := undoneOf(text); got != want {
			t.Errorf("%q is read as %+v, want %+v", text, got, want)
		}
	}
}

// TestMovedTo: the detail of a lost message tells which folder has it, if any has.
func TestMovedTo(t *testing.T) {
	if name, ok := MovedTo(Difference{Kind: Lost, Detail: lostDetail(copyAt{folder: "A b", uid: 1})}); !ok || name != "A b" {
		t.Errorf("MovedTo returns %q, %v", name, ok)
	}
	if name, ok := MovedTo(Difference{Kind: Lost, Detail: lostDetail(copyAt{})}); ok || name != "" {
		t.Errorf("MovedTo returns %q, %v of a message without a copy", name, ok)
	}
}
