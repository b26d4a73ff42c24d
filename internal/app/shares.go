package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mailmirror/internal/config"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
	"mailmirror/internal/throttle"
	"mailmirror/internal/watch"
)

// shares keeps this process within what all processes may use together.
type shares struct {
	repo *pgstore.Store
	load *throttle.Load
	log  *slog.Logger

	mu       sync.Mutex
	limiters map[string]linkLimiter

	// process ends with close, which waits for group.
	process context.Context //nolint:containedctx // of what outlives its callers
	stop    context.CancelFunc
	group   sync.WaitGroup
}

// linkLimiter is the limiter of a link as it was configured when it was made.
type linkLimiter struct {
	settings string
	limiter  *throttle.Limiter
}

// leaseTimes are the configured times of every write lease.
func leaseTimes(cfg config.Config) lease.Times {
	return lease.Times{TTL: cfg.Lease.TTL, Fence: cfg.Lease.Fence}.WithDefaults()
}

func newShares(repo *pgstore.Store, cfg config.Config, log *slog.Logger) *shares {
	// As long as a write lease may hold: by the end of it, whoever is cut off
	// from the database has closed its connections.
	times := leaseTimes(cfg)
	ctx, stop := context.WithCancel(context.Background())
	return &shares{repo: repo, limiters: map[string]linkLimiter{}, process: ctx, stop: stop, log: log,
		load: throttle.NewLoad(repo, rand.Text(), throttle.Options{TTL: times.TTL + times.Fence}, log)}
}

// admit returns what waits for one of a kind of connection to each of the stores.
func (s *shares) admit(kind quota.Kind, stores ...site.Store) func(context.Context) (func(), error) {
	var keys []throttle.Key
	for _, store := range stores {
		keys = append(keys, throttle.Key{Store: store.Name, Kind: kind})
	}
	return func(ctx context.Context) (func(), error) { return s.load.Acquire(ctx, keys...) }
}

// admitListener returns what waits for a place for a listening connection to a source,
// of the kind that listens to one mailbox or to many.
func (s *shares) admitListener(kind quota.Kind, store site.Store) func(context.Context) (func(), error) {
	return func(ctx context.Context) (func(), error) {
		return s.acquire(ctx, store.Bounds(true), throttle.Key{Store: store.Name, Kind: kind})
	}
}

// acquire waits for one of a kind of load, and lets a listener that waits say so.
func (s *shares) acquire(ctx context.Context, b quota.Bounds, key throttle.Key) (func(), error) {
	done := watch.Waits(ctx, func() (text, hint string) {
		if _, err := s.load.Failing(); err != nil {
			return "", "" // the database is the reason, and another worker may have it
		}
		return waitText(b, key)
	})
	defer done()
	return s.load.Acquire(ctx, key)
}

// waitText says what a listener waits for, and how to raise the bound.
func waitText(b quota.Bounds, key throttle.Key) (text, hint string) {
	var what, option, bound string
	const atATime = "at most %d at a time, over all workers"
	switch key.Kind {
	case quota.Sessions:
		what, option, bound = "a session", "--max-sessions", fmt.Sprintf(atATime, b.Sessions)
	case quota.Listeners:
		what, option, bound = "a listening connection", "--max-idle", fmt.Sprintf("at most %d of one mailbox each, over all workers", b.Listeners)
	case quota.Listings:
		what, option, bound = "a list of all mailboxes", "--max-listings", fmt.Sprintf(atATime, b.Listings)
	case quota.Trunks:
		what, option, bound = "a connection that listens to many mailboxes", "--max-connections", "over all workers"
	}
	if b.Connections > 0 {
		bound += fmt.Sprintf(", and %d connections in all", b.Connections)
	}
	return fmt.Sprintf("listening waits for a place for %s on store %s, as all are in use (%s)", what, key.Store, bound),
		fmt.Sprintf("if the store bears more, raise the bound: mailmirror store edit %s %s N; what it bears now is in: mailmirror store show %s", key.Store, option, key.Store)
}

// pace returns what waits until more bytes of a link may be copied; nil where
// nothing bounds them.
func (s *shares) pace(l site.Link) (func(context.Context, int) error, error) {
	op := "read bandwidth of link " + l.Name
	bandwidth, err := quota.ParseBandwidth(l.Bandwidth, l.BandwidthWindows)
	if err != nil {
		return nil, fault.New(fault.Config, op, err, "set it again with link edit")
	}
	if !bandwidth.Bounded() {
		return nil, nil //nolint:nilnil // nothing to wait for
	}
	zone, err := time.LoadLocation(l.BandwidthTimezone)
	if err != nil {
		return nil, fault.New(fault.Config, op, err, "set its time zone with link edit, and see that this machine knows it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := l.BandwidthSettings()
	if known, ok := s.limiters[l.Name]; ok && known.settings == settings {
		return known.limiter.Wait, nil
	}
	limiter := throttle.NewLimiter(s.repo, zoneClock{zone: zone}, l.Name, bandwidth)
	s.limiters[l.Name] = linkLimiter{settings, limiter}
	return limiter.Wait, nil
}

// close ends what gates run in the background, and gives every share back.
func (s *shares) close() {
	s.stop()
	s.group.Wait()
	s.load.Close()
}

// zoneClock is the machine's clock, in a zone.
type zoneClock struct {
	sleep.Clock
	zone *time.Location
}

func (c zoneClock) Now() time.Time { return time.Now().In(c.zone) }
