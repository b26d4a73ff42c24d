package throttle

import (
	"cmp"
	"time"

	"mailmirror/internal/quota"
)

// Seen is what a process saw of a store.
type Seen struct {
	Logins int           // that succeeded
	Login  time.Duration // how long they took on average
	// Timeouts counts logins without an answer.
	Timeouts int
	// Refused is how many connections this process had open when the server
	// refused one more while the others stayed open; 0 if it refused none.
	Refused int
	// MailboxFull is how many connections to a mailbox listened while the server
	// refused a session to the same mailbox; 0 if it refused none for that.
	MailboxFull int
	// Abandoned is how long a list of all mailboxes ran that was broken off; 0 if
	// there was none.
	Abandoned time.Duration
	// Listing is how long a complete list of all mailboxes took, Listed how many
	// mailboxes it showed; 0 if there was none.
	Listing time.Duration
	Listed  int
}

// survive is how long the other connections have to stay open after the server
// refused one. If the server is down, it closes all of them.
const survive = 2 * time.Second

// seen collects what a process sees of a store.
type seen struct {
	now  Seen
	took time.Duration // sum over now.Logins
	open int           // connections that are logged in
	// refusedAt is when the server refused a connection, refused how many were
	// open then, least how few have been open since.
	refusedAt      time.Time
	refused, least int
	refusals       int // in a row, without a login that succeeded
}

// convincing is how many refusals in a row say something of what the server
// takes: one may be a broken connection.
const convincing = 3

func (c *Load) see(store string, note func(*seen)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seen[store]
	if s == nil {
		s = &seen{}
		c.seen[store] = s
	}
	note(s)
}

// LoggedIn notes a login and how long it took. The function that it returns is
// to be called when the connection ends.
func (c *Load) LoggedIn(store string, took time.Duration) (closed func()) {
	c.see(store, func(s *seen) {
		s.now.Logins++
		s.took += took
		s.open++
		s.refusals = 0
	})
	return func() {
		c.see(store, func(s *seen) {
			s.open--
			s.least = min(s.least, s.open)
		})
	}
}

// TurnedAway notes that the server refused a connection or a login that it would
// take at another time; silent is whether it gave no answer at all.
func (c *Load) TurnedAway(store string, silent bool) {
	c.see(store, func(s *seen) {
		if silent {
			s.now.Timeouts++
		}
		s.refusals++
		if s.open > 0 && s.refusals >= convincing && s.refusedAt.IsZero() {
			s.refusedAt, s.refused, s.least = time.Now(), s.open, s.open
		}
	})
}

// MailboxFull notes that the server refused a session to a mailbox as long as so many
// connections listened to it.
func (c *Load) MailboxFull(store string, open int) {
	c.see(store, func(s *seen) { s.now.MailboxFull = open })
}

// Listed notes a list of all mailboxes: how long it took, and how many mailboxes
// it showed. If it was broken off, none may start before that is written down.
func (c *Load) Listed(store string, took time.Duration, mailboxes int, complete bool) {
	c.see(store, func(s *seen) {
		if complete {
			s.now.Listing, s.now.Listed = took, max(mailboxes, 1)
			return
		}
		s.now.Abandoned = max(took, s.now.Abandoned, time.Millisecond)
		if share := c.stores[Key{store, quota.Listings}]; share != nil {
			share.ask = true
		}
	})
}

// takeSeen returns what is to be told of a store. Called with mu held.
func (c *Load) takeSeen(store string) Seen {
	s := c.seen[store]
	if s == nil {
		return Seen{}
	}
	if !s.refusedAt.IsZero() {
		switch {
		case s.least < 1:
			s.refusedAt = time.Time{}
		case time.Since(s.refusedAt) >= survive:
			s.now.Refused = s.refused
			s.refusedAt = time.Time{}
		}
	}
	out := s.now
	if out.Logins > 0 {
		out.Login = s.took / time.Duration(out.Logins)
	}
	s.now, s.took = Seen{}, 0
	return out
}

// seenAgain keeps what a claim told that may not have arrived. Called with mu
// held.
func (c *Load) seenAgain(claim Claim) {
	s := c.seen[claim.Store]
	if s == nil {
		return
	}
	s.now.Logins += claim.Seen.Logins
	s.took += claim.Seen.Login * time.Duration(claim.Seen.Logins)
	s.now.Timeouts += claim.Seen.Timeouts
	s.now.Refused = max(s.now.Refused, claim.Seen.Refused)
	s.now.MailboxFull = cmp.Or(s.now.MailboxFull, claim.Seen.MailboxFull)
	s.now.Abandoned = max(s.now.Abandoned, claim.Seen.Abandoned)
	s.now.Listing = cmp.Or(s.now.Listing, claim.Seen.Listing)
	s.now.Listed = cmp.Or(s.now.Listed, claim.Seen.Listed)
}
