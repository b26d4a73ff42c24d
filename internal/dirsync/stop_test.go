package dirsync_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
)

func TestApplyDirectoryStopsAtAServerThatRefusesEverything(t *testing.T) {
	synctest.Test(t, testApplyDirectoryStopsAtAServerThatRefusesEverything)
}

func testApplyDirectoryStopsAtAServerThatRefusesEverything(t *testing.T) {
	for _, test := range []struct {
		kind    fault.Kind
		entries int
		stopped bool
	}{{fault.Config, 4, false}, {fault.Config, 20, true}, {fault.Permanent, 49, false}, {fault.Permanent, 70, true}} {
		m := newMirrorer(t)
		for i := range test.entries {
			m.runs.Source.Put(fmt.Sprint(1000+i), nil)
		}
		m.runs.Target.OnWrite = func(directory.Operation) error { return fault.New(test.kind, "add entry: no", nil, "mend it") }
		m.compare(dirsync.TriggerOperator)
		result, err := m.apply(100)
		if err != nil || (result.Stopped != "") != test.stopped {
			t.Errorf("%d entries, %s: %+v, %v", test.entries, test.kind, result, err)
		}
		failed := 0
		for _, c := range m.runs.Changes() {
			if c.State == dirsync.ChangeFailed {
				failed++
			}
		}
		want := test.entries
		if test.stopped {
			want = 0 // none is to blame
		}
		if failed != want || m.runs.Held() {
			t.Errorf("%d entries, %s: %d failed, want %d; lease held: %v", test.entries, test.kind, failed, want, m.runs.Held())
		}
	}
}

// Entries side by side that the target refuses keep nobody else out, wherever they
// lie, in this run and in those after it, and are made good when it takes them.
func TestApplyDirectoryPassesABlockOfEntries(t *testing.T) {
	synctest.Test(t, testApplyDirectoryPassesABlockOfEntries)
}

func testApplyDirectoryPassesABlockOfEntries(t *testing.T) {
	const entries, block = 30, 8
	for _, first := range []int{0, 11, entries - block} {
		m := newMirrorer(t)
		for i := range entries {
			m.runs.Source.Put(fmt.Sprint(1000+i), nil)
		}
		m.runs.Target.OnWrite = m.refuse(fault.Config, 1000+first, block)
		for run := range 3 {
			m.compare(dirsync.TriggerOperator)
			done := 0
			if run == 0 {
				done = entries - block
			}
			result, err := m.apply(100)
			if err != nil || result.Stopped != "" || result.Done != done || result.Failed != block {
				t.Fatalf("from %d, run %d: %+v, %v", first, run, result, err)
			}
			for _, c := range m.runs.Changes() {
				if blamed := c.State == dirsync.ChangeFailed; blamed && c.Failures != 1 {
					t.Errorf("from %d, run %d: %+v", first, run, c)
				}
			}
			if state := m.finish(); state != dirsync.Done {
				t.Errorf("from %d, run %d: it is %s", first, run, state)
			}
			if told := m.runs.Run(); len(told.Reasons) != 1 || !strings.Contains(told.Reasons[0], "8 of the changes failed") || told.Hint != "mend it" {
				t.Errorf("from %d, run %d: it says %q (%s)", first, run, told.Reasons, told.Hint)
			}
		}
		m.runs.Target.OnWrite = nil
		m.compare(dirsync.TriggerOperator)
		if result, err := m.apply(100); err != nil || result.Done != block {
			t.Errorf("from %d, at last: %+v, %v", first, result, err)
		}
		m.equal()
	}
}

// added is the number of an entry that is being created.
func (m *mirrorer) added(op directory.Operation) string {
	rdn, _, _ := strings.Cut(op.Add.DN, ",")
	return strings.TrimPrefix(rdn, m.runs.Target.Mapping.RDN+"=")
}

// refuse makes the target refuse entries of consecutive numbers.
func (m *mirrorer) refuse(kind fault.Kind, first, n int) func(directory.Operation) error {
	return func(op directory.Operation) error {
		number, err := strconv.Atoi(m.added(op))
		if err != nil || number < first || number >= first+n {
			return err
		}
		return fault.New(kind, "add entry: no", nil, "mend it")
	}
}

// A target that takes nothing any more, half-way, is not the fault of the entries
// that were left.
func TestApplyDirectoryStopsAtAServerThatIsFull(t *testing.T) {
	synctest.Test(t, testApplyDirectoryStopsAtAServerThatIsFull)
}

func testApplyDirectoryStopsAtAServerThatIsFull(t *testing.T) {
	m := newMirrorer(t)
	for i := range 100 {
		m.runs.Source.Put(fmt.Sprint(1000+i), nil)
	}
	m.runs.Target.OnWrite = m.refuse(fault.Config, 1040, 60)
	m.compare(dirsync.TriggerOperator)
	result, err := m.apply(500)
	if err != nil || result.Done != 40 || result.Failed > 0 || !strings.Contains(result.Stopped, "5 changes in a row, and 50 of the rest") || result.Hint != "mend it" {
		t.Errorf("%+v, %v", result, err)
	}
}

// Refusals that say different things are no row, so that the run goes on: for a
// server that takes nothing for days nobody is given up, for entries of which it
// does not take the values each is.
func TestApplyDirectoryGivesNobodyUpForTheServer(t *testing.T) {
	synctest.Test(t, testApplyDirectoryGivesNobodyUpForTheServer)
}

func testApplyDirectoryGivesNobodyUpForTheServer(t *testing.T) {
	for kind, want := range map[fault.Kind]int{fault.Config: 1, fault.Permanent: 12} {
		m := newMirrorer(t)
		m.runs.Settings.GiveUp = 0
		for i := range 8 {
			m.runs.Source.Put(fmt.Sprint(1000+i), nil)
		}
		writes := 0
		m.runs.Target.OnWrite = func(directory.Operation) error {
			writes++
			return fault.New(kind, fmt.Sprintf("add entry: no, for the %d. time", writes), nil, "mend it")
		}
		for range 12 {
			m.compare(dirsync.TriggerOperator)
			if result, err := m.apply(100); err != nil || result.Stopped != "" || result.Failed != 8 {
				t.Fatalf("%s: %+v, %v", kind, result, err)
			}
		}
		for _, c := range m.runs.Changes() {
			if c.Failures != want {
				t.Errorf("%s: %+v, want %d failures", kind, c, want)
			}
		}
	}
}

// A server that is full says so of whatever it is given, in other words.
func TestApplyDirectoryStopsWhateverIsRefused(t *testing.T) {
	synctest.Test(t, testApplyDirectoryStopsWhateverIsRefused)
}

func testApplyDirectoryStopsWhateverIsRefused(t *testing.T) {
	m := newMirrorer(t)
	for i := range 100 {
		m.runs.Source.Put(fmt.Sprint(1000+i), nil)
	}
	m.runs.Target.OnWrite = func(op directory.Operation) error {
		switch number := m.added(op); {
		case number < "1030":
			return nil
		case number < "1050":
			return fault.New(fault.Config, "add entry: full", nil, "make room")
		default:
			return fault.New(fault.Config, "add entry: full, at "+number, nil, "make room")
		}
	}
	m.compare(dirsync.TriggerOperator)
	if result, err := m.apply(500); err != nil || result.Done != 30 || result.Failed > 0 || !strings.Contains(result.Stopped, "5 changes in a row, and 50 of the rest") {
		t.Errorf("%+v, %v", result, err)
	}
}

// The one entry that is not refused is found among those that are, and mirrored.
func TestApplyDirectoryFindsWhoIsNotRefused(t *testing.T) {
	synctest.Test(t, testApplyDirectoryFindsWhoIsNotRefused)
}

func testApplyDirectoryFindsWhoIsNotRefused(t *testing.T) {
	m := newMirrorer(t)
	for i := range 40 {
		m.runs.Source.Put(fmt.Sprint(1000+i), nil)
	}
	m.runs.Target.OnWrite = m.refuse(fault.Config, 1000, 39)
	m.compare(dirsync.TriggerOperator)
	if result, err := m.apply(100); err != nil || result.Stopped != "" || result.Done != 1 || result.Failed != 39 || !m.runs.Target.Has("1039") {
		t.Errorf("%+v, %v", result, err)
	}
}

// The worker loses the target at each write, those that are made to find out whom
// it refuses among them. The attempt after it ends in the same state, and blames
// each entry once.
func TestApplyDirectoryAsksAgainAfterDeath(t *testing.T) {
	synctest.Test(t, testApplyDirectoryAsksAgainAfterDeath)
}

func testApplyDirectoryAsksAgainAfterDeath(t *testing.T) {
	const entries, block = 30, 8
	for at := range 14 {
		m := newMirrorer(t)
		for i := range entries {
			m.runs.Source.Put(fmt.Sprint(1000+i), nil)
		}
		refuse, writes, dead := m.refuse(fault.Config, 1002, block), 0, true
		m.runs.Target.OnWrite = func(op directory.Operation) error {
			if writes++; dead && writes > at {
				return lost()
			}
			return refuse(op)
		}
		m.runs.Target.OnOpen = func() error {
			if dead && writes > at {
				return fault.Newf(fault.Transient, "connect: nothing listens")
			}
			return nil
		}
		m.compare(dirsync.TriggerOperator)
		if _, err := m.apply(100); err == nil {
			t.Fatalf("died at %d: it did not", at)
		}
		for _, c := range m.runs.Changes() {
			if c.State == dirsync.ChangeFailed && c.Number >= "1010" {
				t.Errorf("died at %d: %+v", at, c)
			}
		}
		dead = false
		result, err := m.apply(100)
		if err != nil || result.Stopped != "" {
			t.Errorf("died at %d: %+v, %v", at, result, err)
		}
		for _, c := range m.runs.Changes() {
			want := dirsync.ChangeDone
			if c.Number >= "1002" && c.Number < "1010" {
				want = dirsync.ChangeFailed
			}
			if c.State != want || want == dirsync.ChangeFailed && c.Failures != 1 {
				t.Errorf("died at %d: %+v", at, c)
			}
		}
	}
}

// Different refusals between others are each entry's own.
func TestApplyDirectoryGoesOnPastAnEntry(t *testing.T) {
	synctest.Test(t, testApplyDirectoryGoesOnPastAnEntry)
}

func testApplyDirectoryGoesOnPastAnEntry(t *testing.T) {
	m := newMirrorer(t)
	for i := range 30 {
		m.runs.Source.Put(fmt.Sprint(1000+i), nil)
	}
	n := 0
	m.runs.Target.OnWrite = func(directory.Operation) error {
		if n++; n%3 == 0 {
			return fault.Newf(fault.Config, "add entry: no rights")
		}
		return nil
	}
	m.compare(dirsync.TriggerOperator)
	result, err := m.apply(100)
	if err != nil || result.Stopped != "" || result.Failed == 0 || result.Done+result.Failed != 30 {
		t.Errorf("%+v, %v", result, err)
	}
}

// An entry that the server has locked is its own affair; a server that is busy
// with everything ends the page, and no entry is to blame.
func TestApplyDirectoryPassesALockedEntry(t *testing.T) {
	synctest.Test(t, testApplyDirectoryPassesALockedEntry)
}

func testApplyDirectoryPassesALockedEntry(t *testing.T) {
	for _, test := range []struct{ entries, locked, done, failed int }{{10, 1, 9, 1}, {6, 6, 0, 0}} {
		m := newMirrorer(t)
		for i := range test.entries {
			m.runs.Source.Put(fmt.Sprint(1000+i), nil)
		}
		tries := 0
		m.runs.Target.OnWrite = func(op directory.Operation) error {
			if m.added(op) < fmt.Sprint(1000+test.locked) {
				tries++
				return fault.New(fault.Transient, "add entry", directory.ErrBusy, "see the server's log")
			}
			return nil
		}
		m.compare(dirsync.TriggerOperator)
		result, err := m.apply(100)
		if err != nil || result.Done != test.done || result.Failed != test.failed || (result.Stopped != "") != (test.failed == 0) {
			t.Errorf("%d locked: %+v, %v", test.locked, result, err)
		}
		if want := 5 * test.locked; tries != want || m.runs.Held() {
			t.Errorf("%d locked: %d tries, want %d; lease held: %v", test.locked, tries, want, m.runs.Held())
		}
	}
}
