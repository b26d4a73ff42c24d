package conformance

import (
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/site"
)

// directoryOf is a store's directory at an address of its own.
func directoryOf(store string) site.Directory {
	m := directory.DefaultMapping()
	m.BaseDN = "ou=boxes,dc=" + store
	return site.Directory{Store: store, Address: store + ".example:389", Security: site.SecurityStartTLS, BindDN: "cn=mirror",
		SealedPassword: []byte{0, 1, 255}, Mapping: m}
}

func (s *suite) directories() {
	ctx := s.Context()
	s.linked()
	s.must(s.Links.AddLink(ctx, site.Link{Name: "back", Source: "dr", Target: "prod"}))
	if _, has, err := s.DirectoryConfig.DirectoryStore(ctx, "prod"); has || err != nil {
		s.Errorf("a store without a directory has one, %v", err)
	}
	d := directoryOf("prod")
	s.must(s.DirectoryConfig.PutDirectoryStore(ctx, d))
	d.BindDN = "cn=other"
	s.must(s.DirectoryConfig.PutDirectoryStore(ctx, d))
	if got, has, err := s.DirectoryConfig.DirectoryStore(ctx, "prod"); !has || err != nil || got.BindDN != "cn=other" || got.UpdatedAt.IsZero() || got.Mapping.BaseDN != d.Mapping.BaseDN {
		s.Errorf("the directory is %+v, %v, %v", got, has, err)
	}
	s.fails("a directory that would be mirrored back", s.DirectoryConfig.PutDirectoryStore(ctx, directoryOf("dr")), fault.Conflict)
	if _, has, err := s.DirectoryConfig.DirectoryStore(ctx, "dr"); has || err != nil {
		s.Errorf("a directory that was rejected is there, %v", err)
	}
	s.must(s.Links.SetLinkDirectory(ctx, "back", site.LinkDirectoryOff))
	s.must(s.DirectoryConfig.PutDirectoryStore(ctx, directoryOf("dr")))
	s.fails("a link that would mirror a directory back", s.Links.SetLinkDirectory(ctx, "back", site.LinkDirectoryOn), fault.Conflict)
	s.fails("one more", s.Links.AddLink(ctx, site.Link{Name: "again", Source: "dr", Target: "prod"}), fault.Conflict)
	_, err := s.Links.Link(ctx, "again")
	s.fails("a link that was rejected", err, fault.NotFound)
	s.must(s.DirectoryConfig.DirectoryRefusal(ctx, link))
	s.fails("a run over a directory that is off", s.DirectoryConfig.DirectoryRefusal(ctx, "back"), fault.Config)

	if logins, _, err := s.DirectoryConfig.Logins(ctx, "prod"); err != nil || logins == nil {
		s.Errorf("the logins are %v, %v", logins, err)
	}
	settings, err := s.DirectoryConfig.DirectorySettings(ctx, link)
	s.must(err)
	if settings.GiveUp != dirsync.DefaultSettings().GiveUp || settings.Participate != dirsync.DefaultSettings().Participate {
		s.Errorf("settings that nobody set are %+v", settings)
	}
	settings.GiveUp = 3
	s.must(s.DirectoryConfig.SetDirectorySettings(ctx, link, settings))
	if got, err := s.DirectoryConfig.DirectorySettings(ctx, link); err != nil || got.GiveUp != 3 {
		s.Errorf("the settings are %+v, %v", got, err)
	}
	if n, err := s.DirectoryRuns.ForgetDirectoryFailures(ctx, link, ""); n != 0 || err != nil {
		s.Errorf("ForgetDirectoryFailures = %d, %v", n, err)
	}
	_, err = s.DirectoryRuns.ForgetDirectoryFailures(ctx, "none", "")
	s.fails("failures of no link", err, fault.NotFound)

	s.must(s.DirectoryConfig.RemoveDirectoryStore(ctx, "dr"))
	s.must(s.DirectoryConfig.RemoveDirectoryStore(ctx, "dr"))
	if _, has, err := s.DirectoryConfig.DirectoryStore(ctx, "dr"); has || err != nil {
		s.Errorf("a directory that was removed is there, %v", err)
	}
}

// directoryHolds: HoldDirectory found two changes, a removal that is held and an addition
// that is not.
func (s *suite) directoryHolds() {
	ctx := s.Context()
	s.linked()
	for _, store := range []string{"prod", "dr"} {
		s.must(s.DirectoryConfig.PutDirectoryStore(ctx, directoryOf(store)))
	}
	if holds, err := s.DirectoryHolds.DirectoryHolds(ctx, ""); err != nil || len(holds) != 0 {
		s.Errorf("DirectoryHolds = %v, %v", holds, err)
	}
	if runs, err := s.DirectoryRuns.DirectoryRunsOf(ctx, "", 0); err != nil || len(runs) != 0 {
		s.Errorf("DirectoryRunsOf = %v, %v", runs, err)
	}
	s.HoldDirectory(s.T, "run-1")
	runs, err := s.DirectoryRuns.DirectoryRunsOf(ctx, link, 5)
	if err != nil || len(runs) == 0 || runs[0].RunID != "run-1" || runs[0].Link != link || runs[0].State != dirsync.Held {
		s.Errorf("the runs are %+v, %v", runs, err)
	}
	if run, err := s.DirectoryRuns.DirectoryRun(ctx, "run-1"); err != nil || run.Link != link {
		s.Errorf("the run is %+v, %v", run, err)
	}
	if runs, err := s.DirectoryRuns.DirectoryRunsOf(ctx, "none", 5); err != nil || len(runs) != 0 {
		s.Errorf("the runs of another link are %+v, %v", runs, err)
	}
	all, err := s.DirectoryRuns.DirectoryChanges(ctx, "run-1", 0, 0)
	if err != nil || len(all) != 2 {
		s.Fatalf("the changes are %+v, %v", all, err)
	}
	for _, c := range []struct {
		after  int64
		limit  int
		states []dirsync.ChangeState
		want   int
	}{{0, 1, nil, 1}, {all[0].Seq, 0, nil, 1}, {0, 0, []dirsync.ChangeState{dirsync.ChangeHeld}, 1}, {all[1].Seq, 0, nil, 0}} {
		got, err := s.DirectoryRuns.DirectoryChanges(ctx, "run-1", c.after, c.limit, c.states...)
		if err != nil || len(got) != c.want {
			s.Errorf("the changes behind %d, at most %d, %v: %+v, %v", c.after, c.limit, c.states, got, err)
		}
	}
	if got, err := s.DirectoryRuns.DirectoryRejections(ctx, "run-1"); err != nil || len(got) != 0 {
		s.Errorf("DirectoryRejections = %v, %v", got, err)
	}
	holds, err := s.DirectoryHolds.DirectoryHolds(ctx, link)
	s.must(err)
	if len(holds) != 1 || holds[0].Kind != directory.Remove || holds[0].Changes != 1 || holds[0].State != guard.HoldWaiting || holds[0].RunID != "run-1" {
		s.Fatalf("the holds are %+v", holds)
	}
	for id, want := range map[int64]int{holds[0].ID: 1, holds[0].ID + 1000: 0} {
		if changes, err := s.DirectoryHolds.DirectoryHoldChanges(ctx, id, 0, 0); err != nil || len(changes) != want || want > 0 && changes[0].Kind != directory.Remove {
			s.Errorf("the changes of hold %d are %+v, %v", id, changes, err)
		}
	}
	decide := func(ids ...int64) ([]guard.DirectoryHold, error) {
		return s.DirectoryHolds.DecideDirectoryHolds(ctx, ids, guard.HoldRefused, "anna")
	}
	_, err = decide(holds[0].ID, 4711)
	s.fails("a decision of which one hold is no more", err, fault.Conflict)
	if now, err := s.DirectoryHolds.DirectoryHolds(ctx, link); err != nil || now[0].State != guard.HoldWaiting {
		s.Errorf("half of a decision is recorded: %+v, %v", now, err)
	}
	decided, err := decide(holds[0].ID)
	if err != nil || len(decided) != 1 || decided[0].ID != holds[0].ID || decided[0].State != guard.HoldRefused || decided[0].DecidedBy != "anna" {
		s.Errorf("decided %+v, %v", decided, err)
	}
	now, err := s.DirectoryHolds.DirectoryHolds(ctx, link)
	if err != nil || len(now) != 1 || now[0].State != guard.HoldRefused || now[0].ID == holds[0].ID || now[0].Changes != 1 {
		s.Errorf("after the decision the holds are %+v, %v", now, err)
	}
	_, err = decide(holds[0].ID)
	s.fails("a decision on what was shown before another decision", err, fault.Conflict)
	log, err := s.Guard.GuardDecisions(ctx, link, 10)
	if err != nil || len(log) != 1 || log[0].HoldID != holds[0].ID || log[0].Messages != 1 || log[0].Folder != "directory: remove" {
		s.Errorf("the log is %+v, %v", log, err)
	}
}
