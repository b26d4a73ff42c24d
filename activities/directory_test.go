package activities_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// starts notes which syncs were started.
type starts struct{ keys []mailbox.Number }

func (s *starts) StartSync(_ context.Context, key mailbox.Key, trigger string) (bool, error) {
	if trigger == activities.TriggerEvent {
		s.keys = append(s.keys, key.Number)
	}
	return true, nil
}

// directoryRun runs over directories, activity by activity.
type directoryRun struct {
	*testsuite.TestActivityEnvironment
	runs   *dirsynctest.Runs
	starts starts
	in     activities.DirectoryInput
}

func newDirectoryRun(t *testing.T) *directoryRun {
	t.Helper()
	r := &directoryRun{runs: dirsynctest.NewRuns(), in: activities.DirectoryInput{RunID: "run", Link: link, Trigger: dirsync.TriggerOperator}}
	ports := activitytest.New().Ports(&r.starts)
	ports.Directory = r.runs.Engine(lease.Times{TTL: time.Minute, Fence: time.Millisecond})
	r.TestActivityEnvironment = environment(activities.New(ports, activities.Settings{Report: time.Millisecond}))
	r.runs.Source.Put("100", map[directory.Column]string{directory.CommonName: "Ann"})
	if _, err := r.ExecuteActivity("BeginDirectory", r.in); err != nil {
		t.Fatal(err)
	}
	return r
}

// do executes an activity.
func do[T any](t *testing.T, r *directoryRun, name string, in any) (result T) {
	t.Helper()
	value, err := r.ExecuteActivity(name, in)
	if err == nil {
		err = value.Get(&result)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return result
}

func (r *directoryRun) compare(t *testing.T) dirsync.Plan {
	t.Helper()
	source := do[directory.Extracted](t, r, "ExtractDirectory", activities.ExtractInput{DirectoryInput: r.in, Side: dirsync.SourceSide})
	target := do[directory.Extracted](t, r, "ExtractDirectory", activities.ExtractInput{DirectoryInput: r.in, Side: dirsync.TargetSide})
	return do[dirsync.Plan](t, r, "CompareDirectory", activities.CompareDirectoryInput{DirectoryInput: r.in, Source: source, Target: target})
}

func (r *directoryRun) page(t *testing.T, name string) dirsync.Applied {
	t.Helper()
	return do[dirsync.Applied](t, r, name, activities.ApplyDirectoryInput{DirectoryInput: r.in, Limit: 100})
}

// Each activity is its step of the engine; mailboxes that join are woken.
func TestDirectory(t *testing.T) {
	r := newDirectoryRun(t)
	var beats atomic.Int64
	r.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { beats.Add(1) })
	if plan := r.compare(t); !plan.Believed || plan.Due != 1 {
		t.Errorf("the plan is %+v", plan)
	}
	r.runs.Target.OnWrite = func(directory.Operation) error { time.Sleep(20 * time.Millisecond); return nil }
	if applied := r.page(t, "ApplyDirectory"); applied.Done != 1 || applied.Last == 0 || beats.Load() == 0 {
		t.Errorf("applied %+v, %d heartbeats", applied, beats.Load())
	}
	if verified := r.page(t, "VerifyDirectory"); verified.Done != 1 {
		t.Errorf("verified %+v", verified)
	}
	if members := do[dirsync.Members](t, r, "JoinDirectory", r.in); members.Joined != 1 || !slices.Equal(r.starts.keys, []mailbox.Number{"100"}) {
		t.Errorf("%+v joined, %v were woken", members, r.starts.keys)
	}
	if state := do[dirsync.State](t, r, "FinishDirectory", activities.FinishDirectoryInput{DirectoryInput: r.in}); state != dirsync.Done || !r.runs.Target.Has("100") {
		t.Errorf("it is %s", state)
	}
}

// An attempt goes on counting where the one before it ended.
func TestJoinDirectoryGoesOn(t *testing.T) {
	r := newDirectoryRun(t)
	r.compare(t)
	r.page(t, "ApplyDirectory")
	r.SetHeartbeatDetails(dirsync.Members{Joined: 2, Left: 3, Refused: 4})
	if members := do[dirsync.Members](t, r, "JoinDirectory", r.in); members != (dirsync.Members{Joined: 3, Left: 3}) {
		t.Errorf("%+v", members)
	}
}

// A page that a suspension ends is no failure: the run waits, and goes on.
func TestApplyDirectoryIsSuspended(t *testing.T) {
	r := newDirectoryRun(t)
	r.compare(t)
	still := true
	r.runs.Still = func() bool { return still }
	if applied := r.page(t, "ApplyDirectory"); !applied.Suspended || applied.Last != 0 || r.runs.Target.Writes() > 0 {
		t.Errorf("%+v, %d writes", applied, r.runs.Target.Writes())
	}
	still = false
	if applied := r.page(t, "ApplyDirectory"); applied.Suspended || applied.Done != 1 {
		t.Errorf("%+v", applied)
	}
}

// The engine's errors keep their kind, text and hint.
func TestDirectoryErrors(t *testing.T) {
	r := newDirectoryRun(t)
	r.runs.Source.OnExtract = func(int) error { return fault.New(fault.Config, "read the directory: size limit", nil, "raise it") }
	_, err := r.ExecuteActivity("ExtractDirectory", activities.ExtractInput{DirectoryInput: r.in, Side: dirsync.SourceSide})
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || app.Type() != string(fault.Config) || app.Message() != "extract the source's directory: read the directory: size limit" || !app.NonRetryable() {
		t.Errorf("%v", err)
	}
}
