package activities_test

import (
	"context"
	"slices"
	"testing"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/control"
	"mailmirror/internal/fault"
)

// asked is told of the runs that are asked for.
type asked func(link, trigger string) error

func (a asked) AskDirectory(_ context.Context, link, trigger string) error { return a(link, trigger) }

// A sweep starts the runs over directories that an approval could not start.
func TestStartApproved(t *testing.T) {
	runs := activitytest.NewRuns()
	runs.Approved = []string{link, "other"}
	ports := activitytest.New().Ports(&starter{})
	var started []string
	var refused error
	ports.Directory, ports.Approved = runs, asked(func(link, trigger string) error {
		started = append(started, link+" "+trigger)
		return refused
	})
	a := activities.New(ports, activities.Settings{})
	value, err := environment(a).ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 20, Window: 3})
	if err != nil {
		t.Fatal(err)
	}
	var got activities.SweepResult
	if err := value.Get(&got); err != nil || got.Directories != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := []string{link + " " + control.DirectoryApproval, "other " + control.DirectoryApproval}; !slices.Equal(started, want) {
		t.Errorf("asked for %q, want %q", started, want)
	}
	refused = fault.Newf(fault.Transient, "start run: unavailable")
	if _, err := environment(a).ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 20, Window: 3}); err == nil {
		t.Error("no error when no run can be started")
	}
}
