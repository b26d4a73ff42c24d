package dirsim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/sleep"
)

// A write lands at most maxLate after its connection died.
const (
	leaseTTL = 15 * time.Second
	fence    = 2 * time.Second
	maxLate  = 1500 * time.Millisecond
)

var times = lease.Times{TTL: leaseTTL, Fence: fence}

// world is everything of one seed. Its mutex makes each step atomic; the bubble's clock
// makes their order depend on the seed alone.
type world struct {
	mu         sync.Mutex
	rng        *rand.Rand
	runs       *dirsynctest.Runs
	chaos      bool // faults are injected
	suspended  bool
	violations []string
	begin      time.Time
	story      func(string) // nil unless a single seed is looked at
	steps      int
	faults     map[string]int

	poison map[string]bool // numbers that the target rejects
	full   bool            // the target rejects everything
	made   int             // numbers and values that were given out
	kinds  map[string]bool // of trouble that this world has
	page   int
	now    *account
	// past are the values that entries of both sides had, by number.
	past [2]map[string][]moment
	// since is when the source's entry of a number came.
	since map[string]time.Time
}

// account is what happened in one run.
type account struct {
	run     string
	began   time.Time
	removed map[string]bool // without an operator's consent
	trouble map[string]bool // numbers whose entries failed
	landed  map[directory.ChangeKind]int
	writes  int
}

func newAccount(run string) *account {
	return &account{run: run, began: time.Now(), removed: map[string]bool{}, trouble: map[string]bool{}, landed: map[directory.ChangeKind]int{}}
}

// columns are those that the source's mapping has. Of those, the target's lacks Misc1.
var columns = []directory.Column{directory.Password, directory.CommonName, directory.LastName, directory.FirstName, directory.Misc1}

const protectedNumber = "1999"

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x646972)), runs: dirsynctest.NewRuns(), chaos: true, begin: time.Now(),
		faults: map[string]int{}, poison: map[string]bool{}, kinds: map[string]bool{}, page: 100, now: newAccount(""), since: map[string]time.Time{},
		past: [2]map[string][]moment{{}, {}}}
	names := map[directory.Column]string{directory.MailboxNumber: "MailboxNumber", directory.Misc1: "Misc1"}
	for _, c := range columns {
		names[c] = string(c)
	}
	w.runs.Source.Mapping.Names = names
	target := map[directory.Column]string{}
	for c, name := range names {
		if c != directory.Misc1 {
			target[c] = name
		}
	}
	target[directory.CommonName] = "displayName"
	w.runs.Target.Mapping.Names = target
	w.runs.Target.Mapping.Protected = []string{protectedNumber}
	w.runs.Source.NoIDs, w.runs.Target.NoIDs = w.chance(12), w.chance(12)
	w.runs.Settings = dirsync.DefaultSettings()
	l := &w.runs.Settings.Limits
	l.RemoveCount, l.RemoveShare, l.ShareMinimum = 2+w.rng.IntN(3), 20, 5
	l.ChangeCount, l.ChangeShare, l.ShrinkShare = 20, 90, 50*w.rng.IntN(2)
	w.runs.Settings.RemoveUnknown, w.runs.Settings.GiveUp = w.chance(50), 8
	w.runs.Still = func() bool { return w.suspended }
	w.runs.Shuffle = w.rng.Shuffle
	for _, kind := range []string{"crash", "cut", "poison", "full", "unread", "suspension", "database", "duplicate"} {
		w.kinds[kind] = w.chance(75)
	}
	if w.chance(50) {
		w.page = 6 + w.rng.IntN(6)
	}
	for range 8 + w.rng.IntN(10) {
		w.userAct()
	}
	for range w.rng.IntN(8) {
		w.administratorAct()
	}
	return w
}

// chance is true in pc of 100 cases.
func (w *world) chance(pc int) bool { return w.rng.IntN(100) < pc }

// trouble is true in some of a thousand cases, if the world has that kind of trouble.
func (w *world) trouble(kind, what string, perMille int) bool {
	if !w.chaos || !w.kinds[kind] || w.rng.IntN(1000) >= perMille {
		return false
	}
	w.faults[what]++
	return true
}

func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
	w.tell("VIOLATION "+format, args...)
}

// tell adds a line to the story of a seed that is looked at.
func (w *world) tell(format string, args ...any) {
	if w.story != nil {
		w.story(fmt.Sprintf("%8.3fs ", time.Since(w.begin).Seconds()) + fmt.Sprintf(format, args...))
	}
}

// delay draws a duration that two goroutines practically never share, so that the order
// of events is the seed's alone.
func (w *world) delay(atMost time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(1 + w.rng.Int64N(int64(atMost)))
}

// worker is one process: when it crashes nothing of it has any effect more, but for what
// its connections already carry.
type worker struct {
	w       *world
	name    string
	step    string
	crashed bool
	paused  time.Time
	cancel  context.CancelFunc
	epoch   int64 // of the lease that it took last
	now     *account
}

func (k *worker) engine() *dirsync.Engine {
	r := records{k}
	ports := dirsync.Ports{Directories: r, Runs: r, Changes: r, Members: r, Settings: r, Leases: r}
	return dirsync.NewEngine(ports, sleep.Clock{}, times, slog.New(slog.DiscardHandler))
}

var errCrashed = fault.Newf(fault.Transient, "this worker is dead")

// gate is passed by every call that a worker makes; it is where time goes by and where
// the process itself may fail.
func (k *worker) gate(ctx context.Context) error {
	time.Sleep(k.w.delay(4 * time.Millisecond))
	k.w.mu.Lock()
	k.w.steps++
	switch {
	case k.crashed:
	case k.w.trouble("crash", "crash", 4):
		k.w.tell("%s crashes", k.name)
		k.crashed = true
		k.cancel()
	case k.w.trouble("crash", "pause", 3):
		k.paused = time.Now().Add(time.Duration(k.w.rng.Int64N(int64(40 * time.Second))))
		k.w.tell("%s pauses for %s", k.name, time.Until(k.paused))
	}
	paused := time.Until(k.paused)
	if paused > 0 {
		// Not two goroutines at one instant: their order would be chance.
		paused += time.Duration(k.w.rng.Int64N(int64(time.Millisecond)))
	}
	k.w.mu.Unlock()
	if paused > 0 {
		time.Sleep(paused)
	}
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if k.crashed {
		return errCrashed
	}
	return ctx.Err()
}

// alive reports whether the worker's heartbeats arrive.
func (k *worker) alive() bool {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return !k.crashed && time.Until(k.paused) < 5*time.Second
}

// dead reports whether the worker crashed.
func (k *worker) dead() bool {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.crashed
}
