package conformance

import (
	"errors"
	"slices"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func (s *suite) records() {
	ctx := s.Context()
	s.linked("2001", "2002")
	s.add("a", "prod", "other")
	all, err := s.Ports.Records.Status(ctx, "")
	s.must(err)
	if len(all) != 2 || all[0].Link.Name != "a" || all[1].Link.Name != link || all[1].Mailboxes != 2 || all[1].States.New != 2 || all[1].LastCompare != nil {
		s.Errorf("Status = %+v", all)
	}
	if one, err := s.Ports.Records.Status(ctx, link); err != nil || len(one) != 1 || one[0].Link.Name != link {
		s.Errorf("Status of one link = %+v, %v", one, err)
	}
	for what, do := range map[string]func() error{
		"the status of no link":           func() error { _, err := s.Ports.Records.Status(ctx, "none"); return err },
		"the history of no link":          func() error { _, err := s.Ports.Records.History(ctx, "none", "", 10); return err },
		"the archive of no link":          func() error { _, err := s.Ports.Records.HistoryWithArchive(ctx, "none", "", 10); return err },
		"the history of no mailbox":       func() error { _, err := s.Ports.Records.History(ctx, link, "9999", 10); return err },
		"the errors of no link":           func() error { _, err := s.Ports.Records.Errors(ctx, "none"); return err },
		"a compare that is not recorded":  func() error { _, err := s.Ports.Records.CompareRun(ctx, "none"); return err },
		"a check that is not recorded":    func() error { _, err := s.Checks.StoreCheck(ctx, "none"); return err },
		"a verification not recorded":     func() error { _, err := s.Checks.Verification(ctx, "none"); return err },
		"the end of one not recorded":     func() error { return s.Work.Compares.FinishCompare(ctx, "none") },
		"progress of one not recorded":    func() error { return s.Work.Compares.AddCompareProgress(ctx, "none", 0, site.CompareProgress{}) },
		"a directory run not recorded":    func() error { _, err := s.DirectoryRuns.DirectoryRun(ctx, "none"); return err },
		"directory settings of no link":   func() error { return s.DirectoryConfig.SetDirectorySettings(ctx, "none", dirsync.DefaultSettings()) },
		"the directory of no store":       func() error { return s.DirectoryConfig.PutDirectoryStore(ctx, directoryOf("none")) },
		"the logins of no store":          func() error { _, _, err := s.DirectoryConfig.Logins(ctx, "none"); return err },
		"how to listen to no link":        func() error { _, err := s.Work.Watch.WatchRoster(ctx, "none"); return err },
		"the shards of no link":           func() error { return s.Work.Watch.SetWatchShards(ctx, "none", 1) },
		"a failure of a mailbox not here": func() error { return s.Work.Mailboxes.RecordFailure(ctx, failed("9999", "r"), time.Minute) },
	} {
		s.fails(what, do(), fault.NotFound)
	}
	for name, count := range map[string]func() (int, error){
		"History": func() (int, error) { l, err := s.Ports.Records.History(ctx, link, "", 10); return len(l), err },
		"HistoryWithArchive": func() (int, error) {
			l, err := s.Ports.Records.HistoryWithArchive(ctx, link, "2001", 10)
			return len(l), err
		},
		"Errors":        func() (int, error) { l, err := s.Ports.Records.Errors(ctx, ""); return len(l), err },
		"Watchers":      func() (int, error) { l, err := s.Ports.Records.Watchers(ctx, link); return len(l), err },
		"VerifyResults": func() (int, error) { l, err := s.Checks.VerifyResults(ctx, "none"); return len(l), err },
	} {
		if n, err := count(); n != 0 || err != nil {
			s.Errorf("%s of what was never mirrored: %d, %v", name, n, err)
		}
	}
	if _, err := s.Ports.Records.Background(ctx); err != nil {
		s.Error(err)
	}
	sign := background.Sign{Loop: background.LoopSweep, Worker: "1@one"}
	s.must(s.Work.Signs.BeginLoop(ctx, sign))
	sign.ErrorKind, sign.Error = string(fault.Config), "no such host"
	s.must(s.Work.Signs.EndLoop(ctx, sign))
	state, err := s.Ports.Records.Background(ctx)
	s.must(err)
	i := slices.IndexFunc(state.Signs, func(b background.Sign) bool { return b.Loop == sign.Loop })
	if i < 0 || state.Signs[i].Error != sign.Error || state.Signs[i].ErrorKind != sign.ErrorKind {
		s.Errorf("the signs of life are %+v", state.Signs)
	}
}

func (s *suite) schedules() {
	ctx := s.Context()
	s.must(s.Schedules.SetScheduleSpec(ctx, "sweep", site.ScheduleSpec{Every: time.Minute}, "anna"))
	s.must(s.Schedules.SetScheduleSpec(ctx, "sweep", site.ScheduleSpec{Cron: "0 3 * * *"}, "anna"))
	s.must(s.Schedules.DropScheduleSpec(ctx, "sweep"))
	s.must(s.Schedules.DropScheduleSpec(ctx, "sweep"))
	first, err := s.Schedules.NoteMisses(ctx, "sweep", 2)
	again, againErr := s.Schedules.NoteMisses(ctx, "sweep", 2)
	fewer, fewerErr := s.Schedules.NoteMisses(ctx, "sweep", 1)
	if err := errors.Join(err, againErr, fewerErr); err != nil || first.IsZero() || !first.Equal(again) || !first.Equal(fewer) {
		s.Errorf("the same misses were seen at %v, at %v and at %v, %v", first, again, fewer, err)
	}
}

func (s *suite) audit() {
	ctx := s.Context()
	s.linked()
	s.add("other", "third", "fourth")
	e := audit.Entry{Command: "compare", Actor: "anna", Way: audit.CLI, Link: link, Outcome: audit.Asked}
	s.must(s.Audit.Record(ctx, &e))
	s.must(s.Audit.SetOutcome(ctx, e.ID, audit.Failed))
	s.must(s.Audit.SetOutcome(ctx, e.ID+1000, audit.Failed)) // of no row
	for _, about := range []audit.Entry{{Command: "store edit", Store: "dr"}, {Command: "store edit", Store: "third"}, {Command: "compare", Link: "other"}, {Command: "suspend"}} {
		s.must(s.Audit.Record(ctx, &about))
		if about.ID == 0 {
			s.Errorf("the row of %s has no id", about.Command)
		}
	}
	rows, err := s.Audit.Audit(ctx, "", 0)
	s.must(err)
	if len(rows) != 5 || rows[0].Command != "suspend" || rows[0].Outcome != audit.Done || rows[0].At.IsZero() ||
		rows[4].ID != e.ID || rows[4].Outcome != audit.Failed || rows[4].Actor != "anna" || rows[4].Way != audit.CLI {
		s.Errorf("Audit = %+v", rows)
	}
	rows, err = s.Audit.Audit(ctx, link, 0)
	s.must(err)
	if len(rows) != 3 || rows[0].Command != "suspend" || rows[1].Store != "dr" || rows[2].Link != link {
		s.Errorf("Audit of one link = %+v", rows)
	}
	if rows, err = s.Audit.Audit(ctx, "", 2); err != nil || len(rows) != 2 {
		s.Errorf("two rows: %+v, %v", rows, err)
	}
}

// audited checks that each change writes the row of its command, and only one that is made.
func (s *suite) audited() {
	s.linked("2001", "2002")
	s.Hold(s.T, keyOf("2001"), 30)
	holds, err := s.Guard.Holds(s.Context(), "")
	s.must(err)
	for _, change := range []struct {
		what     string
		do       func(*suite, *audit.Entry) error
		rejected bool
	}{
		{"AddStore", func(s *suite, e *audit.Entry) error { return s.Stores.AddStore(with(s, e), storeNamed("third")) }, false},
		{"AddStore again", func(s *suite, e *audit.Entry) error { return s.Stores.AddStore(with(s, e), storeNamed("third")) }, true},
		{"UpdateStore", func(s *suite, e *audit.Entry) error { return s.Stores.UpdateStore(with(s, e), storeNamed("third")) }, false},
		{"UpdateStore of none", func(s *suite, e *audit.Entry) error { return s.Stores.UpdateStore(with(s, e), storeNamed("none")) }, true},
		{"PutDirectoryStore", func(s *suite, e *audit.Entry) error {
			return s.DirectoryConfig.PutDirectoryStore(with(s, e), directoryOf("third"))
		}, false},
		{"RemoveDirectoryStore", func(s *suite, e *audit.Entry) error {
			return s.DirectoryConfig.RemoveDirectoryStore(with(s, e), "third")
		}, false},
		{"RemoveStore", func(s *suite, e *audit.Entry) error { return s.Stores.RemoveStore(with(s, e), "third") }, false},
		{"RemoveStore in use", func(s *suite, e *audit.Entry) error { return s.Stores.RemoveStore(with(s, e), "dr") }, true},
		{"AddLink", func(s *suite, e *audit.Entry) error {
			return s.Links.AddLink(with(s, e), site.Link{Name: "back", Source: "dr", Target: "prod"})
		}, false},
		{"SetBandwidth", func(s *suite, e *audit.Entry) error { return s.Links.SetBandwidth(with(s, e), site.Link{Name: link}) }, false},
		{"SetLinkDirectory", func(s *suite, e *audit.Entry) error {
			return s.Links.SetLinkDirectory(with(s, e), link, site.LinkDirectoryOff)
		}, false},
		{"SetDirectorySettings", func(s *suite, e *audit.Entry) error {
			return s.DirectoryConfig.SetDirectorySettings(with(s, e), link, dirsync.DefaultSettings())
		}, false},
		{"AddMailboxes", func(s *suite, e *audit.Entry) error {
			_, err := s.Mailboxes.AddMailboxes(with(s, e), link, []mailbox.Number{"2003"})
			return err
		}, false},
		{"AddMailboxes in a circle", func(s *suite, e *audit.Entry) error {
			_, err := s.Mailboxes.AddMailboxes(with(s, e), "back", []mailbox.Number{"2003"})
			return err
		}, true},
		{"MarkDirty", func(s *suite, e *audit.Entry) error {
			_, err := s.Mailboxes.MarkDirty(with(s, e), keyOf("2001"))
			return err
		}, false},
		{"RemoveMailboxes", func(s *suite, e *audit.Entry) error {
			_, err := s.Mailboxes.RemoveMailboxes(with(s, e), link, []mailbox.Number{"2003"})
			return err
		}, false},
		{"SetGuardSettings", func(s *suite, e *audit.Entry) error {
			return s.Guard.SetGuardSettings(with(s, e), link, guard.DefaultSettings())
		}, false},
		{"DecideHolds", func(s *suite, e *audit.Entry) error {
			_, err := s.Guard.DecideHolds(with(s, e), []int64{holds[0].ID}, guard.HoldApproved, "anna")
			return err
		}, false},
		{"DecideHolds of none", func(s *suite, e *audit.Entry) error {
			_, err := s.Guard.DecideHolds(with(s, e), []int64{4711}, guard.HoldApproved, "anna")
			return err
		}, true},
		{"ForgetDirectoryFailures", func(s *suite, e *audit.Entry) error {
			_, err := s.DirectoryRuns.ForgetDirectoryFailures(with(s, e), link, "")
			return err
		}, false},
		{"SetScheduleSpec", func(s *suite, e *audit.Entry) error {
			return s.Schedules.SetScheduleSpec(with(s, e), "sweep", site.ScheduleSpec{Every: time.Minute}, "anna")
		}, false},
		{"DropScheduleSpec", func(s *suite, e *audit.Entry) error { return s.Schedules.DropScheduleSpec(with(s, e), "sweep") }, false},
		{"RemoveLink", func(s *suite, e *audit.Entry) error { return s.Links.RemoveLink(with(s, e), "back") }, false},
	} {
		before, err := s.Audit.Audit(s.Context(), "", 0)
		s.must(err)
		e := audit.Entry{Command: change.what, Actor: "anna", Way: audit.Page}
		if err := change.do(s, &e); (err != nil) != change.rejected {
			s.Errorf("%s: %v", change.what, err)
		}
		after, err := s.Audit.Audit(s.Context(), "", 0)
		s.must(err)
		switch {
		case change.rejected && (len(after) != len(before) || e.ID != 0):
			s.Errorf("%s was rejected and left %+v", change.what, after[0])
		case !change.rejected && (len(after) != len(before)+1 || e.ID != after[0].ID || after[0].Command != change.what || after[0].Actor != "anna"):
			s.Errorf("%s left %d rows, id %d", change.what, len(after)-len(before), e.ID)
		}
	}
	// A second change of the same command writes no second row.
	e := audit.Entry{Command: "two changes"}
	s.must(s.Links.SetBandwidth(with(s, &e), site.Link{Name: link}))
	before, err := s.Audit.Audit(s.Context(), "", 0)
	s.must(err)
	s.must(s.Links.SetBandwidth(with(s, &e), site.Link{Name: link, Bandwidth: 1}))
	if after, err := s.Audit.Audit(s.Context(), "", 0); err != nil || len(after) != len(before) {
		s.Errorf("the second change of a command left %d rows, %v", len(after)-len(before), err)
	}
}
