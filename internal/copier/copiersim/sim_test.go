package copiersim

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
	"mailmirror/test/repeat"
)

var (
	seeds    = flag.Int("seeds", 300, "how many seeds to simulate")
	onlySeed = flag.Uint64("seed", 0, "simulate this seed only, with its story")
)

// named seeds found a bug in the simulation as it stands; the bug is in the
// comment. Those that an earlier simulation found are scenes in
// protocol_test.go, since a seed means another story there.
var named = []uint64{
	6780,  // a folder was renamed to the name of one that the target had lost, whose pairs were taken for its own
	22349, // what arrived under an intent and was altered was paired with a twin, and never read back
	35615, // between a look at the kept messages and the removal the folder was made anew: others were removed
	38114, // a message that could not be read was paired by its place, and taken for the mirror's own
}

func newEngine(l copier.Ledger) *copier.Engine {
	return copier.NewEngine(l, sleep.Clock{}, copier.Options{Lease: lease.Times{TTL: leaseTTL, Fence: fence}, ConfirmEvery: 5, InTurn: true}, slog.New(slog.DiscardHandler))
}

func TestSimulation(t *testing.T) {
	if *onlySeed != 0 {
		simulate(t, *onlySeed)
		return
	}
	for _, s := range named {
		t.Run(fmt.Sprintf("named/%d", s), func(t *testing.T) { simulate(t, s) })
	}
	faults, steps, ran := map[string]int{}, 0, 0
	first := uint64(repeat.Run() * *seeds) // each run of make soak has its own
	for s := first + 1; s <= first+uint64(*seeds) && !t.Failed(); s++ {
		w := simulate(t, s)
		ran++
		steps += w.steps
		for k, n := range w.faults {
			faults[k] += n
		}
	}
	t.Logf("%d seeds from %d on, %d steps, faults %v", ran, first+1, steps, faults)
	for _, kind := range []string{"crash", "pause", "cut", "late commit", "write deadline", "lost commit answer",
		"held", "target only", "outage", "restored", "approved", "refused", "cut in a move", "cut after a copy", "not purged",
		"suspended ", "suspended dr", "suspended next", "restored to the source", "restored to the target"} {
		if ran >= 200 && faults[kind] == 0 {
			t.Errorf("no %q was ever injected: the simulation no longer tests it", kind)
		}
	}
}

// simulate runs one seed: chaos with users at work, then peace, in which the
// mailbox must become equal and stay so.
func simulate(t *testing.T, seed uint64) *world {
	t.Helper()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(seed)
		if *onlySeed != 0 {
			w.story = func(line string) { t.Log(line) }
			w.tell("target: %+v, source: %+v", w.target.feat, w.source.feat)
		}
		for range 12 {
			w.source.userAct()
		}
		w.chaosPhase()
		w.quietPhase(t)
	})
	for _, v := range w.violations {
		t.Errorf("seed %d: %s", seed, v)
	}
	return w
}

// TestSameSeedSameStory guards that a failing seed is reproduced by its number.
func TestSameSeedSameStory(t *testing.T) {
	for s := uint64(1); s <= uint64(repeat.Times(100, 300)); s++ {
		a, b := simulate(t, s), simulate(t, s)
		if a.steps != b.steps || !maps.Equal(a.faults, b.faults) {
			t.Errorf("seed %d: %d steps %v, then %d steps %v", s, a.steps, a.faults, b.steps, b.faults)
		}
	}
}

// chaosPhase lets workers sync, crash and start again while users work.
func (w *world) chaosPhase() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	job := w.job()
	var all sync.WaitGroup
	for i := range 1 + w.rng.IntN(2) {
		all.Go(func() {
			time.Sleep(time.Duration(1 + i)) // in turn, so that the seed decides all
			for life := 0; ctx.Err() == nil; life++ {
				k := &worker{w: w, name: fmt.Sprintf("worker %d.%d", i, life)}
				k.run(ctx, job)
				sleep.For(ctx, w.delay(5*time.Second))
			}
		})
	}
	all.Go(func() {
		time.Sleep(10 * time.Nanosecond) // after the workers
		for sleep.For(ctx, w.delay(6*time.Second)) {
			w.mu.Lock()
			switch roll := w.rng.IntN(100); {
			case roll < 65:
				w.source.userAct()
			case roll < 80:
				w.operatorAct()
			case roll < 95:
				if w.restores && w.chance(60) {
					w.restoration()
				}
				w.target.userAct()
			case roll < 97:
				w.outage()
			default:
				w.faults["ledger lost"]++
				w.forgets++
				w.movesLost = true
				w.lostInSync = w.lostInSync || !w.ledger.lease.Clean
				w.ledger.folders = map[mailbox.FolderName]*copier.FolderState{}
			}
			w.leaveInKept()
			w.mu.Unlock()
		}
	})
	if w.suspends {
		for i, of := range [][]string{{""}, {linkDR, linkNext}} {
			all.Go(func() {
				time.Sleep(time.Duration(20 + i))
				w.suspensions(ctx, of...)
			})
		}
		all.Go(func() {
			time.Sleep(30 * time.Nanosecond)
			w.restorer(ctx)
		})
	}
	all.Wait()
	w.mu.Lock()
	w.chaos = false
	w.mu.Unlock()
	time.Sleep(time.Minute) // every lease and every late commit is over
}

// quietPhase syncs without faults and compares the stores.
func (w *world) quietPhase(t *testing.T) {
	k := &worker{w: w, name: "last", cancel: func() {}}
	engine := newEngine(&workerLedger{k: k})
	job := w.job()
	job.Source, job.Target = &storePort{k: k, s: w.source}, &storePort{k: k, s: w.target}
	if w.lostOften() || w.restored {
		// No counter tells of a target that was restored once it has as many messages
		// and changes as before: the daily rebuild finds what is missing there. Users of the target deleted a message too often, as this sync may find:
		// only one that an operator asks for copies it again at once.
		_, _ = engine.Sync(t.Context(), job)
		job.Force = true
		if _, err := w.syncInPeace(t.Context(), engine, job); err != nil {
			w.violate("an operator's sync in peace: %v", err)
			return
		}
		job.Force = false
	}
	job.Retry = true // as a compare does: chance may have cut three connections at one message
	first, err := w.syncInPeace(t.Context(), engine, job)
	if err != nil {
		w.violate("sync in peace: %v", err)
		return
	}
	w.compare()
	w.checkDifferences(first)
	job.Retry = false
	again, err := engine.Sync(t.Context(), job)
	if err != nil || !again.Idle() {
		w.violate("second sync in peace: %+v, %v", again, err)
	}
	for _, s := range []*store{w.source, w.target} {
		w.mu.Lock()
		// As long as fewer came again than were lost, UIDNEXT tells.
		for range w.rng.IntN(max(1, s.restore(mailbox.Inbox, 3))) {
			content, date := w.content()
			s.userPut(mailbox.Inbox, content, w.flags(), date)
		}
		w.mu.Unlock()
		if _, err := w.syncInPeace(t.Context(), engine, job); err != nil {
			w.violate("sync after the %s came back from a backup: %v", s.name, err)
			return
		}
		w.compare()
	}
	job.Force = true
	if w.target.feat.refusesUrgent || w.target.feat.redates {
		// The first forced sync may set keywords that were given up together
		// with a refused one, and copy anew what the target gave another date
		// and a ledger that was lost under a running sync knows no partner of.
		if _, err := w.syncInPeace(t.Context(), engine, job); err != nil {
			w.violate("forced sync in peace: %v", err)
		}
	}
	forced, err := engine.Sync(t.Context(), job)
	if err != nil || !forced.Idle() {
		w.violate("forced sync in peace: %+v, %v", forced, err)
	}
	job.Force = false
	w.purgePhase(t.Context(), engine, job)
}

// checkDifferences holds the number of lasting differences to what the target
// cannot keep. What was altered is known only to a ledger that was there when
// it was appended.
func (w *world) checkDifferences(r copier.Report) {
	least, most := 0, 0
	for name, f := range w.source.folders {
		for _, m := range f.messages {
			if w.target.refuses(name, m.content) {
				// Moved along, or in a folder that was renamed, it is no difference.
				if most++; !w.target.feat.move && w.target.count(name, m.content) == 0 {
					least++
				}
				continue
			}
			if w.target.keptFlags(m.flags) != m.flags {
				least, most = least+1, most+1
			}
			if w.target.kept(m.content) != m.content || !w.target.keptDate(m.date).Equal(m.date) {
				most++
				if w.forgets == 0 {
					least++
				}
			}
		}
	}
	for _, f := range w.ledger.folders {
		for _, d := range f.Differences {
			// What users of the target did in mid-sync looks as if the target undid it.
			if d.Kind == copier.FolderKept || d.Kind == copier.SubscriptionKept || d.Kind == copier.OnlyCopy {
				most++
			}
		}
	}
	if w.lostInSync {
		// What the sync had saved before is gone and what it saved after is not,
		// so that a folder may count as equal with nothing known of it. The next
		// rebuild of the ledger tells its differences again.
		least = 0
	}
	if n := r.Differences; !w.target.feat.refusesUrgent && (n < least || n > most) {
		w.violate("%d lasting differences are shown, want %d to %d", n, least, most)
		for name, f := range w.ledger.folders {
			w.tell("%s: differences %v", name, f.Differences)
		}
	}
	if (r.Outcome == copier.Differing) != (r.Differences > 0) {
		w.violate("%d lasting differences and the outcome is %s", r.Differences, r.Outcome)
	}
}

// compare reads both stores and reports what differs beyond what the target
// cannot do.
func (w *world) compare() {
	names := map[mailbox.FolderName]bool{}
	for _, s := range []*store{w.source, w.target} {
		for name := range s.folders {
			if !isKept(name) {
				names[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s, t := w.source.folders[name], w.target.folders[name]
		if s == nil && w.onlyCopies(t) == len(t.messages) && len(t.messages) > 0 {
			continue
		}
		if s == nil && len(t.messages) == 0 && (w.source.levels()[name] || w.wouldNotGo(name)) {
			continue // what a name that folders stand below is by itself differs
		}
		if s == nil || t == nil {
			w.violate("%s: is on one side only", name)
			continue
		}
		if s.subscribed != t.subscribed {
			w.violate("%s: subscription differs", name)
		}
		if want, got := w.expected(name, s), w.held(t); !maps.Equal(want, w.withoutOnlyCopies(t, want, got)) {
			w.violate("%s: want %v\n got %v", name, want, got)
		}
	}
}

// lacking returns the contents that the target refuses where the source has them.
func (w *world) lacking() map[string]bool {
	out := map[string]bool{}
	for name, f := range w.source.folders {
		for _, m := range f.messages {
			if w.target.refuses(name, m.content) {
				out[w.target.kept(m.content)] = true
			}
		}
	}
	return out
}

// onlyCopies counts the messages of a folder of the target that the source has in a
// folder in which the target refuses them.
func (w *world) onlyCopies(t *folder) (n int) {
	lacking := w.lacking()
	for _, m := range t.messages {
		if lacking[m.content] {
			n++
		}
	}
	return n
}

// withoutOnlyCopies leaves out of got, what a folder of the target has, those messages
// beyond want that may be its only copies.
func (w *world) withoutOnlyCopies(t *folder, want, got map[string]int) map[string]int {
	lacking := w.lacking()
	for _, m := range t.messages {
		if !lacking[m.content] {
			continue
		}
		for key := range got {
			if strings.HasPrefix(key, fmt.Sprintf("%q ", m.content)) && got[key] > want[key] {
				if got[key]--; got[key] == 0 {
					delete(got, key)
				}
				break
			}
		}
	}
	return got
}

func (w *world) expected(name mailbox.FolderName, f *folder) map[string]int {
	out := map[string]int{}
	for _, m := range f.messages {
		c := *m
		if w.target.refuses(name, c.content) {
			continue
		}
		c.content, c.date = w.target.kept(c.content), w.target.keptDate(c.date)
		c.flags = w.target.keptFlags(c.flags)
		if w.target.feat.refusesUrgent {
			c.flags = c.flags.System() // which keywords are left depends on the order of changes
		}
		out[c.String()]++
	}
	return out
}

func (w *world) held(f *folder) map[string]int {
	out := map[string]int{}
	for _, m := range f.messages {
		c := *m
		if w.target.feat.refusesUrgent {
			c.flags = c.flags.System()
		}
		out[c.String()]++
	}
	return out
}
