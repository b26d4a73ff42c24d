package copiersim

import (
	"context"
	"fmt"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
	"mailmirror/internal/suspension"
)

// The mailbox is mirrored by the link dr. The source of the link next is dr's target: so a
// restore of dr writes to dr's source, and a restore of next to dr's target.
const linkDR, linkNext = "dr", "next"

var (
	mirrorOfDR = lease.OfMailbox(mailbox.Key{Link: linkDR, Number: "4711"})
	restores   = map[string]lease.Resource{
		linkDR:   lease.OfRestore(mailbox.Key{Link: linkDR, Number: "4711"}),
		linkNext: lease.OfRestore(mailbox.Key{Link: linkNext, Number: "4711"}),
	}
	leaseTimes = lease.Times{TTL: leaseTTL, Fence: fence}
)

// samePlace reports whether two resources are one mailbox of one server.
func samePlace(a, b lease.Resource) bool {
	return a != restores[linkDR] && b != restores[linkDR] // only that one is at the source
}

// leases is the table of the leases and the suspensions, by the rules of package lease.
// The world's mutex is what the locks of PostgreSQL are.
type leases struct {
	w     *world
	rows  map[lease.Resource]*lease.Row
	scope map[string]suspension.State // "" is everything
	// What the checks know: acknowledged are the suspensions that were acknowledged
	// and not ended, given is the order in which leases were given.
	acknowledged map[string]bool
	given        map[lease.Resource]map[int64]int
	last         map[lease.Resource]int
	count        int
}

func newLeases(w *world) *leases {
	l := &leases{w: w, rows: map[lease.Resource]*lease.Row{}, scope: map[string]suspension.State{}, acknowledged: map[string]bool{},
		given: map[lease.Resource]map[int64]int{}, last: map[lease.Resource]int{}}
	for _, r := range []lease.Resource{mirrorOfDR, restores[linkDR], restores[linkNext]} {
		l.rows[r], l.given[r] = &lease.Row{Clean: true}, map[int64]int{}
	}
	for _, of := range []string{"", linkDR, linkNext} {
		l.scope[of] = suspension.Running
	}
	return l
}

// permit is the trigger of write_leases.
func (l *leases) permit(r lease.Resource, fence time.Duration) error {
	own := l.scope[r.Link]
	scopes := lease.Scopes{Everything: l.scope[""] != suspension.Running, Link: own != suspension.Running, Still: own == suspension.Suspended}
	if err := scopes.Permit(r); err != nil {
		return fault.New(fault.Conflict, "lease", err, "")
	}
	var wait time.Duration
	for other, row := range l.rows {
		if other != r && r.Rejects(other, samePlace(r, other)) {
			wait = max(wait, row.Wait(time.Now(), fence))
		}
	}
	if wait > 0 {
		return fault.New(fault.Conflict, "take lease", &lease.HeldError{Resource: r, Wait: wait}, "")
	}
	return nil
}

func (l *leases) take(r lease.Resource, t lease.Times) (lease.Lease, error) {
	if err := l.permit(r, t.Fence); err != nil {
		return lease.Lease{}, err
	}
	row := l.rows[r]
	if wait := row.Take(time.Now(), t); wait > 0 {
		return lease.Lease{}, fault.New(fault.Conflict, "take lease", &lease.HeldError{Resource: r, Wait: wait}, "")
	}
	l.mayHold(r, "given")
	l.count++
	l.given[r][row.Epoch], l.last[r] = l.count, l.count
	return lease.Lease{Resource: r, Epoch: row.Epoch}, nil
}

func (l *leases) renew(held lease.Lease, ttl time.Duration) error {
	if err := l.permit(held.Resource, fence); err != nil {
		return err
	}
	if !l.rows[held.Resource].Renew(time.Now(), held.Epoch, ttl) {
		return fault.Newf(fault.Conflict, "lease lost")
	}
	l.mayHold(held.Resource, "renewed")
	return nil
}

// mayHold checks that a lease agrees with what was acknowledged: none of what is still,
// and a restore's of a link that is still only.
func (l *leases) mayHold(r lease.Resource, what string) {
	switch {
	case l.acknowledged[""], r.Kind != lease.Restore && l.acknowledged[r.Link]:
		l.w.violate("%s of %s: a lease is %s while it is suspended", r, r.Link, what)
	case r.Kind == lease.Restore && !l.acknowledged[r.Link]:
		l.w.violate("%s of %s: a lease is %s although the link is not still", r, r.Link, what)
	}
}

// landed checks a write under a lease as it lands: nothing is written that is suspended,
// and nothing under a lease after one that rejects it was given.
func (l *leases) landed(r lease.Resource, epoch int64) {
	if l.acknowledged[""] || r.Kind != lease.Restore && l.acknowledged[r.Link] {
		l.w.violate("%s of %s: a write lands after the suspension was acknowledged", r, r.Link)
	}
	mine := l.given[r][epoch]
	if mine == 0 {
		l.w.violate("%s of %s: a write lands without a lease", r, r.Link)
	}
	for other := range l.rows {
		if l.last[other] > mine && (other == r || samePlace(r, other) || r.Link == other.Link) {
			l.w.violate("%s of %s: a write lands after a lease of %s of %s was given", r, r.Link, other, other.Link)
		}
	}
}

// settle acknowledges a suspension if nobody may write in its scope any more.
func (l *leases) settle(of string) bool {
	for r, row := range l.rows {
		if (of == "" || r.Link == of) && row.Wait(time.Now(), 0) > 0 {
			return false
		}
	}
	l.scope[of] = suspension.Suspended
	return true
}

// suspensions suspends a scope now and then, and resumes it, acknowledged or not.
func (w *world) suspensions(ctx context.Context, of ...string) {
	l := w.ledger.leases
	for sleep.For(ctx, w.delay(15*time.Second)) {
		scope := of[w.delay(time.Duration(len(of)))-1]
		w.mu.Lock()
		w.tell("%q is being suspended", scope)
		l.scope[scope] = suspension.Suspending
		w.mu.Unlock()
		for give := w.delay(25 * time.Second); give > 0 && ctx.Err() == nil; {
			nap := w.delay(time.Second)
			give -= nap
			sleep.For(ctx, nap)
			w.mu.Lock()
			if l.acknowledged[scope] = l.settle(scope); l.acknowledged[scope] {
				w.faults["suspended "+scope]++
				w.tell("%q is suspended", scope)
				give = 0
			}
			w.mu.Unlock()
		}
		sleep.For(ctx, w.delay(20*time.Second))
		w.mu.Lock()
		w.tell("%q is resumed", scope)
		l.acknowledged[scope], l.scope[scope] = false, suspension.Running
		w.mu.Unlock()
	}
}

// restorer restores into the source or into the target, whenever it gets a lease.
func (w *world) restorer(ctx context.Context) {
	into := map[string]*store{linkDR: w.source, linkNext: w.target}
	for life := 0; sleep.For(ctx, w.delay(3*time.Second)); life++ {
		k := &worker{w: w, name: fmt.Sprintf("restorer %d", life)}
		link := []string{linkDR, linkNext}[w.delay(2)-1]
		k.restoreTo(ctx, into[link], restores[link])
	}
}

func (k *worker) restoreTo(ctx context.Context, s *store, of lease.Resource) {
	ctx, k.cancel = context.WithCancel(ctx)
	defer k.cancel()
	l := &workerLedger{k: k}
	held, err := l.TakeLease(ctx, of, leaseTimes)
	if err != nil {
		return
	}
	var writing lease.Deadline
	keeper := lease.Keeper{Records: l, Clock: sleep.Clock{}}
	_ = keeper.Hold(ctx, held, leaseTTL, &writing, func(ctx context.Context) (lease.End, error) {
		for range k.w.delay(8) {
			sleep.For(ctx, k.w.delay(3*time.Second))
			if err := k.gate(ctx); err != nil {
				return lease.Unclean, err
			}
			if !time.Now().Before(writing.At()) {
				return lease.Unclean, fault.Newf(fault.Conflict, "write lease ended")
			}
			time.AfterFunc(k.w.delay(maxLate), func() {
				k.w.mu.Lock()
				defer k.w.mu.Unlock()
				k.w.faults["restored to the "+s.name]++
				k.w.ledger.leases.landed(of, held.Epoch)
				content, date := k.w.content()
				s.userPut(mailbox.Inbox, content, k.w.flags(), date)
			})
		}
		time.Sleep(maxLate) // what was sent has landed
		return lease.Clean, nil
	})
}
