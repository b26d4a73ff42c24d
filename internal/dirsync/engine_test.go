package dirsync_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

func TestApplyDirectoryMakesEqual(t *testing.T) { synctest.Test(t, testApplyDirectoryMakesEqual) }

func testApplyDirectoryMakesEqual(t *testing.T) {
	m := newMirrorer(t)
	m.fill()
	if plan := m.compare(dirsync.TriggerOperator); !plan.Believed || plan.Due != 11 {
		t.Fatalf("the plan is %+v", plan)
	}
	result, err := m.apply(100)
	if err != nil || result.Done != 11 || result.Failed+result.Moot > 0 || result.More {
		t.Errorf("applied %+v, %v", result, err)
	}
	m.equal()
	writes := m.runs.Target.Writes()
	if verified := must[dirsync.Applied](m)(m.engine.Verify(t.Context(), m.job, dirsync.Page{Limit: 100}, func(int64) {})); verified.Done != 11 {
		t.Errorf("verified %+v", verified)
	}
	if m.compare(dirsync.TriggerOperator).Due != 0 {
		t.Error("a second run finds work")
	}
	if again := m.runs.Target.Writes(); again != writes {
		t.Errorf("%d writes after everything was equal", again-writes)
	}
}

// The worker dies at each write, before it or after it, and at each record: the
// attempt after it ends in the same state, and creates nothing twice.
func TestApplyDirectorySurvivesDeathAtAnyLine(t *testing.T) {
	synctest.Test(t, testApplyDirectorySurvivesDeathAtAnyLine)
}

func testApplyDirectorySurvivesDeathAtAnyLine(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := range 13 {
			m := newMirrorer(t)
			m.fill()
			m.compare(dirsync.TriggerOperator)
			count := 0
			broken := fault.Newf(fault.Transient, "the connection was lost")
			m.runs.Target.AfterWrite = func() error {
				if count++; after && count == at+1 {
					return broken
				}
				return nil
			}
			before := 0
			m.runs.Target.OnWrite = func(directory.Operation) error {
				if before++; !after && before == at+1 {
					return broken
				}
				return nil
			}
			m.runs.FailSaves = at % 3
			for range 10 {
				result, err := m.apply(5)
				if err == nil && !result.More {
					break
				}
			}
			m.equal()
			for _, c := range m.runs.Changes() {
				if c.State != dirsync.ChangeDone {
					t.Errorf("died at %d (after: %v): change %+v", at, after, c)
				}
			}
		}
	}
}

// A target that keeps other values than it was given is told of, and what it
// altered once is mended.
func TestApplyDirectoryTellsOfAServerThatAlters(t *testing.T) {
	synctest.Test(t, testApplyDirectoryTellsOfAServerThatAlters)
}

func testApplyDirectoryTellsOfAServerThatAlters(t *testing.T) {
	for alters, want := range map[int]dirsync.ChangeState{1: dirsync.ChangeDone, 100: dirsync.ChangeFailed} {
		m := newMirrorer(t)
		m.runs.Source.Put("100", map[directory.Column]string{directory.CommonName: "Ann"})
		m.runs.Source.Put("101", map[directory.Column]string{directory.CommonName: "Bob"})
		m.runs.Target.AfterWrite = func() error {
			if alters--; alters >= 0 && m.runs.Target.Has("100") {
				m.runs.Target.Put("100", map[directory.Column]string{directory.CommonName: "ANN"})
			}
			return nil
		}
		m.compare(dirsync.TriggerOperator)
		if _, err := m.apply(100); err != nil {
			t.Fatal(err)
		}
		if c := m.runs.Changes(); c[0].State != want || c[1].State != dirsync.ChangeDone {
			t.Errorf("want %s, got %+v", want, c)
		}
	}
}

// What became moot between compare and apply is left alone: nothing is removed
// that the source has again, and nothing is written for what it has no more.
func TestApplyDirectoryLooksAnew(t *testing.T) { synctest.Test(t, testApplyDirectoryLooksAnew) }

func testApplyDirectoryLooksAnew(t *testing.T) {
	m := newMirrorer(t)
	m.fill()
	m.compare(dirsync.TriggerOperator)
	m.runs.Source.Put("900", nil)
	m.runs.Source.Remove("111")
	m.runs.Source.Put("110", map[directory.Column]string{directory.CommonName: "newer", directory.Password: "1234"})
	result, err := m.apply(100)
	if err != nil || result.Moot != 2 || result.Done != 9 {
		t.Errorf("%+v, %v", result, err)
	}
	m.equal()
}

func TestApplyDirectoryIsSuspended(t *testing.T) { synctest.Test(t, testApplyDirectoryIsSuspended) }

func testApplyDirectoryIsSuspended(t *testing.T) {
	m := newMirrorer(t)
	m.fill()
	m.compare(dirsync.TriggerOperator)
	still := true
	m.runs.Still = func() bool { return still }
	_, err := m.apply(100)
	if _, suspended := errors.AsType[*lease.SuspendedError](err); !suspended || m.runs.Target.Writes() > 0 {
		t.Errorf("%v, %d writes", err, m.runs.Target.Writes())
	}
	still = false
	if result, err := m.apply(100); err != nil {
		t.Errorf("%+v, %v", result, err)
	}
	m.equal()
}

// An extract that breaks off is nothing, wherever it does.
func TestExtractDirectoryIsWholeOrNothing(t *testing.T) {
	synctest.Test(t, testExtractDirectoryIsWholeOrNothing)
}

func testExtractDirectoryIsWholeOrNothing(t *testing.T) {
	for at := range 13 {
		m := newMirrorer(t)
		m.fill()
		m.runs.Source.OnExtract = func(n int) error {
			if n == at {
				return fault.New(fault.Config, "read the directory: size limit", nil, "raise it")
			}
			return nil
		}
		m.begin(dirsync.TriggerOperator)
		_, err := m.extract(dirsync.SourceSide)
		if at < 12 && err == nil {
			t.Errorf("an extract of %d entries of 12 was taken for whole", at)
		}
		if at == 12 && err != nil {
			t.Error(err)
		}
		if staged := m.runs.Staged(dirsync.SourceSide); at < 12 && staged > 0 {
			t.Errorf("%d entries of an extract that failed were kept", staged)
		}
	}
}

func TestCompareDirectoryDoubtsAnEmptySource(t *testing.T) {
	synctest.Test(t, testCompareDirectoryDoubtsAnEmptySource)
}

func testCompareDirectoryDoubtsAnEmptySource(t *testing.T) {
	m := newMirrorer(t)
	m.runs.Target.Put("100", nil)
	if plan := m.compare(dirsync.TriggerOperator); plan.Believed {
		t.Errorf("the plan is %+v", plan)
	}
	if run := m.runs.Run(); run.State != dirsync.Failed || len(run.Reasons) == 0 || run.Hint == "" {
		t.Errorf("the run is %+v", run)
	}
}

// A column that nobody has any more is told as one that is mapped.
func TestExtractDirectoryTellsOfEmptyColumns(t *testing.T) {
	synctest.Test(t, testExtractDirectoryTellsOfEmptyColumns)
}

func testExtractDirectoryTellsOfEmptyColumns(t *testing.T) {
	m := newMirrorer(t)
	m.runs.Source.Put("100", nil)
	m.begin(dirsync.TriggerOperator)
	found := must[directory.Extracted](m)(m.extract(dirsync.SourceSide))
	if _, told := found.Having[directory.Password]; !told || len(found.Having) != len(directory.Attributes()) {
		t.Errorf("found %+v", found)
	}
}

func TestJoinDirectoryKeepsNobodyOut(t *testing.T) { synctest.Test(t, testJoinDirectoryKeepsNobodyOut) }

func testJoinDirectoryKeepsNobodyOut(t *testing.T) {
	starter := &wakes{}
	m := newMirrorer(t)
	m.fill()
	m.compare(dirsync.TriggerOperator)
	if _, err := m.apply(100); err != nil {
		t.Fatal(err)
	}
	m.runs.Refuse["103"] = true
	members := m.join(starter.wake)
	if diff := cmp.Diff(dirsync.Members{Joined: 11, Refused: 1}, members); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []dirsync.Rejection{{Number: "103", Error: "mailbox 103 is mirrored by another link"}}
	if diff := cmp.Diff(want, m.runs.Rejected); diff != "" {
		t.Errorf("could not join (-want +got):\n%s", diff)
	}
	if len(starter.numbers) != 11 || slices.Contains(starter.numbers, "103") {
		t.Errorf("woken were %v", starter.numbers)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(m.runs.Joined)), slices.Sorted(slices.Values(starter.numbers)), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("in the link and woken (-in +woken):\n%s", diff)
	}
}
