package ldapdir

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/blame"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

const (
	// groupSize is how many entries are asked for by one search while the entry is
	// looked for at which the connection is lost.
	groupSize = 200
	// maxUnread bounds the entries of one extract that cannot be read. If there are
	// more, the server is the reason, whatever it answers to others.
	maxUnread = 100
	// maxNames bounds what is kept of the names of entries, in bytes.
	maxNames = 32 << 20
	// maxDepth is how many characters of a number are used to narrow a search.
	maxDepth = 32
)

// named is an entry of which only the name is known; or, if not even that is, entries
// of which a description is.
type named struct {
	directory.Ref
	number      string
	description string
}

// entryKey is a digest of what an entry is known by while an extract runs.
type entryKey [16]byte

func keyOf(ref directory.Ref) entryKey {
	sum := sha256.Sum256([]byte(identity(ref)))
	return entryKey(sum[:16])
}

// isolation reads what an extract lacks after a failure that one entry may have
// caused. It finds that entry by halving and goes on with all others.
type isolation struct {
	s    *Session
	v    *server
	what string
	// take hands over an entry that was read, unread says that one cannot be read.
	take   func(*ldap.Entry) error
	unread func(named, error) error
	// read holds the entries that take got. len(read) counts what the server
	// handed over so far.
	read map[entryKey]bool

	failed  int                // entries that cannot be read
	size    int                // of the names
	row     map[string]bool    // what failed alike since the server last handed over an entry
	rowAt   int                // len(read) at that time
	partial bool               // names were asked for by ranges of numbers
	names   map[entryKey]named // what there is to read
}

// ofEntry reports whether a failure may belong to one of the entries that were asked
// for: the connection was lost, or the server sent what Mailmirror does not accept. If
// the server is silent, nothing is repeated.
func (s *Session) ofEntry(err error) bool {
	cause := s.link.Cause()
	return fault.Lost(err) || errors.Is(cause, errTooLarge) || errors.Is(cause, errMalformed)
}

// reopen connects again. It waits up to a quarter of a minute for a server that
// starts again. What the session knows of the server stays.
func (s *Session) reopen(ctx context.Context) error {
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		fresh, err := s.store.Open(ctx)
		if err == nil {
			fresh.known, fresh.wrote = s.known, s.wrote
			_ = s.Close() // it is dead
			*s = *fresh
			return nil
		}
		if !fault.Is(err, fault.Transient) || pause > 7*time.Second {
			return err
		}
		if !sleep.For(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// run reads everything that was not read yet. first is the failure that ended the
// reading in order; it is returned if it is found to be the server's.
func (x *isolation) run(ctx context.Context, first error) error {
	x.names, x.row, x.rowAt = map[entryKey]named{}, map[string]bool{}, -1
	if err := x.s.reopen(ctx); err != nil {
		return err
	}
	if err := x.list(ctx, first); err != nil {
		return err
	}
	var groups [][]named
	one := groupSize
	if x.v.id == "" {
		one = 1 // each is read by its name
	}
	var pending []named
	for key, n := range x.names {
		if !x.read[key] {
			pending = append(pending, n)
		}
	}
	x.names = nil
	slices.SortFunc(pending, func(a, b named) int { return strings.Compare(a.number+"\x00"+a.DN, b.number+"\x00"+b.DN) })
	for group := range slices.Chunk(pending, one) {
		groups = append(groups, group)
	}
	return x.each(ctx, groups)
}

// part is what one search is for: some entries, or a range of numbers.
type part[T any] struct {
	of T
	// times is how often in a row the search for it failed, and before how much the
	// server had handed over when it failed first. They count if it is one item.
	times, before int
	err           error
}

// search tries each of some parts until it is known what those that fail belong to.
// one reads a part; split returns smaller ones, nil if it is one item; name tells items
// apart; give records an item that cannot be read.
func search[T any](ctx context.Context, x *isolation, parts []T, one func(T) error, split func(T) []T, name func(T) string, give func(T, error) error) error {
	var queue, aside []part[T]
	for _, of := range parts {
		queue = append(queue, part[T]{of: of})
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		err := one(p.of)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || !x.s.ofEntry(err) {
			return err
		}
		if err := x.s.reopen(ctx); err != nil {
			return err
		}
		smaller := split(p.of)
		if p.times == 0 {
			p.before = len(x.read)
		}
		p.times, p.err = p.times+1, err
		e := x.evidence(err, p.times, p.before)
		if len(smaller) > 0 {
			e.Together = len(smaller)
		} else {
			e.Row = x.inRow(name(p.of))
		}
		e.Rest = len(queue)
		e.Sampled = max(0, e.Row-blame.Doubt(e.Lost, e.Kind))
		switch blame.Decide(e).Next {
		case blame.Halve:
			var halves []part[T]
			for _, of := range smaller {
				halves = append(halves, part[T]{of: of})
			}
			queue = append(halves, queue...)
		case blame.Again:
			if e.Row >= blame.Doubt(e.Lost, e.Kind) {
				// Find out whether the entries are the reason before others are tried.
				queue = append([]part[T]{p}, queue...)
			} else {
				queue = append(queue, p)
			}
		case blame.GoOn, blame.Sample:
			aside = append(aside, p)
		case blame.Record:
			if err := give(p.of, err); err != nil {
				return err
			}
		case blame.Stop:
			return err
		}
	}
	for _, p := range aside {
		e := x.evidence(p.err, p.times, p.before)
		e.Row = len(x.row)
		if blame.Decide(e).Next != blame.Record {
			return p.err
		}
		if err := give(p.of, p.err); err != nil {
			return err
		}
	}
	return nil
}

// evidence is what is known about a failure of one item.
func (x *isolation) evidence(err error, times, before int) blame.Evidence {
	e := blame.Evidence{Item: blame.Entry, Lost: fault.Lost(err), Times: times, Reached: true, Before: before, After: len(x.read) - before}
	if !e.Lost {
		e.Kind = fault.Permanent // the server answered, and the answer is about the entry
	}
	return e
}

// inRow returns how many items failed alike since the server last handed over an
// entry, this one included.
func (x *isolation) inRow(name string) int {
	if x.rowAt != len(x.read) {
		x.row, x.rowAt = map[string]bool{}, len(x.read)
	}
	x.row[name] = true
	return len(x.row)
}

// give records an item that cannot be read.
func (x *isolation) give(n named, err error) error {
	if x.failed++; x.failed > maxUnread {
		return err
	}
	return x.unread(n, err)
}

// each reads groups of entries.
func (x *isolation) each(ctx context.Context, groups [][]named) error {
	lacking := func(group []named) []named {
		return slices.DeleteFunc(slices.Clone(group), func(n named) bool { return x.read[keyOf(n.Ref)] })
	}
	return search(ctx, x, groups, func(group []named) error { return x.fetch(ctx, lacking(group)) },
		func(group []named) [][]named {
			if group = lacking(group); len(group) < 2 {
				return nil
			}
			return [][]named{group[:len(group)/2], group[len(group)/2:]}
		},
		func(group []named) string { return group[0].DN },
		func(group []named, err error) error {
			for _, n := range lacking(group) {
				if err := x.give(n, err); err != nil {
					return err
				}
			}
			return nil
		})
}

// fetch reads some entries: those with an id by one search, and what that does not
// find one by one. An entry that is gone meanwhile is left out.
func (x *isolation) fetch(ctx context.Context, group []named) error {
	s, m := x.s, x.s.store.opts.Mapping
	var ids strings.Builder
	for _, n := range group {
		if n.ID != "" {
			ids.WriteString(equals(x.v.id, n.ID))
		}
	}
	if ids.Len() > 0 {
		if err := s.pages(ctx, x.what, s.search(x.v, both(mailboxes(m), "(|"+ids.String()+")")), x.take); err != nil {
			return err
		}
	}
	for _, n := range group {
		if x.read[keyOf(n.Ref)] {
			continue
		}
		e, err := s.lookup(ctx, n.DN, mailboxes(m), s.store.wanted(x.v)...)
		switch {
		case isCode(err, ldap.LDAPResultNoSuchObject):
		case err != nil:
			return s.readFailed(x.what, err)
		case e != nil:
			if err := x.take(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// numbers is a range of mailbox numbers: all that begin with prefix or, if exact,
// only that one, or, if rest, those behind whose prefix no digit follows.
type numbers struct {
	prefix      string
	exact, rest bool
}

func (r numbers) String() string {
	switch {
	case r.exact:
		return "the entry with the number " + r.prefix
	case r.rest && r.prefix == "":
		return "entries whose number does not begin with a digit"
	case r.rest:
		return "entries whose number begins with " + r.prefix + " and does not go on with a digit"
	}
	return "entries whose number begins with " + r.prefix
}

// filter is the one of the range, by the attribute of the number; "" for all.
func (r numbers) filter(attribute string) string {
	begins := func(prefix string) string { return "(" + attribute + "=" + escapeFilter(prefix) + "*)" }
	switch {
	case r.exact:
		return equals(attribute, r.prefix)
	case r.rest:
		var with strings.Builder
		for digit := '0'; digit <= '9'; digit++ {
			with.WriteString(begins(r.prefix + string(digit)))
		}
		without := "(!(|" + with.String() + "))"
		if r.prefix == "" {
			return without
		}
		return both(begins(r.prefix), without, "(!"+equals(attribute, r.prefix)+")")
	case r.prefix == "":
		return ""
	}
	return begins(r.prefix)
}

// narrower are the ranges that a range consists of; nil if it is not divided.
func (r numbers) narrower() []numbers {
	if r.exact || r.rest || len(r.prefix) >= maxDepth {
		return nil
	}
	var parts []numbers
	if r.prefix != "" {
		parts = append(parts, numbers{prefix: r.prefix, exact: true})
	}
	for digit := '0'; digit <= '9'; digit++ {
		parts = append(parts, numbers{prefix: r.prefix + string(digit)})
	}
	return append(parts, numbers{prefix: r.prefix, rest: true})
}

// list finds the names of all entries. If that fails as well, ranges of numbers are
// narrowed down to the one in which the entry is. The server may not know how to
// search for the beginning of a number, and finds nothing then: so what was found by
// ranges never proves that an entry is not there (partial).
func (x *isolation) list(ctx context.Context, first error) error {
	for again := range 2 {
		err := x.listRange(ctx, numbers{})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !x.s.ofEntry(err) {
			return err
		}
		if !fault.Lost(err) {
			return first // names are small: this is the server
		}
		if again > 0 {
			break
		}
		if err := x.s.reopen(ctx); err != nil {
			return err
		}
	}
	if err := x.s.reopen(ctx); err != nil {
		return err
	}
	x.partial = true
	read := len(x.read)
	err := search(ctx, x, numbers{}.narrower(), func(r numbers) error { return x.listRange(ctx, r) },
		numbers.narrower, numbers.String, func(r numbers, err error) error {
			n := named{description: r.String()}
			if r.exact {
				n.number = r.prefix
			}
			return x.give(n, err)
		})
	if err != nil {
		return err
	}
	if len(x.names) == 0 && read == 0 {
		return first
	}
	return nil
}

// listRange finds the names of the entries of a range.
func (x *isolation) listRange(ctx context.Context, r numbers) error {
	s, m := x.s, x.s.store.opts.Mapping
	number := m.Names[directory.MailboxNumber]
	request := s.search(x.v, both(mailboxes(m), r.filter(number)))
	request.Attributes = []string{number}
	if x.v.id != "" {
		request.Attributes = append(request.Attributes, x.v.id)
	}
	return s.pages(ctx, "read the names of all entries", request, func(e *ldap.Entry) error {
		n := s.store.named(x.v, e)
		if x.size += len(n.DN) + len(n.ID) + len(n.number) + 100; x.size > maxNames {
			return fault.New(fault.Transient, s.op(x.what), errors.New("there are too many entries to find the one at which the server fails"), "see the server's log")
		}
		x.names[keyOf(n.Ref)] = n
		return nil
	})
}

// named keeps of an entry what it is known by.
func (s *Store) named(v *server, e *ldap.Entry) named {
	whole := s.entry(v, e)
	return named{Ref: directory.Ref{ID: whole.ID, DN: whole.DN}, number: whole.Number}
}

// unreadText says of an entry that it cannot be read, why, and what to do.
func unreadText(n named, err error) (text, hint string) {
	name := n.description
	if n.DN != "" {
		name = "the entry " + printable(n.DN)
	}
	if fault.Lost(err) {
		text = name + " cannot be read: the server ends the connection when Mailmirror asks for it"
		hint = "see the server's log; repair the entry there, or make its values smaller"
	} else {
		text, hint = name+" cannot be read", fault.HintOf(err)
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Err != nil {
			text += ": " + f.Err.Error()
		}
	}
	return text, hint + ". Mailmirror changes and removes nothing of it on the target, and tries again with each run"
}
