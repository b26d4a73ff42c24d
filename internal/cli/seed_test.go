package cli_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// seed describes a link on a bad night: of six mailboxes three are equal, one
// has a lasting difference, one is due and one keeps failing.
func (s *system) seed() {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"prod", "site"} {
		must(s.repo.AddStore(ctx, site.Store{
			Name: name, IMAPAddress: name + ".example.org:993", Security: site.SecurityTLS, CAFile: "/etc/ssl/" + name + ".pem",
			Login: site.LoginSeparator, Separator: "*", TrustedName: "mirror", Greetings: mailbox.DefaultGreetings, SealedPassword: []byte("x"),
		}))
	}
	must(s.repo.AddLink(ctx, site.Link{Name: "dr", Source: "prod", Target: "site", Exclude: mailbox.Patterns{"Trash"}}))
	for i, state := range []site.MailboxState{
		site.StateEqual, site.StateEqual, site.StateEqual, site.StateDiffering, site.StateDirty, site.StateParked,
	} {
		m := site.Mailbox{
			Link: "dr", Number: mailbox.Number(fmt.Sprint(1001 + i)), State: state, DirtyGeneration: 3, CleanGeneration: 3,
			LastEqualAt: clock.Add(-time.Hour), LastReviewAt: clock.Add(-time.Minute), Messages: 54, Greetings: 2, CreatedAt: clock.Add(-48 * time.Hour),
		}
		switch state {
		case site.StateNew, site.StateEqual, site.StateHeld:
		case site.StateDiffering:
			m.Differences = 1
		case site.StateDirty:
			m.DirtyGeneration, m.DirtySince = 4, clock.Add(-95*time.Second)
		case site.StateParked:
			m.DirtyGeneration, m.DirtySince = 4, clock.Add(-30*time.Minute)
			m.Failures, m.NextAttemptAt, m.ErrorAt = 5, clock.Add(12*time.Minute), clock.Add(-4*time.Minute)
			m.ErrorKind, m.Error, m.Hint = string(fault.Permanent), "log in to store site: there is no mailbox 1006", "create the mailbox on the target"
		}
		s.repo.PutMailbox(m)
	}
	s.repo.PutLag("dr", 30*time.Minute)
	s.repo.PutErrors(
		site.ErrorEntry{
			Link: "dr", Number: "1004", Folder: "INBOX", SourceUID: 17, Kind: string(copier.Refused), Since: clock.Add(-24 * time.Hour),
			Text: "NO [TOOBIG] \x1b[31mmessage\x07 too large", Hint: "raise the target's limit for the size of a message",
		},
		site.ErrorEntry{
			Link: "dr", Number: "1006", Kind: string(fault.Permanent), Text: "log in to store site: there is no mailbox 1006",
			Hint: "create the mailbox on the target", Since: clock.Add(-30 * time.Minute), Failures: 5, NextAttemptAt: clock.Add(12 * time.Minute),
		},
	)
	s.repo.PutRun(site.CompareRun{
		RunID: "run-1", Link: "dr", Trigger: "schedule", StartedAt: clock.Add(-time.Hour), FinishedAt: clock.Add(-time.Hour + 75*time.Second),
		Mailboxes: 6, UpdatedAt: clock.Add(-time.Hour + 75*time.Second),
		CompareProgress: site.CompareProgress{
			Reviewed: 6, Unchanged: 3, Synced: 2, Differing: 1, Failed: 1,
			Messages:  copier.Work{Appended: 310, Bytes: 23_400_000, FlagsChanged: 4, Expunged: 2},
			Greetings: copier.Work{Appended: 2, Bytes: 81_000}, DueMessages: 312, DueBytes: 23_481_000,
		},
	})
	entry := site.HistoryEntry{ID: 7, Report: copier.Report{
		Key: mailbox.Key{Link: "dr", Number: "1002"}, Trigger: "compare", RunID: "wf-7", Started: clock.Add(-time.Hour), Finished: clock.Add(-time.Hour + 2300*time.Millisecond),
		Outcome: copier.Equal, Messages: copier.Work{Appended: 310, Bytes: 23_400_000, FlagsChanged: 4, Expunged: 2}, Greetings: copier.Work{Appended: 2, Bytes: 81_000},
		Folders: copier.FolderWork{Created: 2}, SourceMessages: 54, SourceGreetings: 2, Generation: 3,
	}}
	failed := site.HistoryEntry{ID: 8, Report: copier.Report{
		Key: mailbox.Key{Link: "dr", Number: "1006"}, Trigger: "sweep", RunID: "wf-8", Started: clock.Add(-5 * time.Minute), Finished: clock.Add(-4 * time.Minute),
		Outcome: copier.Failed, Generation: 4, ErrKind: string(fault.Permanent), Err: "log in to store site: there is no mailbox 1006", Hint: "create the mailbox on the target",
	}}
	s.repo.PutHistory(entry, failed)
	s.repo.PutWatchers(
		site.Watcher{Link: "dr", Worker: "1@one", UpdatedAt: clock.Add(-3 * time.Second), Health: site.Health{
			Mode: site.ListenNotify, Why: "the store tells of every mailbox on one connection", Connections: 1, Wanted: 1,
			ConnectedSince: clock.Add(-2 * time.Hour), Listened: 4, Events: 120, PerMinute: 3, LastEvent: clock.Add(-7 * time.Second), LastKind: site.EventMessageIn}},
		site.Watcher{Link: "dr", Shard: 1, Worker: "2@two", UpdatedAt: clock.Add(-4 * time.Second), Health: site.Health{
			Mode: site.ListenNotify, Wanted: 1, Polled: 2, Events: 7, PerMinute: 1,
			Trouble: "connect to store prod: nothing listens on mail.example.org:143", Hint: "check the port, and that the server runs"}},
		site.Watcher{Link: "dr", Shard: 2, Worker: "3@three", UpdatedAt: clock.Add(-5 * time.Minute), Health: site.Health{Mode: site.ListenNotify}},
	)
	s.schedule("ahead")
	s.runner.Infos = []site.ScheduleInfo{
		{Name: "sweep", What: "start what is due and not running", Spec: site.ScheduleSpec{Every: time.Minute}, When: "every 1m", Exists: true,
			Next: []time.Time{clock.Add(time.Minute)}, LastRun: clock.Add(-5 * time.Minute), Missed: 2, Skipped: 1},
		{Name: "full-compare/dr", Link: "dr", What: "compare every mailbox of link dr", Spec: site.ScheduleSpec{Every: 4 * time.Hour}, When: "every 4h",
			Exists: true, Next: []time.Time{clock.Add(3 * time.Hour)}},
	}
	s.runner.OnCompare = func(string) (string, bool, error) { return "run-1", true, nil }
	s.servers.Reports = map[string]verdict.Store{"prod": {
		Server: "Dovecot", Release: "2.3.19.1 (9b53102964)", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256", CertificateExpires: clock.Add(40 * 24 * time.Hour),
		Capabilities: []string{"IMAP4rev1", "CONDSTORE", "LITERAL+"}, Connect: 12 * time.Millisecond, LoginTime: 3400 * time.Microsecond, RoundTrip: 800 * time.Microsecond,
		Separator: "/", Folders: 3, Messages: 54, Greetings: 2, Events: site.ListenIdle, EventsWhy: "the store has no NOTIFY",
		Advice: []verdict.Advice{{Effect: "the store is slow: it takes 16s to log in"}, {Missing: "UIDPLUS", Effect: "every append is looked up again"}},
	}}
	s.servers.Faults = map[string]error{"site": fault.New(fault.Config, "log in to store site: the server refuses name or password of the trusted server", nil, "mailmirror store edit site --trusted-password-file FILE")}
	s.verifier.Results = map[mailbox.Number]verdict.Mailbox{
		"1004": {Folders: []verdict.Folder{
			{Folder: "INBOX", Role: mailbox.RoleMessages, Counts: verdict.Counts{Compared: 54, Missing: 1}},
			{Folder: "Greetings", Role: mailbox.RoleGreetings, Counts: verdict.Counts{Compared: 2, Flags: 1, Dates: 1}},
			{Folder: "Old", Role: mailbox.RoleMessages, Trouble: "extra"},
		}},
		"1006": {Failure: verdict.Failure{ErrorKind: string(fault.Permanent), Error: "log in to store site: there is no mailbox 1006", Hint: "create the mailbox on the target"}},
	}
}

// schedule makes Temporal tell something of every link's compare schedule.
func (s *system) schedule(how string) {
	answer, ok := map[string]site.CompareSchedule{
		"ahead":   {NextCompare: clock.Add(3 * time.Hour)},
		"overdue": {NextCompare: clock.Add(3 * time.Hour), WaitingSince: clock.Add(-time.Hour)},
		"paused":  {Paused: true},
		"none":    {},
	}[how]
	s.runner.OnSchedule = func(context.Context, string) (site.CompareSchedule, error) {
		if !ok {
			return answer, fault.New(fault.Transient, "ask Temporal", errors.New("connection refused"), "is Temporal running?")
		}
		return answer, nil
	}
}
