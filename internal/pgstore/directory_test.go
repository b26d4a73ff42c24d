//go:build integration

package pgstore_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// directoryOf is a store's directory as the default mapping has it.
func directoryOf(store string, protected ...string) site.Directory {
	m := directory.DefaultMapping()
	m.BaseDN, m.Protected = "ou=boxes,dc="+store, protected
	return site.Directory{Store: store, Address: "127.0.0.1:389", Security: site.SecurityStartTLS, CAFile: "/ca.pem",
		BindDN: "cn=mirror", SealedPassword: []byte{0, 1, 255}, Mapping: m}
}

// mirrored is a store with a link whose stores both have a directory.
func mirrored(t testing.TB, protected ...string) *pgstore.Store {
	t.Helper()
	s := seeded(t)
	withDirectories(t, s, protected...)
	return s
}

func withDirectories(t testing.TB, s *pgstore.Store, protected ...string) {
	t.Helper()
	must(t, s.PutDirectoryStore(t.Context(), directoryOf("prod")))
	must(t, s.PutDirectoryStore(t.Context(), directoryOf("dr", protected...)))
}

// entry is a record by its id, its number and some texts, "cn=Smith".
func entry(side, id, number string, texts ...string) directory.Record {
	r := directory.Record{Ref: directory.Ref{ID: id, DN: "cn=" + side + id + "+" + number, Version: "v1"}, Number: number,
		Texts: map[directory.Column][]string{}, Digests: map[directory.Column][]byte{}}
	if number != "" {
		r.Texts[directory.MailboxNumber] = []string{number}
	}
	for _, text := range texts {
		column, value, _ := strings.Cut(text, "=")
		r.Texts[directory.Column(column)] = append(r.Texts[directory.Column(column)], value)
	}
	for _, values := range r.Texts {
		slices.Sort(values)
	}
	return r
}

func each(records []directory.Record) func() (directory.Record, error) {
	i := 0
	return func() (directory.Record, error) {
		if i == len(records) {
			return directory.Record{}, io.EOF
		}
		i++
		return records[i-1], nil
	}
}

// compared begins a run and compares both sides.
func compared(t testing.TB, s *pgstore.Store, runID, trigger string, settings dirsync.Settings, source, target []directory.Record) directory.Tally {
	t.Helper()
	ctx := t.Context()
	must(t, s.BeginDirectoryRun(ctx, runID, link, trigger))
	must(t, s.StageDirectory(ctx, runID, dirsync.SourceSide, each(source)))
	must(t, s.StageDirectory(ctx, runID, dirsync.TargetSide, each(target)))
	tally, err := pgstore.CompareStaged(ctx, s, runID, settings)
	must(t, err)
	return tally
}

func changesOf(t testing.TB, s *pgstore.Store, runID string, states ...dirsync.ChangeState) []dirsync.Change {
	t.Helper()
	list, err := s.DirectoryChanges(t.Context(), runID, 0, 0, states...)
	must(t, err)
	return list
}

// told is a change in a word.
func told(c dirsync.Change) string {
	text := fmt.Sprintf("%s %s %s>%s %s", c.Kind, c.Number, c.Source.ID, c.Target.ID, c.State)
	if c.Via != "" {
		text += " via " + c.Via
	}
	if len(c.Columns) > 0 {
		text += fmt.Sprint(" ", c.Columns)
	}
	if len(c.Blank) > 0 {
		text += fmt.Sprint(" without ", c.Blank)
	}
	return text
}

func allTold(list []dirsync.Change) []string {
	var out []string
	for _, c := range list {
		out = append(out, told(c))
	}
	return out
}

// saveChanges records what became of changes, under a lease.
func saveChanges(t testing.TB, s *pgstore.Store, runID string, changes []dirsync.Change) {
	t.Helper()
	l, err := s.TakeLease(t.Context(), lease.OfDirectory(link), lease.Times{}.WithDefaults())
	must(t, err)
	must(t, s.SaveDirectoryChanges(t.Context(), l, runID, changes))
	must(t, s.Release(t.Context(), l, true))
}

// doAll makes every planned change done, in order.
func doAll(t testing.TB, s *pgstore.Store, runID string) {
	t.Helper()
	list := changesOf(t, s, runID, dirsync.ChangePlanned)
	for i := range list {
		list[i].State = dirsync.ChangeDone
		if list[i].Kind == directory.Create {
			list[i].Target = directory.Ref{ID: "t-" + list[i].Source.ID, DN: "cn=new"}
		}
	}
	saveChanges(t, s, runID, list)
}

func finished(t testing.TB, s *pgstore.Store, runID string) dirsync.Run {
	t.Helper()
	must(t, s.FinishDirectoryRun(t.Context(), runID, dirsync.Done, nil, ""))
	run, err := s.DirectoryRun(t.Context(), runID)
	must(t, err)
	return run
}

func TestDirectoryConfig(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	ctx := t.Context()
	if _, ok, err := s.DirectoryStore(ctx, "prod"); ok || err != nil {
		t.Fatalf("a store without a directory has one: %v", err)
	}
	want := directoryOf("prod", "0", "(cn=admin)")
	must(t, s.PutDirectoryStore(ctx, directoryOf("prod")))
	must(t, s.PutDirectoryStore(ctx, want))
	got, ok, err := s.DirectoryStore(ctx, "prod")
	must(t, err)
	if want.UpdatedAt = got.UpdatedAt; !ok || got.UpdatedAt.IsZero() {
		t.Errorf("found %v, set at %v", ok, got.UpdatedAt)
	}
	equal(t, "directories", got, want)
	wantKind(t, s.PutDirectoryStore(ctx, directoryOf("nowhere")), fault.NotFound)
	odd := want
	odd.Security = "much"
	wantKind(t, s.PutDirectoryStore(ctx, odd), fault.Config)
	wantKind(t, s.BeginDirectoryRun(ctx, "r", link, "operator"), fault.NotFound)    // dr has none
	wantKind(t, s.BeginDirectoryRun(ctx, "r", "other", "operator"), fault.NotFound) // no such link
	must(t, s.RemoveDirectoryStore(ctx, "prod"))
	must(t, s.RemoveDirectoryStore(ctx, "prod"))
	if _, ok, _ := s.DirectoryStore(ctx, "prod"); ok {
		t.Error("it is still there")
	}

	settings, err := s.DirectorySettings(ctx, link)
	must(t, err)
	equal(t, "defaults", settings, dirsync.DefaultSettings())
	settings = dirsync.Settings{Limits: directory.Limits{RemoveCount: 3}, Participate: dirsync.ParticipateFilter, Numbers: mailbox.Patterns{"1*"}}
	must(t, s.SetDirectorySettings(ctx, link, settings))
	again, err := s.DirectorySettings(ctx, link)
	must(t, err)
	equal(t, "settings", again, settings)
	wantKind(t, s.SetDirectorySettings(ctx, "other", settings), fault.NotFound)
}

// TestDirectoryCompare has one case for each thing that can be found.
func TestDirectoryCompare(t *testing.T) {
	t.Parallel()
	audio := func(r directory.Record, digest string) directory.Record {
		r.Digests[directory.RecordedName] = []byte(digest)
		return r
	}
	guarded := entry("t", "t9", "9", "cn=admin")
	guardedThere := entry("s", "s7", "7", "cn=admin")
	guarded.Protected, guardedThere.Protected = true, true
	long := strings.Repeat("x", 200)
	type list = []directory.Record
	for name, c := range map[string]struct {
		// before makes pairs: a first run over these is carried out.
		pairedSource, pairedTarget list
		source, target             list
		removeUnknown              bool
		want                       []string
	}{
		"equal": {source: list{entry("s", "a", "1", "cn=A", "misc1=x", "misc1=y"), audio(entry("s", "b", "2"), "d")},
			target: list{audio(entry("t", "t2", "2"), "d"), entry("t", "t1", "1", "cn=A", "misc1=y", "misc1=x")}},
		"new":    {source: list{entry("s", "a", "1")}, want: []string{"create 1 a> planned"}},
		"case":   {source: list{entry("s", "a", "1", "cn=smith")}, target: list{entry("t", "t1", "1", "cn=Smith")}, want: []string{"alter 1 a>t1 planned [cn]"}},
		"digest": {source: list{audio(entry("s", "a", "1"), "d")}, target: list{audio(entry("t", "t1", "1"), "e")}, want: []string{"alter 1 a>t1 planned [recorded_name]"}},
		"long values": {source: list{entry("s", "a", "1", "misc1="+long+"1")}, target: list{entry("t", "t1", "1", "misc1="+long+"2")},
			want: []string{"alter 1 a>t1 planned [misc1]"}},
		"absent is not empty": {source: list{entry("s", "a", "1", "misc2=")}, target: list{entry("t", "t1", "1")}, want: []string{"alter 1 a>t1 planned [misc2]"}},
		"nor the other way": {source: list{entry("s", "a", "1")}, target: list{entry("t", "t1", "1", "misc2=")},
			want: []string{"alter 1 a>t1 planned [misc2] without [misc2]"}},
		"not one value of two": {source: list{entry("s", "a", "1", "misc1=ab")}, target: list{entry("t", "t1", "1", "misc1=a", "misc1=b")},
			want: []string{"alter 1 a>t1 planned [misc1]"}},
		"unknown":         {target: list{entry("t", "t1", "1"), guarded}, want: []string{"unknown 1 >t1 told"}},
		"unknown may go":  {target: list{entry("t", "t1", "1"), guarded}, removeUnknown: true, want: []string{"unknown 1 >t1 planned", "protected 9 >t9 told"}},
		"protected":       {source: list{entry("s", "a", "9", "cn=other")}, target: list{guarded}, want: []string{"protected 9 a>t9 told [cn]"}},
		"listed number":   {source: list{entry("s", "a", "0")}, want: []string{"protected 0 a> told"}},
		"of another case": {source: list{entry("s", "a", "ADMIN"), entry("s", "b", "admins")}, want: []string{"create admins b> planned", "protected ADMIN a> told"}},
		"listed for the target": {source: list{entry("s", "a", "Admin", "cn=A")}, target: list{entry("t", "t1", "Admin", "cn=B")},
			want: []string{"protected Admin a>t1 told [cn]"}},
		"protected on the source": {source: list{guardedThere}, target: list{entry("t", "t1", "7", "cn=other")}, want: []string{"protected 7 s7>t1 told [cn]"}},
		"protected equal":         {source: list{entry("s", "a", "9", "cn=admin")}, target: list{guarded}},
		"removed": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			target: list{entry("t", "t1", "1")}, want: []string{"remove 1 >t1 planned"}},
		"removed, protected": {pairedSource: list{entry("s", "a", "9", "cn=admin")}, pairedTarget: list{guarded}, target: list{guarded},
			want: []string{"protected 9 >t9 told"}},
		"renumbered": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "a", "2", "cn=B")}, target: list{entry("t", "t1", "1", "cn=A", "misc1=x")},
			want: []string{"renumber 2 a>t1 planned [mailbox_number cn misc1] without [misc1]"}},
		"chain": {pairedSource: list{entry("s", "a", "1"), entry("s", "b", "2"), entry("s", "c", "3")},
			pairedTarget: list{entry("t", "t1", "1"), entry("t", "t2", "2"), entry("t", "t3", "3")},
			source:       list{entry("s", "a", "2"), entry("s", "b", "3"), entry("s", "d", "1")},
			target:       list{entry("t", "t1", "1"), entry("t", "t2", "2"), entry("t", "t3", "3")},
			want: []string{"remove 3 >t3 planned", "renumber 3 b>t2 planned [mailbox_number]", "renumber 2 a>t1 planned [mailbox_number]",
				"create 1 d> planned"}},
		"circle": {pairedSource: list{entry("s", "a", "1"), entry("s", "b", "2")}, pairedTarget: list{entry("t", "t1", "1"), entry("t", "t2", "2")},
			source: list{entry("s", "a", "2"), entry("s", "b", "1")}, target: list{entry("t", "t1", "1"), entry("t", "t2", "2")},
			want: []string{"renumber 1 b>t2 planned via 9 [mailbox_number]", "renumber 2 a>t1 planned [mailbox_number]", "renumber 1 b>t2 planned [mailbox_number]"}},
		"circle without ids": {pairedSource: list{entry("s", "a", "1"), entry("s", "b", "2")}, pairedTarget: list{entry("t", "", "1"), entry("t", "", "2")},
			source: list{entry("s", "a", "2"), entry("s", "b", "1")}, target: list{entry("t", "", "1"), entry("t", "", "2")},
			want: []string{"duplicate 1 b> told [mailbox_number]", "duplicate 2 a> told [mailbox_number]"}},
		"number is taken": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "a", "2"), entry("s", "b", "1")}, target: list{entry("t", "t1", "1"), entry("t", "t2", "2")},
			want: []string{"duplicate 2 a>t1 told [mailbox_number]", "duplicate 1 b> told", "unknown 2 >t2 told"}},
		"number is taken by what may go": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "a", "2")}, target: list{entry("t", "t1", "1"), entry("t", "t2", "2")}, removeUnknown: true,
			want: []string{"unknown 2 >t2 planned", "renumber 2 a>t1 planned [mailbox_number]"}},
		"reused": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "z", "1", "cn=Z")}, target: list{entry("t", "t1", "1")}, want: []string{"alter 1 z>t1 planned [cn]"}},
		"twice on the source": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1", "cn=A")},
			source: list{entry("s", "b", "1"), entry("s", "c", "1")}, target: list{entry("t", "t1", "1", "cn=A")},
			want: []string{"duplicate 1 b> told", "duplicate 1 c> told"}},
		"twice on the target": {source: list{entry("s", "a", "1", "cn=A")}, target: list{entry("t", "t1", "1"), entry("t", "t2", "1")},
			want: []string{"duplicate 1 >t1 told", "duplicate 1 >t2 told"}},
		"seen twice while it moved": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "a", "1"), entry("s", "a", "2")}, target: list{entry("t", "t1", "1")},
			want: []string{"renumber 2 a>t1 planned [mailbox_number]"}},
		"lost its number": {pairedSource: list{entry("s", "a", "1")}, pairedTarget: list{entry("t", "t1", "1")},
			source: list{entry("s", "a", "")}, target: list{entry("t", "t1", "1")}, want: []string{"duplicate  a> told"}},
		"no text": {source: list{entry("s", "a", "1\x00\xff", "misc1=\x00\xff")}, target: list{entry("t", "t1", "1\x00\xff", "misc1=\x00\xfe")},
			want: []string{"alter 1\uFFFD a>t1 planned [misc1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mirrored(t, "0", "(cn=nobody)", "aDmin")
			settings := dirsync.DefaultSettings()
			compared(t, s, "before", "operator", settings, c.pairedSource, c.pairedTarget)
			doAll(t, s, "before")
			finished(t, s, "before")
			settings.RemoveUnknown = c.removeUnknown
			for _, runID := range []string{"dry", "run"} {
				trigger := dirsync.TriggerOperator
				if runID == "dry" {
					trigger = dirsync.TriggerDryRun
				}
				tally := compared(t, s, runID, trigger, settings, c.source, c.target)
				got := allTold(changesOf(t, s, runID))
				equal(t, "changes of run "+runID, got, c.want)
				again, err := pgstore.CompareStaged(t.Context(), s, runID, settings)
				must(t, err)
				equal(t, "tally of a repeated compare", again, tally)
				equal(t, "changes of a repeated compare", allTold(changesOf(t, s, runID)), c.want)
				if name == "seen twice while it moved" {
					tally.Source++
				}
				if tally.Source != len(c.source) || tally.Target != len(c.target) {
					t.Errorf("%d and %d entries were compared", tally.Source, tally.Target)
				}
			}
			doAll(t, s, "run")
			_, err := s.CompareDirectory(t.Context(), "run", settings)
			if slices.ContainsFunc(c.want, func(w string) bool { return strings.Contains(w, "planned") }) {
				wantKind(t, err, fault.Conflict)
			}
			finished(t, s, "run")
		})
	}
}

// TestDirectoryColumns: a column that one side does not map is not compared.
func TestDirectoryColumns(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	d := directoryOf("dr")
	delete(d.Mapping.Names, directory.Misc1)
	must(t, s.PutDirectoryStore(t.Context(), d))
	source := []directory.Record{entry("s", "a", "1", "misc1=x", "misc2=y")}
	tally := compared(t, s, "r", "operator", dirsync.DefaultSettings(), source, []directory.Record{entry("t", "b", "1", "misc2=z")})
	equal(t, "changes", allTold(changesOf(t, s, "r")), []string{"alter 1 a>b planned [misc2]"})
	if tally.Kinds[directory.Alter] != 1 || tally.Planned[directory.Alter] != 1 || tally.Approved[directory.Alter] != 0 {
		t.Errorf("tally %+v", tally)
	}
}

// TestDirectoryStagingIsWhole: what breaks off leaves nothing of itself.
func TestDirectoryStagingIsWhole(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	must(t, s.BeginDirectoryRun(ctx, "r", link, "operator"))
	whole := []directory.Record{entry("s", "a", "1"), entry("s", "b", "2")}
	must(t, s.StageDirectory(ctx, "r", dirsync.SourceSide, each(whole)))
	cut := errors.New("connection cut")
	next := each(whole[:1])
	err := s.StageDirectory(ctx, "r", dirsync.SourceSide, func() (directory.Record, error) {
		r, err := next()
		if err != nil {
			err = cut
		}
		return r, err
	})
	if err != cut { //nolint:errorlint // it must come as it is
		t.Errorf("the error came as %v", err)
	}
	must(t, s.StageDirectory(ctx, "r", dirsync.TargetSide, each(nil)))
	if tally, err := s.CompareDirectory(ctx, "r", dirsync.DefaultSettings()); err != nil || tally.Source != 2 || tally.Planned[directory.Create] != 2 {
		t.Errorf("tally %+v, %v", tally, err)
	}
	finished(t, s, "r")
	wantKind(t, s.StageDirectory(ctx, "r", dirsync.SourceSide, each(whole)), fault.Conflict)
	wantKind(t, s.StageDirectory(ctx, "none", dirsync.SourceSide, each(whole)), fault.NotFound)
}

func TestDirectoryRuns(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	settings := dirsync.DefaultSettings()
	if _, _, known, err := s.LastExtracts(ctx, link); known || err != nil {
		t.Errorf("extracts are known before any run: %v", err)
	}
	compared(t, s, "one", "operator", settings, []directory.Record{entry("s", "a", "1"), entry("s", "b", "1")}, []directory.Record{entry("t", "x", "7")})
	must(t, s.SaveDirectoryPhase(ctx, "one", "apply"))
	x := directory.Extracted{Entries: 2, Having: map[directory.Column]int{directory.Password: 0, directory.CommonName: 2}}
	must(t, s.SaveExtracts(ctx, "one", x, directory.Extracted{Entries: 1}))
	if _, _, known, _ := s.LastExtracts(ctx, link); known {
		t.Error("the extracts of a run that runs are those of the last")
	}
	run, err := s.DirectoryRun(ctx, "one")
	must(t, err)
	if run.State != dirsync.Running || run.Phase != "apply" || run.Duplicate != 2 || run.Unknown != 1 || run.Source != 2 || run.Target != 1 {
		t.Errorf("the run is %+v", run)
	}
	must(t, s.BeginDirectoryRun(ctx, "one", link, "operator")) // again
	must(t, s.BeginDirectoryRun(ctx, "two", link, dirsync.TriggerDryRun))
	run, err = s.DirectoryRun(ctx, "one")
	must(t, err)
	if run.State != dirsync.Failed || len(run.Reasons) != 1 || run.Duplicate != 2 || run.FinishedAt.IsZero() {
		t.Errorf("a run that another followed is %+v", run)
	}
	must(t, s.SaveExtracts(ctx, "two", directory.Extracted{Entries: 100}, directory.Extracted{}))
	must(t, s.FinishDirectoryRun(ctx, "two", dirsync.Held, []string{"because"}, "hint"))
	must(t, s.FinishDirectoryRun(ctx, "two", dirsync.Done, nil, "")) // it has ended
	wantKind(t, s.SaveDirectoryPhase(ctx, "two", "apply"), fault.Conflict)
	source, target, known, err := s.LastExtracts(ctx, link)
	must(t, err)
	if !known {
		t.Error("no extracts are known")
	}
	equal(t, "source", source, x)
	equal(t, "target", target, directory.Extracted{Entries: 1})
	runs, err := s.DirectoryRunsOf(ctx, "", 10)
	must(t, err)
	if len(runs) != 2 || runs[0].RunID != "two" || runs[0].State != dirsync.Held || runs[0].Hint != "hint" {
		t.Errorf("runs %+v", runs)
	}
	_, err = s.DirectoryRun(ctx, "none")
	wantKind(t, err, fault.NotFound)
}

// TestDirectoryLease: one writer at a time, none while suspended, and suspending
// waits for it, whoever confirms.
func TestDirectoryLease(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t)
	ctx := t.Context()
	held, err := s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: fence})
	must(t, err)
	_, err = s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: fence})
	busy, ok := errors.AsType[*lease.HeldError](err)
	if !ok || !fault.Is(err, fault.Conflict) || busy.Wait <= ttl-5*time.Second {
		t.Fatalf("a second lease: %v", err)
	}
	wantKind(t, second(s.TakeLease(ctx, lease.OfDirectory("other"), lease.Times{TTL: ttl, Fence: fence})), fault.NotFound)
	wantKind(t, s.RemoveLink(ctx, link), fault.Conflict)
	renewed, err := s.Renew(ctx, held, 2*ttl)
	must(t, err)
	if renewed.Epoch != held.Epoch || !renewed.Deadline.After(held.Deadline) {
		t.Errorf("renewed %+v, before %+v", renewed, held)
	}

	suspended := suspend(t, s)
	if suspended.State != suspension.Suspending || suspended.Waiting != 1 || suspended.Remaining <= ttl {
		t.Errorf("suspending beside a lease is %+v", suspended)
	}
	refused(t, "renew", second(s.Renew(ctx, held, ttl)))
	confirm := func() suspension.State {
		t.Helper()
		got, err := s.ConfirmSuspended(ctx, "", suspended.Epoch)
		must(t, err)
		return got.State
	}
	if state := confirm(); state != suspension.Suspending {
		t.Errorf("%s while a lease is held", state)
	}
	// The release before looks at the mailboxes alone.
	sql(t, dsn, `UPDATE suspension SET state = 'suspended', suspended_at = clock_timestamp() WHERE state = 'suspending'`)
	if got, _ := standing(ctx, s); got.State != suspension.Suspending {
		t.Errorf("a worker of the release before made it %s", got.State)
	}
	must(t, s.Release(ctx, held, true))
	if state := confirm(); state != suspension.Suspended {
		t.Errorf("%s after the lease's end", state)
	}
	refused(t, "take", second(s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: fence})))
	_, err = s.Resume(ctx, suspension.Request{Who: "alice", Epoch: suspended.Epoch})
	must(t, err)
	next, err := s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: fence})
	must(t, err)
	if next.Epoch <= held.Epoch {
		t.Errorf("epoch %d after %d", next.Epoch, held.Epoch)
	}
	wantKind(t, s.Release(ctx, held, true), fault.Conflict)
	wantKind(t, second(s.Renew(ctx, held, ttl)), fault.Conflict)
	// Not ended cleanly, it is over when the fence has passed.
	must(t, s.Release(ctx, next, false))
	wantKind(t, second(s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: time.Hour})), fault.Conflict)
	sql(t, dsn, `UPDATE directory_leases SET expires_at = expires_at - interval '2 hours'`)
	next, err = s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: time.Hour})
	must(t, err)
	// So it is for who would wait less long.
	must(t, s.Release(ctx, next, false))
	_, err = s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: 0})
	if held, ok := errors.AsType[*lease.HeldError](err); !ok || held.Wait < 59*time.Minute {
		t.Errorf("a lease within the fence of the one before: %v", err)
	}
	sql(t, dsn, `UPDATE directory_leases SET expires_at = expires_at - interval '2 hours'`)
	must(t, s.RemoveLink(ctx, link))
}
