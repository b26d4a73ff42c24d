package quota

import (
	"fmt"
	"time"
)

// Kind is a kind of load on a store that all processes share out.
type Kind string

// The kinds of load.
const (
	// Sessions are connections that do work: syncs, reviews, reading in turn.
	Sessions Kind = "sessions"
	// Listeners are connections that stay open and wait for changes of one mailbox.
	Listeners Kind = "listeners"
	// Trunks are connections that wait for changes of many mailboxes, and those that ask
	// a store how it can be listened to.
	Trunks Kind = "trunks"
	// Listings are lists of everybody's mailboxes by one command.
	Listings Kind = "listings"
)

// Bounds limit the load on one store, over all processes together.
type Bounds struct {
	Sessions  int `json:"max_sessions"` // at a time, besides the listeners and trunks
	Listings  int `json:"max_listings"` // at a time
	Logins    int `json:"max_logins"`   // per second
	Listeners int `json:"max_idle"`     // at a time; 0 is none
	// Connections bounds sessions, listeners and trunks together; 0 is no such bound.
	Connections int `json:"max_connections"`
}

// DefaultBounds are those of a store for which the operator sets none. A source
// has users of its own, so that its bounds are low.
func DefaultBounds(source bool) Bounds {
	if source {
		return Bounds{Sessions: 20, Listings: 1, Logins: 100}
	}
	return Bounds{Sessions: 40, Listings: 1, Logins: 200}
}

// Or returns the bounds with the defaults in place of what is 0.
func (b Bounds) Or(defaults Bounds) Bounds {
	if b.Sessions == 0 {
		b.Sessions = defaults.Sessions
	}
	if b.Listings == 0 {
		b.Listings = defaults.Listings
	}
	if b.Logins == 0 {
		b.Logins = defaults.Logins
	}
	return b
}

// mostTrunks is how many trunks a store allows: a connection of NOTIFY listens to about
// a thousand mailboxes.
const mostTrunks = 32

// Most is how many of a kind all processes together may have now. held is how
// many of each kind the processes hold.
//
// If the total is bounded, listeners and trunks get at most half of it, and sessions
// get everything that those do not hold: syncs come before listening.
func Most(kind Kind, b Bounds, l Load, held map[Kind]int, now time.Time) int {
	total := l.Total(b)
	switch kind {
	case Sessions:
		most := b.Sessions
		if l.Pace > 0 {
			most = min(most, l.Pace)
		}
		if total > 0 {
			most = min(most, total-held[Listeners]-held[Trunks])
		}
		return max(most, 1)
	case Listeners, Trunks:
		most, others := b.Listeners, held[Trunks]
		if kind == Trunks {
			most, others = mostTrunks, held[Listeners]
		}
		if total > 0 {
			most = min(most, total/2-others, total-held[Sessions]-others)
		}
		return max(most, 0)
	case Listings:
		if now.Before(l.ListingFree) {
			return 0
		}
		return max(b.Listings, 1)
	}
	return 0
}

// Load is what the processes have learned of one store. It is kept beside their
// shares. Every method returns what is known afterwards.
type Load struct {
	// Capacity is how many connections Mailmirror uses at most because the server
	// refused one, 0 if the server refused none. Refused is how many were open
	// then, RefusedAt when that was.
	Capacity   int       `json:"capacity,omitempty"`
	Refused    int       `json:"refused,omitempty"`
	RefusedAt  time.Time `json:"refused_at,omitzero"`
	CapacityAt time.Time `json:"capacity_at,omitzero"` // of the last change

	// PerMailbox is how many connections listened to a mailbox while the server refused
	// a session to the same mailbox, 0 if it refused none for that. PerMailboxAt is when
	// that was last seen.
	PerMailbox   int       `json:"per_mailbox,omitempty"`
	PerMailboxAt time.Time `json:"per_mailbox_at,omitzero"`

	// Pace is how many sessions Mailmirror opens at most because the server
	// answers slowly; 0 is as many as the bounds allow. Login is how long a login
	// takes, Best the shortest that this was.
	Pace   int           `json:"pace,omitempty"`
	PaceAt time.Time     `json:"pace_at,omitzero"`
	Login  time.Duration `json:"login_ns,omitempty"`
	Best   time.Duration `json:"best_login_ns,omitempty"`

	// Listing is how long the last complete list of all mailboxes took, Listed
	// how many mailboxes it showed, ListedAt when it ended.
	Listing  time.Duration `json:"listing_ns,omitempty"`
	Listed   int           `json:"listed,omitempty"`
	ListedAt time.Time     `json:"listed_at,omitzero"`
	// Abandoned is how many lists in a row had no end. The server may still work
	// on the last one: Mailmirror starts no other before ListingFree.
	Abandoned   int       `json:"abandoned,omitempty"`
	ListingFree time.Time `json:"listing_free,omitzero"`
}

// Total is how many connections of all kinds there may be, 0 if that is not
// bounded.
func (l Load) Total(b Bounds) int {
	switch {
	case l.Capacity == 0:
		return b.Connections
	case b.Connections == 0:
		return l.Capacity
	default:
		return min(l.Capacity, b.Connections)
	}
}

const (
	// settle is how long a change of a bound has to show its effect.
	settle = 10 * time.Second
	// mailboxSettle is how long after a refusal of a second connection to a mailbox
	// other refusals say nothing: other processes may tell late of the same.
	mailboxSettle = time.Minute
	// regain is how long after a refusal one connection more is tried, forget
	// after how long nothing is known of the server's capacity.
	regain = time.Hour
	forget = 24 * time.Hour
)

// OnRefusal notes that the server refused a connection while so many of
// Mailmirror's were open and stayed open. Half of them is left to the users of the
// server.
func (l Load) OnRefusal(open int, now time.Time) Load {
	if open < 1 || now.Sub(l.CapacityAt) < settle || now.Sub(l.PerMailboxAt) < mailboxSettle {
		return l
	}
	capacity := max(open/2, 1)
	if l.Capacity > 0 {
		capacity = min(capacity, l.Capacity)
	}
	l.Refused, l.RefusedAt = open, now
	l.Capacity, l.CapacityAt = capacity, now
	return l
}

// OnMailboxFull notes that the server refused a session to a mailbox as long as so many
// connections listened to it, and accepted it without them. What was learned of the
// capacity is forgotten: such refusals may have taught it.
func (l Load) OnMailboxFull(open int, now time.Time) Load {
	if l.PerMailbox == 0 {
		l.Capacity, l.Refused, l.RefusedAt, l.CapacityAt = 0, 0, time.Time{}, time.Time{}
	}
	l.PerMailbox, l.PerMailboxAt = open, now
	return l
}

// MailboxFull says why Mailmirror opens no connection that listens to one mailbox, and
// what the operator can do; "" if it opens some.
func (l Load) MailboxFull() string {
	if l.PerMailbox == 0 {
		return ""
	}
	return fmt.Sprintf("the server refuses a session to a mailbox while a connection listens to it, so that Mailmirror reads mailboxes in turn instead of IDLE (tried again after %s); "+
		"allow at least 3 connections for each user (Dovecot: mail_max_userip_connections, Cyrus: maxlogins_per_user)", day(l.PerMailboxAt.Add(forget)))
}

// OnTime lets a learned capacity grow again: by one connection an hour, to less
// than the server refused, and without a bound after a day. What was learned of the
// connections to one mailbox is forgotten after a day, too.
func (l Load) OnTime(now time.Time) Load {
	if l.PerMailbox > 0 && now.Sub(l.PerMailboxAt) >= forget {
		l.PerMailbox, l.PerMailboxAt = 0, time.Time{}
	}
	switch {
	case l.Capacity == 0:
	case now.Sub(l.RefusedAt) >= forget:
		l.Capacity, l.Refused, l.RefusedAt, l.CapacityAt = 0, 0, time.Time{}, time.Time{}
	case now.Sub(l.CapacityAt) >= regain && l.Capacity < l.Refused-1:
		l.Capacity, l.CapacityAt = l.Capacity+1, now
	}
	return l
}

// slow is up to how long a login never counts as slow, slower how many times the
// best login it has to take, and far too slow how long always counts.
const (
	slow       = 2 * time.Second
	slower     = 4
	farTooSlow = 20 * time.Second
)

// OnLogins notes how long some logins took on average, and how many had no
// answer. If they are slow, half as many sessions are allowed; if they are not,
// a quarter more, at least one.
func (l Load) OnLogins(logins int, mean time.Duration, timeouts, most int, now time.Time) Load {
	if logins+timeouts == 0 {
		return l
	}
	if logins > 0 {
		if l.Login == 0 {
			l.Login = mean
		}
		l.Login = (3*l.Login + mean) / 4
		// The best is forgotten slowly: a server may be replaced by a slower one.
		l.Best += l.Best / 200
		if l.Best == 0 || mean < l.Best {
			l.Best = mean
		}
	}
	isSlow := timeouts > 0 || mean > farTooSlow || mean > max(slow, slower*l.Best)
	switch {
	case now.Sub(l.PaceAt) < settle:
	case isSlow:
		from := most
		if l.Pace > 0 {
			from = min(l.Pace, most)
		}
		l.Pace, l.PaceAt = max(from/2, 1), now
	case l.Pace > 0:
		l.Pace, l.PaceAt = l.Pace+max(l.Pace/4, 1), now
		if l.Pace >= most {
			l.Pace = 0
		}
	}
	return l
}

// Until another list is started after one that had no end: at least
// leastAbandoned and twice as long as the list ran, twice as long each time.
const (
	leastAbandoned   = 2 * time.Minute
	longestAbandoned = 6 * time.Hour
)

// OnListingAbandoned notes that a list was broken off after some time. The
// server may go on with it for much longer.
func (l Load) OnListingAbandoned(after time.Duration, now time.Time) Load {
	wait := max(2*after, leastAbandoned)
	for range l.Abandoned {
		wait = min(2*wait, longestAbandoned)
	}
	l.Abandoned++
	if free := now.Add(min(wait, longestAbandoned)); free.After(l.ListingFree) {
		l.ListingFree = free
	}
	return l
}

// OnListing notes that a list is complete.
func (l Load) OnListing(took time.Duration, mailboxes int, now time.Time) Load {
	l.Listing, l.Listed, l.ListedAt = took, mailboxes, now
	l.Abandoned, l.ListingFree = 0, time.Time{}
	return l
}

const (
	// assumedLogin is what reading one mailbox by a login is believed to cost
	// before that was measured.
	assumedLogin = 10 * time.Millisecond
	// measured is how long the cost of a list is believed: a list that was
	// expensive when the server's caches were empty may be cheap later.
	measured = 6 * time.Hour
)

// NotWorthListing says why a list of all mailboxes is not worth its cost for
// some mailboxes, "" if it is worth it or if its cost is not known.
func (l Load) NotWorthListing(mailboxes int, now time.Time) string {
	if now.Before(l.ListingFree) {
		return fmt.Sprintf("the list of all mailboxes did not end on the server; Mailmirror does not repeat it before %s", clock(l.ListingFree))
	}
	if l.ListedAt.IsZero() || now.Sub(l.ListedAt) > measured {
		return ""
	}
	login := l.Login
	if login == 0 {
		login = assumedLogin
	}
	if single := time.Duration(mailboxes) * login; l.Listing > single {
		return fmt.Sprintf("the list of all mailboxes takes %s, which is more than the %s for a login to each of %d",
			short(l.Listing), short(single), mailboxes)
	}
	return ""
}

// Lines say what bounds the load below its settings, and why, and how slow the
// store is if it always is; none if there is nothing to say.
func (l Load) Lines(now time.Time) []string {
	var lines []string
	if l.Capacity > 0 {
		lines = append(lines, fmt.Sprintf("the server refused a connection at %s while %d of Mailmirror's were open: Mailmirror uses %d at most, the rest is for its users",
			clock(l.RefusedAt), l.Refused, l.Capacity))
	}
	if text := l.MailboxFull(); text != "" {
		lines = append(lines, text)
	}
	if text, hint := l.Slow(); text != "" && l.Pace > 0 {
		lines = append(lines, text)
	} else if text != "" {
		lines = append(lines, text+"; "+hint)
	}
	if now.Before(l.ListingFree) {
		lines = append(lines, fmt.Sprintf("the list of all mailboxes did not end on the server: Mailmirror reads each mailbox by itself, and lists again after %s",
			clock(l.ListingFree)))
	}
	return lines
}

// Slow says that the store is slow, and what the operator can look at; "" if it is not.
func (l Load) Slow() (text, hint string) {
	hint = "look at the server's load, its name lookups and its password backend"
	switch {
	case l.Pace > 0 && l.Login < slow:
		return fmt.Sprintf("the server answered logins slowly, or not at all, a short time ago: Mailmirror opens %d sessions at most, and more as it answers",
			l.Pace), hint
	case l.Pace > 0:
		return fmt.Sprintf("the server answers slowly (a login took %s, at best %s): Mailmirror opens %d sessions at most",
			short(l.Login), short(l.Best), l.Pace), hint
	case l.Login >= slow:
		return fmt.Sprintf("the store is slow: a login takes %s, and every sync of a mailbox at least as long", short(l.Login)), hint
	}
	return "", ""
}

// Cost says what a list of all mailboxes cost, and when Mailmirror reads each
// mailbox by itself instead; none if that was not measured.
func (l Load) Cost() []string {
	if l.ListedAt.IsZero() {
		return nil
	}
	login := l.Login
	if login == 0 {
		login = assumedLogin
	}
	return []string{fmt.Sprintf("a list of all %d mailboxes took %s and a login %s: Mailmirror logs in to each mailbox if it asks for fewer than %d",
		l.Listed, short(l.Listing), short(login), max(int(l.Listing/login), 1))}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func clock(t time.Time) string { return t.UTC().Format("15:04 MST") }

// short is a duration for people.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// pollShare is what part of the time reading in turn may take at most, over all
// readers of a link together.
const pollShare = 20

// PollPause is how long one of so many readers pauses in a reading in turn after some
// more mailboxes. If all of its own are read within its part of the configured
// interval, that is not at all; else the reading is spread over the time that it may
// take. busy is how long the server was busy with reading done of all mailboxes, last
// with the last of them.
func PollPause(configured, busy, last time.Duration, done, all, readers int) time.Duration {
	part := pollShare * max(readers, 1)
	if done < 1 || busy/time.Duration(done)*time.Duration(all) <= configured/time.Duration(part) {
		return 0
	}
	return last * time.Duration(part-1)
}

// PollEvery is how long one of so many readers waits between two readings of
// mailboxes in turn: as configured, and long enough that all readers together take no
// more than a twentieth of the time. took is how long the server was busy with the
// reader's last reading.
func PollEvery(configured, took time.Duration, readers int) time.Duration {
	return max(configured, took*(pollShare*time.Duration(max(readers, 1))-1))
}
