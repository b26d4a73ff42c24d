package conformance

import (
	"slices"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
	"mailmirror/internal/watch"
)

// failed is the report of a sync that failed.
func failed(n mailbox.Number, runID string) copier.Report {
	now := time.Now().Truncate(time.Millisecond)
	return copier.Report{Key: keyOf(n), Trigger: "sweep", RunID: runID, Started: now.Add(-time.Second), Finished: now,
		Outcome: copier.Failed, Generation: 1, ErrKind: string(fault.Transient), Err: "connection lost", Hint: "wait"}
}

func (s *suite) failures() {
	ctx := s.Context()
	s.linked("2001", "2002")
	first := failed("2001", "run-1")
	for range 2 { // the same report twice is one failure
		s.must(s.Work.Mailboxes.RecordFailure(ctx, first, time.Hour))
	}
	b := s.box("2001")
	if b.Failures != 1 || b.Error != first.Err || b.ErrorKind != first.ErrKind || b.Hint != first.Hint || b.ErrorAt.IsZero() ||
		b.DirtyGeneration <= b.CleanGeneration || time.Until(b.NextAttemptAt) < 50*time.Minute {
		s.Errorf("after a failure the mailbox is %+v", b)
	}
	if h, err := s.Ports.Records.History(ctx, link, "2001", 0); err != nil || len(h) != 1 || h[0].Err != first.Err || h[0].RunID != "run-1" {
		s.Errorf("the history is %+v, %v", h, err)
	}
	wrong := failed("2002", "run-1")
	wrong.ErrKind = string(fault.Permanent)
	s.must(s.Work.Mailboxes.RecordFailure(ctx, wrong, time.Hour))
	if b := s.box("2002"); b.State != site.StateParked {
		s.Errorf("after a failure that does not pass the mailbox is %+v", b)
	}
	all, err := s.Ports.Records.Status(ctx, link)
	s.must(err)
	if all[0].States.Parked != 1 {
		s.Errorf("the status is %+v", all[0])
	}
	// Whoever asks for work has it now, and a review ends the failure.
	if _, err := s.Mailboxes.MarkDirty(ctx, keyOf("2001")); err != nil || time.Until(s.box("2001").NextAttemptAt) > time.Minute {
		s.Errorf("work that was asked for is due at %v, %v", s.box("2001").NextAttemptAt, err)
	}
	s.must(s.Work.Reviews.RecordReviewed(ctx, link, []site.Reviewed{{Number: "2002", Generation: s.box("2002").DirtyGeneration}}))
	if b := s.box("2002"); b.Failures != 0 || b.Error != "" || b.State != site.StateEqual {
		s.Errorf("after a review the mailbox is %+v", b)
	}
}

func (s *suite) due() {
	ctx := s.Context()
	s.linked("2001", "2002", "2003")
	s.must(s.Work.Mailboxes.RecordFailure(ctx, failed("2002", "run-1"), time.Hour))
	s.must(s.Work.Reviews.RecordReviewed(ctx, link, []site.Reviewed{{Number: "2003", Generation: 1}}))
	due, err := s.Work.Due.DueMailboxes(ctx, 10)
	s.must(err)
	if !slices.Equal(due, []mailbox.Key{keyOf("2001")}) {
		s.Errorf("due are %v, want 2001", due)
	}
	_, err = s.Mailboxes.MarkDirty(ctx, keyOf("2003"))
	s.must(err)
	if due, err = s.Work.Due.DueMailboxes(ctx, 10); err != nil || !slices.Equal(due, []mailbox.Key{keyOf("2001"), keyOf("2003")}) {
		s.Errorf("due are %v, %v, the longest waiting first", due, err)
	}
	if due, err = s.Work.Due.DueMailboxes(ctx, 1); err != nil || !slices.Equal(due, []mailbox.Key{keyOf("2001")}) {
		s.Errorf("one that is due: %v, %v", due, err)
	}
}

func (s *suite) reviews() {
	ctx := s.Context()
	s.linked("2001", "2002")
	states, err := s.Work.Reviews.ReviewStates(ctx, link, []mailbox.Number{"2001", "2002", "9999"})
	s.must(err)
	if len(states) != 2 || states["2001"].Generation != 1 {
		s.Errorf("ReviewStates = %+v", states)
	}
	_, err = s.Work.Reviews.MarkDirty(ctx, keyOf("2002"))
	s.must(err)
	// What became due after the review began stays due. One that takes no part is passed over.
	s.must(s.Work.Reviews.RecordReviewed(ctx, link, []site.Reviewed{
		{Number: "2001", Generation: 1, Messages: 3, Greetings: 1}, {Number: "2002", Generation: 1}, {Number: "9999", Generation: 1}}))
	if b := s.box("2001"); b.State != site.StateEqual || b.Messages != 3 || b.Greetings != 1 || !b.DirtySince.IsZero() || b.LastReviewAt.IsZero() || b.LastEqualAt.IsZero() {
		s.Errorf("a mailbox that was reviewed is %+v", b)
	}
	if b := s.box("2002"); b.State != site.StateDirty || b.CleanGeneration != 1 || b.DirtyGeneration != 2 || b.DirtySince.IsZero() {
		s.Errorf("a mailbox that changed since is %+v", b)
	}
	s.must(s.Work.Reviews.RecordReviewed(ctx, link, []site.Reviewed{{Number: "2002", Generation: 99}}))
	if b := s.box("2002"); b.CleanGeneration != 2 {
		s.Errorf("reviewed at a generation that there is not, a mailbox is %+v", b)
	}
}

func (s *suite) pages() {
	ctx := s.Context()
	numbers := []mailbox.Number{"1", "10", "2", "3", "4"}
	s.linked(numbers...)
	for _, p := range []struct {
		after mailbox.Number
		limit int
		want  []mailbox.Number
	}{{"", 2, numbers[:2]}, {"10", 9, numbers[2:]}, {"4", 9, nil}} {
		if got, err := s.Work.Reviews.NumbersPage(ctx, link, p.after, p.limit); err != nil || !slices.Equal(got, p.want) {
			s.Errorf("the page behind %q is %v, %v, want %v", p.after, got, err, p.want)
		}
	}
	if n, err := s.Work.Compares.CountMailboxes(ctx, link); err != nil || n != len(numbers) {
		s.Errorf("CountMailboxes = %d, %v", n, err)
	}
	if n, err := s.Work.Compares.CountMailboxes(ctx, "none"); err != nil || n != 0 {
		s.Errorf("CountMailboxes of no link = %d, %v", n, err)
	}
	end := func(after mailbox.Number, size, perDue int, want mailbox.Number) {
		s.Helper()
		if got, err := s.Work.Compares.PageEnd(ctx, link, after, size, perDue); err != nil || got != want {
			s.Errorf("a page of %d behind %q ends at %q, %v, want %q", size, after, got, err, want)
		}
	}
	end("", 2, 4, "10")
	end("10", 9, 4, "4")
	end("4", 9, 4, "")
	s.must(s.Work.Reviews.RecordReviewed(ctx, link, []site.Reviewed{{Number: "1", Generation: 1}, {Number: "10", Generation: 1}, {Number: "2", Generation: 1}}))
	end("", 1, 4, "2") // three that were equal count less than one that is due
}

func (s *suite) compares() {
	ctx := s.Context()
	s.linked("2001")
	begun := time.Now().Truncate(time.Millisecond)
	s.fails("a compare of no link", s.Work.Compares.StartCompare(ctx, site.CompareRun{RunID: "x", Link: "none", StartedAt: begun}), fault.NotFound)
	run := site.CompareRun{RunID: "run-1", Link: link, Trigger: "operator", StartedAt: begun, Mailboxes: 5}
	s.must(s.Work.Compares.StartCompare(ctx, run))
	run.Mailboxes = 7
	s.must(s.Work.Compares.StartCompare(ctx, run)) // it is left as it is
	one := site.CompareProgress{Reviewed: 2, Synced: 1, Messages: copier.Work{Appended: 3, Bytes: 5_000_000_000}}
	for range 2 { // a page that is done again counts once
		s.must(s.Work.Compares.AddCompareProgress(ctx, "run-1", 0, one))
	}
	s.must(s.Work.Compares.AddCompareProgress(ctx, "run-1", 1, one))
	got, err := s.Ports.Records.CompareRun(ctx, "run-1")
	if err != nil || got.Mailboxes != 5 || got.Kind != site.RunCompare || got.Trigger != "operator" || got.CompareProgress != one.Add(one) ||
		!got.FinishedAt.IsZero() || !got.StartedAt.Equal(begun) {
		s.Errorf("the compare is %+v, %v", got, err)
	}
	s.must(s.Work.Compares.FinishCompare(ctx, "run-1"))
	ended, err := s.Ports.Records.CompareRun(ctx, "run-1")
	s.must(err)
	s.must(s.Work.Compares.FinishCompare(ctx, "run-1"))
	if again, err := s.Ports.Records.CompareRun(ctx, "run-1"); err != nil || ended.FinishedAt.IsZero() || !again.FinishedAt.Equal(ended.FinishedAt) {
		s.Errorf("the first end counts: %v, then %v, %v", ended.FinishedAt, again.FinishedAt, err)
	}
	s.must(s.Work.Compares.StartCompare(ctx, site.CompareRun{RunID: "run-2", Link: link, Kind: site.RunRebuild, StartedAt: begun.Add(time.Second)}))
	s.must(s.Work.Compares.StartCompare(ctx, site.CompareRun{RunID: "run-3", Link: link, StartedAt: begun.Add(2 * time.Second)}))
	status, err := s.Ports.Records.Status(ctx, link)
	if err != nil || status[0].LastCompare == nil || status[0].LastCompare.RunID != "run-3" || status[0].LastRebuild == nil || status[0].LastRebuild.RunID != "run-2" {
		s.Errorf("the status is %+v, %v", status, err)
	}
}

func (s *suite) checks() {
	ctx := s.Context()
	s.linked()
	run := verdict.StoreRun{RunID: "run-1", Store: "dr", Mailbox: "2001", StartedAt: time.Now(), Report: verdict.Store{Store: "dr", Release: "1.0"},
		Failure: verdict.Failure{ErrorKind: string(fault.Config), Error: "too old", Hint: "update it"}}
	s.must(s.Work.Checks.RecordStoreCheck(ctx, run))
	run.Report.Release = "2.0"
	s.must(s.Work.Checks.RecordStoreCheck(ctx, run)) // the first record counts
	got, err := s.Checks.StoreCheck(ctx, "run-1")
	if err != nil || got.Store != "dr" || got.Mailbox != "2001" || got.Report.Release != "1.0" || got.Failure != run.Failure || got.FinishedAt.IsZero() {
		s.Errorf("the check is %+v, %v", got, err)
	}
	run.RunID, run.Store = "run-2", "none"
	s.fails("a check of a store that is gone", s.Work.Checks.RecordStoreCheck(ctx, run), fault.NotFound)
}

func (s *suite) verifications() {
	ctx := s.Context()
	s.linked("1", "2", "3", "4")
	run := verdict.VerifyRun{RunID: "run-1", Planned: 4, StartedAt: time.Now(), Verification: verdict.Verification{Link: link, Deep: true}}
	s.must(s.Work.Checks.BeginVerify(ctx, run))
	run.Planned = 9
	s.must(s.Work.Checks.BeginVerify(ctx, run)) // it is left as it is
	gone := verdict.VerifyRun{RunID: "run-2", StartedAt: time.Now(), Verification: verdict.Verification{Link: "none"}}
	s.fails("a verification of no link", s.Work.Checks.BeginVerify(ctx, gone), fault.NotFound)
	s.fails("the end of one that is not recorded", s.Work.Checks.EndVerify(ctx, "none", verdict.Failure{}), fault.NotFound)

	equal := verdict.OfMailbox("1", []verdict.Folder{{Folder: mailbox.Inbox, Counts: verdict.Counts{Compared: 3}}}, 100, verdict.Failure{})
	differs := verdict.OfMailbox("3", []verdict.Folder{{Folder: mailbox.Inbox, Counts: verdict.Counts{Compared: 3, Missing: 2}}}, 10, verdict.Failure{})
	broken := verdict.OfMailbox("2", nil, 0, verdict.Failure{ErrorKind: string(fault.Permanent), Error: "no such mailbox"})
	second := broken
	second.Number = "1"
	for _, m := range []verdict.Mailbox{equal, second, differs, broken} { // the first result of a mailbox counts
		s.must(s.Work.Checks.RecordVerified(ctx, "run-1", m))
	}
	s.must(s.Work.Checks.RecordVerified(ctx, "none", equal))
	done, err := s.Work.Checks.Verified(ctx, "run-1", []mailbox.Number{"1", "4", "9"})
	if err != nil || !slices.Equal(done, []mailbox.Number{"1"}) {
		s.Errorf("Verified = %v, %v", done, err)
	}
	for runID, want := range map[string][]mailbox.Number{"run-1": {"4"}, "none": nil} {
		if left, err := s.Work.Checks.Unverified(ctx, runID, "", 10); err != nil || !slices.Equal(left, want) {
			s.Errorf("Unverified of %s = %v, %v", runID, left, err)
		}
	}
	if left, err := s.Work.Checks.Unverified(ctx, "run-1", "4", 10); err != nil || len(left) != 0 {
		s.Errorf("Unverified behind the last = %v, %v", left, err)
	}
	s.must(s.Work.Checks.EndVerify(ctx, "run-1", verdict.Failure{Error: "broken off", ErrorKind: string(fault.Transient)}))
	s.must(s.Work.Checks.EndVerify(ctx, "run-1", verdict.Failure{})) // the first end counts
	late := equal
	late.Number = "4"
	s.must(s.Work.Checks.RecordVerified(ctx, "run-1", late)) // it counts no more
	if left, err := s.Work.Checks.Unverified(ctx, "run-1", "", 10); err != nil || len(left) != 0 {
		s.Errorf("Unverified after the end = %v, %v", left, err)
	}
	got, err := s.Checks.Verification(ctx, "run-1")
	if err != nil || got.Planned != 4 || !got.Deep || got.Mailboxes != 3 || got.Equal != 1 || got.Differing != 1 || got.Failed != 1 || got.Bytes != 110 ||
		got.Failure.Error != "broken off" || got.FinishedAt.IsZero() || len(got.Results) != 0 {
		s.Errorf("the verification is %+v, %v", got, err)
	}
	results, err := s.Checks.VerifyResults(ctx, "run-1")
	if err != nil || len(results) != 2 || results[0].Number != "2" || results[0].Failure != broken.Failure || results[1].Number != "3" || results[1].Folders[0].Missing != 2 {
		s.Errorf("the results are %+v, %v", results, err)
	}
}

func (s *suite) listening() {
	ctx := s.Context()
	s.linked("2", "1")
	r, err := s.Work.Watch.WatchRoster(ctx, link)
	if err != nil || r.Link.Name != link || r.Shards != 0 || !slices.Equal(r.Numbers, []mailbox.Number{"1", "2"}) {
		s.Errorf("the roster is %+v, %v", r, err)
	}
	s.must(s.Work.Watch.SetWatchShards(ctx, link, 3))
	if r, err = s.Work.Watch.WatchRoster(ctx, link); err != nil || r.Shards != 3 {
		s.Errorf("the roster is %+v, %v", r, err)
	}
	if known, err := s.Work.Watch.KnownSources(ctx, link, []mailbox.Number{"1"}); err != nil || len(known) != 0 {
		s.Errorf("sources of what was never mirrored: %v, %v", known, err)
	}
	before := s.box("1").DirtyGeneration
	due, err := s.Work.Watch.MarkEvents(ctx, link, []watch.Mark{{Number: "1", Kind: site.EventMessageIn, Count: 1, At: time.Now()}, {Number: "9", Kind: site.EventFlags, Count: 1, At: time.Now()}})
	if err != nil || !slices.Equal(due, []mailbox.Number{"1"}) || s.box("1").DirtyGeneration != before+1 {
		s.Errorf("after an event %v is due, %v, and the mailbox is %+v", due, err, s.box("1"))
	}
	s.must(s.Work.Watch.SaveWatcher(ctx, link, 2, "1@one", site.Health{Mode: site.ListenIdle, Connections: 4, Wanted: 5}))
	got, err := s.Ports.Records.Watchers(ctx, link)
	if err != nil || len(got) != 1 || got[0].Shard != 2 || got[0].Worker != "1@one" || got[0].Mode != site.ListenIdle || got[0].Connections != 4 {
		s.Errorf("the listeners are %+v, %v", got, err)
	}
}
