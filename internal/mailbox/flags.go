package mailbox

import (
	"slices"
	"strings"
)

// Flags is a set of IMAP flags and keywords (RFC 9051, section 2.3.2) in a
// canonical form: sorted without regard to case, separated by one blank,
// without `\Recent`, which belongs to a session and not to a message.
// A string, so that snapshots of 50,000 messages share their few flag sets.
type Flags string

// Deleted is the flag that marks a message for EXPUNGE.
const Deleted = `\Deleted`

// NewFlags builds the canonical set of the given flags. Doubles (without
// regard to case), empty strings and `\Recent` are dropped.
func NewFlags(flags ...string) Flags {
	list := make([]string, 0, len(flags))
	for _, f := range flags {
		if f != "" && !strings.EqualFold(f, `\Recent`) {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	list = slices.CompactFunc(list, strings.EqualFold)
	return Flags(strings.Join(list, " "))
}

// List returns the flags one by one; nil where there are none.
func (f Flags) List() []string {
	if f == "" {
		return nil
	}
	return strings.Split(string(f), " ")
}

// Equal compares without regard to case: servers keep the spelling of the
// first use of a keyword in a folder, so spelling is not ours to mirror.
func (f Flags) Equal(g Flags) bool { return strings.EqualFold(string(f), string(g)) }

// Has reports whether the set holds flag, without regard to case.
func (f Flags) Has(flag string) bool {
	return slices.ContainsFunc(f.List(), func(s string) bool { return strings.EqualFold(s, flag) })
}

// System returns the set without its keywords: only what begins with a
// backslash.
func (f Flags) System() Flags {
	return NewFlags(slices.DeleteFunc(f.List(), func(s string) bool { return !strings.HasPrefix(s, `\`) })...)
}

// With returns the set with flag added.
func (f Flags) With(flag string) Flags { return NewFlags(append(f.List(), flag)...) }

// Without returns the set with flag removed.
func (f Flags) Without(flag string) Flags {
	return NewFlags(slices.DeleteFunc(f.List(), func(s string) bool { return strings.EqualFold(s, flag) })...)
}

// Unlike returns the flags that only one of the two sets holds.
func (f Flags) Unlike(g Flags) Flags {
	only := func(f, g Flags) []string { return slices.DeleteFunc(f.List(), g.Has) }
	return NewFlags(append(only(f, g), only(g, f)...)...)
}

// Permanent says which flags a selected folder stores for good
// (PERMANENTFLAGS, RFC 9051, section 7.1).
type Permanent struct {
	Flags Flags
	// Any is true where the server answered `\*`: new keywords may be created.
	Any bool
}

// Storable splits want into what the folder can keep and what it refuses.
func (p Permanent) Storable(want Flags) (keep, refused Flags) {
	var k, r []string
	for _, f := range want.List() {
		if p.Flags.Has(f) || (p.Any && !strings.HasPrefix(f, `\`)) {
			k = append(k, f)
		} else {
			r = append(r, f)
		}
	}
	return NewFlags(k...), NewFlags(r...)
}

// Folded returns the set in lower case, for use as a key.
func (f Flags) Folded() Flags { return Flags(strings.ToLower(string(f))) }
