package copier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// isolation is the search for the messages at which a connection is lost.
type isolation struct {
	parts    []mailbox.UIDSet // to be tried, the next one first
	suspects []mailbox.UID    // to be tried after all parts, each alone
	times    map[mailbox.UID]int
	since    map[mailbox.UID]int // how many were accepted when it was first lost at it
	accepted int
	// row counts the messages at which the connection was certainly lost since one
	// was accepted, and pending are those of them that may not be the reason.
	row     int
	pending mailbox.UIDSet
	bad     mailbox.UIDSet
	cause   error
	// real is true once the parts hold no UIDs without a message.
	real bool
}

// isolate has do carry out a command on messages of the open folder, on fewer at a
// time after a connection was lost. do returns the messages that it is done with
// also when it fails. Messages at which the connection is lost again and again,
// while others are accepted, are returned as a *WithheldError with those that the
// store withholds. If the connection is lost at all of them, the error is the
// folder's: Permanent. wait is how long a command may have an effect after its
// connection was lost.
func (s *steady) isolate(ctx context.Context, uids mailbox.UIDSet, wait time.Duration,
	do func(part mailbox.UIDSet) (got mailbox.UIDSet, err error),
) error {
	search := &isolation{parts: []mailbox.UIDSet{uids}, times: map[mailbox.UID]int{}, since: map[mailbox.UID]int{}}
	var withheld *WithheldError
	for part := search.next(); len(part) > 0; part = search.next() {
		got, err := do(part)
		if w, ok := errors.AsType[*WithheldError](err); ok {
			withheld, err = w.With(withheld), nil
		}
		if err == nil {
			search.took(part)
			continue
		}
		if s.dead = !staysInFolder(err); !fault.Lost(err) || ctx.Err() != nil {
			return err
		}
		search.cause = err
		search.took(got)
		if err := s.again(ctx, wait); err != nil {
			return err
		}
		if !search.real {
			search.real = true
			there, err := s.UIDs(ctx)
			if err != nil {
				return err
			}
			part = part.Intersect(there)
			for i := range search.parts {
				search.parts[i] = search.parts[i].Intersect(there)
			}
		}
		// A server that hangs does so at the first message that it did not answer.
		if !search.lost(part.Minus(got), len(got) > 0 || fault.Silent(search.cause)) {
			return fault.New(fault.Permanent, "the connection is lost at every message that was tried", search.cause,
				"see the server's log; the folder may be damaged on this store")
		}
	}
	if bad := search.bad.Union(search.pending); len(bad) > 0 {
		withheld = (&WithheldError{UIDs: bad, Err: fault.New(fault.Permanent, fmt.Sprintf("message %d", bad[0].First),
			fmt.Errorf("the connection is lost at this message, every time: %w", search.cause), damagedHint)}).With(withheld)
	}
	return withheld.OrNil()
}

// damagedHint is for messages that a store has and cannot hand over.
const damagedHint = "the message is probably damaged on the store; the store's log and its own repair tool tell more"

// next is what is tried next; empty at the end.
func (i *isolation) next() mailbox.UIDSet {
	for len(i.parts) > 0 {
		part := i.parts[0]
		i.parts = i.parts[1:]
		if len(part) > 0 {
			return part
		}
	}
	if len(i.suspects) == 0 {
		return nil
	}
	uid := i.suspects[0]
	i.suspects = i.suspects[1:]
	return mailbox.NewUIDSet(uid)
}

// took notes that the store accepted a command about messages: those that failed
// before them are the reason of their failures.
func (i *isolation) took(uids mailbox.UIDSet) {
	if len(uids) == 0 {
		return
	}
	i.accepted += uids.Len()
	i.bad, i.pending, i.row = i.bad.Union(i.pending), nil, 0
}

// lost decides what to do after the connection was lost at messages, of which the
// first is the likeliest reason if some came before them. It returns false if the
// messages are not the reason.
func (i *isolation) lost(uids mailbox.UIDSet, some bool) bool {
	if len(uids) == 0 {
		return true
	}
	first := uids[0].First
	v := i.verdict(first, uids.Len(), some)
	switch v.Next {
	case blame.Halve:
		if some {
			alone := mailbox.NewUIDSet(first)
			i.suspects = append(i.suspects, first)
			i.parts = append([]mailbox.UIDSet{uids.Minus(alone)}, i.parts...)
			return true
		}
		a, b := halves(uids)
		i.parts = append([]mailbox.UIDSet{a, b}, i.parts...)
	case blame.Again:
		i.suspects = append(i.suspects, first)
	case blame.Record:
		i.bad.Add(first)
		i.bad, i.pending = i.bad.Union(i.pending), nil
	case blame.GoOn, blame.Sample:
		i.pending.Add(first)
	case blame.Stop:
		return false
	}
	return true
}

func (i *isolation) verdict(uid mailbox.UID, together int, some bool) blame.Verdict {
	if together == 1 || some {
		if i.times[uid]++; i.times[uid] == 1 {
			i.since[uid] = i.accepted
		}
	}
	e := blame.Evidence{Item: blame.Message, Lost: true, Together: together, Times: i.times[uid], Reached: true,
		Before: i.accepted, After: i.accepted - i.since[uid], Row: i.row + 1, Rest: len(i.suspects),
		Sampled: max(0, i.row+1-blame.Doubt(true, fault.Transient))}
	for _, part := range i.parts {
		e.Rest += part.Len()
	}
	v := blame.Decide(e)
	if v.Next != blame.Halve && v.Next != blame.Again {
		i.row++
	}
	return v
}

// halves cuts a set of at least two messages in two.
func halves(uids mailbox.UIDSet) (a, b mailbox.UIDSet) {
	half, n := uids.Len()/2, 0
	for uid := range uids.All() {
		if n++; n <= half {
			a.Add(uid)
		} else {
			b.Add(uid)
		}
	}
	return a, b
}
