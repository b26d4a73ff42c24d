package copier

import (
	"context"
	"errors"
	"sync"
	"time"

	"mailmirror/internal/fault"
)

// writePermit hands the end of the write lease on to whatever session of the
// target is open. It is safe for concurrent use.
type writePermit struct {
	mu       sync.Mutex
	deadline time.Time // zero while there is no lease
	session  Session
}

// until sets the end of the lease.
func (p *writePermit) until(deadline time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = deadline
	if p.session != nil {
		p.session.SetWriteDeadline(deadline)
	}
}

// begin takes over a new session. One that is opened before there is a lease has no
// deadline yet, and nothing is written to it.
func (p *writePermit) begin(session Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = session
	if !p.deadline.IsZero() {
		session.SetWriteDeadline(p.deadline)
	}
}

// keepLease renews the lease at a third of its time until stop is called. A lease
// that is lost closes the target's connection before anything else.
func (r *run) keepLease(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	held := r.lease
	r.writing.until(held.Deadline)
	go func() {
		defer close(done)
		for {
			if r.clock.Sleep(ctx, r.opts.LeaseTTL/3) != nil {
				return
			}
			lease, err := r.ledger.Renew(ctx, held, r.opts.LeaseTTL)
			switch {
			case err == nil:
				r.writing.until(lease.Deadline)
			case fault.Is(err, fault.Conflict):
				r.writing.until(r.clock.Now())
				r.suspended, _ = errors.AsType[*SuspendedError](err)
				return
			default:
				// The deadline stands: unless a later renewal succeeds, the
				// connection closes itself.
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
