package imapstore

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// What sessions hold together is bounded, the oldest never waits, and what ends makes
// room for the next.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		dead := make(chan struct{})
		// The first may have more than all, on both stores.
		first := []*held{{memory: m, number: "1"}, {memory: m, number: "1"}}
		for _, h := range first {
			if err := h.holdFolders(memoryLimit, dead); err != nil {
				t.Fatal(err)
			}
		}
		// What is small asks nobody.
		small := &held{memory: m, number: "2"}
		if err := small.holdMessages(freeMemory, dead); err != nil || small.reserved != 0 {
			t.Errorf("a small one: %v, %d", err, small.reserved)
		}
		var got atomic.Int32
		wait := func(h *held) {
			go func() {
				if h.holdFolders(memoryLimit/2, dead) == nil {
					got.Add(1)
				}
			}()
			synctest.Wait()
		}
		others := []*held{{memory: m, number: "3"}, {memory: m, number: "4"}, {memory: m, number: "5"}}
		for _, h := range others {
			wait(h)
		}
		if got.Load() != 0 {
			t.Errorf("%d go on beside the first", got.Load())
		}
		first[0].end()
		first[1].end()
		first[1].end() // once more changes nothing
		synctest.Wait()
		if got.Load() != 2 {
			t.Errorf("%d go on after the first, want 2", got.Load())
		}
		// One that waits too long, or whose connection ends, goes on with an error.
		late := &held{memory: m, number: "6"}
		if err := late.holdFolders(memoryLimit, dead); !errors.Is(err, errMemory) || !fault.Is(err, fault.Transient) || fault.HintOf(err) == "" {
			t.Errorf("late: %v", err)
		}
		ended := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(ended) })
		if err := (&held{memory: m, number: "7"}).holdFolders(memoryLimit, ended); !errors.Is(err, endpoint.ErrClosed) {
			t.Errorf("ended: %v", err)
		}
		for _, h := range others {
			h.end()
		}
		synctest.Wait()
		if m.used != 0 || len(m.holders) != 0 {
			t.Errorf("%d bytes and %d holders are left", m.used, len(m.holders))
		}
		// A second list takes the place of the first.
		again := &held{memory: m, number: mailbox.Number("8")}
		for range 100 {
			if err := again.holdFolders(memoryStep, dead); err != nil {
				t.Fatal(err)
			}
		}
		if m.used != memoryStep {
			t.Errorf("%d bytes are held", m.used)
		}
		again.end()
	})
}
