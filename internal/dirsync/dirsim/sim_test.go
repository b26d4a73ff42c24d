package dirsim

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/test/repeat"
)

var (
	seeds    = flag.Int("seeds", 100, "how many seeds to simulate")
	all      = flag.Bool("all", false, "simulate the other seeds too if one fails")
	onlySeed = flag.Uint64("seed", 0, "simulate this seed only, with its story")
)

func TestSimulation(t *testing.T) {
	if *onlySeed != 0 {
		simulate(t, *onlySeed)
		return
	}
	faults, steps, ran := map[string]int{}, 0, 0
	first := uint64(repeat.Run() * *seeds) // each run of make soak has its own
	for s := first + 1; s <= first+uint64(*seeds) && (!t.Failed() || *all); s++ {
		w := simulate(t, s)
		ran++
		steps += w.steps
		for k, n := range w.faults {
			faults[k] += n
		}
	}
	t.Logf("%d seeds from %d on, %d steps, faults %v", ran, first+1, steps, faults)
	for _, kind := range []string{"crash", "pause", "cut", "late commit", "silence", "busy", "write deadline", "lost commit answer", "duplicate",
		"suspended", "approved", "refused", "removed by consent", "full", "poison", "unread", "circle", "failed"} {
		if ran >= 200 && faults[kind] == 0 {
			t.Errorf("no %q was ever injected: the simulation no longer tests it", kind)
		}
	}
}

// TestSameSeedSameStory guards that a failing seed is reproduced by its number.
func TestSameSeedSameStory(t *testing.T) {
	for s := uint64(1); s <= uint64(repeat.Times(30, 100)); s++ {
		a, b := simulate(t, s), simulate(t, s)
		if a.steps != b.steps || !maps.Equal(a.faults, b.faults) {
			t.Errorf("seed %d: %d steps %v, then %d steps %v", s, a.steps, a.faults, b.steps, b.faults)
		}
	}
}

// simulate runs one seed: chaos with everybody at work, then peace, in which the
// directories must become equal and stay so.
func simulate(t *testing.T, seed uint64) *world {
	t.Helper()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(seed)
		if *onlySeed != 0 {
			w.story = func(line string) { t.Log(line) }
			w.tell("%v, pages of %d, ids: %v %v, %+v", w.kinds, w.page, !w.runs.Source.NoIDs, !w.runs.Target.NoIDs, w.runs.Settings)
		}
		w.chaosPhase()
		w.quietPhase()
	})
	for _, v := range w.violations {
		t.Errorf("seed %d: %s", seed, v)
	}
	return w
}

func (w *world) chaosPhase() {
	end := time.Now().Add(6 * time.Minute)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.actors(end)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.chaos, w.suspended, w.full = false, false, false
	}()
	for time.Now().Before(end) {
		_, _, _ = w.run(dirsync.TriggerSchedule)
		time.Sleep(w.delay(5 * time.Second))
	}
	<-done
	time.Sleep(3 * time.Minute) // every lease, every late commit and every forgotten worker is over
}

// quietPhase runs without faults and compares the directories.
func (w *world) quietPhase() {
	w.mu.Lock()
	for _, d := range w.sides() {
		clear(d.Unread)
	}
	w.runs.Settings.ShrinkShare = 0 // what is gone is meant to be
	w.mu.Unlock()
	w.runInPeace()
	w.fullPhase()
}

// runInPeace runs until nothing is due any more, and an operator approves all.
func (w *world) runInPeace() {
	w.runs.Forget()
	for range 6 {
		w.quietRun()
		w.runs.Decide(true)
	}
	if run := w.quietRun(); w.now.writes > 0 || run.Created+run.Altered+run.Renumbers+run.Removed > 0 {
		w.violate("%s finds work in peace: %+v, %d writes", run.RunID, run.Counts, w.now.writes)
	}
	w.compare()
}

// quietRun is a run in peace. What it records is what was written.
func (w *world) quietRun() dirsync.Run {
	_, total, err := w.run(dirsync.TriggerOperator)
	run := w.runs.Run()
	if err != nil || run.State == dirsync.Failed {
		w.violate("%s in peace: %v, %+v", run.RunID, err, run)
	}
	halves, failed := 0, 0
	for _, c := range w.runs.Changes() {
		if c.State == dirsync.ChangeFailed && !strings.Contains(c.Error, "not freed") {
			failed++
		}
		if c.State == dirsync.ChangePlanned {
			w.violate("%s in peace leaves %s %s undone", run.RunID, c.Kind, c.Number)
		}
		if c.Via != "" && c.State == dirsync.ChangeDone {
			halves++
		}
	}
	made := run.Created + run.Altered + run.Renumbers + run.Removed
	if made+halves != total.Done || failed != total.Failed || w.now.landed[directory.Create] != run.Created || w.now.landed[directory.Remove] != run.Removed {
		w.violate("%s records %+v, and %d halves; its pages came to %+v, and %v landed", run.RunID, run.Counts, halves, total, w.now.landed)
	}
	return run
}

// fullPhase has the target reject everything: the run stops, and blames no entry.
func (w *world) fullPhase() {
	w.mu.Lock()
	w.full = true
	fresh := map[string]bool{}
	for range 8 {
		w.made++
		number := fmt.Sprint(5000 + w.made)
		fresh[number] = true
		w.put(w.runs.Source, number)
	}
	w.note()
	w.mu.Unlock()
	_, total, err := w.run(dirsync.TriggerSchedule)
	run := w.runs.Run()
	if err != nil || run.State != dirsync.Failed || !strings.Contains(total.Stopped, "full") {
		w.violate("a target that is full does not stop a run: %v, %+v, %+v", err, run, total)
	}
	for _, c := range w.runs.Changes() {
		if fresh[c.Number] && c.State != dirsync.ChangePlanned {
			w.violate("%s is %s in a target that is full: %s", c.Number, c.State, c.Error)
		}
	}
	w.full = false
	w.runInPeace()
}

// compare reads both directories and reports what differs and is not recorded.
func (w *world) compare() {
	known := map[string]bool{protectedNumber: true}
	at := map[string]string{}
	for _, e := range w.runs.Target.List() {
		at[e.DN] = e.Number
	}
	for _, c := range w.runs.Changes() {
		if c.State == dirsync.ChangeDone {
			continue
		}
		known[c.Number], known[at[c.Target.DN]] = true, true
		w.excuse(c)
	}
	list := func(d *dirsynctest.Directory) map[string][]string {
		all := map[string][]string{}
		for _, e := range d.List() {
			values := valuesOf(e)
			delete(values, directory.Misc1)
			all[e.Number] = append(all[e.Number], fmt.Sprint(values))
		}
		return all
	}
	source, target := list(w.runs.Source), list(w.runs.Target)
	for _, number := range slices.Sorted(maps.Keys(source)) {
		if !known[number] && !slices.Equal(source[number], target[number]) {
			w.violate("%s: the source has %v, the target %v", number, source[number], target[number])
		}
	}
	for _, number := range slices.Sorted(maps.Keys(target)) {
		if !known[number] && source[number] == nil {
			w.violate("%s is on the target alone", number)
		}
	}
}

// excuse checks that a change of the last run in peace may be left.
func (w *world) excuse(c dirsync.Change) {
	switch c.State {
	case dirsync.ChangeRefused:
		return
	case dirsync.ChangeFailed, dirsync.ChangeGivenUp:
		if strings.Contains(c.Error, "not valid") || strings.Contains(c.Error, "number") {
			return
		}
	case dirsync.ChangeTold:
		if c.Kind == directory.Unknown && !w.runs.Settings.RemoveUnknown || c.Kind == directory.Duplicate || c.Kind == directory.Protected {
			return
		}
		// What takes its number, or keeps it from it, is not made.
		if slices.ContainsFunc(w.runs.Changes(), func(o dirsync.Change) bool {
			return o.Seq != c.Seq && (o.Number == c.Number || c.Kind == directory.Create && o.State == dirsync.ChangeFailed) && o.State != dirsync.ChangeDone
		}) {
			return
		}
	case dirsync.ChangePlanned, dirsync.ChangeHeld, dirsync.ChangeDone:
	}
	w.violate("%s %s is %s in peace: %s", c.Kind, c.Number, c.State, c.Error)
}
