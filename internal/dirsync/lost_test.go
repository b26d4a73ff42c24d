package dirsync_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
)

// lost is the end of a connection without an answer.
func lost() error {
	return &fault.Error{Kind: fault.Transient, Op: "write: the server closed the connection", Lost: true}
}

// quiet is a server that does not answer in time.
func quiet() error {
	return &fault.Error{Kind: fault.Transient, Op: "write: no answer", Hint: "is the server overloaded?", Silent: true}
}

func numbered(m *mirrorer, entries int) {
	for i := range entries {
		m.runs.Source.Put(fmt.Sprint(1000+i), nil)
	}
}

// states counts the changes of a run by what became of them.
func states(m *mirrorer) map[dirsync.ChangeState]int {
	n := map[dirsync.ChangeState]int{}
	for _, c := range m.runs.Changes() {
		n[c.State]++
	}
	return n
}

// A server that ends the connection at some entries, or does not answer, whether
// they are written or read, costs only those: they are recorded, each run anew, and
// all others are carried out in the same run.
func TestApplyDirectoryIsolatesEntries(t *testing.T) {
	synctest.Test(t, testApplyDirectoryIsolatesEntries)
}

func testApplyDirectoryIsolatesEntries(t *testing.T) {
	fails := func(number string) bool { return number == "1003" || number == "1004" || number == "1011" }
	for what, test := range map[string]struct {
		prepare func(m *mirrorer, trouble func() error, tries map[string]int)
		err     func() error
		most    int // tries of an entry
		hint    string
	}{
		"lost at a write": {onWrite(fails), lost, 3, "nsslapd-maxbersize"},
		"lost at a read":  {onRead(fails), lost, 3, "nsslapd-maxbersize"},
		"no answer":       {onWrite(fails), quiet, 1, "overloaded"},
		"no answer, read": {onRead(fails), quiet, 1, "overloaded"},
		"time limit":      {onWrite(fails), func() error { return fault.New(fault.Transient, "write: time limit", nil, "raise it") }, 5, "raise it"},
	} {
		m := newMirrorer(t)
		numbered(m, 20)
		tries := map[string]int{}
		test.prepare(m, test.err, tries)
		for run := range 2 {
			clear(tries)
			m.compare(dirsync.TriggerOperator)
			result, err := m.apply(100)
			if n := states(m); err != nil || result.Stopped != "" || result.Failed != 3 || n[dirsync.ChangeFailed] != 3 || run == 0 && result.Done != 17 {
				t.Fatalf("%s, run %d: %+v, %v, %v", what, run, result, n, err)
			}
			for _, c := range m.runs.Changes() {
				if c.State == dirsync.ChangeFailed && (!fails(c.Number) || !strings.Contains(c.Hint, test.hint)) {
					t.Errorf("%s, run %d: %+v", what, run, c)
				}
			}
			for number, n := range tries {
				if n > test.most {
					t.Errorf("%s, run %d: %s was tried %d times", what, run, number, n)
				}
			}
		}
		m.runs.Target.OnWrite, m.runs.Source.OnRead = nil, nil
		m.compare(dirsync.TriggerOperator)
		if result, err := m.apply(100); err != nil || result.Done != 3 {
			t.Errorf("%s, at last: %+v, %v", what, result, err)
		}
		m.equal()
	}
}

func onWrite(fails func(string) bool) func(*mirrorer, func() error, map[string]int) {
	return func(m *mirrorer, trouble func() error, tries map[string]int) {
		m.runs.Target.OnWrite = func(op directory.Operation) error {
			if number := m.added(op); fails(number) {
				tries[number]++
				return trouble()
			}
			return nil
		}
	}
}

func onRead(fails func(string) bool) func(*mirrorer, func() error, map[string]int) {
	return func(m *mirrorer, trouble func() error, tries map[string]int) {
		m.runs.Source.OnRead = func(dn string) error {
			rdn, _, _ := strings.Cut(dn, ",")
			if number := strings.TrimPrefix(rdn, m.runs.Source.Mapping.RDN+"="); fails(number) {
				tries[number]++
				return trouble()
			}
			return nil
		}
	}
}

// A target that does not answer to entries side by side costs only those, if it answers
// to others. If it answers to none, the run ends after few of them: each takes the whole
// time for an answer.
func TestApplyDirectoryAtASilentTarget(t *testing.T) {
	synctest.Test(t, testApplyDirectoryAtASilentTarget)
}

func testApplyDirectoryAtASilentTarget(t *testing.T) {
	for _, test := range []struct {
		first, last  int
		done, failed int // of a run that goes on: how far another one comes is chance
		most         int // entries whose writes had no answer: 20, and 4 of 5 by chance before one that had
	}{{5, 12, 22, 8, 8}, {0, 29, 0, 0, 10}, {0, 24, 0, 0, 24}} {
		m := newMirrorer(t)
		numbered(m, 30)
		tries := map[string]int{}
		onWrite(func(number string) bool {
			return number >= fmt.Sprint(1000+test.first) && number <= fmt.Sprint(1000+test.last)
		})(m, quiet, tries)
		m.compare(dirsync.TriggerOperator)
		result, err := m.apply(100)
		stopped := test.last-test.first+1 >= 20
		if err != nil || (result.Stopped != "") != stopped || !stopped && (result.Done != test.done || result.Failed != test.failed) {
			t.Errorf("silent from %d to %d: %+v, %v", test.first, test.last, result, err)
		}
		if stopped && (!strings.Contains(result.Stopped, "did not answer") || !strings.Contains(result.Hint, "overloaded")) {
			t.Errorf("it says %q (%s)", result.Stopped, result.Hint)
		}
		if len(tries) > test.most {
			t.Errorf("silent from %d to %d: %d were tried", test.first, test.last, len(tries))
		}
		t.Logf("%d to %d: %+v, %d tried", test.first, test.last, result, len(tries))
	}
}

// The only entry of a run is to blame as well, as others were carried out before.
func TestApplyDirectoryIsolatesTheOnlyEntry(t *testing.T) {
	synctest.Test(t, testApplyDirectoryIsolatesTheOnlyEntry)
}

func testApplyDirectoryIsolatesTheOnlyEntry(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 1)
	m.runs.Target.OnWrite = func(directory.Operation) error { return lost() }
	m.compare(dirsync.TriggerOperator)
	if result, err := m.apply(100); err != nil || result.Stopped != "" || result.Failed != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// A server that fails alike at everything stops the run, and no entry is to blame:
// neither before anything was carried out nor half-way.
func TestApplyDirectoryStopsAtAServerThatLosesEverything(t *testing.T) {
	synctest.Test(t, testApplyDirectoryStopsAtAServerThatLosesEverything)
}

func testApplyDirectoryStopsAtAServerThatLosesEverything(t *testing.T) {
	for what, test := range map[string]struct {
		err   func() error
		after int
		most  int // writes that are tried in vain
		said  string
	}{
		"lost":                 {lost, 0, 70, "ended the connection at 5"},
		"lost, half-way":       {lost, 30, 70, "ended the connection at 5"},
		"no answer":            {quiet, 0, 10, "did not answer to 5"},
		"no answer any longer": {quiet, 30, 10, "did not answer to 5"},
	} {
		m := newMirrorer(t)
		numbered(m, 100)
		writes := 0
		m.runs.Target.OnWrite = func(directory.Operation) error {
			if writes++; writes > test.after {
				return test.err()
			}
			return nil
		}
		m.compare(dirsync.TriggerOperator)
		result, err := m.apply(500)
		if n := states(m); err != nil || !strings.Contains(result.Stopped, test.said) || n[dirsync.ChangeFailed] > 0 || n[dirsync.ChangeDone] != test.after {
			t.Errorf("%s: %+v, %v, %v", what, result, n, err)
		}
		if vain := writes - test.after; vain > test.most || m.runs.Held() {
			t.Errorf("%s: %d writes in vain; lease held: %v", what, vain, m.runs.Held())
		}
	}
}

// A server that cannot be reached since is no entry's affair: the page is tried
// again later.
func TestApplyDirectoryWaitsForAServerThatIsAway(t *testing.T) {
	synctest.Test(t, testApplyDirectoryWaitsForAServerThatIsAway)
}

func testApplyDirectoryWaitsForAServerThatIsAway(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 20)
	away, writes := false, 0
	m.runs.Target.OnWrite = func(directory.Operation) error {
		if writes++; writes == 8 {
			away = true
			return lost()
		}
		return nil
	}
	m.runs.Target.OnOpen = func() error {
		if away {
			return fault.Newf(fault.Transient, "connect: nothing listens")
		}
		return nil
	}
	m.compare(dirsync.TriggerOperator)
	if result, err := m.apply(100); err == nil || states(m)[dirsync.ChangeFailed] > 0 || m.runs.Held() {
		t.Errorf("%+v, %v, %v", result, states(m), err)
	}
	away = false
	if result, err := m.apply(100); err != nil || result.Done+result.Moot != 13 {
		t.Errorf("when it is back: %+v, %v, %v", result, states(m), err)
	}
	m.equal()
}
