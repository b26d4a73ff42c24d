package watch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
)

func TestShards(t *testing.T) {
	for _, test := range []struct {
		mode site.ListenMode
		n    int
		want int
	}{{site.ListenNotify, 0, 1}, {site.ListenNotify, 1000, 1}, {site.ListenNotify, 1001, 2}, {site.ListenAuto, 1001, 2}, {site.ListenIdle, 250, 1}, {site.ListenIdle, 1000, 4}, {site.ListenPoll, 5000, 5}} {
		if got := Shards(test.mode, test.n); got != test.want {
			t.Errorf("%d mailboxes by %s: %d shards, want %d", test.n, test.mode, got, test.want)
		}
	}
}

// One shard more takes its share from the others, and nothing else moves.
func TestShardsMoveLittle(t *testing.T) {
	const mailboxes = 10_000
	for shards := 1; shards < 12; shards++ {
		sizes := make([]int, shards)
		for i := range mailboxes {
			n := mailbox.Number(fmt.Sprint(i))
			s, next := ShardOf(n, shards), ShardOf(n, shards+1)
			sizes[s]++
			if next != s && next != shards {
				t.Fatalf("mailbox %s moves from shard %d to %d of %d", n, s, next, shards+1)
			}
		}
		for s, size := range sizes {
			if share := mailboxes / shards; size < share*8/10 || size > share*12/10 {
				t.Errorf("shard %d of %d has %d mailboxes of %d", s, shards, size, mailboxes)
			}
		}
	}
}

func TestMostActive(t *testing.T) {
	last := map[mailbox.Number]time.Time{"3": noon, "2": noon.Add(time.Second)}
	some, others := mostActive([]mailbox.Number{"1", "2", "3", "4"}, last, 3)
	if diff := cmp.Diff([]mailbox.Number{"2", "3", "1"}, some); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]mailbox.Number{"4"}, others); diff != "" {
		t.Error(diff)
	}
	if _, others := mostActive([]mailbox.Number{"1"}, nil, 1); others != nil {
		t.Errorf("%v are too many", others)
	}
}

func TestDoorGrowsItsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		began := time.Now()
		tries := 0
		for range 12 {
			_, _ = d.through(t.Context(), func() error { tries++; return fmt.Errorf("refused") })
		}
		took := time.Since(began)
		// 0.5, 1, 2, … up to 20 s are 131.5 s, each between half and one and a half
		// times.
		if took < 65*time.Second || took > 198*time.Second {
			t.Errorf("%d tries took %v", tries, took)
		}
		_, _ = d.through(t.Context(), func() error { return nil })
		d.lasts()
		began = time.Now()
		_, _ = d.through(t.Context(), func() error { return fmt.Errorf("refused") })
		_, _ = d.through(t.Context(), func() error { return nil })
		if took := time.Since(began); took > time.Second {
			t.Errorf("after a success it waits %v", took)
		}
	})
}

// While a store lets nobody in, a thousand connections are one try at a time.
func TestDoorNeverHammers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var tries atomic.Int64
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				for ctx.Err() == nil {
					_, _ = d.through(ctx, func() error {
						tries.Add(1)
						sleep.For(ctx, 10*time.Millisecond)
						return fmt.Errorf("refused")
					})
				}
			})
		}
		group.Wait()
		if n := tries.Load(); n < 4 || n > 15 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// When a server is killed, its thousand connections fail together.
func TestFailingTogetherCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		age, _ := d.through(t.Context(), func() error { return nil })
		for range 1000 {
			d.fail(age)
		}
		began := time.Now()
		for range 100 {
			if _, err := d.through(t.Context(), func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("they wait %v", took)
		}
	})
}
