//go:build integration

package engine

import (
	"context"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/quota"
	"mailmirror/internal/throttle"
	"mailmirror/test/corpus"
	"mailmirror/test/servers"
)

// notedClock does not sleep: it notes until when it should have.
type notedClock struct {
	mu    sync.Mutex
	until time.Time
	slept int
}

func (*notedClock) Now() time.Time { return time.Now().UTC() }

func (c *notedClock) Sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := time.Now().Add(d); end.After(c.until) {
		c.until = end
	}
	c.slept++
	return nil
}

// TestBandwidth copies a mailbox under a bound and sees by the waits that are
// asked for, and not by waiting, that no more bytes than it allows go by in any
// time.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(500), production, dr)
	o := corpus.Options{Seed: 21, Messages: 60, Greetings: 4, MinSize: 4 << 10, MaxSize: 60 << 10}
	if err := corpus.Fill(t.Context(), m.source.access, []string{m.source.number}, o, 1, nil); err != nil {
		t.Fatal(err)
	}
	const rate = 100_000 // bytes per second: the copy would take long
	clock := &notedClock{}
	begin := time.Now()
	m.job.Pace = throttle.NewLimiter(m.ledger, clock, link, quota.Bandwidth{Rate: rate}).Wait
	report := m.sync()
	m.wholly("after the copy")
	const block = rate / 2 // what is handed out at a time
	bytes := report.Messages.Bytes + report.Greetings.Bytes
	// The last block begins when all before it have gone by.
	if least := time.Duration(float64(bytes-block) / rate * float64(time.Second)); clock.until.Sub(begin) < least {
		t.Errorf("%d bytes were let through in %s, want %s or more", bytes, clock.until.Sub(begin), least)
	}
	if clock.slept == 0 || bytes < 10*block {
		t.Errorf("%d waits for %d bytes: the test does not test", clock.slept, bytes)
	}
}
