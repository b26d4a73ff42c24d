//go:build integration

package pgstore_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

func TestStoreCheck(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	run := verdict.StoreRun{RunID: "run", Store: "prod", Mailbox: "1001", StartedAt: time.Now(),
		Report: verdict.Store{Store: "prod", Server: "a\x00b", Capabilities: []string{"UIDPLUS"}, Connect: time.Second,
			Advice: []verdict.Advice{{Missing: "MOVE", Effect: "slower"}}, Directory: &verdict.Directory{Entries: 3, Faults: []string{"no schema"}}},
		Failure: verdict.Failure{ErrorKind: "config", Error: "log in\x00: rejected", Hint: "enter it again"}}
	for range 2 {
		must(t, s.RecordStoreCheck(t.Context(), run))
	}
	got, err := s.StoreCheck(t.Context(), "run")
	must(t, err)
	if got.FinishedAt.IsZero() {
		t.Error("no time of its end")
	}
	run.FinishedAt, run.Error = got.FinishedAt, "log in: rejected"
	equal(t, "checks", got, run)

	run.RunID, run.Report.Capabilities = "long", []string{strings.Repeat("X", 1<<20)}
	must(t, s.RecordStoreCheck(t.Context(), run))
	if got, err = s.StoreCheck(t.Context(), "long"); err != nil || got.Report.Capabilities != nil || got.Report.Server == "" {
		t.Errorf("of a server that says too much: %+v, %v", got.Report, err)
	}
	run.Store = "nowhere"
	run.RunID = "other"
	wantKind(t, s.RecordStoreCheck(t.Context(), run), fault.NotFound)
	_, err = s.StoreCheck(t.Context(), "other")
	wantKind(t, err, fault.NotFound)
}

// differing is a mailbox with a difference in one folder.
func differing(number mailbox.Number) verdict.Mailbox {
	return verdict.OfMailbox(number, []verdict.Folder{
		{Folder: "INBOX", Role: mailbox.RoleMessages, Counts: verdict.Counts{Compared: 5, Missing: 1, Extra: 2, Flags: 3, Dates: 4, Content: 5, Unreadable: 6}},
		{Folder: "Greetings", Role: mailbox.RoleGreetings, Trouble: "extra", Counts: verdict.Counts{Compared: 7}},
	}, 100, verdict.Failure{})
}

func same(number mailbox.Number) verdict.Mailbox {
	return verdict.OfMailbox(number, []verdict.Folder{{Folder: "INBOX", Role: mailbox.RoleMessages, Counts: verdict.Counts{Compared: 3}}}, 10, verdict.Failure{})
}

// TestVerification records results from several workers at once, some of them twice, and
// ends the run in the midst of it: each mailbox counts once, and none that comes late.
func TestVerification(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3", "4")
	run := verdict.VerifyRun{RunID: "run", Planned: 4, StartedAt: time.Now(), Verification: verdict.Verification{Link: link, Deep: true}}
	for range 2 {
		must(t, s.BeginVerify(t.Context(), run))
	}
	broken := verdict.OfMailbox("3", nil, 0, verdict.Failure{ErrorKind: "permanent", Error: "no such mailbox", Hint: "create it"})
	var group sync.WaitGroup
	for _, m := range []verdict.Mailbox{same("1"), differing("2"), broken, same("1"), differing("2"), broken} {
		group.Go(func() {
			if err := s.RecordVerified(t.Context(), "run", m); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	done, err := s.Verified(t.Context(), "run", []mailbox.Number{"1", "2", "3", "4"})
	must(t, err)
	if len(done) != 3 {
		t.Errorf("with a result are %v", done)
	}
	unverified := func(after mailbox.Number, limit int, want ...mailbox.Number) {
		t.Helper()
		left, err := s.Unverified(t.Context(), "run", after, limit)
		must(t, err)
		equal(t, "without a result", left, append([]mailbox.Number{}, want...))
	}
	unverified("", 10, "4")
	unverified("4", 10)
	_, err = s.AddMailboxes(t.Context(), link, []mailbox.Number{"0", "5"})
	must(t, err)
	unverified("", 2, "0", "4")
	unverified("4", 2, "5")
	want := run
	want.Verification = verdict.Verification{Link: link, Deep: true}
	for _, m := range []verdict.Mailbox{same("1"), differing("2"), broken} {
		want.Add(m)
	}
	results := want.Results
	want.Results = nil
	check := func(when string) {
		t.Helper()
		got, err := s.Verification(t.Context(), "run")
		must(t, err)
		want.FinishedAt = got.FinishedAt
		equal(t, when, got, want)
		found, err := s.VerifyResults(t.Context(), "run")
		must(t, err)
		for i := range found { // what only sums up the folders is not kept
			results[i].Messages, results[i].Greetings, results[i].Differs = found[i].Messages, found[i].Greetings, found[i].Differs
		}
		equal(t, when, found, results)
	}
	check("runs")
	want.Failure = verdict.Failure{ErrorKind: "config", Error: "broken off", Hint: "look"}
	must(t, s.EndVerify(t.Context(), "run", want.Failure))
	must(t, s.EndVerify(t.Context(), "run", verdict.Failure{})) // the first end counts
	must(t, s.RecordVerified(t.Context(), "run", same("1")))    // by a worker that was cut off
	must(t, s.RecordVerified(t.Context(), "run", same("4")))
	check("has ended")
	unverified("", 10)
	if want.FinishedAt.IsZero() {
		t.Error("no time of its end")
	}

	wantKind(t, s.BeginVerify(t.Context(), verdict.VerifyRun{RunID: "other", Verification: verdict.Verification{Link: "nowhere"}}), fault.NotFound)
	wantKind(t, s.EndVerify(t.Context(), "other", verdict.Failure{}), fault.NotFound)
	_, err = s.Verification(t.Context(), "other")
	wantKind(t, err, fault.NotFound)
}

// TestChecksAreDropped: old checks and verifications go with other old records; the last
// of each store and link stays.
func TestChecksAreDropped(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for _, id := range []string{"old", "last"} {
		must(t, s.RecordStoreCheck(t.Context(), verdict.StoreRun{RunID: id, Store: "prod", StartedAt: time.Now()}))
		must(t, s.BeginVerify(t.Context(), verdict.VerifyRun{RunID: id, StartedAt: time.Now(), Verification: verdict.Verification{Link: link}}))
		must(t, s.RecordVerified(t.Context(), id, differing("1")))
		must(t, s.EndVerify(t.Context(), id, verdict.Failure{}))
	}
	if _, err := s.Retain(t.Context(), time.Now().AddDate(1, 0, 0), site.Retention{History: 24 * time.Hour, Archive: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	for id, kept := range map[string]bool{"old": false, "last": true} {
		_, err := s.StoreCheck(t.Context(), id)
		results, resultsErr := s.VerifyResults(t.Context(), id)
		_, runErr := s.Verification(t.Context(), id)
		if (err == nil) != kept || (runErr == nil) != kept || (len(results) == 1) != kept || resultsErr != nil {
			t.Errorf("%s: %v, %v, %d results, %v", id, err, runErr, len(results), resultsErr)
		}
	}
}
