package throttle

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"mailmirror/internal/quota"
)

// Key names one kind of load on one store.
type Key struct {
	Store string
	Kind  quota.Kind
}

func (k Key) compare(other Key) int {
	return cmp.Or(strings.Compare(k.Store, other.Store), strings.Compare(string(k.Kind), string(other.Kind)))
}

// Claim is what this process has open of one kind of load on a store, and wants.
type Claim struct {
	Key

	InUse, Wanted int
	// Seen is what this process saw of the store since its last claim. It stands
	// in one claim of each store.
	Seen Seen
}

// Grant is the answer to a Claim.
type Grant struct {
	// Held is how many this process may have open.
	Held int
	// Refused says why nobody gets any for now, "" if to wait is enough.
	Refused string
}

// Table is where the processes agree on their shares.
type Table interface {
	// ShareLoad replaces the claims of a holder and returns what it may have of
	// each, until ttl from now. A claim that neither uses nor wants any is
	// forgotten; a store that is gone is absent from the answer.
	ShareLoad(ctx context.Context, holder string, claims []Claim, ttl time.Duration) (map[Key]Grant, error)
	// LeaveLoad forgets a holder.
	LeaveLoad(ctx context.Context, holder string) error
}

// RefusedError says why a kind of load is not allowed for now.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Is makes it errors.ErrUnsupported: whoever asked has another way.
func (e *RefusedError) Is(target error) bool { return target == errors.ErrUnsupported }

// Options are the settings of Load; zero values take the defaults.
type Options struct {
	// TTL is how long a share is this process's own without being renewed: how
	// long those of a process that was killed are lost. Default 17 s.
	TTL time.Duration
	// Renew is how often a share is renewed, and given back where others wait;
	// Retry how often it is asked for more while somebody waits. Default 1 s and
	// 200 ms, each within a half more or less.
	Renew, Retry time.Duration
}

// Load hands out connections to stores, and other kinds of load, within the share
// that this process has of them. It is safe for concurrent use; Close ends it.
type Load struct {
	table  Table
	holder string
	opts   Options
	log    *slog.Logger

	mu     sync.Mutex
	stores map[Key]*share
	seen   map[string]*seen
	wake   chan struct{}
	stop   context.CancelFunc // nil until the first is asked for
	ended  chan struct{}
	// since is when the renewals began to fail, and trouble how the last one failed.
	since   time.Time
	trouble error
}

// share is that of one kind of load on one store.
type share struct {
	unbounded bool
	held      int
	expires   time.Time
	inUse     int
	// asked is how many were told to be in use by a claim that has no answer
	// yet: until then no more may be, since the rest may be another's already.
	asked int
	waits bool // for the answer
	// ask is set while nothing may be used that was granted before something was
	// seen; asking is its value at the claim without an answer.
	ask, asking bool
	peak        int // the most in use since the last renewal
	waiting     []chan error
}

// NewLoad returns the shares of a process that others know by holder.
func NewLoad(table Table, holder string, opts Options, log *slog.Logger) *Load {
	opts.TTL = cmp.Or(opts.TTL, 17*time.Second)
	opts.Renew = cmp.Or(opts.Renew, time.Second)
	opts.Retry = cmp.Or(opts.Retry, 200*time.Millisecond)
	return &Load{table: table, holder: holder, opts: opts, log: log,
		stores: map[Key]*share{}, seen: map[string]*seen{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Acquire waits until one of each may be opened, and returns what gives them
// back. Whoever needs several asks for them at once: they are acquired in one
// order, so that no two wait for each other. The order of waiting is kept. The
// error is the cause of the context's end, or a *RefusedError.
func (c *Load) Acquire(ctx context.Context, keys ...Key) (release func(), err error) {
	names := slices.Compact(slices.SortedFunc(slices.Values(keys), Key.compare))
	for i, name := range names {
		if err := c.acquire(ctx, name); err != nil {
			c.release(names[:i])
			return nil, err
		}
	}
	return sync.OnceFunc(func() { c.release(names) }), nil
}

func (c *Load) acquire(ctx context.Context, name Key) error {
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
	turn := make(chan error, 1)
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
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else if err := <-turn; err == nil { // it came at the same moment
		s.inUse--
		s.serve()
	}
	return context.Cause(ctx)
}

func (c *Load) release(names []Key) {
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
	return s.unbounded || (!s.ask && s.inUse < s.held && (!s.waits || s.inUse < s.asked) && time.Now().Before(s.expires))
}

func (s *share) take() {
	s.inUse++
	s.peak = max(s.peak, s.inUse)
}

// serve lets those go on for whom there is a connection.
func (s *share) serve() {
	for len(s.waiting) > 0 && s.free() {
		s.take()
		s.waiting[0] <- nil
		s.waiting = s.waiting[1:]
	}
}

// refuse lets those go who wait.
func (s *share) refuse(why string) {
	for _, turn := range s.waiting {
		turn <- &RefusedError{why}
	}
	s.waiting = nil
}

// run renews the shares until ctx ends.
func (c *Load) run(ctx context.Context) {
	defer close(c.ended)
	for {
		err := c.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.note(err) {
			c.log.WarnContext(ctx, "shares of load not renewed", "error", err)
		}
		c.pause(ctx)
	}
}

// note keeps how a renewal ended, and reports whether it is the first that failed.
func (c *Load) note(err error) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = err != nil && c.trouble == nil
	switch {
	case err == nil:
		c.since = time.Time{}
	case first:
		c.since = time.Now()
	}
	c.trouble = err
	return first
}

// Failing returns since when the shares are not renewed, and the last error; zero
// values if they are.
func (c *Load) Failing() (since time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, c.trouble
}

// pause waits for the next renewal: long while nobody waits, and until somebody
// does; else short.
func (c *Load) pause(ctx context.Context) {
	every, wake := c.opts.Retry, (chan struct{})(nil)
	if !c.isWaiting() {
		every, wake = c.opts.Renew, c.wake
	}
	select {
	case <-time.After(every/2 + rand.N(every)):
	case <-wake:
	case <-ctx.Done():
	}
}

func (c *Load) isWaiting() bool {
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
func (c *Load) renew(ctx context.Context) error {
	claims := c.claims()
	if len(claims) == 0 {
		return nil
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.opts.TTL)
	defer cancel()
	grants, err := c.table.ShareLoad(ctx, c.holder, claims, c.opts.TTL)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range claims {
		s := c.stores[claim.Key]
		s.waits = false
		if err != nil {
			// Whether it was carried out is not known.
			s.held = min(s.held, claim.InUse)
			c.seenAgain(claim)
			continue
		}
		g, known := grants[claim.Key]
		// A store that is gone is nothing to wait for: whoever opens it will see.
		s.unbounded = !known
		s.ask = s.ask && !s.asking
		s.held, s.expires = g.Held, asked.Add(c.opts.TTL)
		s.serve()
		if g.Refused != "" {
			s.refuse(g.Refused)
		}
		if claim.Wanted == 0 && s.inUse == 0 && len(s.waiting) == 0 {
			delete(c.stores, claim.Key)
		}
	}
	return err
}

func (c *Load) claims() []Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	var claims []Claim
	for _, name := range slices.SortedFunc(maps.Keys(c.stores), Key.compare) {
		s := c.stores[name]
		claim := Claim{Key: name, InUse: s.inUse, Wanted: max(s.peak, s.inUse+len(s.waiting))}
		if n := len(claims); n == 0 || claims[n-1].Store != name.Store {
			claim.Seen = c.takeSeen(name.Store)
		}
		claims = append(claims, claim)
		s.peak, s.asked, s.waits, s.asking = s.inUse, s.inUse, true, s.ask
	}
	return claims
}

// Close gives everything back. Nobody may wait any more, or ask.
func (c *Load) Close() {
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
	_ = c.renew(ctx) // what was seen last is told; if that fails, LeaveLoad says why
	if err := c.table.LeaveLoad(ctx, c.holder); err != nil {
		c.log.WarnContext(ctx, "shares of load not given back; they end by themselves", "error", err)
	}
}
