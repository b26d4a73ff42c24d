package conformance

import (
	"mailmirror/internal/audit"
	"mailmirror/internal/suspension"
)

func (s *suite) suspension() {
	ctx := s.Context()
	s.linked("2001")
	is := func(what string, want suspension.State, now suspension.Suspension, err error) suspension.Suspension {
		s.Helper()
		if err != nil || now.State != want {
			s.Fatalf("%s: the mirror is %+v, %v, want %s", what, now, err, want)
		}
		return now
	}
	all, err := s.Suspension.Suspensions(ctx)
	if len(all) != 2 || all[0].Link != "" || all[1].Link != link || all[1].Epoch == 0 {
		s.Fatalf("the scopes are %+v, want everything and the link", all)
	}
	for _, scope := range []string{"", link} {
		running := is("at first", suspension.Running, all.Own(scope), err)
		request := suspension.Request{Link: scope, Who: "anna", Reason: "disk", Way: audit.CLI}
		other := request
		other.Epoch = running.Epoch + 5
		now, err := s.Suspension.Suspend(ctx, other)
		is("a request for another epoch", suspension.Running, now, err)
		done := s.Write(s.T, keyOf("2001"))
		now, err = s.Suspension.Suspend(ctx, request)
		suspended := is("suspended", suspension.Suspending, now, err)
		if suspended.Link != scope || suspended.Epoch <= running.Epoch || suspended.Who != "anna" || suspended.Reason != "disk" || !suspended.Still() ||
			suspended.Since.IsZero() || suspended.Waiting != 1 {
			s.Errorf("the suspension is %+v after %+v", suspended, running)
		}
		now, err = s.Suspension.Suspend(ctx, suspension.Request{Link: scope, Who: "bert"})
		if again := is("suspended again", suspension.Suspending, now, err); again.Epoch != suspended.Epoch || again.Who != "anna" {
			s.Errorf("a second suspension is %+v", again)
		}
		if all, err := s.Suspension.Suspensions(ctx); err != nil || all.Own("").Suspended() != (scope == "") || all.Own(link).Suspended() != (scope == link) {
			s.Errorf("suspended are %+v, %v, want %q alone", all, err, scope)
		}
		now, err = s.Suspension.ConfirmSuspended(ctx, scope, suspended.Epoch)
		is("a confirmation while a mailbox is written to", suspension.Suspending, now, err)
		done()
		now, err = s.Suspension.ConfirmSuspended(ctx, scope, suspended.Epoch-1)
		is("a confirmation of another epoch", suspension.Suspending, now, err)
		now, err = s.Suspension.ConfirmSuspended(ctx, scope, suspended.Epoch)
		if still := is("confirmed", suspension.Suspended, now, err); still.SuspendedAt.IsZero() || still.Epoch != suspended.Epoch {
			s.Errorf("when nothing is written any more it is %+v", still)
		}
		now, err = s.Work.Suspension.Resume(ctx, suspension.Request{Link: scope, Who: "bert", Epoch: suspended.Epoch - 1})
		is("a resumption of another epoch", suspension.Suspended, now, err)
		now, err = s.Work.Suspension.Resume(ctx, suspension.Request{Link: scope, Who: "bert", Epoch: suspended.Epoch, Way: audit.CLI})
		if resumed := is("resumed", suspension.Running, now, err); resumed.Epoch <= suspended.Epoch || resumed.Who != "bert" || resumed.Still() {
			s.Errorf("after the resumption it is %+v", resumed)
		}
		rows, err := s.Audit.Audit(ctx, "", 3)
		if err != nil || len(rows) != 3 || rows[0].Command != "resume" || rows[1].Command != "suspended" || rows[2].Command != "suspend" ||
			rows[2].Link != scope || rows[2].Actor != "anna" || rows[2].Detail != "disk" {
			s.Errorf("the audit log is %+v, %v", rows, err)
		}
	}
	now, err := s.Suspension.Suspend(ctx, suspension.Request{Link: "none", Who: "anna"})
	is("the suspension of no link", suspension.Running, now, err)
}
