package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/workflows"
)

// directoryLink answers the activities of a run.
type directoryLink struct {
	plan    dirsync.Plan
	lost    int               // how often what was read is lost
	pages   []dirsync.Applied // of applying, in order
	extract func(dirsync.Side) error
	done    []string
	finish  activities.FinishDirectoryInput
	ends    dirsync.State
}

func (l *directoryLink) expect(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(steps.BeginDirectory, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.DirectoryInput) error {
			l.done = append(l.done, "begin "+in.Trigger)
			return nil
		}).Maybe()
	env.OnActivity(steps.ExtractDirectory, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ExtractInput) (directory.Extracted, error) {
			if l.extract != nil {
				if err := l.extract(in.Side); err != nil {
					return directory.Extracted{}, err
				}
			}
			return directory.Extracted{Entries: 7}, nil
		}).Maybe()
	env.OnActivity(steps.CompareDirectory, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.CompareDirectoryInput) (dirsync.Plan, error) {
			if in.Source.Entries != 7 || in.Target.Entries != 7 {
				return l.plan, errors.New("the extracts were not handed on")
			}
			if in.Readings <= l.lost {
				l.done = append(l.done, "lost")
				return dirsync.Plan{ReadAgain: true}, nil
			}
			l.done = append(l.done, "compare")
			return l.plan, nil
		}).Maybe()
	env.OnActivity(steps.ApplyDirectory, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.ApplyDirectoryInput) (dirsync.Applied, error) {
			l.done = append(l.done, "apply")
			if len(l.pages) == 0 {
				return dirsync.Applied{}, nil
			}
			page := l.pages[0]
			l.pages = l.pages[1:]
			return page, nil
		}).Maybe()
	env.OnActivity(steps.VerifyDirectory, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ApplyDirectoryInput) (dirsync.Applied, error) {
			if in.After != 0 {
				return dirsync.Applied{}, errors.New("verifying did not begin at the beginning")
			}
			l.done = append(l.done, "verify")
			return dirsync.Applied{}, nil
		}).Maybe()
	env.OnActivity(steps.AwaitRunning, mock.Anything, mock.Anything).Return(func(context.Context, string) error {
		l.done = append(l.done, "await")
		return nil
	}).Maybe()
	env.OnActivity(steps.JoinDirectory, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.DirectoryInput) (dirsync.Members, error) {
			l.done = append(l.done, "join")
			return dirsync.Members{Joined: 2, Refused: 1}, nil
		}).Maybe()
	env.OnActivity(steps.FinishDirectory, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.FinishDirectoryInput) (dirsync.State, error) {
			l.done, l.finish = append(l.done, "finish"), in
			return l.ends, nil
		}).Maybe()
}

func believed() dirsync.Plan { return dirsync.Plan{Believed: true, Due: 3} }

func TestDirectorySyncTakesItsSteps(t *testing.T) {
	refused := temporal.NewNonRetryableApplicationError("bind: wrong password", "config", nil, "store edit")
	for _, test := range []struct {
		name    string
		trigger string
		link    directoryLink
		want    []string
		failure string // of the record
	}{
		{"whole", dirsync.TriggerSchedule, directoryLink{plan: believed(), pages: []dirsync.Applied{{Last: 500, More: true}, {Last: 700}}},
			[]string{"begin schedule", "compare", "apply", "apply", "verify", "join", "finish"}, ""},
		{"suspended meanwhile", dirsync.TriggerSchedule, directoryLink{plan: believed(), pages: []dirsync.Applied{{Last: 3, Suspended: true}}},
			[]string{"begin schedule", "compare", "apply", "await", "apply", "verify", "join", "finish"}, ""},
		{"the target refuses everything", dirsync.TriggerSchedule, directoryLink{plan: believed(), pages: []dirsync.Applied{{Last: 3, Stopped: "read-only"}}},
			[]string{"begin schedule", "compare", "apply", "join", "finish"}, "read-only"},
		{"what was read is lost", dirsync.TriggerSchedule, directoryLink{plan: believed(), lost: 2},
			[]string{"begin schedule", "lost", "lost", "compare", "apply", "verify", "join", "finish"}, ""},
		{"not believed", dirsync.TriggerOperator, directoryLink{}, []string{"begin operator", "compare", "finish"}, ""},
		{"dry", dirsync.TriggerDryRun, directoryLink{plan: believed()}, []string{"begin dry-run", "compare", "finish"}, ""},
		{"no source", dirsync.TriggerOperator, directoryLink{extract: func(s dirsync.Side) error {
			if s == dirsync.SourceSide {
				return refused
			}
			return nil
		}}, []string{"begin operator", "finish"}, "bind: wrong password"},
		{"no target", dirsync.TriggerOperator, directoryLink{extract: func(s dirsync.Side) error {
			if s == dirsync.TargetSide {
				return refused
			}
			return nil
		}}, []string{"begin operator", "finish"}, "bind: wrong password"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := environment(t)
			l := &test.link
			l.ends = dirsync.Held
			l.expect(env)
			env.ExecuteWorkflow(workflows.DirectorySync, workflows.DirectoryState{Link: "dr", Trigger: test.trigger, PageSize: 500})
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			var ended dirsync.State
			if err := env.GetWorkflowResult(&ended); err != nil || ended != dirsync.Held {
				t.Errorf("ended as %q, %v", ended, err)
			}
			if !slices.Equal(l.done, test.want) {
				t.Errorf("did %q, want %q", l.done, test.want)
			}
			if l.finish.Failure != test.failure || test.failure == "bind: wrong password" && l.finish.Hint != "store edit" {
				t.Errorf("recorded %q, hint %q", l.finish.Failure, l.finish.Hint)
			}
		})
	}
}

// An approval that comes while a run is under way is answered by another run.
func TestDirectorySyncIsFollowedByAnother(t *testing.T) {
	for _, late := range []bool{false, true} {
		env := environment(t)
		l := &directoryLink{plan: believed()}
		l.expect(env)
		env.SetOnActivityCompletedListener(nil)
		signal := func() { env.SignalWorkflow(workflows.SignalWork, workflows.Work{Trigger: dirsync.TriggerApproval}) }
		if late {
			l.extract = func(dirsync.Side) error { signal(); return nil }
		} else {
			// With the start, as whoever starts it by a signal does.
			env.RegisterDelayedCallback(signal, 0)
		}
		env.ExecuteWorkflow(workflows.DirectorySync, workflows.DirectoryState{Link: "dr", Trigger: dirsync.TriggerSchedule, PageSize: 500})
		var next *workflow.ContinueAsNewError
		if again := errors.As(env.GetWorkflowError(), &next); again != late {
			t.Fatalf("signalled late: %v, follows: %v (%v)", late, again, env.GetWorkflowError())
		}
		if !late {
			continue
		}
		var carried workflows.DirectoryState
		decode(t, next.Input, &carried)
		if carried != (workflows.DirectoryState{Link: "dr", Trigger: dirsync.TriggerApproval, PageSize: 500}) {
			t.Errorf("it is followed by %+v", carried)
		}
	}
}

// A long run carries over where it is.
func TestDirectorySyncContinuesAsNew(t *testing.T) {
	env := environment(t)
	l := &directoryLink{plan: believed(), pages: []dirsync.Applied{{Last: 500, More: true, Done: 499, Failed: 1}}}
	l.expect(env)
	env.SetContinueAsNewSuggested(true)
	env.ExecuteWorkflow(workflows.DirectorySync, workflows.DirectoryState{Link: "dr", Trigger: dirsync.TriggerSchedule, PageSize: 500})
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want to continue as new", env.GetWorkflowError())
	}
	var carried workflows.DirectoryState
	decode(t, next.Input, &carried)
	if carried.RunID == "" || carried.Plan == nil || carried.Phase != workflows.PhaseApplying {
		t.Errorf("carried over %+v", carried)
	}
	rest := environment(t)
	l = &directoryLink{ends: dirsync.Done}
	l.expect(rest)
	rest.ExecuteWorkflow(workflows.DirectorySync, carried)
	if err := rest.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"apply", "verify", "join", "finish"}; !slices.Equal(l.done, want) {
		t.Errorf("the next run did %q, want %q", l.done, want)
	}
}
