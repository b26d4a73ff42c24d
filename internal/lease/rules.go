package lease

import "time"

// Scopes are the suspensions that a lease of a link depends on.
type Scopes struct {
	// Everything is true if the mirror as a whole is suspended, is being suspended,
	// or if nobody knows whether it is.
	Everything bool
	// Link is true if the link itself is suspended or is being suspended, Still if
	// its suspension is acknowledged.
	Link, Still bool
}

// Permit returns why no lease of a resource begins or is renewed: *SuspendedError,
// *RunningError, or nil if one may be.
func (s Scopes) Permit(r Resource) error {
	switch {
	case s.Everything:
		return &SuspendedError{}
	case r.Kind != Restore && s.Link:
		return &SuspendedError{Link: r.Link}
	case r.Kind == Restore && !s.Still:
		return &RunningError{Link: r.Link}
	}
	return nil
}

// Rejects reports whether the lease of one resource, as long as somebody may write
// under it, rejects that of another. samePlace is true if both write to one mailbox of
// one server. That two links do not mirror to one mailbox is decided elsewhere, for
// good: by what the links are and not by who comes first.
func (r Resource) Rejects(other Resource, samePlace bool) bool {
	if r == other {
		return true
	}
	if r.Kind != Restore && other.Kind != Restore {
		return false
	}
	return samePlace || r.Kind != other.Kind && r.Link == other.Link
}

// Row is what is recorded of a lease. The zero value is free.
type Row struct {
	Epoch   int64
	Expires time.Time
	Fence   time.Duration
	// Clean is true if the last holder said that nothing is on its way.
	Clean bool
}

// Wait is for how long a write under the lease may still land, if whoever waits allows
// for the given fence; 0 if nothing is on its way.
func (r Row) Wait(now time.Time, fence time.Duration) time.Duration {
	if r.Clean {
		return 0
	}
	return max(r.Expires.Add(max(r.Fence, fence)).Sub(now), 0)
}

// Take gives the lease to a new holder under a new epoch, or returns for how long it
// must wait.
func (r *Row) Take(now time.Time, t Times) (wait time.Duration) {
	if wait := r.Wait(now, t.Fence); wait > 0 {
		return wait
	}
	*r = Row{Epoch: r.Epoch + 1, Expires: now.Add(t.TTL), Fence: t.Fence}
	return 0
}

// Renew prolongs the lease of an epoch, and reports false if it was lost. It revives
// none that has expired: its holder's connection is closed by then.
func (r *Row) Renew(now time.Time, epoch int64, ttl time.Duration) bool {
	if r.Epoch != epoch || !r.Expires.After(now) {
		return false
	}
	r.Expires = now.Add(ttl)
	return true
}

// End ends the lease of an epoch, and reports false if it was lost. Whoever held it
// holds nothing any more.
func (r *Row) End(now time.Time, epoch int64, clean bool) bool {
	if r.Epoch != epoch {
		return false
	}
	*r = Row{Epoch: r.Epoch + 1, Expires: now, Fence: r.Fence, Clean: clean}
	return true
}
