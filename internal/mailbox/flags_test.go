package mailbox_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
)

// anyFlag draws from few flags in several spellings.
func anyFlag() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{`\Seen`, `\SEEN`, `\seen`, `\Deleted`, `\Answered`, `\Recent`, `\recent`,
		"$Forwarded", "$forwarded", "urgent", "URGENT", "a", "B", "NonJunk", ""})
}

func drawFlags(t *rapid.T, label string) []string {
	return rapid.SliceOfN(anyFlag(), 0, 12).Draw(t, label)
}

func TestNewFlags(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags []string
		want  mailbox.Flags
	}{
		{"none", nil, ""},
		{"sorted without regard to case", []string{"b", "A", "c"}, "A b c"},
		{"doubles in two spellings", []string{`\Seen`, `\Seen`}, `\Seen`},
		{"recent belongs to the session", []string{`\Recent`, `\seen`, `\RECENT`}, `\seen`},
		{"empty", []string{"", "a", ""}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mailbox.NewFlags(tt.flags...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFlagsAreASetWithoutRegardToCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawFlags(t, "flags")
		f := mailbox.NewFlags(list...)

		want := map[string]bool{}
		for _, s := range list {
			if s != "" && !strings.EqualFold(s, `\recent`) {
				want[strings.ToLower(s)] = true
			}
		}
		got := f.List()
		if len(got) != len(want) {
			t.Fatalf("%q holds %d flags, want %d", f, len(got), len(want))
		}
		for i, s := range got {
			if !want[strings.ToLower(s)] {
				t.Fatalf("%q holds %q, which nobody gave", f, s)
			}
			if i > 0 && strings.ToLower(got[i-1]) >= strings.ToLower(s) {
				t.Fatalf("%q is not sorted", f)
			}
		}
		if again := mailbox.NewFlags(got...); again != f {
			t.Fatalf("%q becomes %q when built again", f, again)
		}
		shuffled := mailbox.NewFlags(rapid.Permutation(list).Draw(t, "shuffled")...)
		if !f.Equal(shuffled) || f.Folded() != shuffled.Folded() {
			t.Fatalf("%q differs from %q for its order", f, shuffled)
		}

		flag := anyFlag().Filter(func(s string) bool { return s != "" && !strings.EqualFold(s, `\recent`) }).Draw(t, "flag")
		if f.Has(flag) != want[strings.ToLower(flag)] {
			t.Fatalf("%q.Has(%q) is %v", f, flag, f.Has(flag))
		}
		if with := f.With(flag); !with.Has(flag) || !with.Without(flag).Equal(f.Without(flag)) {
			t.Fatalf("%q with %q is %q", f, flag, with)
		}
		if without := f.Without(flag); without.Has(flag) || (!f.Has(flag) && without != f) {
			t.Fatalf("%q without %q is %q", f, flag, without)
		}
		if f != mailbox.NewFlags(list...) {
			t.Fatalf("the set changed to %q", f)
		}
	})
}

func TestStorable(t *testing.T) {
	for _, tt := range []struct {
		name          string
		permanent     mailbox.Permanent
		want          mailbox.Flags
		keep, refused mailbox.Flags
	}{
		{"all known", mailbox.Permanent{Flags: `\Deleted \Seen urgent`}, `\Seen urgent`, `\Seen urgent`, ""},
		{"another spelling", mailbox.Permanent{Flags: `\seen URGENT`}, `\Seen urgent`, `\Seen urgent`, ""},
		{"keyword unknown", mailbox.Permanent{Flags: `\Seen`}, `\Seen urgent`, `\Seen`, "urgent"},
		{"any keyword", mailbox.Permanent{Flags: `\Seen`, Any: true}, `\Seen urgent`, `\Seen urgent`, ""},
		{"any keyword is no system flag", mailbox.Permanent{Flags: `\Seen`, Any: true}, `\Draft \Seen`, `\Seen`, `\Draft`},
		{"nothing is kept", mailbox.Permanent{}, `\Seen urgent`, "", `\Seen urgent`},
		{"nothing is wanted", mailbox.Permanent{Flags: `\Seen`}, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep, refused := tt.permanent.Storable(tt.want)
			if keep != tt.keep || refused != tt.refused {
				t.Errorf("keeps %q and refuses %q, want %q and %q", keep, refused, tt.keep, tt.refused)
			}
		})
	}
}

func TestStorableSplitsWithoutLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := mailbox.Permanent{Flags: mailbox.NewFlags(drawFlags(t, "permanent")...), Any: rapid.Bool().Draw(t, "any")}
		want := mailbox.NewFlags(drawFlags(t, "want")...)
		keep, refused := p.Storable(want)
		if !mailbox.NewFlags(append(keep.List(), refused.List()...)...).Equal(want) {
			t.Fatalf("%q was split into %q and %q", want, keep, refused)
		}
		for _, f := range keep.List() {
			if refused.Has(f) {
				t.Fatalf("%q is kept and refused", f)
			}
		}
		if again, none := p.Storable(keep); again != keep || none != "" {
			t.Fatalf("what is storable, %q, is not wholly so: %q, %q", keep, again, none)
		}
	})
}
