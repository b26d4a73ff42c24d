package conformance

import (
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
)

func (s *suite) guard() {
	ctx := s.Context()
	s.linked("2001", "2002")
	if got, err := s.Guard.GuardSettings(ctx, link); err != nil || got != guard.DefaultSettings() {
		s.Errorf("settings that nobody set are %+v, %v", got, err)
	}
	settings := guard.DefaultSettings()
	settings.FolderCount, settings.SetBy = 7, "anna"
	s.must(s.Guard.SetGuardSettings(ctx, link, settings))
	if got, err := s.Guard.GuardSettings(ctx, link); err != nil || got.FolderCount != 7 || got.SetBy != "anna" || got.SetAt.IsZero() {
		s.Errorf("settings are %+v, %v", got, err)
	}
	s.fails("settings of no link", s.Guard.SetGuardSettings(ctx, "none", settings), fault.NotFound)
	holds := func() []guard.Hold {
		s.Helper()
		all, err := s.Guard.Holds(ctx, "")
		s.must(err)
		return all
	}
	decide := func(decision guard.HoldState, ids ...int64) ([]guard.Hold, error) {
		return s.Guard.DecideHolds(ctx, ids, decision, "anna")
	}
	if len(holds()) != 0 {
		s.Errorf("Holds = %v", holds())
	}
	_, err := decide(guard.HoldApproved, 4711)
	s.fails("a decision on no hold", err, fault.Conflict)

	s.Hold(s.T, keyOf("2001"), 30)
	s.Hold(s.T, keyOf("2002"), 40)
	first := holds()
	if len(first) != 2 || first[0].Number != "2001" || first[1].Number != "2002" || first[0].State != guard.HoldWaiting ||
		first[0].Messages != 30 || first[0].Folder != mailbox.Inbox {
		s.Fatalf("holds are %+v", first)
	}
	if of, err := s.Guard.Holds(ctx, "none"); err != nil || len(of) != 0 {
		s.Errorf("holds of another link: %+v, %v", of, err)
	}
	before := s.box("2001").DirtyGeneration
	_, err = decide(guard.HoldApproved, first[0].ID, 4711)
	s.fails("a decision of which one hold is no more", err, fault.Conflict)
	if now := holds(); now[0].State != guard.HoldWaiting || s.box("2001").DirtyGeneration != before {
		s.Errorf("half of a decision is recorded: %+v", now[0])
	}
	decided, err := decide(guard.HoldRefused, first[0].ID)
	s.must(err)
	if len(decided) != 1 || decided[0].ID != first[0].ID || decided[0].State != guard.HoldRefused || decided[0].DecidedBy != "anna" || decided[0].DecidedAt.IsZero() {
		s.Errorf("decided %+v", decided)
	}
	if got := s.box("2001"); got.DirtyGeneration != before+1 {
		s.Errorf("after the decision the mailbox is %+v, want work due", got)
	}
	now := holds()
	if len(now) != 2 || now[0].State != guard.HoldRefused || now[0].ID == first[0].ID || now[0].Messages != 30 || now[1].ID != first[1].ID {
		s.Errorf("after the decision the holds are %+v", now)
	}
	_, err = decide(guard.HoldApproved, first[0].ID)
	s.fails("a decision on what was shown before another decision", err, fault.Conflict)
	if _, err := decide(guard.HoldApproved, now[0].ID); err != nil {
		s.Errorf("another decision: %v", err)
	}
	log, err := s.Guard.GuardDecisions(ctx, link, 10)
	s.must(err)
	if len(log) != 2 || log[0].Decision != guard.HoldApproved || log[1].Decision != guard.HoldRefused || log[1].HoldID != first[0].ID ||
		log[1].Who != "anna" || log[1].Messages != 30 || log[1].Number != "2001" {
		s.Errorf("the log is %+v", log)
	}
	if log, err := s.Guard.GuardDecisions(ctx, link, 1); err != nil || len(log) != 1 || log[0].Decision != guard.HoldApproved {
		s.Errorf("the last decision is %+v, %v", log, err)
	}
	if log, err := s.Guard.GuardDecisions(ctx, link, 0); err != nil || len(log) != 2 {
		s.Errorf("all decisions are %+v, %v", log, err)
	}
	if _, err := s.Guard.GuardFigures(ctx, link); err != nil {
		s.Error(err)
	}
}
