package throttle

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Claim is what this process has open of a store's connections, and wants.
type Claim struct {
	Store         string
	InUse, Wanted int
}

// Grant is the answer to a Claim.
type Grant struct {
	// Most is the bound for all processes together; 0 is none, and Held then
	// means nothing.
	Most int
	// Held is how many this process may have open.
	Held int
}

// Table is where the processes agree on their shares.
type Table interface {
	// ShareConnections replaces the claims of a holder and returns what it may
	// have of each store, until ttl from now. A claim that neither uses nor
	// wants any is forgotten; a store that is gone is absent from the answer.
	ShareConnections(ctx context.Context, holder string, claims []Claim, ttl time.Duration) (map[string]Grant, error)
	// LeaveConnections forgets a holder.
	LeaveConnections(ctx context.Context, holder string) error
}

// Options are the settings of Connections; zero values take the defaults.
type Options struct {
	// TTL is how long a share is this process's own without being renewed: how
	// long those of a process that was killed are lost. Default 17 s.
	TTL time.Duration
	// Renew is how often a share is renewed, and given back where others wait;
	// Retry how often it is asked for more while somebody waits. Default 1 s and
	// 200 ms, each within a half more or less.
	Renew, Retry time.Duration
}

// Connections hands out connections to stores within the share that this process
// has of them. It is safe for concurrent use; Close ends it.
type Connections struct {
	table  Table
	holder string
	opts   Options
	log    *slog.Logger

	mu     sync.Mutex
	stores map[string]*share
	wake   chan struct{}
	stop   context.CancelFunc // nil until the first is asked for
	ended  chan struct{}
}

// share is one store's.
type share struct {
	unbounded bool
	held      int
	expires   time.Time
	inUse     int
	// asked is how many were told to be in use by a claim that has no answer
	// yet: until then no more may be, since the rest may be another's already.
	asked   int
	waits   bool // for the answer
	peak    int  // the most in use since the last renewal
	waiting []chan struct{}
}

// NewConnections returns the connections of a process that others know by holder.
func NewConnections(table Table, holder string, opts Options, log *slog.Logger) *Connections {
	opts.TTL = cmp.Or(opts.TTL, 17*time.Second)
	opts.Renew = cmp.Or(opts.Renew, time.Second)
	opts.Retry = cmp.Or(opts.Retry, 200*time.Millisecond)
	return &Connections{table: table, holder: holder, opts: opts, log: log,
		stores: map[string]*share{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Acquire waits until one connection to each of the stores may be opened, and
// returns what gives them back. Whoever needs several asks for them at once: they
// are taken in one order, so that no two wait for each other. The order of
// waiting is kept.
func (c *Connections) Acquire(ctx context.Context, stores ...string) (release func(), err error) {
	names := slices.Compact(slices.Sorted(slices.Values(stores)))
	for i, name := range names {
		if err := c.acquire(ctx, name); err != nil {
			c.release(names[:i])
			return nil, err
		}
	}
	return sync.OnceFunc(func() { c.release(names) }), nil
}

func (c *Connections) acquire(ctx context.Context, name string) error {
	c.mu.Lock()
	s := c.stores[name]
	if s == nil {
		s = &share{}
		c.stores[name] = s
	}
	if len(s.waiting) == 0 && s.free() {
		s.take()
		c.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	if c.stop == nil {
		// It outlives whoever asks first, and ends with Close.
		var loop context.Context
		loop, c.stop = context.WithCancel(context.WithoutCancel(ctx))
		go c.run(loop)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else { // it came at the same moment
		s.inUse--
		s.serve()
	}
	return context.Cause(ctx)
}

func (c *Connections) release(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if s := c.stores[name]; s != nil {
			s.inUse--
			s.serve()
		}
	}
}

func (s *share) free() bool {
	return s.unbounded || (s.inUse < s.held && (!s.waits || s.inUse < s.asked) && time.Now().Before(s.expires))
}

func (s *share) take() {
	s.inUse++
	s.peak = max(s.peak, s.inUse)
}

// serve lets those go on for whom there is a connection.
func (s *share) serve() {
	for len(s.waiting) > 0 && s.free() {
		s.take()
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// run renews the shares until ctx ends.
func (c *Connections) run(ctx context.Context) {
	defer close(c.ended)
	failing := false
	for {
		err := c.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			c.log.WarnContext(ctx, "shares of connections not renewed", "error", err)
		}
		failing = err != nil
		c.pause(ctx)
	}
}

// pause waits for the next renewal: long while nobody waits, and until somebody
// does; else short.
func (c *Connections) pause(ctx context.Context) {
	every, wake := c.opts.Retry, (chan struct{})(nil)
	if !c.isWaiting() {
		every, wake = c.opts.Renew, c.wake
	}
	timer := time.NewTimer(every/2 + rand.N(every))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

func (c *Connections) isWaiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stores {
		if len(s.waiting) > 0 {
			return true
		}
	}
	return false
}

// renew claims what is in use and wanted, and takes in what is granted.
func (c *Connections) renew(ctx context.Context) error {
	claims := c.claims()
	if len(claims) == 0 {
		return nil
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.opts.TTL)
	defer cancel()
	grants, err := c.table.ShareConnections(ctx, c.holder, claims, c.opts.TTL)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range claims {
		s := c.stores[claim.Store]
		s.waits = false
		if err != nil {
			// Whether it was carried out is not known.
			s.held = min(s.held, claim.InUse)
			continue
		}
		g, known := grants[claim.Store]
		// A store that is gone is nothing to wait for: whoever opens it will see.
		s.unbounded = !known || g.Most == 0
		s.held, s.expires = g.Held, asked.Add(c.opts.TTL)
		s.serve()
		if claim.Wanted == 0 && s.inUse == 0 && len(s.waiting) == 0 {
			delete(c.stores, claim.Store)
		}
	}
	return err
}

func (c *Connections) claims() []Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	var claims []Claim
	for _, name := range slices.Sorted(maps.Keys(c.stores)) {
		s := c.stores[name]
		claims = append(claims, Claim{Store: name, InUse: s.inUse, Wanted: max(s.peak, s.inUse+len(s.waiting))})
		s.peak, s.asked, s.waits = s.inUse, s.inUse, true
	}
	return claims
}

// Close gives everything back. Nobody may wait any more, or ask.
func (c *Connections) Close() {
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-c.ended
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.table.LeaveConnections(ctx, c.holder); err != nil {
		c.log.WarnContext(ctx, "shares of connections not given back; they end by themselves", "error", err)
	}
}
