package activities_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// mirrorer runs over two directories in memory, activity by activity.
type mirrorer struct {
	t    *testing.T
	env  *testsuite.TestActivityEnvironment
	runs *activitytest.Runs
	n    int
	in   activities.DirectoryInput
}

func newMirrorer(t *testing.T, starter activities.Starter) *mirrorer {
	t.Helper()
	m := &mirrorer{t: t, runs: activitytest.NewRuns()}
	ports := activitytest.New().Ports(starter)
	ports.Directory = m.runs.Ports()
	var suite testsuite.WorkflowTestSuite
	m.env = suite.NewTestActivityEnvironment()
	m.env.SetTestTimeout(time.Minute)
	m.env.RegisterActivity(activities.New(ports, activities.Settings{Report: time.Millisecond,
		Lease: lease.Times{TTL: time.Minute, Fence: time.Millisecond}}))
	m.runs.Settings.RemoveShare, m.runs.Settings.ChangeShare, m.runs.Settings.ShrinkShare = 0, 0, 0
	return m
}

// do executes an activity.
func do[T any](m *mirrorer, name string, in any) (T, error) {
	var result T
	value, err := m.env.ExecuteActivity(name, in)
	if err == nil {
		err = value.Get(&result)
	}
	return result, err
}

func must[T any](m *mirrorer, name string, in any) T {
	m.t.Helper()
	result, err := do[T](m, name, in)
	if err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	return result
}

// compare begins a run, up to its plan.
func (m *mirrorer) compare(trigger string) activities.DirectoryPlan {
	m.t.Helper()
	m.n++
	m.in = activities.DirectoryInput{RunID: fmt.Sprint("run ", m.n), Link: "dr", Trigger: trigger}
	if _, err := m.env.ExecuteActivity("BeginDirectory", m.in); err != nil {
		m.t.Fatal(err)
	}
	source := must[directory.Extracted](m, "ExtractDirectory", activities.ExtractInput{DirectoryInput: m.in, Side: dirsync.SourceSide})
	target := must[directory.Extracted](m, "ExtractDirectory", activities.ExtractInput{DirectoryInput: m.in, Side: dirsync.TargetSide})
	return must[activities.DirectoryPlan](m, "CompareDirectory", activities.CompareDirectoryInput{DirectoryInput: m.in, Source: source, Target: target})
}

func (m *mirrorer) apply(limit int) (activities.ApplyDirectoryResult, error) {
	return do[activities.ApplyDirectoryResult](m, "ApplyDirectory", activities.ApplyDirectoryInput{DirectoryInput: m.in, Limit: limit})
}

// fill makes directories that differ in every way that there is.
func (m *mirrorer) fill() {
	for i := range 12 {
		number := fmt.Sprint(100 + i)
		m.runs.Source.Put(number, map[directory.Column]string{directory.CommonName: "name " + number, directory.Password: "1234"})
		switch {
		case i < 4:
			m.runs.Target.Put(number, map[directory.Column]string{directory.CommonName: "old " + number, directory.Misc1: "to go"})
		case i < 6:
			m.runs.Target.Put(number, map[directory.Column]string{directory.CommonName: "name " + number, directory.Password: "1234"})
		}
	}
	m.runs.Target.Put("900", nil)
	m.runs.Settings.RemoveUnknown = true
}

// equal fails the test where the directories differ.
func (m *mirrorer) equal() {
	m.t.Helper()
	values := func(d *activitytest.Directory) map[string]map[directory.Column][][]byte {
		all := map[string]map[directory.Column][][]byte{}
		for number, e := range d.Entries() {
			all[number] = e.Values
		}
		return all
	}
	if diff := cmp.Diff(values(m.runs.Source), values(m.runs.Target)); diff != "" {
		m.t.Errorf("the directories differ (-source +target):\n%s", diff)
	}
	if m.runs.Held() {
		m.t.Error("the lease was not given back")
	}
}

func TestApplyDirectoryMakesEqual(t *testing.T) {
	m := newMirrorer(t, nil)
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
	if verified := must[activities.ApplyDirectoryResult](m, "VerifyDirectory", activities.ApplyDirectoryInput{DirectoryInput: m.in, Limit: 100}); verified.Done != 11 {
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
	for _, after := range []bool{false, true} {
		for at := range 13 {
			m := newMirrorer(t, nil)
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
	for alters, want := range map[int]dirsync.ChangeState{1: dirsync.ChangeDone, 100: dirsync.ChangeFailed} {
		m := newMirrorer(t, nil)
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
func TestApplyDirectoryLooksAnew(t *testing.T) {
	m := newMirrorer(t, nil)
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

func TestApplyDirectoryIsSuspended(t *testing.T) {
	m := newMirrorer(t, nil)
	m.fill()
	m.compare(dirsync.TriggerOperator)
	still := true
	m.runs.Still = func() bool { return still }
	result, err := m.apply(100)
	if err != nil || !result.Suspended || m.runs.Target.Writes() > 0 {
		t.Errorf("%+v, %v, %d writes", result, err, m.runs.Target.Writes())
	}
	still = false
	if result, err = m.apply(100); err != nil || result.Suspended {
		t.Errorf("%+v, %v", result, err)
	}
	m.equal()
}

// An extract that breaks off is nothing, wherever it does.
func TestExtractDirectoryIsWholeOrNothing(t *testing.T) {
	for at := range 13 {
		m := newMirrorer(t, nil)
		m.fill()
		m.runs.Source.OnExtract = func(n int) error {
			if n == at {
				return fault.New(fault.Config, "read the directory: size limit", nil, "raise it")
			}
			return nil
		}
		in := activities.ExtractInput{DirectoryInput: activities.DirectoryInput{RunID: "one", Link: "dr"}, Side: dirsync.SourceSide}
		_, err := do[directory.Extracted](m, "ExtractDirectory", in)
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
	m := newMirrorer(t, nil)
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
	m := newMirrorer(t, nil)
	m.runs.Source.Put("100", nil)
	found := must[directory.Extracted](m, "ExtractDirectory", activities.ExtractInput{DirectoryInput: activities.DirectoryInput{RunID: "one", Link: "dr"}, Side: dirsync.SourceSide})
	if _, told := found.Having[directory.Password]; !told || len(found.Having) != len(directory.Attributes()) {
		t.Errorf("found %+v", found)
	}
}

func TestJoinDirectoryKeepsNobodyOut(t *testing.T) {
	starter := &starts{}
	m := newMirrorer(t, starter)
	m.fill()
	m.compare(dirsync.TriggerOperator)
	if _, err := m.apply(100); err != nil {
		t.Fatal(err)
	}
	m.runs.Refuse["103"] = true
	members := must[activities.DirectoryMembers](m, "JoinDirectory", m.in)
	if diff := cmp.Diff(activities.DirectoryMembers{Joined: 11, Refused: 1}, members); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []dirsync.Rejection{{Number: "103", Error: "mailbox 103 is mirrored by another link"}}
	if diff := cmp.Diff(want, m.runs.Rejected); diff != "" {
		t.Errorf("could not join (-want +got):\n%s", diff)
	}
	if len(starter.keys) != 11 || slices.Contains(starter.keys, "103") {
		t.Errorf("woken were %v", starter.keys)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(m.runs.Joined)), slices.Sorted(slices.Values(starter.keys)), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("in the link and woken (-in +woken):\n%s", diff)
	}
}

// starts notes which syncs were started.
type starts struct{ keys []mailbox.Number }

func (s *starts) StartSync(_ context.Context, key mailbox.Key, _ string) (bool, error) {
	s.keys = append(s.keys, key.Number)
	return true, nil
}
