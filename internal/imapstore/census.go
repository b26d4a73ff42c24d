package imapstore

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/fault"
)

// listingSilence is how long a server may be silent that lists all mailboxes. It
// may have to read the index of each of them first, and goes on with that if the
// connection ends: a list that is repeated makes it slower.
const listingSilence = 15 * time.Minute

// listingPatience is how long Overview waits for a list until each mailbox is
// read by itself. The list goes on meanwhile, and whoever comes later profits.
const listingPatience = 20 * time.Second

// errStillListing says that a list takes long.
var errStillListing = slowListing{}

type slowListing struct{}

func (slowListing) Error() string        { return "the server is still listing all mailboxes" }
func (slowListing) Is(target error) bool { return target == errors.ErrUnsupported }

// census is one list of all mailboxes, for everybody who asked before it began.
type census struct {
	asked   int // of how many mailboxes somebody asks
	waiting int // callers
	done    chan struct{}
	ns      namespace
	folders []*found
	took    time.Duration // how long the server was busy with it
	err     error
}

// listAll returns what one list of all mailboxes shows that begins after the
// call. Callers that come together share one list. If it takes longer than patience,
// the error is errStillListing; 0 waits for as long as it takes.
func (s *Store) listAll(ctx context.Context, asked int, patience time.Duration) (*census, error) {
	s.mu.Lock()
	l := s.nextCensus
	if l != nil {
		l.asked = max(l.asked, asked)
		l.waiting++
	}
	if l == nil {
		l = &census{asked: asked, waiting: 1, done: make(chan struct{})}
		s.nextCensus = l
		s.mu.Unlock()
		s.gate.Go(ctx, func(ctx context.Context) { s.runCensus(ctx, l) })
	} else {
		s.mu.Unlock()
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.waiting--
	}()
	var late <-chan time.Time
	if patience > 0 {
		late = time.After(patience)
	}
	select {
	case <-l.done:
		return l, l.err
	case <-late:
		return nil, errStillListing
	case <-ctx.Done():
		return nil, fault.New(fault.Transient, "store "+s.opts.Name+": list folders of all mailboxes", context.Cause(ctx), "")
	}
}

func (s *Store) runCensus(ctx context.Context, l *census) {
	defer close(l.done)
	begun := false
	begin := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !begun && s.nextCensus == l {
			s.nextCensus = nil
		}
		begun = true
	}
	defer begin()
	done, err := s.gate.Listing(ctx, true)
	if err != nil {
		l.err = err
		return
	}
	if s.nobodyWaits(l) {
		done(0, true)
		l.err = errStillListing
		return
	}
	session, err := s.open(ctx, "")
	if err != nil {
		done(0, true)
		l.err = err
		return
	}
	defer func() { _ = session.Close() }()
	ns, ok := session.overviewNamespace()
	if !ok {
		done(0, true)
		l.err = errors.ErrUnsupported
		return
	}
	begin()
	session.wire.Patient(listingSilence)
	l.ns = ns
	l.folders, l.err = session.overview(ctx, ns, ofNamespace(l.asked))
	l.took = session.conn.busy()
	mailboxes := countMailboxes(ns, l.folders)
	// A NO is an end as well: the server does not go on with the list.
	ended := l.err == nil || session.wire.Cause() == nil
	done(mailboxes, ended)
	if l.err == nil {
		s.mu.Lock()
		s.overviewSize, s.listedNone = mailboxes, mailboxes == 0
		s.mu.Unlock()
	}
}

// nobodyWaits reports whether everybody who asked for a list has gone on without
// it; it then never begins, and whoever comes later asks for another.
func (s *Store) nobodyWaits(l *census) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.waiting > 0 {
		return false
	}
	if s.nextCensus == l {
		s.nextCensus = nil
	}
	return true
}
