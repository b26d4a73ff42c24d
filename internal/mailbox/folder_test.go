package mailbox_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// layouts are the separators and prefixes that stores are known to have.
var layouts = []struct {
	separator rune
	prefix    string
}{
	{'/', ""}, {'.', ""}, {'\\', ""}, {0, ""}, {'.', "INBOX."}, {'/', "INBOX/"}, {'/', "Mail/"}, {'/', "~/"},
}

func TestFolderFromWire(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		separator  rune
		prefix     string
		want       mailbox.FolderName
	}{
		{"the inbox in another case", "InBox", '/', "", "INBOX"},
		{"the inbox beside a prefix", "INBOX", '.', "INBOX.", "INBOX"},
		{"two levels", "Work.Old", '.', "", "Work/Old"},
		{"flat", "Work.Old", 0, "", "Work.Old"},
		{"below the prefix", "INBOX.Work.Old", '.', "INBOX.", "Work/Old"},
		{"below the prefix in another case", "inbox.Work", '.', "INBOX.", "Work"},
		{"another prefix is not without case", "mail/Work", '/', "Mail/", "mail/Work"},
		{"a slash that separates nothing", "a/b", '.', "", "a%2Fb"},
		{"percent", "100%", '/', "", "100%25"},
		{"an escape that is none", "100%2F", '/', "", "100%252F"},
		{"below the inbox in another case", "inbox/Work", '/', "", "INBOX/Work"},
		{"a folder called as the inbox below the prefix", "INBOX.INBOX", '.', "INBOX.", "%49NBOX"},
		{"the same in lower case", "INBOX.inbox", '.', "INBOX.", "%69nbox"},
		{"one below that", "INBOX.INBOX.Work", '.', "INBOX.", "INBOX/Work"},
		{"the prefix alone", "INBOX.", '.', "INBOX.", "INBOX/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mailbox.FolderFromWire(tt.wire, tt.separator, tt.prefix); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWire(t *testing.T) {
	for _, tt := range []struct {
		name      string
		folder    mailbox.FolderName
		separator rune
		prefix    string
		want      string // "" where it must be refused
	}{
		{"the inbox", "INBOX", '.', "INBOX.", "INBOX"},
		{"below a prefix", "Work/Old", '.', "INBOX.", "INBOX.Work.Old"},
		{"below the inbox", "INBOX/Work", '/', "", "INBOX/Work"},
		{"below the inbox, beside Work", "INBOX/Work", '.', "INBOX.", "INBOX.INBOX.Work"},
		{"unescaped", "a%2Fb 100%25", '.', "", "a/b 100%"},
		{"a component with the separator", "a.b", '.', "", ""},
		{"a slash where that separates", "a%2Fb", '/', "", ""},
		{"levels on a flat store", "a/b", 0, "", ""},
		{"flat", "a", 0, "", "a"},
		{"called as the inbox, with a prefix", "%49NBOX", '.', "INBOX.", "INBOX.INBOX"},
		{"called as the inbox, without", "%49NBOX", '.', "", ""},
		{"the same in lower case", "%69nbox", '/', "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.folder.Wire(tt.separator, tt.prefix)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && !fault.Is(err, fault.Permanent) {
				t.Errorf("%v is %s, want permanent", err, fault.KindOf(err))
			}
		})
	}
}

// wireName draws names as they may stand on a store with the layout.
func wireName(separator rune) *rapid.Generator[string] {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{"INBOX", "inbox", "Greetings", "a", "b", "", "a.b", "a/b", `a\b`, "%", "%2F", "%49NBOX", "Größe", "\xff", "INBOX.a"}),
		rapid.StringN(0, 8, -1),
	)
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(part, 1, 3).Draw(t, "parts")
		if separator == 0 {
			return strings.Join(parts, "_")
		}
		return strings.Join(parts, string(separator))
	})
}

// TestFolderNamesAreTheSameOnEveryStore: a name that came from one store and
// can be spelled on another comes back from there as the same name, and two
// names never meet there: else two folders would be mirrored into one.
func TestFolderNamesAreTheSameOnEveryStore(t *testing.T) {
	layout := rapid.IntRange(0, len(layouts)-1)
	rapid.Check(t, func(t *rapid.T) {
		from, to := layouts[layout.Draw(t, "from")], layouts[layout.Draw(t, "to")]
		name := func(label string) mailbox.FolderName {
			wire := wireName(from.separator).Draw(t, label)
			if rapid.Bool().Draw(t, label+" below the prefix") {
				wire = from.prefix + wire
			}
			return mailbox.FolderFromWire(wire, from.separator, from.prefix)
		}
		a, b := name("a"), name("b")
		if a == "" || b == "" {
			return // no server lists a folder without a name
		}
		wireA, errA := a.Wire(to.separator, to.prefix)
		wireB, errB := b.Wire(to.separator, to.prefix)
		if errA == nil {
			if back := mailbox.FolderFromWire(wireA, to.separator, to.prefix); back != a && to.prefix != wireA {
				t.Fatalf("%q is spelled %q and comes back as %q", a, wireA, back)
			}
		}
		if errA == nil && errB == nil && a != b && wireA == wireB {
			t.Fatalf("%q and %q are both spelled %q", a, b, wireA)
		}
		if from == to && errA != nil && a != "%49NBOX" && a != "%69nbox" {
			t.Fatalf("%q came from this very store and cannot be spelled there: %v", a, errA)
		}
	})
}

// FuzzFolderName: whatever a store lists, the name it gives is spelled on that
// store as it was listed, but for the case of the inbox.
func FuzzFolderName(f *testing.F) {
	for i, wire := range []string{"INBOX", "INBOX.Work", "a/b", "a%2Fb", `a\b`, "INBOX.INBOX", "iNbOx.x", "", "/", "\xc3"} {
		f.Add(wire, uint8(i))
	}
	f.Fuzz(func(t *testing.T, wire string, layout uint8) {
		l := layouts[int(layout)%len(layouts)]
		name := mailbox.FolderFromWire(wire, l.separator, l.prefix)
		if utf8.ValidString(wire) != utf8.ValidString(string(name)) {
			t.Fatalf("%q became %q", wire, name)
		}
		if got := len(name.Components()); got != name.Depth() {
			t.Fatalf("%q has %d components and depth %d", name, got, name.Depth())
		}
		if parent := name.Parent(); name.Depth() != parent.Depth()+1 && parent != "" {
			t.Fatalf("%q has the parent %q", name, parent)
		}
		spelled, err := name.Wire(l.separator, l.prefix)
		if err != nil {
			t.Fatalf("%q was listed, and its name %q cannot be spelled: %v", wire, name, err)
		}
		if below := strings.TrimPrefix(spelled, l.prefix); !strings.EqualFold(spelled, wire) && !strings.EqualFold(below, wire) {
			t.Fatalf("%q was listed, and its name %q is spelled %q", wire, name, spelled)
		}
		if again := mailbox.FolderFromWire(spelled, l.separator, l.prefix); again != name && spelled != l.prefix && name != "" {
			t.Fatalf("%q is spelled %q and comes back as %q", name, spelled, again)
		}
	})
}

func TestComponentsAndParent(t *testing.T) {
	name := mailbox.FolderName("Work/a%2Fb/100%25")
	if got := strings.Join(name.Components(), "|"); got != "Work|a/b|100%" {
		t.Errorf("components are %q", got)
	}
	if name.Depth() != 3 || name.Parent() != "Work/a%2Fb" || mailbox.FolderName("Work").Parent() != "" {
		t.Errorf("depth %d, parent %q", name.Depth(), name.Parent())
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		name     string
		patterns mailbox.Patterns
		folder   mailbox.FolderName
		want     bool
	}{
		{"the folder", mailbox.Patterns{"Greetings"}, "Greetings", true},
		{"another case", mailbox.Patterns{"greetings"}, "GREETINGS", true},
		{"below it", mailbox.Patterns{"Greetings"}, "Greetings/Busy/Old", true},
		{"only begins alike", mailbox.Patterns{"Greetings"}, "Greetings2", false},
		{"above it", mailbox.Patterns{"Work/Old"}, "Work", false},
		{"second level", mailbox.Patterns{"Work/Old"}, "Work/Old/Older", true},
		{"elsewhere in the tree", mailbox.Patterns{"Old"}, "Work/Old", false},
		{"star within a component", mailbox.Patterns{"Gr*s"}, "Greetings", true},
		{"star does not cross levels", mailbox.Patterns{"W*Old"}, "Work/Old", false},
		{"star for one level", mailbox.Patterns{"*/Old"}, "Work/Old", true},
		{"question mark", mailbox.Patterns{"Wor?"}, "Work", true},
		{"one of several", mailbox.Patterns{"a", "Work"}, "Work", true},
		{"none", nil, "Work", false},
		{"a slash in the name", mailbox.Patterns{"a%2Fb"}, "a%2Fb", true},
		{"umlauts in another case", mailbox.Patterns{"BEGRÜSSUNG"}, "begrüssung", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.patterns.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := tt.patterns.Match(tt.folder); got != tt.want {
				t.Errorf("Match is %v, want %v", got, tt.want)
			}
			role := mailbox.RoleMessages
			if tt.want {
				role = mailbox.RoleGreetings
			}
			if got := tt.patterns.Role(tt.folder); got != role {
				t.Errorf("the role is %s, want %s", got, role)
			}
		})
	}
}

func TestPatternsThatNeverMatchAreRefused(t *testing.T) {
	for name, pattern := range map[string]string{
		"empty": "", "open class": "[a", "open class behind a star": "*[", "lone backslash": `a\`,
		"slash behind": "Greetings/", "slash before": "/Greetings",
	} {
		t.Run(name, func(t *testing.T) {
			err := mailbox.Patterns{"Good", pattern}.Validate()
			if !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
				t.Errorf("%q: got %v (%s), hint %q", pattern, err, fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
	if err := mailbox.DefaultGreetings.Validate(); err != nil {
		t.Error(err)
	}
}
