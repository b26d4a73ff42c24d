package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

var (
	times = lease.Times{}.WithDefaults()
	one   = lease.OfMailbox(mailbox.Key{Link: "dr", Number: "1"})
)

// TestRow: one holder at a time, and none within the fence of one that ended uncleanly,
// its own or that of the one who asks.
func TestRow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var row lease.Row
	if wait := row.Take(now, times); wait != 0 {
		t.Fatalf("a new lease is held for %s", wait)
	}
	first := row.Epoch
	if wait := row.Take(now.Add(time.Second), times); wait != times.TTL-time.Second+times.Fence {
		t.Errorf("held for %s", wait)
	}
	if !row.Renew(now.Add(10*time.Second), first, times.TTL) || row.Renew(now, first+1, times.TTL) {
		t.Error("renewed for another, or not for the holder")
	}
	over := now.Add(10*time.Second + times.TTL)
	if row.Renew(over, first, times.TTL) {
		t.Error("a lease that expired was revived")
	}
	if wait := row.Wait(over, 0); wait != times.Fence {
		t.Errorf("held for %s at its end, want the fence of its holder", wait)
	}
	if wait := row.Wait(over, time.Hour); wait != time.Hour {
		t.Errorf("held for %s at its end, want the fence of the one who asks", wait)
	}
	if wait := row.Take(over.Add(times.Fence), times); wait != 0 {
		t.Errorf("held for %s after the fence", wait)
	}
	if row.End(now, first, true) {
		t.Error("ended by who had lost it")
	}
	second := row.Epoch
	if !row.End(over, second, true) || row.Epoch == second || row.Take(over, times) != 0 {
		t.Error("not free after a clean end")
	}
}

// ledger is lease.Records with answers.
type ledger struct {
	answer   func(n int) error // of the nth renewal; errSilent: none
	renewals int
	released []bool
	begin    time.Time
	at       []time.Duration
}

// errSilent stands for a database that does not answer.
var errSilent = errors.New("no answer")

func (l *ledger) Renew(ctx context.Context, held lease.Lease, ttl time.Duration) (lease.Lease, error) {
	l.at = append(l.at, time.Since(l.begin))
	l.renewals++
	err := l.answer(l.renewals)
	if errors.Is(err, errSilent) {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err != nil {
		return lease.Lease{}, err
	}
	held.Deadline = time.Now().Add(ttl)
	return held, nil
}

func (l *ledger) Release(_ context.Context, _ lease.Lease, clean bool) error {
	l.released = append(l.released, clean)
	return nil
}

// connection notes when it was to be closed.
type connection struct {
	mu       sync.Mutex
	deadline time.Time
}

func (c *connection) SetWriteDeadline(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = at
}

func (c *connection) end() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

func TestHold(t *testing.T) {
	t.Parallel()
	suspended := fault.New(fault.Conflict, "renew", &lease.SuspendedError{Link: "dr"}, "")
	away := fault.Newf(fault.Transient, "no database")
	must := fault.Newf(fault.Config, "another link writes there")
	broken := errors.New("connection closed")
	for name, c := range map[string]struct {
		answer func(n int) error
		lasts  time.Duration // of the work, unless its context ends
		fails  bool          // the work does, whether its context ends or not
		want   error
		ended  time.Duration // the work's context; 0: not
		clean  bool
	}{
		"renewed":                  {answer: func(int) error { return nil }, lasts: time.Minute, clean: true},
		"suspended":                {answer: func(int) error { return suspended }, lasts: time.Minute, want: suspended, ended: 5 * time.Second, clean: true},
		"barred":                   {answer: func(int) error { return must }, lasts: time.Minute, want: must, ended: 5 * time.Second, clean: true},
		"the database is away":     {answer: func(int) error { return away }, lasts: time.Minute, want: away, ended: 15 * time.Second, clean: true},
		"it is back in time":       {answer: func(n int) error { return map[bool]error{true: away}[n < 3] }, lasts: 14 * time.Second, clean: true},
		"no answer":                {answer: func(int) error { return errSilent }, lasts: time.Minute, want: context.DeadlineExceeded, ended: 15 * time.Second, clean: true},
		"it answers in time":       {answer: func(n int) error { return map[bool]error{true: errSilent}[n < 2] }, lasts: 20 * time.Second, clean: true},
		"the work fails by itself": {answer: func(int) error { return nil }, lasts: time.Minute, fails: true, want: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				records := &ledger{answer: c.answer, begin: time.Now()}
				keeper := lease.Keeper{Records: records, Clock: sleep.Clock{}}
				var writing lease.Deadline
				conn := &connection{}
				writing.Bind(conn)
				if !conn.end().IsZero() {
					t.Error("a deadline without a lease")
				}
				held := lease.Lease{Resource: one, Epoch: 1, Deadline: time.Now().Add(times.TTL)}
				var ended time.Duration
				err := keeper.Hold(t.Context(), held, times.TTL, &writing, func(ctx context.Context) (lease.End, error) {
					if !conn.end().Equal(held.Deadline) {
						t.Error("the connection does not know the end of the lease")
					}
					if !sleep.For(ctx, c.lasts) {
						ended = time.Since(records.begin)
						if conn.end().After(time.Now()) {
							t.Error("the context ended before the connection's deadline")
						}
						return lease.Clean, context.Cause(ctx)
					}
					if !conn.end().After(time.Now()) {
						t.Error("the connection was closed under the work")
					}
					if c.fails {
						return lease.Unclean, broken
					}
					return lease.Clean, nil
				})
				if !errors.Is(err, c.want) || ended != c.ended {
					t.Errorf("got %v after %s, want %v after %s", err, ended, c.want, c.ended)
				}
				if len(records.released) != 1 || records.released[0] != c.clean {
					t.Errorf("released %v", records.released)
				}
				for i, at := range records.at {
					if at != time.Duration(i+1)*times.TTL/3 {
						t.Errorf("renewal %d after %s", i, at)
					}
				}
			})
		})
	}
}

// TestHoldReleased: what the work's own transaction released is not released again.
func TestHoldReleased(t *testing.T) {
	t.Parallel()
	records := &ledger{answer: func(int) error { return nil }}
	keeper := lease.Keeper{Records: records, Clock: sleep.Clock{}}
	err := keeper.Hold(t.Context(), lease.Lease{Resource: one}, times.TTL, new(lease.Deadline), func(context.Context) (lease.End, error) {
		return lease.Released, nil
	})
	if err != nil || len(records.released) != 0 {
		t.Errorf("%v, released %v", err, records.released)
	}
}

// TestAwait: a lease that another holds is waited for, up to a bound.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keeper := lease.Keeper{Clock: sleep.Clock{}}
		var row lease.Row
		row.Take(time.Now(), times)
		asked := 0
		ask := func(context.Context) (lease.Lease, error) {
			asked++
			if wait := row.Take(time.Now(), times); wait > 0 {
				return lease.Lease{}, fault.New(fault.Conflict, "", &lease.HeldError{Resource: one, Wait: wait}, "")
			}
			return lease.Lease{Resource: one, Epoch: row.Epoch}, nil
		}
		begin := time.Now()
		if _, err := keeper.Await(t.Context(), 5*time.Second, ask); !fault.Is(err, fault.Conflict) || time.Since(begin) < 5*time.Second {
			t.Errorf("ended with %v after %s", err, time.Since(begin))
		}
		if l, err := keeper.Await(t.Context(), time.Minute, ask); err != nil || l.Epoch != 2 || time.Since(begin) != times.TTL+times.Fence {
			t.Errorf("got %+v, %v after %s", l, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := keeper.Await(ctx, time.Minute, ask); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v after its context", err)
		}
	})
}
