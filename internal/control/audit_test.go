package control_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// reading are the methods of Control that change nothing.
var reading = []string{"AllHolds", "As", "Audit", "Begin", "CheckStore", "Directory", "DirectoryHistory", "DirectoryHold",
	"DirectoryHoldChanges", "DirectoryRunChanges", "DirectorySettings", "Errors", "Explain", "Guard", "History", "Hold", "Holds", "Link", "Links",
	"Mailbox", "Mailboxes", "PlanDirectory", "Schedules", "ShowDirectory", "StartVerify", "Status", "Store", "StoreLoad", "Stores",
	"Suspensions", "TargetMapping", "Undetermined", "WaitCompare", "WaitDirectory", "WaitSuspended", "WaitSync",
	"WaitVerify"}

// TestEveryChangingCommandAsksForARole calls every method of Control that is not listed
// as reading, as an actor who may only look: each is denied and recorded before
// it looks at its arguments.
func TestEveryChangingCommandAsksForARole(t *testing.T) {
	w := newWorld(t)
	viewer := w.As(audit.Actor{Name: "vera", Roles: []audit.Role{audit.Viewer}, Way: audit.Page})
	commands := 0
	for method := range reflect.TypeFor[*control.Control]().Methods() {
		if slices.Contains(reading, method.Name) {
			continue
		}
		commands++
		in := []reflect.Value{reflect.ValueOf(viewer), reflect.ValueOf(t.Context())}
		for j := 2; j < method.Type.NumIn(); j++ {
			in = append(in, reflect.Zero(method.Type.In(j)))
		}
		out := method.Func.Call(in)
		err, _ := reflect.TypeAssert[error](out[len(out)-1])
		if !errors.Is(err, audit.ErrDenied) || !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
			t.Errorf("%s by a viewer: %v", method.Name, err)
			continue
		}
		rows, err := w.Audit(t.Context(), "", 1)
		if err != nil || len(rows) != 1 || rows[0].Outcome != audit.Denied || rows[0].Actor != "vera" || rows[0].Way != audit.Page || rows[0].Command == "" {
			t.Errorf("%s is recorded as %+v, %v", method.Name, rows, err)
		}
	}
	if rows, err := w.Audit(t.Context(), "", 0); err != nil || len(rows) != commands || commands < 25 {
		t.Errorf("%d rows of %d commands, %v", len(rows), commands, err)
	}
	// One that nobody uses is neither an actor's.
	_, err := control.New(controltest.Ports(w.repo, nil, w.runner), control.Options{}).Compare(t.Context(), "dr")
	if !errors.Is(err, audit.ErrDenied) {
		t.Errorf("a compare without an actor: %v", err)
	}
}

func TestOperatorIsNoAdministrator(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "spare")
	operator := w.As(audit.Actor{Name: "otto", Roles: []audit.Role{audit.Operator}, Way: audit.Page})
	if _, err := operator.Compare(t.Context(), "dr"); err != nil {
		t.Error(err)
	}
	if err := operator.RemoveLink(t.Context(), "dr"); !errors.Is(err, audit.ErrDenied) {
		t.Errorf("a link removed by an operator: %v", err)
	}
	if _, err := w.Link(t.Context(), "dr"); err != nil || !w.runner.HasSchedules("dr") {
		t.Errorf("the link is changed: %v", err)
	}
}

func TestAuditTellsHowACommandEnded(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "spare")
	away := fault.New(fault.Transient, "ask Temporal", nil, "")
	for _, c := range []struct {
		what    string
		do      func() error
		outcome audit.Outcome
		detail  string
	}{
		{"done", func() error { _, err := w.Compare(t.Context(), "dr"); return err }, audit.Done, ""},
		{"Temporal is away", func() error {
			w.runner.OnCompare = func(string) (string, bool, error) { return "", false, away }
			_, err := w.Compare(t.Context(), "dr")
			return err
		}, audit.Asked, ""},
		{"the operator interrupts", func() error {
			w.runner.OnCompare = func(string) (string, bool, error) { return "", false, context.Canceled }
			_, err := w.Compare(t.Context(), "dr")
			return err
		}, audit.Asked, ""},
		{"Temporal rejects", func() error {
			w.runner.OnCompare = func(string) (string, bool, error) {
				return "", false, fault.New(fault.Config, "ask Temporal", nil, "")
			}
			_, err := w.Compare(t.Context(), "dr")
			return err
		}, audit.Failed, ""},
		{"Temporal is asked", func() error {
			w.runner.OnCompare = func(string) (string, bool, error) {
				if rows, err := w.Audit(t.Context(), "dr", 1); err != nil || rows[0].Outcome != audit.Asked {
					t.Errorf("while Temporal is asked: %+v, %v", rows, err)
				}
				return "run", true, nil
			}
			_, err := w.Compare(t.Context(), "dr")
			return err
		}, audit.Done, ""},
		{"recorded, but without schedules", func() error {
			w.runner.SchedulesFault = away
			_, err := w.AddLink(t.Context(), site.Link{Name: "back", Source: "spare", Target: "prod"})
			w.runner.SchedulesFault = nil
			return err
		}, audit.Failed, "from spare to prod"},
		{"an edit", func() error {
			password, file := seal.NewSecret("canary"), "/canary"
			_, err := w.EditStore(t.Context(), "prod", control.StoreEdit{Password: &password, CAFile: &file})
			return err
		}, audit.Done, "ca file, password"},
		{"of a link", func() error {
			rate := quota.Rate(7)
			_, err := w.EditLink(t.Context(), "dr", control.LinkEdit{Bandwidth: &rate})
			return err
		}, audit.Done, "bandwidth"},
		{"of the guard", func() error {
			_, err := w.EditGuard(t.Context(), "dr", func(s *guard.Settings) { s.FolderShare, s.DeletedFolder = 7, "canary" })
			return err
		}, audit.Done, "folder share, deleted folder"},
	} {
		before, err := w.Audit(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		err = c.do()
		rows, listed := w.Audit(t.Context(), "", 0)
		if listed != nil || len(rows) != len(before)+1 {
			t.Errorf("%s: %d rows more, %v", c.what, len(rows)-len(before), listed)
			continue
		}
		if got := rows[0]; got.Outcome != c.outcome || (err != nil) != (c.outcome != audit.Done) || got.Detail != c.detail || got.Actor != "alice" || got.Way != audit.CLI {
			t.Errorf("%s: %+v, and the command's error is %v", c.what, got, err)
		}
	}
	// What is rejected before anything is changed leaves no row.
	before, _ := w.Audit(t.Context(), "", 0)
	if _, err := w.AddMailboxes(t.Context(), "nowhere", []mailbox.Number{"1"}); err == nil {
		t.Error("mailboxes were added to a link that there is not")
	}
	if rows, _ := w.Audit(t.Context(), "", 0); len(rows) != len(before) {
		t.Errorf("what was rejected is recorded: %+v", rows[0])
	}
	for _, e := range before {
		if strings.Contains(e.Detail+e.Subject, "canary") || strings.Contains(e.Detail, "hunter2") {
			t.Errorf("a secret in %+v", e)
		}
	}
}

// A decision is made although the sync that follows it could not be started.
func TestADecisionStandsWithoutItsSync(t *testing.T) {
	w := newWorld(t)
	w.repo.PutHolds(guard.Hold{ID: 7, Link: "dr", Number: "1001", State: guard.HoldWaiting})
	w.runner.OnSync = func(mailbox.Key, string) error { return fault.Newf(fault.Transient, "Temporal is away") }
	if _, _, err := w.DecideAllHolds(t.Context(), []int64{7}, guard.HoldApproved); err == nil || fault.HintOf(err) == "" {
		t.Errorf("approved without a word: %v", err)
	}
	if rows, err := w.Audit(t.Context(), "", 1); err != nil || rows[0].Command != "guard approve" || rows[0].Outcome != audit.Done {
		t.Errorf("%+v, %v", rows, err)
	}
	w.link(t, "dr", "prod", "spare")
	if _, err := w.AddMailboxes(t.Context(), "dr", []mailbox.Number{"1001"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sync(t.Context(), mailbox.Key{Link: "dr", Number: "1001"}); err == nil {
		t.Error("synced without Temporal")
	}
	if rows, err := w.Audit(t.Context(), "", 1); err != nil || rows[0].Command != "sync" || rows[0].Outcome != audit.Done {
		t.Errorf("%+v, %v", rows, err)
	}
}

// With the schema of an earlier release everything is rejected that changes something,
// but not a suspension.
func TestOutdatedSchemaRejectsChanges(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "spare")
	outdated := fault.New(fault.Config, "the schema is older", nil, "mailmirror migrate")
	c := control.New(controltest.Ports(w.repo, nil, w.runner), control.Options{Outdated: outdated}).As(alice)
	_, compare := c.Compare(t.Context(), "dr")
	_, verify := c.StartVerify(t.Context(), verdict.VerifyRequest{Link: "dr"})
	_, check := c.CheckStore(t.Context(), "prod", "", control.Waiting[verdict.StoreRun]{})
	for what, err := range map[string]error{"compare": compare, "verify": verify, "store check": check, "link remove": c.RemoveLink(t.Context(), "dr")} {
		if !errors.Is(err, outdated) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s, _, err := c.Suspend(t.Context(), "", "upgrade"); err != nil || !s.Still() {
		t.Errorf("suspend: %+v, %v", s, err)
	}
	if _, err := c.Status(t.Context(), "dr"); err != nil {
		t.Errorf("status: %v", err)
	}
}

// slow is a database that does not answer when a command records how it ended.
type slow struct{ *controltest.Memory }

func (slow) SetOutcome(ctx context.Context, _ int64, _ audit.Outcome) error {
	<-ctx.Done()
	return ctx.Err()
}

// A command ends although the database does not answer any more.
func TestEndIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.link(t, "dr", "prod", "spare")
		c := control.New(controltest.Ports(slow{w.repo}, nil, w.runner), control.Options{}).As(alice)
		begun := time.Now()
		_, err := c.Compare(t.Context(), "dr")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if rows, err := w.Audit(t.Context(), "dr", 1); err != nil || rows[0].Outcome != audit.Asked {
			t.Errorf("%+v, %v", rows, err)
		}
	})
}

// lossy is a database that loses the connection after it has committed.
type lossy struct{ *controltest.Memory }

func (l lossy) RemoveLink(ctx context.Context, name string) error {
	if err := l.Memory.RemoveLink(ctx, name); err != nil {
		return err
	}
	return fault.New(fault.Transient, "remove link "+name, errors.New("connection lost"), "")
}

// A link that is gone gets no schedules back, although the answer of the database was
// lost: they would start workflows that fail for ever.
func TestRemovedLinkGetsNoSchedulesBack(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "spare")
	c := control.New(controltest.Ports(lossy{w.repo}, nil, w.runner), control.Options{}).As(alice)
	if err := c.RemoveLink(t.Context(), "dr"); err != nil {
		t.Error(err)
	}
	if w.runner.HasSchedules("dr") {
		t.Error("the schedules of a link that is gone are back")
	}
	if rows, err := w.Audit(t.Context(), "dr", 1); err != nil || rows[0].Command != "link remove" || rows[0].Outcome != audit.Done {
		t.Errorf("%+v, %v", rows, err)
	}
}
