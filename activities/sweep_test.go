package activities_test

import (
	"context"
	"slices"
	"testing"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// asked is told of the runs that are asked for.
type asked func(link, trigger string) error

func (a asked) AskDirectory(_ context.Context, link, trigger string) error { return a(link, trigger) }

// A sweep starts the runs over directories that an approval could not start.
func TestStartApproved(t *testing.T) {
	runs := dirsynctest.NewRuns()
	runs.Approved = []string{link, "other"}
	ports := activitytest.New().Ports(&starter{})
	var started []string
	var refused error
	ports.Approvals, ports.Approved = runs, asked(func(link, trigger string) error {
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
	if want := []string{link + " " + dirsync.TriggerApproval, "other " + dirsync.TriggerApproval}; !slices.Equal(started, want) {
		t.Errorf("asked for %q, want %q", started, want)
	}
	refused = fault.Newf(fault.Transient, "start run: unavailable")
	if _, err := environment(a).ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 20, Window: 3}); err == nil {
		t.Error("no error when no run can be started")
	}
}

// rejects is a starter that cannot start some mailboxes.
type rejects struct {
	starter

	numbers []mailbox.Number
	why     error
}

func (r *rejects) StartSync(ctx context.Context, key mailbox.Key, trigger string) (bool, error) {
	if slices.Contains(r.numbers, key.Number) {
		return false, r.why
	}
	return r.starter.StartSync(ctx, key, trigger)
}

// A mailbox that cannot be started holds up no other, and shows why.
func TestStartDueOfAMailboxThatCannotBeStarted(t *testing.T) {
	for name, c := range map[string]struct {
		why    error
		reject func(all []mailbox.Number) []mailbox.Number
		failed int
		fails  bool // the sweep
	}{
		"one of many": {why: fault.Newf(fault.Transient, "internal: header holds a non-printable character"), failed: 1,
			reject: func(all []mailbox.Number) []mailbox.Number { return all[:1] }},
		"half of them": {why: fault.Newf(fault.Config, "not allowed"), failed: 15,
			reject: func(all []mailbox.Number) []mailbox.Number { return all[:15] }},
		"its own fault": {why: fault.Newf(fault.Permanent, "the id is invalid"), failed: 20,
			reject: func(all []mailbox.Number) []mailbox.Number { return all }},
		"Temporal is away": {why: fault.Newf(fault.Transient, "unavailable"), fails: true,
			reject: func(all []mailbox.Number) []mailbox.Number { return all }},
	} {
		t.Run(name, func(t *testing.T) {
			world := activitytest.New()
			numbers := activitytest.Numbers(30)
			world.Add(link, numbers...)
			s := &rejects{numbers: c.reject(numbers), why: c.why}
			a := activities.New(world.Ports(s), activities.Settings{})
			value, err := environment(a).ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 30, Window: 3})
			if (err != nil) != c.fails {
				t.Fatalf("ended with %v", err)
			}
			failures := world.Failures()
			if len(failures) < c.failed || len(failures) > c.failed+3 || c.failed == 0 && len(failures) > 0 {
				t.Errorf("%d failures are recorded, want %d", len(failures), c.failed)
			}
			for _, f := range failures {
				if !slices.Contains(s.numbers, f.Key.Number) || f.Err != c.why.Error() || f.Trigger != activities.TriggerSweep {
					t.Errorf("recorded %+v", f)
				}
			}
			if c.fails {
				return
			}
			var got activities.SweepResult
			if err := value.Get(&got); err != nil || got.Failed != len(failures) || got.Started != 30-len(s.numbers) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
