package blame_test

import (
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
)

func TestDecide(t *testing.T) {
	item := blame.Verdict{Owner: blame.Message, Next: blame.Record}
	entry := blame.Verdict{Owner: blame.Entry, Next: blame.Record}
	open := func(s blame.Step) blame.Verdict { return blame.Verdict{Next: s} }
	stop := func(o blame.Owner) blame.Verdict { return blame.Verdict{Owner: o, Next: blame.Stop} }
	for _, test := range []struct {
		name string
		e    blame.Evidence
		want blame.Verdict
	}{
		{"a message is too big, the next ones are accepted",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Before: 1, After: 3, Rest: 9}, item},
		{"a message is too big, nothing was tried after it yet",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Before: 1, Rest: 9}, open(blame.GoOn)},
		{"the mailbox is full: five in a row are rejected",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Before: 80, Row: 5, Rest: 900}, open(blame.Sample)},
		{"the mailbox is full: the sample is rejected too",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Before: 80, Row: 55, Rest: 900, Sampled: 50}, stop(blame.Folder)},
		{"the mailbox is full, and other folders get nothing either",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Row: 55, Rest: 900, Sampled: 50,
				Elsewhere: blame.Tally{Tried: 4}}, stop(blame.Mailbox)},
		{"the mailbox is full, and the last message is rejected",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 1, Before: 80}, stop(blame.Folder)},
		{"the last message is rejected for the third time, others are accepted each time",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, Times: 3, Before: 1}, item},
		{"only the last message has no room",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, NoRoom: true, Times: 1, Before: 1}, item},
		{"no message has room",
			blame.Evidence{Item: blame.Message, Kind: fault.Transient, NoRoom: true, Times: 3}, stop(blame.Folder)},
		{"the only message is rejected for good",
			blame.Evidence{Item: blame.Message, Kind: fault.Permanent, Times: 1}, item},
		{"no right to append: fifty in a row are rejected",
			blame.Evidence{Item: blame.Message, Kind: fault.Permanent, Times: 1, Row: 50, Rest: 900}, open(blame.Sample)},
		{"no right to append: all are rejected",
			blame.Evidence{Item: blame.Message, Kind: fault.Permanent, Times: 1, Row: 70}, stop(blame.Folder)},
		{"several messages in one command",
			blame.Evidence{Item: blame.Message, Kind: fault.Permanent, Together: 9, Times: 1, After: 4}, open(blame.Halve)},
		{"the connection is lost at several messages",
			blame.Evidence{Item: blame.Message, Lost: true, Together: 9, Times: 1}, open(blame.Halve)},
		{"the connection is lost at a message for the first time",
			blame.Evidence{Item: blame.Message, Lost: true, Times: 1, Before: 7, Rest: 3}, open(blame.Again)},
		{"the connection is lost at a message twice",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 2, After: 3}, open(blame.Again)},
		{"the connection is lost at a message three times, others are accepted between",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3, Before: 9, After: 3, Rest: 7}, item},
		{"the connection is lost at the only message three times",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3}, item},
		{"the store cannot be reached since",
			blame.Evidence{Item: blame.Message, Lost: true, Times: 3, After: 3}, stop(blame.Store)},
		{"the connection is lost at each of two messages, and there are no others",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3, Row: 2}, stop(blame.Folder)},
		{"the connection is lost at the first message, others are to be tried",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3, Rest: 3}, open(blame.GoOn)},
		{"the connection is lost at each of five messages",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3, Row: 5, Rest: 60}, open(blame.Sample)},
		{"the connection is lost at every message",
			blame.Evidence{Item: blame.Message, Lost: true, Reached: true, Times: 3, Row: 9}, stop(blame.Folder)},
		{"the connection is lost at an entry three times",
			blame.Evidence{Item: blame.Entry, Lost: true, Reached: true, Times: 3, Before: 2, Rest: 9}, entry},
		{"the directory is read-only: five in a row",
			blame.Evidence{Item: blame.Entry, Kind: fault.Config, Times: 1, Row: 5, Rest: 60}, open(blame.Sample)},
		{"the directory is read-only: the sample too",
			blame.Evidence{Item: blame.Entry, Kind: fault.Config, Times: 1, Row: 5, Rest: 60, Sampled: 50}, stop(blame.Store)},
		{"the directory rejects the last entries, it took others",
			blame.Evidence{Item: blame.Entry, Kind: fault.Config, Times: 1, Before: 22, Row: 8, Sampled: 3}, entry},
		{"the directory rejects all of the few entries",
			blame.Evidence{Item: blame.Entry, Kind: fault.Config, Times: 1, Row: 5}, stop(blame.Store)},
		{"the directory rejects what an earlier run recorded",
			blame.Evidence{Item: blame.Entry, Kind: fault.Config, Times: 2, Known: true, Row: 5, Rest: 60}, entry},
		{"the connection is lost whenever a folder is opened",
			blame.Evidence{Item: blame.Folder, Lost: true, Reached: true, Times: 3}, blame.Verdict{Owner: blame.Folder, Next: blame.Record}},
		{"the connection is lost at whatever folder is opened",
			blame.Evidence{Item: blame.Folder, Lost: true, Reached: true, Times: 3, Row: 5}, stop(blame.Mailbox)},
	} {
		if got := blame.Decide(test.e); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

var evidence = rapid.Custom(func(t *rapid.T) blame.Evidence {
	e := blame.Evidence{
		Item:     rapid.SampledFrom([]blame.Owner{blame.Message, blame.Entry, blame.Folder, blame.Mailbox}).Draw(t, "item"),
		Lost:     rapid.Bool().Draw(t, "lost"),
		Kind:     rapid.SampledFrom([]fault.Kind{fault.Transient, fault.Permanent, fault.Conflict, fault.Config}).Draw(t, "kind"),
		Together: rapid.IntRange(0, 3).Draw(t, "together"),
		Times:    rapid.IntRange(1, 5).Draw(t, "times"),
		Reached:  rapid.Bool().Draw(t, "reached"),
		Known:    rapid.Bool().Draw(t, "known"),
		Before:   rapid.IntRange(0, 2).Draw(t, "before"),
		After:    rapid.IntRange(0, 2).Draw(t, "after"),
		Row:      rapid.IntRange(0, 60).Draw(t, "row"),
		Rest:     rapid.IntRange(0, 2).Draw(t, "rest"),
		Sampled:  rapid.SampledFrom([]int{0, 3, blame.SampleSize}).Draw(t, "sampled"),
	}
	e.Elsewhere.Tried = rapid.IntRange(0, 2).Draw(t, "tried")
	e.Elsewhere.Accepted = rapid.IntRange(0, e.Elsewhere.Tried).Draw(t, "accepted")
	return e
})

// A verdict either names an owner and ends the question, or names none and says
// how to get more evidence.
func TestVerdictIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := evidence.Draw(t, "evidence")
		v := blame.Decide(e)
		if final := v.Next == blame.Record || v.Next == blame.Stop; final != (v.Owner != blame.Undecided) {
			t.Fatalf("%+v", v)
		}
		if v.Next == blame.Record && v.Owner != e.Item {
			t.Fatalf("%+v is recorded against %s", v, e.Item)
		}
		if v.Next == blame.Stop && v.Owner == e.Item {
			t.Fatalf("%+v stops for the item", v)
		}
	})
}

// The question ends: whoever follows the steps, with a server that goes on failing
// alike, gets an owner after a bounded number of attempts.
func TestQuestionEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := evidence.Draw(t, "evidence")
		e.Rest = rapid.IntRange(0, 500).Draw(t, "all")
		for range 200 {
			switch v := blame.Decide(e); v.Next {
			case blame.Halve:
				e.Together /= 2
			case blame.Again:
				e.Times++
			case blame.GoOn:
				e.Row, e.Rest = max(e.Row, 1)+1, e.Rest-1
			case blame.Sample:
				n := min(e.Rest, blame.SampleSize-e.Sampled)
				e.Sampled, e.Rest, e.Row = e.Sampled+n, e.Rest-n, e.Row+n
			case blame.Record, blame.Stop:
				return
			}
		}
		t.Fatalf("undecided: %+v", e)
	})
}

// A code alone decides nothing: with each of them a failure is the item's if the
// server accepts others, and is not if the server accepts nothing.
func TestCodeAloneDecidesNothing(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Transient, fault.Permanent, fault.Conflict, fault.Config} {
		e := blame.Evidence{Item: blame.Message, Kind: kind, Times: 1, Row: 60, Sampled: blame.SampleSize, Rest: 7}
		if v := blame.Decide(e); v.Owner == blame.Message || v.Next != blame.Stop {
			t.Errorf("%s, nothing accepted: %+v", kind, v)
		}
		e.After = 1
		if v := blame.Decide(e); v.Owner != blame.Message {
			t.Errorf("%s, others accepted: %+v", kind, v)
		}
	}
}

// One loss never blames an item.
func TestOneLossBlamesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := evidence.Draw(t, "evidence")
		e.Lost, e.Times = true, 1
		if v := blame.Decide(e); v.Owner == e.Item {
			t.Fatalf("%+v", v)
		}
	})
}
