package imapstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
	"mailmirror/internal/watch"
)

// errTurnedAway is in the chain of a login's error if the server may accept the same
// login at another time.
var errTurnedAway = errors.New("the server refuses for now")

// fewConnections is what an operator can look at if a store refuses a login for now.
const fewConnections = "look at how many connections the store allows for each user " +
	"(Dovecot: mail_max_userip_connections, Cyrus: maxlogins_per_user) and in all (Dovecot: process_limit of service imap)"

const (
	// sessionEnds is how long a login waits for another session of this process to the
	// same mailbox, if the server refuses a second one.
	sessionEnds = 10 * time.Second
	// freed is how long a server has to notice that a connection is closed, lingers how
	// long it may count one that it closed itself.
	freed   = time.Second
	lingers = 3 * time.Second
	// convincing is how many times in a row closing the connection that listens to a
	// mailbox has to let a session in until that says something of the store.
	convincing = 2
	// tested is for how long a store is believed to allow a second connection to a
	// mailbox.
	tested = time.Hour
	// roomAgain is for how long no room is made after that did not help.
	roomAgain = 30 * time.Second
)

// rooms are the connections of this process to a store, by mailbox; "" is the trusted
// account by itself. It is safe for concurrent use.
type rooms struct {
	// turn is held by whoever makes room.
	turn chan struct{}

	mu sync.Mutex
	// open are the connections, true if they only listen.
	open map[mailbox.Number]map[*link]bool
	// left is when the last connection to a mailbox ended, of those of the last moments.
	left map[mailbox.Number]time.Time
	// proofs is how many times in a row only the end of the connection that listens to
	// a mailbox let a session in.
	proofs int
	// fits is when the store last allowed a second connection to a mailbox.
	fits time.Time
	// until is when room is made again, after it did not help.
	until time.Time
}

func newRooms() *rooms {
	return &rooms{turn: make(chan struct{}, 1), open: map[mailbox.Number]map[*link]bool{}, left: map[mailbox.Number]time.Time{}}
}

// enter notes a connection. leave is to be called when it ends.
func (r *rooms) enter(n mailbox.Number, l *link, listens bool) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[n] == nil {
		r.open[n] = map[*link]bool{}
	}
	if n != "" && len(r.open[n]) > 0 {
		r.proofs, r.fits = 0, time.Now() // the store allows a second one
	}
	r.open[n][l] = listens
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open[n], l)
		if len(r.open[n]) == 0 {
			delete(r.open, n)
		}
		now := time.Now()
		maps.DeleteFunc(r.left, func(_ mailbox.Number, at time.Time) bool { return now.Sub(at) > lingers })
		r.left[n] = now
	}
}

// loggedIn notes a connection that is logged in, and how long that took. ended is to be
// called when it ends.
func (s *Store) loggedIn(n mailbox.Number, l *link, listens bool, took time.Duration) (ended func()) {
	loggedOut, left := s.gate.LoggedIn(took), s.rooms.enter(n, l, listens)
	return func() {
		loggedOut()
		left()
	}
}

// of returns the connections of a mailbox: those that work, and those that listen.
func (r *rooms) of(n mailbox.Number) (sessions, listeners []*link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l, listens := range r.open[n] {
		if listens {
			listeners = append(listeners, l)
		} else {
			sessions = append(sessions, l)
		}
	}
	return sessions, listeners
}

// has reports whether the server counts a connection of this process to a mailbox, as
// far as is known: it is open, or ended a moment ago.
func (r *rooms) has(n mailbox.Number) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open[n]) > 0 || time.Since(r.left[n]) < lingers
}

// lingering reports whether a connection to a mailbox ended a moment ago, so that the
// server may still count it.
func (r *rooms) lingering(n mailbox.Number) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.left[n]) < lingers
}

// another returns a connection that listens to another mailbox; nil if there is none.
func (r *rooms) another(n mailbox.Number) *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, links := range r.open {
		for l, listens := range links {
			if listens && other != n && other != "" {
				return l
			}
		}
	}
	return nil
}

// prove notes that only the end of the connection that listens to a mailbox let a
// session in, and reports whether that convinces.
func (r *rooms) prove() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proofs++
	return r.proofs >= convincing
}

// untested reports whether it is to be tried if the store allows a second connection to
// a mailbox.
func (r *rooms) untested() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.fits) > tested
}

// pausing reports whether no room is made, since it did not help a short time ago: the
// server then refuses logins for another reason.
func (r *rooms) pausing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until)
}

func (r *rooms) helpless() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Now().Add(roomAgain)
}

func (r *rooms) convinced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proofs >= convincing
}

// makeRoom logs in again after the server refused a session with `refused`, although it
// lets this process have a connection to the same mailbox. Work comes before listening:
// a connection that listens is closed for the session.
//
// What lets the session in tells which bound of the server it is. Mailmirror first
// closes the connection that listens to another mailbox: if that helps, the server takes
// no more connections in all. If only the end of the mailbox's own connection helps, the
// server allows a user no more connections, see Gate.MailboxFull.
func (s *Store) makeRoom(ctx context.Context, n mailbox.Number, refused error) (*Session, error) {
	again := func(after time.Duration) (*Session, error) {
		if !sleep.For(ctx, after) {
			return nil, context.Cause(ctx)
		}
		if err := s.turn(ctx, n); err != nil {
			return nil, err
		}
		return s.logIn(ctx, n)
	}
	sessions, listeners := s.rooms.of(n)
	if len(sessions) > 0 {
		if !oneEnds(ctx, sessions, sessionEnds) {
			return nil, refused
		}
		return insist(again)
	}
	if s.rooms.lingering(n) {
		session, err := insist(again)
		if !errors.Is(err, errTurnedAway) {
			return session, err
		}
		refused = err
	}
	if len(listeners) == 0 {
		return nil, refused
	}
	select {
	case s.rooms.turn <- struct{}{}:
		defer func() { <-s.rooms.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.rooms.pausing() {
		return nil, refused
	}
	if other := s.rooms.another(n); n != "" && other != nil && !s.rooms.convinced() {
		_ = other.Fail(watch.ErrOccupied)
		session, err := again(freed)
		if !errors.Is(err, errTurnedAway) {
			if err == nil {
				s.gate.TurnedAway(false)
			}
			return session, err
		}
	}
	_, listeners = s.rooms.of(n)
	for _, l := range listeners {
		_ = l.Fail(watch.ErrOccupied)
	}
	session, err := insist(again)
	switch {
	case errors.Is(err, errTurnedAway):
		s.rooms.helpless()
	case err == nil && n != "" && len(listeners) > 0 && s.rooms.prove():
		s.gate.MailboxFull(len(listeners))
	}
	return session, err
}

// insist logs in again until the server has noticed that a connection is closed.
func insist(again func(after time.Duration) (*Session, error)) (*Session, error) {
	for wait := freed / 10; ; wait *= 3 {
		session, err := again(wait)
		if !errors.Is(err, errTurnedAway) || wait >= freed {
			return session, err
		}
	}
}

// occupied is the error of a connection that is to listen, if the server refused it
// because this process has others to the same mailbox; otherwise it is err.
func (s *Store) occupied(n mailbox.Number, err error) error {
	if !errors.Is(err, errTurnedAway) || !s.rooms.has(n) {
		return err
	}
	return fault.New(fault.Transient, "log in to store "+s.opts.Name, fmt.Errorf("%w: %w", watch.ErrOccupied, errTurnedAway), fewConnections)
}

// testRoom opens a session beside a connection that listens to a mailbox, and closes it
// again. Syncs run in any process, and only the one that listens can make room. The error
// is watch.ErrOccupied if the connection made room.
func (s *Store) testRoom(ctx context.Context, e *ear) error {
	if _, alone := s.gate.(openGate); alone || !s.rooms.untested() {
		return nil // nobody learns from it, or it is known
	}
	leave, err := s.gate.Session(ctx)
	if err != nil {
		return err
	}
	defer leave()
	session, err := s.open(ctx, e.number)
	if err == nil {
		_ = session.Close()
	}
	if errors.Is(e.link.Cause(), watch.ErrOccupied) {
		return fault.New(fault.Transient, "listen to mailbox "+string(e.number)+" of store "+s.opts.Name, watch.ErrOccupied, fewConnections)
	}
	return nil // whatever else is wrong, a sync says
}

// tooFewFor is the error of a NOTIFY whose list was refused, or got in only in its
// place. If a login gets in once its own connection is closed, the store allows the
// trusted account too few connections.
func (s *Store) tooFewFor(ctx context.Context, e *ear, err error) error {
	e.close()
	if err == nil {
		return unsupported{tooFew}
	}
	if !sleep.For(ctx, freed) {
		return context.Cause(ctx)
	}
	session, again := s.open(ctx, "")
	if again != nil {
		return err
	}
	_ = session.Close()
	return unsupported{tooFew}
}

// tooFew is why there is no NOTIFY over a store that allows the trusted account one
// connection only.
const tooFew = "the store allows the trusted account too few connections at a time, and NOTIFY takes two; " +
	"allow it at least 4 (Dovecot: mail_max_userip_connections, Cyrus: maxlogins_per_user)"

// oneEnds waits until one of some connections ends, for a limited time, and reports
// whether one did.
func oneEnds(ctx context.Context, links []*link, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ended := make(chan struct{}, len(links))
	for _, l := range links {
		go func() {
			select {
			case <-l.Dead():
				ended <- struct{}{}
			case <-ctx.Done():
			}
		}()
	}
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}
