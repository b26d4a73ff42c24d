package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/quota"
	"mailmirror/internal/throttle"
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

func newShares(repo *pgstore.Store, cfg config.Config, log *slog.Logger) *shares {
	// As long as a write lease may hold: by the end of it, whoever is cut off
	// from the database has closed its connections.
	ttl := cfg.Lease.TTL + cfg.Lease.Fence
	ctx, stop := context.WithCancel(context.Background())
	return &shares{repo: repo, limiters: map[string]linkLimiter{}, process: ctx, stop: stop, log: log,
		load: throttle.NewLoad(repo, rand.Text(), throttle.Options{TTL: ttl}, log)}
}

// admit returns what waits for one of a kind of connection to each of the stores.
func (s *shares) admit(kind quota.Kind, stores ...control.Store) func(context.Context) (func(), error) {
	var keys []throttle.Key
	for _, store := range stores {
		keys = append(keys, throttle.Key{Store: store.Name, Kind: kind})
	}
	return func(ctx context.Context) (func(), error) { return s.load.Acquire(ctx, keys...) }
}

// pace returns what waits until more bytes of a link may be copied; nil where
// nothing bounds them.
func (s *shares) pace(l control.Link) (func(context.Context, int) error, error) {
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
	systemClock
	zone *time.Location
}

func (c zoneClock) Now() time.Time { return time.Now().In(c.zone) }
