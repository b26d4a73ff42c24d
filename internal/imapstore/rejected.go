package imapstore

import (
	"errors"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// How long a login is not repeated that the server rejected: firstRejected after
// the first time, twice as long each time, at most longestRejected. A server may
// lock an account, or a firewall an address, that fails every few seconds.
const (
	firstRejected   = 5 * time.Second
	longestRejected = 10 * time.Minute
)

// suspicious is how many mailboxes in a row have to be rejected until no mailbox
// is tried for a while: one may be rejected by its own fault.
const suspicious = 3

// rejection is what is known of a login that the server rejected.
type rejection struct {
	err     error
	times   int
	until   time.Time
	numbers map[mailbox.Number]bool // since the last success
}

func (r *rejection) add(err error, now time.Time) {
	wait := firstRejected
	for range min(r.times, 10) {
		wait = min(2*wait, longestRejected)
	}
	r.err, r.times, r.until = err, r.times+1, now.Add(wait)
}

// rejected returns the error of a login that the server rejected a short time ago,
// nil if the login is to be tried. number "" is the trusted account by itself.
func (s *Store) rejected(number mailbox.Number) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.all
	if number == "" {
		r = &s.self
	}
	if !time.Now().Before(r.until) {
		return nil
	}
	// The error is that of another mailbox's login.
	if e, ok := errors.AsType[*fault.Error](r.err); ok && number != "" {
		return fault.New(e.Kind, s.loginOp(number, string(number)), e.Err, e.Hint)
	}
	return r.err
}

// noteRejection notes that a login failed with err, and returns err.
func (s *Store) noteRejection(number mailbox.Number, err error) error {
	if !errors.Is(err, errCredentials) || !fault.Is(err, fault.Config) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == "" {
		s.self.add(err, time.Now())
		return err
	}
	if s.all.numbers == nil {
		s.all.numbers = map[mailbox.Number]bool{}
	}
	if s.all.numbers[number] = true; len(s.all.numbers) >= suspicious {
		s.all.add(err, time.Now())
	}
	return err
}

// accepted notes that a login succeeded.
func (s *Store) accepted(number mailbox.Number) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == "" {
		s.self = rejection{}
		return
	}
	s.all = rejection{}
	s.lastActed = time.Now()
}

// alone reports whether the rejection of a mailbox's login is that mailbox's own
// trouble: the trusted account acted for others, and no others were rejected since.
func (s *Store) alone(number mailbox.Number) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all.numbers == nil {
		s.all.numbers = map[mailbox.Number]bool{}
	}
	s.all.numbers[number] = true
	return !s.lastActed.IsZero() && len(s.all.numbers) < suspicious
}
