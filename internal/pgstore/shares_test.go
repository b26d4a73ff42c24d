//go:build integration

package pgstore_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/quota"
	"mailmirror/internal/throttle"
)

var (
	sessions  = throttle.Key{Store: "prod", Kind: quota.Sessions}
	listeners = throttle.Key{Store: "prod", Kind: quota.Listeners}
	listings  = throttle.Key{Store: "prod", Kind: quota.Listings}
)

// TestKindsOfLoad: each kind has its own bound; listeners get half of what the
// server is known to take, and a list that nobody ended blocks the next one.
func TestKindsOfLoad(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	claim := func(holder string, ttl time.Duration, claims ...throttle.Claim) map[throttle.Key]throttle.Grant {
		t.Helper()
		grants, err := s.ShareLoad(t.Context(), holder, claims, ttl)
		must(t, err)
		return grants
	}
	all := claim("a", time.Hour, throttle.Claim{Key: listings, Wanted: 3}, throttle.Claim{Key: listeners, Wanted: 4},
		throttle.Claim{Key: sessions, Wanted: 99})
	if all[listings].Held != 1 || all[listeners].Held != 4 || all[sessions].Held != 20 {
		t.Errorf("got %+v", all)
	}
	if g := claim("b", time.Hour, throttle.Claim{Key: listings, Wanted: 1})[listings]; g.Held != 0 || g.Refused != "" {
		t.Errorf("beside a list of another's it got %+v", g)
	}
	// The server refused a connection while 4 of these were open.
	claim("a", time.Hour, throttle.Claim{Key: listeners, InUse: 4, Wanted: 4}, throttle.Claim{Key: sessions, InUse: 1, Wanted: 9, Seen: throttle.Seen{Refused: 4}})
	load, err := s.StoreLoad(t.Context(), "prod")
	must(t, err)
	if load.Capacity != 2 || load.Refused != 4 {
		t.Errorf("learned %+v", load)
	}
	if g := claim("a", time.Hour, throttle.Claim{Key: listeners, InUse: 1, Wanted: 4}, throttle.Claim{Key: sessions, InUse: 0, Wanted: 9}); g[listeners].Held != 1 || g[sessions].Held != 1 {
		t.Errorf("with a capacity of 2 it got %+v", g)
	}
	// The process that lists dies.
	claim("a", -time.Second, throttle.Claim{Key: listings, InUse: 1, Wanted: 1})
	if g := claim("b", time.Hour, throttle.Claim{Key: listings, Wanted: 1})[listings]; g.Held != 0 || g.Refused == "" {
		t.Errorf("after a list without an end it got %+v", g)
	}
	claim("b", time.Hour, throttle.Claim{Key: sessions, Wanted: 1, Seen: throttle.Seen{Listing: time.Second, Listed: 9}})
	if g := claim("b", time.Hour, throttle.Claim{Key: listings, Wanted: 1})[listings]; g.Held != 1 {
		t.Errorf("after a complete list it got %+v", g)
	}
	claim("b", time.Hour, throttle.Claim{Key: listings, InUse: 0, Wanted: 0, Seen: throttle.Seen{Abandoned: time.Minute}})
	if g := claim("b", time.Hour, throttle.Claim{Key: listings, Wanted: 1})[listings]; g.Held != 0 || g.Refused == "" {
		t.Errorf("after a list that was broken off it got %+v", g)
	}
	if source, err := s.IsSource(t.Context(), "prod"); err != nil || !source {
		t.Errorf("prod is a source: %t, %v", source, err)
	}
}

// TestProcessesShareLoad: two processes with many that want something at a time
// never hold more than the bounds together, of no kind.
func TestProcessesShareLoad(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	store := storeNamed("prod")
	store.MaxSessions = 3
	must(t, s.UpdateStore(t.Context(), store))
	most := map[throttle.Key]int{sessions: 3, listings: 1}
	var mu sync.Mutex
	open, seen := map[throttle.Key]int{}, map[throttle.Key]int{}
	var all sync.WaitGroup
	for p := range 2 {
		load := throttle.NewLoad(s, fmt.Sprint("process ", p), throttle.Options{Retry: 10 * time.Millisecond, Renew: 20 * time.Millisecond},
			slog.New(slog.DiscardHandler))
		all.Go(func() {
			defer load.Close()
			var group sync.WaitGroup
			for i := range 8 {
				key := sessions
				if i%4 == 0 {
					key = listings
				}
				group.Go(func() {
					for range 10 {
						leave, err := load.Acquire(t.Context(), key)
						if err != nil {
							t.Error(err)
							return
						}
						count := func(d int) {
							mu.Lock()
							defer mu.Unlock()
							open[key] += d
							seen[key] = max(seen[key], open[key])
						}
						count(1)
						time.Sleep(2 * time.Millisecond)
						count(-1)
						leave()
					}
				})
			}
			group.Wait()
		})
	}
	all.Wait()
	for key, bound := range most {
		if seen[key] > bound || seen[key] == 0 {
			t.Errorf("%d %s at a time, want some and no more than %d", seen[key], key.Kind, bound)
		}
	}
}

// TestReserveLogins gives the time of a store's logins away once.
func TestReserveLogins(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for range 3 {
		_, err := s.ReserveLogins(t.Context(), "prod", time.Hour)
		must(t, err)
	}
	wait, err := s.ReserveLogins(t.Context(), "prod", time.Hour)
	if err != nil || wait < 2*time.Hour || wait > 3*time.Hour {
		t.Errorf("the fourth hour begins after %s, %v", wait, err)
	}
	if _, err := s.ReserveLogins(t.Context(), "none", time.Hour); !fault.Is(err, fault.Config) && !fault.Is(err, fault.NotFound) {
		t.Errorf("of a store that is none: %v", err)
	}
}

// TestConnectionShares: processes that ask at once are never given more than the
// bound together, and what a dead one held comes back.
func TestConnectionShares(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	const most = 5
	store := storeNamed("prod")
	store.MaxConnections = most
	must(t, s.UpdateStore(t.Context(), store))
	if got, err := s.Store(t.Context(), "prod"); err != nil || got.MaxConnections != most {
		t.Errorf("%+v, %v", got, err)
	}
	var mu sync.Mutex
	held := map[string]int{}
	var all sync.WaitGroup
	for p := range 4 {
		holder := fmt.Sprint("process ", p)
		rng := rand.New(rand.NewPCG(1, uint64(p)))
		all.Go(func() {
			inUse := 0
			for range 60 {
				wanted := inUse + rng.IntN(4)
				grants, err := s.ShareLoad(t.Context(), holder, []throttle.Claim{{Key: sessions, InUse: inUse, Wanted: wanted}}, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				// What it uses from now on may be what it was granted and no more.
				inUse = rng.IntN(grants[sessions].Held + 1)
				mu.Lock()
				held[holder] = inUse
				sum := 0
				for _, n := range held {
					sum += n
				}
				if sum > most {
					t.Errorf("%d are in use: %v", sum, held)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()

	for p := range 4 {
		must(t, s.LeaveLoad(t.Context(), fmt.Sprint("process ", p)))
	}
	share := func(holder string, inUse, wanted int, ttl time.Duration) throttle.Grant {
		t.Helper()
		grants, err := s.ShareLoad(t.Context(), holder, []throttle.Claim{{Key: sessions, InUse: inUse, Wanted: wanted}}, ttl)
		must(t, err)
		return grants[sessions]
	}
	if g := share("dead", 0, 9, time.Hour); g != (throttle.Grant{Held: most}) {
		t.Errorf("alone it got %+v", g)
	}
	if g := share("heir", 0, 9, time.Hour); g.Held != 0 {
		t.Errorf("beside one that holds all it got %+v", g)
	}
	share("dead", most, 9, -time.Second) // its time is over
	if g := share("heir", 0, 9, time.Hour); g.Held != most {
		t.Errorf("after the other's end it got %+v", g)
	}
	if g := share("heir", 0, 0, time.Hour); g.Held != 0 {
		t.Errorf("with nothing wanted it got %+v", g)
	}
	store.MaxConnections = 0
	must(t, s.UpdateStore(t.Context(), store))
	if g := share("heir", 3, 50, time.Hour); g != (throttle.Grant{Held: 20}) {
		t.Errorf("by the default of a source it got %+v", g)
	}
	store.MaxSessions = 30
	must(t, s.UpdateStore(t.Context(), store))
	if g := share("heir", 3, 50, time.Hour); g != (throttle.Grant{Held: 30}) {
		t.Errorf("by the store's own bound it got %+v", g)
	}
	grants, err := s.ShareLoad(t.Context(), "heir", []throttle.Claim{{Key: throttle.Key{Store: "none", Kind: quota.Sessions}, Wanted: 1}}, time.Hour)
	if err != nil || len(grants) != 0 {
		t.Errorf("of a store that is gone: %v, %v", grants, err)
	}
}

// TestReserveBandwidth gives the time of a link away once.
func TestReserveBandwidth(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	const span, processes, times = 250 * time.Millisecond, 4, 10
	begin := time.Now()
	var mu sync.Mutex
	var last time.Duration
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			for range times {
				wait, err := s.ReserveBandwidth(t.Context(), link, span)
				if err != nil || wait < 0 {
					t.Error(wait, err)
				}
				mu.Lock()
				last = max(last, wait+time.Since(begin))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if least := (processes*times - 1) * span; last < least {
		t.Errorf("the last span begins after %s, want %s or more", last, least)
	}
	if _, err := s.ReserveBandwidth(t.Context(), "none", span); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a link that is none: %v", err)
	}
}

func TestSetBandwidth(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l, err := s.Link(t.Context(), link)
	must(t, err)
	l.Bandwidth, l.BandwidthWindows, l.BandwidthTimezone = 5_000_000, []string{"Mon-Fri 08:00-18:00 1MB/s"}, "Europe/Berlin"
	must(t, s.SetBandwidth(t.Context(), l))
	got, err := s.Link(t.Context(), link)
	must(t, err)
	equal(t, "links", got, l)
	l.Name = "none"
	wantKind(t, s.SetBandwidth(t.Context(), l), fault.NotFound)
}
