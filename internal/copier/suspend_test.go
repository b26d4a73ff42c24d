package copier

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// suspendedLedger gives a lease and renews it never.
type suspendedLedger struct {
	Ledger
	refuse error // of Begin
	mu     sync.Mutex
	clean  []bool
}

func (l *suspendedLedger) Begin(_ context.Context, key mailbox.Key, ttl, _ time.Duration) (lease.Lease, []FolderState, error) {
	return lease.Lease{Resource: lease.OfMailbox(key), Epoch: 1, Deadline: time.Now().Add(ttl)}, nil, l.refuse
}

func (*suspendedLedger) Renew(context.Context, lease.Lease, time.Duration) (lease.Lease, error) {
	return lease.Lease{}, fault.New(fault.Conflict, "renew write lease", &lease.SuspendedError{}, "mailmirror resume")
}

func (l *suspendedLedger) Release(_ context.Context, _ lease.Lease, clean bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clean = append(l.clean, clean)
	return nil
}

// stuckStore is a store whose list of folders comes when its connection is
// closed by the end of the lease, as an error.
type stuckStore struct {
	Session
	once   sync.Once
	opened int
	closed chan struct{}
	at     time.Time
}

func (s *stuckStore) Open(context.Context, mailbox.Number) (Session, error) {
	s.opened++
	return s, nil
}

func (s *stuckStore) List(context.Context) ([]mailbox.Folder, error) {
	<-s.closed
	return nil, fault.Newf(fault.Transient, "connection closed")
}

func (s *stuckStore) SetWriteDeadline(t time.Time) {
	if !t.After(time.Now()) {
		s.once.Do(func() {
			s.at = time.Now()
			close(s.closed)
		})
	}
}

func (*stuckStore) Close() error { return nil }

// TestSuspendedInTheMidst: a lease that is not renewed since the mirror is
// suspended closes the connection at the next renewal, long before the lease
// ends, and that is what the sync says, not that a connection broke.
func TestSuspendedInTheMidst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuckStore{closed: make(chan struct{})}
		source := &stuckStore{closed: store.closed}
		ledger := &suspendedLedger{}
		e := NewEngine(ledger, sleep.Clock{}, Options{}, slog.New(slog.DiscardHandler))
		begin := time.Now()
		report, err := e.Sync(t.Context(), Job{Key: mailbox.Key{Link: "dr", Number: "1"}, Source: source, Target: store})
		if _, ok := errors.AsType[*lease.SuspendedError](err); !ok || !fault.Is(err, fault.Conflict) || report.Outcome != Failed {
			t.Errorf("got %v, %+v", err, report)
		}
		if took := store.at.Sub(begin); took != 5*time.Second {
			t.Errorf("closed after %s, want a third of the lease", took)
		}
		if len(ledger.clean) != 1 {
			t.Errorf("released %d times", len(ledger.clean))
		}
	})
}

// TestSuspendedBefore: without a lease no store is so much as opened.
func TestSuspendedBefore(t *testing.T) {
	store := &stuckStore{closed: make(chan struct{})}
	refuse := fault.New(fault.Conflict, "take write lease", &lease.SuspendedError{}, "mailmirror resume")
	e := NewEngine(&suspendedLedger{refuse: refuse}, sleep.Clock{}, Options{}, slog.New(slog.DiscardHandler))
	_, err := e.Sync(t.Context(), Job{Key: mailbox.Key{Link: "dr", Number: "1"}, Source: store, Target: store})
	if _, ok := errors.AsType[*lease.SuspendedError](err); !ok || store.opened > 0 {
		t.Errorf("got %v, and opened %d stores", err, store.opened)
	}
}
