package copiersim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// Fence and lateness: a write lands at most late after its connection died.
const (
	leaseTTL = 15 * time.Second
	fence    = 2 * time.Second
	maxLate  = 1500 * time.Millisecond
)

// world is everything of one seed. Its mutex makes each step atomic; the
// bubble's clock makes their order depend on the seed alone.
type world struct {
	mu         sync.Mutex
	rng        *rand.Rand
	source     *store
	target     *store
	ledger     *ledger
	chaos      bool // faults are injected
	violations []string
	begin      time.Time
	story      func(string) // nil unless a single seed is looked at
	steps      int
	forgets    int // what makes the ledger forget which messages were altered
	faults     map[string]int
	guarded    bool           // the deletion guard has limits
	keeps      bool           // deleted messages are kept on the target
	removed    map[string]int // messages that the engine deleted while they are kept
	movesLost  bool           // the ledger was lost, and with it what was being moved
	lostInSync bool           // it was lost while a worker held the lease
	still      time.Time      // until when no worker begins a sync
	restores   bool           // the target is restored from backups
	suspends   bool           // everything and links are suspended, and messages are restored
	restore    func()         // restores it from the last one
	restored   bool           // that was done
	dates      int            // how many dates were given out since
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x6d61696c)), begin: time.Now(), chaos: true, faults: map[string]int{}, removed: map[string]int{}}
	w.source = newStore(w, "source", features{condstore: w.chance(80), uidplus: true, keywords: true})
	w.target = newStore(w, "target", features{condstore: w.chance(80), uidplus: w.chance(75), keywords: w.chance(85),
		altersNUL: w.chance(30), refusesPoison: w.chance(30), noRename: w.chance(15), refusesUrgent: w.chance(15),
		redates: w.chance(20), keepsLevels: w.chance(20), multiappend: w.chance(50), move: w.chance(50)})
	w.restores = seed%5 == 3 // asks for no random number: other seeds keep their stories
	w.target.feat.refusesInPlaces = seed%3 == 0
	w.guarded, w.keeps = w.chance(60), w.chance(40)
	w.ledger = &ledger{w: w, leases: newLeases(w), folders: map[mailbox.FolderName]*copier.FolderState{}, holds: map[mailbox.FolderName]*hold{},
		permitted: map[place]bool{}, copied: map[place]bool{}, consented: map[place]bool{}}
	w.ledger.lease = w.ledger.leases.rows[mirrorOfDR]
	w.suspends = seed%7 < 3 // neither
	return w
}

// job is the mailbox to be synced, as this world has it.
func (w *world) job() copier.Job {
	job := copier.Job{Key: mirrorOfDR.Key, Greetings: mailbox.DefaultGreetings}
	if w.guarded {
		job.Limits = limits()
	}
	if w.keeps {
		job.Keep = copier.Keep{For: 24 * time.Hour, Folder: keptIn}
	}
	return job
}

// chance is true in pc of 100 cases.
func (w *world) chance(pc int) bool { return w.rng.IntN(100) < pc }

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

// delay draws a duration that two goroutines practically never share, so that
// the order of events is the seed's alone.
func (w *world) delay(atMost time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(1 + w.rng.Int64N(int64(atMost)))
}

// worker is one process: when it crashes nothing of it has any effect more,
// but for what its connections already carry.
type worker struct {
	w       *world
	name    string
	crashed bool
	paused  time.Time
	epoch   int64     // of its lease
	began   time.Time // its sync; zero in a scene
	cancel  context.CancelFunc
}

var errCrashed = fault.Newf(fault.Transient, "this worker is dead")

// gate is passed by every call a worker makes; it is where time goes by and
// where the process itself may fail.
func (k *worker) gate(ctx context.Context) error {
	time.Sleep(k.w.delay(4 * time.Millisecond))
	k.w.mu.Lock()
	k.w.steps++
	if k.w.chaos && !k.crashed {
		switch roll := k.w.rng.IntN(1000); {
		case roll < 8:
			k.crash()
		case roll < 12:
			k.w.faults["pause"]++
			k.paused = time.Now().Add(time.Duration(k.w.rng.Int64N(int64(40 * time.Second))))
		}
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

// stall lets the worker lose its lease now and then just before it tells the
// ledger something: the zombie that the epoch is there for.
func (k *worker) stall() {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if k.w.chaos && !k.crashed && k.w.rng.IntN(1000) < 15 {
		k.w.faults["stall"]++
		k.paused = time.Now().Add(leaseTTL + fence + time.Duration(k.w.rng.Int64N(int64(10*time.Second))))
	}
}

func (k *worker) crash() {
	k.w.faults["crash"]++
	k.w.tell("%s crashes", k.name)
	k.crashed = true
	k.cancel()
}

// run syncs again and again until ctx ends or the worker dies.
func (k *worker) run(ctx context.Context, job copier.Job) {
	ctx, k.cancel = context.WithCancel(ctx)
	defer k.cancel()
	engine := newEngine(&workerLedger{k: k})
	job.Source = &storePort{k: k, s: k.w.source}
	job.Target = &storePort{k: k, s: k.w.target}
	for ctx.Err() == nil {
		k.w.mu.Lock()
		still := time.Until(k.w.still)
		k.w.mu.Unlock()
		if still > 0 && !sleep.For(ctx, still+k.w.delay(time.Second)) {
			return
		}
		job.Force = k.w.delay(10) == 1
		k.began = time.Now()
		report, err := engine.Sync(ctx, job)
		k.w.mu.Lock()
		k.w.tell("%s synced: %s %+v %+v %v", k.name, report.Outcome, report.Messages, report.Folders, err)
		k.w.mu.Unlock()
		sleep.For(ctx, k.w.delay(4*time.Second))
	}
}
