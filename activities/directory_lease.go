package activities

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// directoryPage is one page of changes that is being carried out.
type directoryPage struct {
	a              *Activities
	in             ApplyDirectoryInput
	state          dirsync.ChangeState // of the changes that are taken up
	source, target connection
	lease          *directoryLease
	takers         map[string]string // see dirsync.Takers
	result         ApplyDirectoryResult
	looked         atomic.Int64
	// unsure is true once the outcome of a write was not known.
	unsure bool
	// barred is why no connection can be made although trying again would be in
	// vain, unopened why none could be made the last time.
	barred, unopened error
	// unsaved are results that are not recorded yet.
	unsaved []dirsync.Change
	saved   time.Time
	// row are the failures in a row that say the same, of the kind rowKind. kind is
	// that of the last; it was lost if the server ended the connection, and silent if
	// the server did not answer in time. rest is how many other changes of the run
	// were not tried yet, as far as the page knows.
	row           []dirsync.Change
	kind, rowKind fault.Kind
	lost, silent  bool
	silences      int // changes that the server did not answer to, in this page
	rest          int
	// losses are the changes at which connections ended, lostInRow those of them since
	// the target last accepted a write, and aside those that are tried again when all
	// others are done.
	losses    map[int64]*loss
	lostInRow map[int64]bool
	aside     []dirsync.Change
	// accepted counts the writes that the target accepted. own are the failures that
	// turned out to be the entries' own, by what they say, and ahead what was carried
	// out before its turn to find that out.
	accepted int
	own      map[string]bool
	ahead    map[int64]bool
}

// directoryLease is held by one page, and renewed until it is ended.
type directoryLease struct {
	records control.DirectoryRuns
	// ctx ends with the lease.
	ctx    context.Context //nolint:containedctx // its end is that of the lease
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu  sync.Mutex
	now dirsync.Lease
}

// leasePatience is how long a page waits for the lease that a dead worker left,
// beyond its own time, or for another page.
const leasePatience = time.Minute

// holdDirectory takes the lease of a link's directory, waiting for the end of one
// that is held.
func (a *Activities) holdDirectory(ctx context.Context, link string) (*directoryLease, error) {
	records := a.ports.Directory
	begin := time.Now()
	for {
		taken, err := records.TakeDirectoryLease(ctx, link, a.lease.TTL, a.lease.Fence)
		if err == nil {
			return a.keepDirectory(ctx, taken), nil
		}
		held, busy := errors.AsType[*copier.LeaseHeldError](err)
		if !busy || time.Since(begin) > a.lease.TTL+a.lease.Fence+leasePatience {
			return nil, err
		}
		if !sleep.For(ctx, min(max(held.Wait, 100*time.Millisecond), time.Second)) {
			return nil, context.Cause(ctx)
		}
	}
}

// keepDirectory renews a lease that was taken.
func (a *Activities) keepDirectory(ctx context.Context, taken dirsync.Lease) *directoryLease {
	l := &directoryLease{records: a.ports.Directory, now: taken, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	go l.keep(a.lease.TTL)
	return l
}

// keep renews the lease three times in its life until it is ended or lost.
func (l *directoryLease) keep(ttl time.Duration) {
	defer close(l.done)
	ticker := time.NewTicker(ttl / 3)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
		}
		now := l.current()
		renewed, err := l.records.RenewDirectoryLease(l.ctx, now, ttl)
		switch {
		case err == nil:
			l.mu.Lock()
			l.now = renewed
			l.mu.Unlock()
		case l.ctx.Err() != nil:
			return
		case fault.Is(err, fault.Conflict):
			if suspended(l.ctx, err) {
				l.cancel(errSuspended)
			} else {
				l.cancel(fault.New(fault.Transient, "", errLeaseLost, ""))
			}
			return
		case fault.Is(err, fault.Config), time.Now().After(now.Deadline):
			l.cancel(err)
			return
		}
	}
}

func (l *directoryLease) current() dirsync.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// writing returns the context of one write, which ends with the lease as it is
// now: what is sent after that could land after a suspension was acknowledged.
func (l *directoryLease) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, l.current().Deadline)
}

// end gives the lease back; unsure where a write may still be on its way. One
// that was lost or is over by then is no error.
func (l *directoryLease) end(ctx context.Context, unsure bool) error {
	l.cancel(context.Canceled)
	<-l.done
	err := l.records.EndDirectoryLease(ctx, l.current(), !unsure)
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	return err
}
