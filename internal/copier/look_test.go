package copier

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// shelf is a folder with mod-sequences, and the Reader that looks at it; all
// that view does not use is missing. meanwhile runs before each answer.
type shelf struct {
	Reader
	messages  map[mailbox.UID]shelved
	next      mailbox.UID
	modseq    uint64
	meanwhile func()
	asked     []string
}

type shelved struct {
	flags  mailbox.Flags
	modseq uint64
}

func newShelf() *shelf { return &shelf{messages: map[mailbox.UID]shelved{}, next: 1, modseq: 1} }

func (s *shelf) put() {
	s.modseq++
	s.messages[s.next] = shelved{modseq: s.modseq}
	s.next++
}

func (s *shelf) flag(u mailbox.UID, flags mailbox.Flags) {
	if _, there := s.messages[u]; there {
		s.modseq++
		s.messages[u] = shelved{flags, s.modseq}
	}
}

func (s *shelf) remove(u mailbox.UID) {
	if _, there := s.messages[u]; there {
		s.modseq++
		delete(s.messages, u)
	}
}

func (s *shelf) counters() mailbox.Counters {
	return mailbox.Counters{UIDValidity: 1, UIDNext: s.next, Messages: uint32(len(s.messages)), HighestModSeq: s.modseq}
}

func (s *shelf) set() mailbox.UIDSet {
	var uids []mailbox.UID
	for u := range s.messages {
		uids = append(uids, u)
	}
	return mailbox.NewUIDSet(uids...)
}

func (s *shelf) answer(what string) {
	s.asked = append(s.asked, what)
	if s.meanwhile != nil {
		s.meanwhile()
	}
}

func (s *shelf) UIDs(context.Context) (mailbox.UIDSet, error) {
	s.answer("uids")
	return s.set(), nil
}

func (s *shelf) Messages(_ context.Context, uids mailbox.UIDSet, since uint64) ([]mailbox.Message, error) {
	s.answer("messages")
	var out []mailbox.Message
	for u := range s.set().Intersect(uids).All() {
		if m := s.messages[u]; m.modseq > since {
			out = append(out, mailbox.Message{UID: u, Flags: m.flags})
		}
	}
	return out, nil
}

// change lets a user do something to the folder.
func (s *shelf) change(t *rapid.T) {
	pick := func() mailbox.UID { return mailbox.UID(rapid.Uint32Range(1, uint32(s.next)).Draw(t, "uid")) }
	switch rapid.SampledFrom([]string{"put", "flag", "remove"}).Draw(t, "act") {
	case "put":
		s.put()
	case "flag":
		s.flag(pick(), rapid.SampledFrom([]mailbox.Flags{"", `\Seen`, `\Deleted`}).Draw(t, "flags"))
	case "remove":
		s.remove(pick())
	}
}

// TestViewFromABaseSeesWhatAFullLookSees: with messages that come, go and
// change between the base, the opening and each answer, the cheap view never
// misses one that is there the whole time, never holds one that was gone when
// the folder was opened, and knows the flags of all that changed since.
func TestViewFromABaseSeesWhatAFullLookSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		for range rapid.IntRange(0, 8).Draw(t, "before") {
			s.change(t)
		}
		b := newBase(s.counters(), s.set())
		if b == nil {
			t.Fatal("no base of counters and UIDs of the same moment")
		}
		flagsThen := map[mailbox.UID]mailbox.Flags{}
		for u, m := range s.messages {
			flagsThen[u] = m.flags
		}
		for range rapid.IntRange(0, 4).Draw(t, "between") {
			s.change(t)
		}
		opened, now := s.set(), s.counters()
		stayed := opened
		s.meanwhile = func() {
			for range rapid.IntRange(0, 2).Draw(t, "meanwhile") {
				s.change(t)
			}
			stayed = stayed.Intersect(s.set())
		}

		v, err := view(t.Context(), s, now, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if missed := stayed.Minus(v.UIDs); len(missed) > 0 {
			t.Fatalf("the view misses %v, asked for %v", missed, s.asked)
		}
		if ghosts := v.UIDs.Minus(opened); len(ghosts) > 0 {
			t.Fatalf("the view holds %v, which were not there when the folder was opened, asked for %v", ghosts, s.asked)
		}
		if v.Counters != now {
			t.Fatalf("the counters are %+v, the folder was opened with %+v", v.Counters, now)
		}
		for u := range v.Messages {
			if !v.UIDs.Contains(u) {
				t.Fatalf("message %d is known and not in the view", u)
			}
		}
		for u := range stayed.All() {
			_, known := v.Messages[u]
			if then, old := flagsThen[u]; !known && (!old || then != s.messages[u].flags) && s.messages[u].modseq <= now.HighestModSeq {
				t.Fatalf("message %d changed since the base, and the view does not know it", u)
			}
		}
	})
}

func TestView(t *testing.T) {
	base3 := func(s *shelf) *base {
		s.put()
		s.put()
		s.put()
		return newBase(s.counters(), s.set())
	}
	for _, tt := range []struct {
		name    string
		prepare func(s *shelf) *base
		uids    string
		known   string
		asked   []string
	}{
		{"an empty folder is not asked", func(s *shelf) *base { return nil }, "", "", nil},
		{"an emptied folder is not asked", func(s *shelf) *base { s.put(); s.remove(1); return nil }, "", "", nil},
		{"without a base everything", func(s *shelf) *base { s.put(); s.put(); s.remove(1); return nil }, "2", "2", []string{"messages"}},
		{"nothing changed", base3, "1:3", "", nil},
		{"a flag", func(s *shelf) *base { b := base3(s); s.flag(2, `\Seen`); return b }, "1:3", "2", []string{"messages"}},
		{"a new one", func(s *shelf) *base { b := base3(s); s.put(); return b }, "1:4", "4", []string{"messages"}},
		{"one gone", func(s *shelf) *base { b := base3(s); s.remove(2); return b }, "1,3", "", []string{"messages", "uids"}},
		{"one gone and a new one", func(s *shelf) *base { b := base3(s); s.remove(2); s.put(); return b }, "1,3:4", "4", []string{"messages", "uids"}},
		{"a new one came and went", func(s *shelf) *base { b := base3(s); s.put(); s.remove(4); return b }, "1:3", "", []string{"messages", "uids"}},
		{"two came and one of them went", func(s *shelf) *base { b := base3(s); s.put(); s.put(); s.remove(4); return b }, "1:3,5", "5", []string{"messages", "uids"}},
		{"all gone", func(s *shelf) *base { b := base3(s); s.remove(1); s.remove(2); s.remove(3); return b }, "", "", []string{"messages", "uids"}},
		{"a base and no CONDSTORE any more", func(s *shelf) *base { b := base3(s); s.modseq = 0; return b }, "1:3", "1:3", []string{"messages"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			b := tt.prepare(s)
			v, err := view(t.Context(), s, s.counters(), b, nil)
			if err != nil || v.UIDs.String() != tt.uids || knownUIDs(v).String() != tt.known {
				t.Errorf("sees %v, knows %v, %v; want %s and %s", v.UIDs, knownUIDs(v), err, tt.uids, tt.known)
			}
			if d := cmp.Diff(tt.asked, s.asked); d != "" {
				t.Errorf("asked for (-want +got):\n%s", d)
			}
		})
	}
}

func TestNewBase(t *testing.T) {
	counters := mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 2, HighestModSeq: 7}
	two := mailbox.NewUIDSet(1, 4)
	if newBase(counters, two) == nil {
		t.Error("a good base is refused")
	}
	for name, b := range map[string]*base{
		"too few":            newBase(counters, mailbox.NewUIDSet(1)),
		"too many":           newBase(counters, mailbox.NewUIDSet(1, 2, 4)),
		"no mod-sequence":    newBase(mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 2}, two),
		"counters never set": newBase(mailbox.Counters{}, nil),
	} {
		if b != nil {
			t.Errorf("%s: taken for a base", name)
		}
	}
}

type brokenReader struct{ Reader }

func (brokenReader) Messages(context.Context, mailbox.UIDSet, uint64) ([]mailbox.Message, error) {
	return nil, errors.New("connection reset")
}

func (brokenReader) UIDs(context.Context) (mailbox.UIDSet, error) {
	return nil, errors.New("connection reset")
}

// TestABrokenLookIsNoEmptyFolder: an error never leaves a view behind that
// could be taken for a folder without messages.
func TestABrokenLookIsNoEmptyFolder(t *testing.T) {
	now := mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 2, HighestModSeq: 9}
	for name, b := range map[string]*base{
		"no base": nil,
		"base":    newBase(mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 2, HighestModSeq: 7}, mailbox.NewUIDSet(1, 4)),
	} {
		if _, err := view(t.Context(), brokenReader{}, now, b, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	v := mirror.View{UIDs: mailbox.NewUIDSet(1, 4), Messages: map[mailbox.UID]mailbox.Message{}}
	if _, err := fetchInto(t.Context(), brokenReader{}, &v, mailbox.NewUIDSet(4)); err == nil || v.UIDs.Len() != 2 {
		t.Errorf("fetch into a view: %v, left with %v", err, v.UIDs)
	}
}

// TestCountersThatContradictThemselvesAreNoEmptyFolder: a server that tells of
// messages and no UIDNEXT has not told what the folder holds.
func TestCountersThatContradictThemselvesAreNoEmptyFolder(t *testing.T) {
	s := newShelf()
	for _, next := range []mailbox.UID{0, 1} {
		v, err := view(t.Context(), s, mailbox.Counters{UIDValidity: 1, UIDNext: next, Messages: 3}, nil, nil)
		if err == nil {
			t.Errorf("UIDNEXT %d with 3 messages was taken for %v", next, v.UIDs)
		}
	}
}

func TestFetchIntoTakesOutWhatIsGone(t *testing.T) {
	s := newShelf()
	s.put()
	s.put()
	v := mirror.View{UIDs: mailbox.NewUIDSet(1, 2), Messages: map[mailbox.UID]mailbox.Message{}}
	s.remove(1)
	gone, err := fetchInto(t.Context(), s, &v, mailbox.NewUIDSet(1, 2))
	if err != nil || gone.String() != "1" || v.UIDs.String() != "2" || knownUIDs(v).String() != "2" {
		t.Errorf("gone %v, left %v, known %v, %v", gone, v.UIDs, knownUIDs(v), err)
	}
}

func TestChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uids := mailbox.NewUIDSet(rapid.SliceOfN(rapid.Map(rapid.Uint32Range(1, 30), func(u uint32) mailbox.UID { return mailbox.UID(u) }), 0, 20).Draw(t, "uids")...)
		n := rapid.IntRange(1, 7).Draw(t, "n")
		var all []mailbox.UID
		full := true
		for c := range chunks(uids, n) {
			if !full || c.Len() == 0 || c.Len() > n {
				t.Fatalf("chunk %v of at most %d follows one that was not full: %v", c, n, !full)
			}
			full = c.Len() == n
			all = append(all, c.UIDs()...)
		}
		if d := cmp.Diff(uids.UIDs(), all); len(all)+uids.Len() > 0 && d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
	last := mailbox.UIDSet{{First: math.MaxUint32 - 1, Last: math.MaxUint32}}
	var got []string
	for c := range chunks(last, 1) {
		got = append(got, c.String())
	}
	if d := cmp.Diff([]string{"4294967294", "4294967295"}, got); d != "" {
		t.Errorf("the last UIDs (-want +got):\n%s", d)
	}
	for range chunks(mailbox.NewUIDSet(1, 2, 3), 1) {
		break // must not go on calling a loop that ended
	}
}
