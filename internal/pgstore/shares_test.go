//go:build integration

package pgstore_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/throttle"
)

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
				grants, err := s.ShareConnections(t.Context(), holder, []throttle.Claim{{Store: "prod", InUse: inUse, Wanted: wanted}}, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				// What it uses from now on may be what it was granted and no more.
				inUse = rng.IntN(grants["prod"].Held + 1)
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
		must(t, s.LeaveConnections(t.Context(), fmt.Sprint("process ", p)))
	}
	share := func(holder string, inUse, wanted int, ttl time.Duration) throttle.Grant {
		t.Helper()
		grants, err := s.ShareConnections(t.Context(), holder, []throttle.Claim{{Store: "prod", InUse: inUse, Wanted: wanted}}, ttl)
		must(t, err)
		return grants["prod"]
	}
	if g := share("dead", 0, 9, time.Hour); g != (throttle.Grant{Most: most, Held: most}) {
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
	if g := share("heir", 3, 9, time.Hour); g != (throttle.Grant{Held: 9}) {
		t.Errorf("without a bound it got %+v", g)
	}
	grants, err := s.ShareConnections(t.Context(), "heir", []throttle.Claim{{Store: "none", Wanted: 1}}, time.Hour)
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
