package activitytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// Suspensions implements activities.SuspensionRecords.
func (w *World) Suspensions(context.Context) (suspension.Scopes, error) {
	if err := w.called("Suspension"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.boxes {
		w.scope(key.Link)
	}
	return append(suspension.Scopes{w.suspension}, w.suspended...), nil
}

// Suspension is that of everything.
func (w *World) Suspension(ctx context.Context) (suspension.Suspension, error) {
	all, err := w.Suspensions(ctx)
	return all.Own(""), err
}

// Suspend implements activities.SuspensionRecords.
func (w *World) Suspend(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	if err := w.called("Suspend"); err != nil {
		return suspension.Suspension{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.scope(r.Link); s.State == suspension.Running && (r.Epoch == 0 || r.Epoch == s.Epoch) {
		*s = suspension.Suspension{Link: r.Link, State: suspension.Suspending, Epoch: w.nextEpoch(), Reason: r.Reason, Who: r.Who,
			Since: time.Now(), Waiting: w.leases}
	}
	return *w.scope(r.Link), nil
}

// ConfirmSuspended implements activities.SuspensionRecords.
func (w *World) ConfirmSuspended(_ context.Context, link string, epoch int64) (suspension.Suspension, error) {
	if err := w.called("ConfirmSuspended"); err != nil {
		return suspension.Suspension{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.scope(link); s.State == suspension.Suspending && s.Epoch == epoch {
		s.Waiting = w.leases
		if w.leases == 0 {
			s.State, s.SuspendedAt = suspension.Suspended, time.Now()
		}
	}
	return *w.scope(link), nil
}

// Resume implements activities.SuspensionRecords.
func (w *World) Resume(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	if err := w.called("Resume"); err != nil {
		return suspension.Suspension{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.scope(r.Link); s.Still() && r.Epoch == s.Epoch {
		*s = suspension.Suspension{Link: r.Link, State: suspension.Running, Epoch: w.nextEpoch(), Who: r.Who, Since: time.Now()}
	}
	return *w.scope(r.Link), nil
}

// scope is the suspension of everything, or of a link. The caller holds the lock.
func (w *World) scope(link string) *suspension.Suspension {
	if link == "" {
		return &w.suspension
	}
	for i := range w.suspended {
		if w.suspended[i].Link == link {
			return &w.suspended[i]
		}
	}
	w.suspended = append(w.suspended, suspension.Suspension{Link: link, State: suspension.Running, Epoch: 1})
	return &w.suspended[len(w.suspended)-1]
}

// Restore puts another row in place, as a database does that goes back to a dump: it is
// unconfirmed if it says running.
func (w *World) Restore(s suspension.Suspension) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Unconfirmed = s.State == suspension.Running
	w.lostEpoch = max(w.lostEpoch, w.suspension.Epoch)
	w.suspension = s
}

// nextEpoch is above every epoch that there ever was, those of a lost row included.
func (w *World) nextEpoch() int64 {
	last := max(w.suspension.Epoch, w.lostEpoch)
	for _, s := range w.suspended {
		last = max(last, s.Epoch)
	}
	return last + 1
}

// HoldLeases says how many mailboxes somebody may write to: a suspension is
// not complete before there are none.
func (w *World) HoldLeases(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leases = n
}

// Links implements activities.SuspensionRecords: those of the mailboxes.
func (w *World) Links(context.Context) ([]site.Link, error) {
	if err := w.called("Links"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]bool{}
	for key := range w.boxes {
		names[key.Link] = true
	}
	var links []site.Link
	for name := range maps.Keys(names) {
		links = append(links, site.Link{Name: name})
	}
	slices.SortFunc(links, func(a, b site.Link) int { return strings.Compare(a.Name, b.Name) })
	return links, nil
}
