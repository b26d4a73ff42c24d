package throttle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/quota"
)

// board is the table of a few processes in memory, by the same decision.
type board struct {
	mu      sync.Mutex
	most    map[string]int
	rows    map[string]map[string]row
	asked   int
	broken  bool
	refuses bool
	seen    []Seen
	open    map[string]int // what is really open, by store
	t       *testing.T
}

type row struct {
	quota.Claim
	expires time.Time
}

func newBoard(t *testing.T, most map[string]int) *board {
	return &board{t: t, most: most, rows: map[string]map[string]row{}, open: map[string]int{}}
}

func (b *board) ShareLoad(_ context.Context, holder string, claims []Claim, ttl time.Duration) (map[Key]Grant, error) {
	time.Sleep(2 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.broken {
		return nil, errors.New("database connection refused")
	}
	grants := map[Key]Grant{}
	for _, c := range claims {
		rows := b.rows[c.Store]
		if rows == nil {
			rows = map[string]row{}
			b.rows[c.Store] = rows
		}
		old, known := rows[holder]
		me := quota.Claim{Holder: holder, Held: old.Held, InUse: c.InUse, Wanted: c.Wanted, Turn: old.Turn}
		if !known {
			me.Turn = time.Now()
		}
		var others []quota.Claim
		for name, r := range rows {
			switch {
			case name == holder:
			case !r.expires.After(time.Now()):
				delete(rows, name)
			default:
				others = append(others, r.Claim)
			}
		}
		most, known := b.most[c.Store]
		if !known {
			continue
		}
		g := Grant{Held: quota.Share(most, me, others)}
		if b.refuses {
			g = Grant{Refused: "blocked"}
		}
		b.seen = append(b.seen, c.Seen)
		if old.Held == 0 && g.Held > 0 {
			me.Turn = time.Now()
		}
		me.Held = g.Held
		rows[holder] = row{me, time.Now().Add(ttl)}
		grants[c.Key] = g
	}
	return grants, nil
}

func (b *board) LeaveLoad(_ context.Context, holder string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rows := range b.rows {
		delete(rows, holder)
	}
	return nil
}

// count opens or closes a connection of each store and holds the sum to the bound.
func (b *board) count(d int, stores ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range stores {
		b.open[s] += d
		if most := b.most[s]; most > 0 && b.open[s] > most {
			b.t.Errorf("%d connections to %s are open, %d are allowed", b.open[s], s, most)
		}
	}
}

func sessionsOf(stores ...string) []Key {
	var keys []Key
	for _, s := range stores {
		keys = append(keys, Key{s, quota.Sessions})
	}
	return keys
}

func process(b *board, i int) *Load {
	return NewLoad(b, fmt.Sprint("process ", i), Options{}, slog.New(slog.DiscardHandler))
}

// TestConnections: processes that each want more than there are, of two stores
// in either order, keep within both bounds and all get their work done; to use
// what is held costs no question.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 5, "dr": 4})
		const processes, workers, jobs = 3, 8, 200
		var all sync.WaitGroup
		for i := range processes {
			c := process(b, i)
			all.Go(func() {
				defer c.Close()
				var group sync.WaitGroup
				for w := range workers {
					rng := rand.New(rand.NewPCG(uint64(i), uint64(w)))
					group.Go(func() {
						for range jobs {
							stores := []string{"prod", "dr"}
							rng.Shuffle(2, func(a, b int) { stores[a], stores[b] = stores[b], stores[a] })
							release, err := c.Acquire(t.Context(), sessionsOf(stores...)...)
							if err != nil {
								t.Error(err)
								return
							}
							b.count(1, stores...)
							time.Sleep(time.Duration(1+rng.IntN(30)) * time.Millisecond)
							b.count(-1, stores...)
							release()
							release() // once more does nothing
						}
					})
				}
				group.Wait()
			})
		}
		all.Wait()
		if b.asked > processes*workers*jobs/10 {
			t.Errorf("%d questions for %d jobs", b.asked, processes*workers*jobs)
		}
	})
}

// TestOneConnectionForMany: with fewer connections than processes each gets its
// turn.
func TestOneConnectionForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 1})
		var all sync.WaitGroup
		for i := range 3 {
			c := process(b, i)
			all.Go(func() {
				defer c.Close()
				for range 20 {
					release, err := c.Acquire(t.Context(), sessionsOf("prod")...)
					if err != nil {
						t.Error(err)
						return
					}
					b.count(1, "prod")
					time.Sleep(50 * time.Millisecond)
					b.count(-1, "prod")
					release()
				}
			})
		}
		all.Wait()
	})
}

// TestConnectionsOfTheDead: what a process held that was killed comes back when
// its time is over, and not before.
func TestConnectionsOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 2})
		dead := process(b, 0)
		for range 2 {
			if _, err := dead.Acquire(t.Context(), sessionsOf("prod")...); err != nil {
				t.Fatal(err)
			}
		}
		dead.stop() // and nothing else of it
		<-dead.ended
		begin := time.Now()
		heir := process(b, 1)
		defer heir.Close()
		if _, err := heir.Acquire(t.Context(), sessionsOf("prod")...); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begin); waited < 14*time.Second || waited > 19*time.Second {
			t.Errorf("waited %s, want about 17 s", waited)
		}
	})
}

// TestConnectionsWithoutDatabase: what is held is used up to its end, and no
// longer; afterwards it goes on.
func TestConnectionsWithoutDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 2})
		c := process(b, 0)
		defer c.Close()
		hold, err := c.Acquire(t.Context(), sessionsOf("prod")...)
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.broken = true
		b.mu.Unlock()
		time.Sleep(5 * time.Second)
		hold()
		again, err := c.Acquire(t.Context(), sessionsOf("prod")...) // still its own
		if err != nil {
			t.Fatal(err)
		}
		again()
		time.Sleep(20 * time.Second)
		if since, err := c.Failing(); err == nil || time.Since(since) < 20*time.Second {
			t.Errorf("fails since %s ago: %v", time.Since(since), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Acquire(ctx, sessionsOf("prod")...); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got one that may be another's: %v", err)
		}
		b.mu.Lock()
		b.broken = false
		b.mu.Unlock()
		if _, err := c.Acquire(t.Context(), sessionsOf("prod")...); err != nil {
			t.Error(err)
		}
		if since, err := c.Failing(); err != nil || !since.IsZero() {
			t.Errorf("still fails since %s: %v", since, err)
		}
	})
}

// TestConnectionsUnbounded: a store that is gone holds up nobody.
func TestConnectionsUnbounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 1})
		c := process(b, 0)
		defer c.Close()
		if _, err := c.Acquire(t.Context(), sessionsOf("prod")...); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		delete(b.most, "prod")
		b.mu.Unlock()
		for range 5 {
			if _, err := c.Acquire(t.Context(), sessionsOf("prod")...); err != nil {
				t.Fatal(err)
			}
		}
	})
}
