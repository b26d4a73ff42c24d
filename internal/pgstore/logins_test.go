//go:build integration

package pgstore_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
)

// byRule gives a store's directory a rule for log-ins.
func byRule(t testing.TB, s *pgstore.Store, store, rule string) {
	t.Helper()
	d := directoryOf(store)
	d.Mapping.Login = rule
	must(t, s.PutDirectoryStore(t.Context(), d))
}

// boxesOf are records of numbers with their log-ins, "2001=u2001".
func boxesOf(side string, texts ...string) []directory.Record {
	var all []directory.Record
	for i, text := range texts {
		number, login, _ := strings.Cut(text, "=")
		r := entry(side, fmt.Sprint(number, "-", i), number)
		r.Login = login
		all = append(all, r)
	}
	return all
}

// ruleOf is what tells log-ins apart that a store's mapping with a rule made.
func ruleOf(store, rule string) string {
	m := directoryOf(store).Mapping
	m.Login = rule
	return m.LoginRule()
}

// ran runs over both sides until the compare, with the rules that the mappings had.
func ran(t testing.TB, s *pgstore.Store, runID, trigger, sourceRule, targetRule string, source, target []directory.Record) {
	t.Helper()
	ctx := t.Context()
	must(t, s.BeginDirectoryRun(ctx, runID, link, trigger))
	must(t, s.StageDirectory(ctx, runID, dirsync.SourceSide, each(source)))
	must(t, s.StageDirectory(ctx, runID, dirsync.TargetSide, each(target)))
	must(t, s.SaveExtracts(ctx, runID, directory.Extracted{Rule: ruleOf("prod", sourceRule), Entries: len(source)},
		directory.Extracted{Rule: ruleOf("dr", targetRule), Entries: len(target)}))
	_, err := s.CompareDirectory(ctx, runID, dirsync.DefaultSettings())
	must(t, err)
}

// loginsOf asks for the log-ins of numbers; "-" is that there is none.
func loginsOf(t testing.TB, s *pgstore.Store, store string, numbers ...string) []string {
	t.Helper()
	l, version, err := s.Logins(t.Context(), store)
	must(t, err)
	row, err := s.Store(t.Context(), store)
	must(t, err)
	if row.LoginsVersion != version {
		t.Errorf("store %s is of version %d, its log-ins of %d", store, row.LoginsVersion, version)
	}
	var all []string
	for _, n := range numbers {
		login, err := l.Login(n)
		if err != nil {
			wantKind(t, err, fault.Permanent)
			login = "-"
		}
		all = append(all, login)
	}
	return all
}

func wantLogins(t testing.TB, when string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func versionOf(t testing.TB, s *pgstore.Store, store string) int64 {
	t.Helper()
	row, err := s.Store(t.Context(), store)
	must(t, err)
	return row.LoginsVersion
}

// dueOf tells which of the mailboxes got work since generations were as before.
func dueOf(t testing.TB, s *pgstore.Store, before map[mailbox.Number]int64) []string {
	t.Helper()
	var due []string
	for _, n := range slices.Sorted(maps.Keys(before)) {
		if g := box(t, s, n).DirtyGeneration; g > before[n] {
			due = append(due, string(n))
			before[n] = g
		}
	}
	return due
}

func TestLogins(t *testing.T) {
	t.Parallel()
	s := seeded(t, "2001", "2002", "2003", "2004", "2005")
	withDirectories(t, s)
	const rule = "{mail}"
	wantLogins(t, "without a rule", loginsOf(t, s, "prod", "2001", "9"), "2001", "9")
	byRule(t, s, "prod", rule)
	wantLogins(t, "before any run", loginsOf(t, s, "prod", "2001"), "-")
	wantLogins(t, "of the other store", loginsOf(t, s, "dr", "2001"), "2001")
	generations := map[mailbox.Number]int64{"2001": 0, "2002": 0, "2003": 0, "2004": 0, "2005": 0}
	dueOf(t, s, generations)

	source := boxesOf("s", "2001=u1@x", "2002=u2@x", "2003=", "2004=twin@x", "2005=Twin@x", "=nobody@x", "2006=a@x", "2006=b@x", "2007=u7\x00@x")
	target := boxesOf("t", "2001=ignored")
	numbers := []string{"2001", "2002", "2003", "2004", "2005", "2006", "2007", "2008", ""}
	version := versionOf(t, s, "prod")
	ran(t, s, "dry", dirsync.TriggerDryRun, rule, "{MailboxNumber}", source, target)
	wantLogins(t, "after a dry run", loginsOf(t, s, "prod", "2001", "2002"), "-", "-")
	finished(t, s, "dry")
	ran(t, s, "old", dirsync.TriggerOperator, "{uid}", "{MailboxNumber}", source, target)
	wantLogins(t, "after a run that began by another rule", loginsOf(t, s, "prod", "2001", "2002"), "-", "-")
	finished(t, s, "old")
	if got := versionOf(t, s, "prod"); got != version {
		t.Errorf("version %d, want %d as before", got, version)
	}
	if due := dueOf(t, s, generations); due != nil {
		t.Errorf("due for nothing: %v", due)
	}

	ran(t, s, "first", dirsync.TriggerOperator, rule, "{MailboxNumber}", source, target)
	wantLogins(t, "after the first run", loginsOf(t, s, "prod", numbers...), "u1@x", "u2@x", "-", "-", "-", "-", "-", "-", "-")
	wantLogins(t, "of the other store", loginsOf(t, s, "dr", "2001", "2002"), "2001", "2002")
	if due := dueOf(t, s, generations); !slices.Equal(due, []string{"2001", "2002", "2003", "2004", "2005"}) {
		t.Errorf("due after the first run: %v", due)
	}
	if got := versionOf(t, s, "prod"); got <= version {
		t.Errorf("version %d after %d", got, version)
	}
	if got := versionOf(t, s, "dr"); got != 0 && got == version {
		t.Errorf("the other store's version is %d", got)
	}
	finished(t, s, "first")

	version = versionOf(t, s, "prod")
	ran(t, s, "same", dirsync.TriggerSchedule, rule, "{MailboxNumber}", source, target)
	if got := versionOf(t, s, "prod"); got != version {
		t.Errorf("a run that changed nothing made version %d of %d", got, version)
	}
	if due := dueOf(t, s, generations); due != nil {
		t.Errorf("due for nothing: %v", due)
	}
	finished(t, s, "same")

	// One is renamed, one gets a value, one of two twins another, one is gone.
	source = boxesOf("s", "2001=new@x", "2003=u3@x", "2004=twin@x", "2005=u5@x")
	ran(t, s, "second", dirsync.TriggerSchedule, rule, "{MailboxNumber}", source, target)
	wantLogins(t, "after the second run", loginsOf(t, s, "prod", numbers...), "new@x", "-", "u3@x", "twin@x", "u5@x", "-", "-", "-", "-")
	if due := dueOf(t, s, generations); !slices.Equal(due, []string{"2001", "2002", "2003", "2004", "2005"}) {
		t.Errorf("due after the second run: %v", due)
	}
	finished(t, s, "second")

	// An address that goes to another takes it from nobody, and is nobody's.
	source = boxesOf("s", "2001=u5@x", "2003=u3@x", "2004=twin@x", "2005=u5@x")
	ran(t, s, "third", dirsync.TriggerSchedule, rule, "{MailboxNumber}", source, target)
	wantLogins(t, "after the third run", loginsOf(t, s, "prod", "2001", "2003", "2004", "2005"), "-", "u3@x", "twin@x", "-")
	if due := dueOf(t, s, generations); !slices.Equal(due, []string{"2001", "2005"}) {
		t.Errorf("due after the third run: %v", due)
	}
	finished(t, s, "third")

	// What does not concern log-ins leaves them, what does ends them.
	d := directoryOf("prod", "2003")
	d.Mapping.Login, d.Address = rule, "127.0.0.1:1389"
	must(t, s.PutDirectoryStore(t.Context(), d))
	wantLogins(t, "after another address", loginsOf(t, s, "prod", "2003"), "u3@x")
	byRule(t, s, "prod", "{uid}")
	wantLogins(t, "by another rule", loginsOf(t, s, "prod", "2003"), "-")
	byRule(t, s, "prod", rule)
	wantLogins(t, "by the rule of before", loginsOf(t, s, "prod", "2003"), "-")
	version = versionOf(t, s, "prod")
	must(t, s.RemoveDirectoryStore(t.Context(), "prod"))
	wantLogins(t, "without a directory", loginsOf(t, s, "prod", "2003"), "2003")
	if got := versionOf(t, s, "prod"); got <= version {
		t.Errorf("version %d after %d", got, version)
	}
	if _, _, err := s.Logins(t.Context(), "nosuch"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a store that there is not: %v", err)
	}
}

// What a run writes to the target can be opened before the next one extracts it.
func TestLoginsOfWritten(t *testing.T) {
	t.Parallel()
	s := seeded(t, "2001", "2002")
	withDirectories(t, s)
	const rule = "{MailboxNumber}@dr"
	byRule(t, s, "dr", rule)
	source := boxesOf("s", "2001=2001", "2002=2002", "2003=2003")
	target := boxesOf("t", "2001=2001@dr")
	ran(t, s, "first", dirsync.TriggerOperator, "{MailboxNumber}", rule, source, target)
	wantLogins(t, "after the compare", loginsOf(t, s, "dr", "2001", "2002", "2003"), "2001@dr", "-", "-")
	save := func(runID string, login map[string]string) {
		t.Helper()
		list := changesOf(t, s, runID, dirsync.ChangePlanned)
		for i := range list {
			list[i].State, list[i].TargetLogin, list[i].TargetRule = dirsync.ChangeDone, login[list[i].Number], ruleOf("dr", rule)
			if list[i].Kind == directory.Create {
				list[i].Target = directory.Ref{ID: "t-" + list[i].Number, DN: "cn=new"}
			}
		}
		saveChanges(t, s, runID, list)
	}
	version := versionOf(t, s, "dr")
	save("first", map[string]string{"2002": "2002@dr", "2003": ""})
	wantLogins(t, "after the writing", loginsOf(t, s, "dr", "2001", "2002", "2003"), "2001@dr", "2002@dr", "-")
	if got := versionOf(t, s, "dr"); got <= version {
		t.Errorf("version %d after %d", got, version)
	}
	save("first", map[string]string{"2002": "2002@dr", "2003": ""}) // once more changes nothing
	finished(t, s, "first")

	// A new number, and one that is removed.
	source = boxesOf("s", "2001=2001", "2002=2002")
	source[1].Number, source[1].Texts[directory.MailboxNumber] = "3002", []string{"3002"}
	target = boxesOf("t", "2001=2001@dr", "2002=2002@dr", "2003=")
	target[1].ID, target[2].ID = "t-2002", "t-2003"
	ran(t, s, "second", dirsync.TriggerSchedule, "{MailboxNumber}", rule, source, target)
	save("second", map[string]string{"3002": "3002@dr"})
	wantLogins(t, "after the second run", loginsOf(t, s, "dr", "2001", "2002", "2003", "3002"), "2001@dr", "-", "-", "3002@dr")
	finished(t, s, "second")
}

// The last of a circle of renumberings frees a number that another entry has got
// long ago, when each was recorded by itself.
func TestLoginsOfCircle(t *testing.T) {
	t.Parallel()
	s := seeded(t, "2001", "2002", "2003")
	withDirectories(t, s)
	const rule = "{mail}"
	byRule(t, s, "dr", rule)
	source := boxesOf("s", "2001=2001", "2002=2002", "2003=2003")
	target := boxesOf("t", "2001=a@dr", "2002=b@dr", "2003=c@dr")
	ran(t, s, "first", dirsync.TriggerOperator, "{MailboxNumber}", rule, source, target)
	finished(t, s, "first")
	for i, number := range []string{"2002", "2003", "2001"} {
		source[i].Number, source[i].Texts[directory.MailboxNumber] = number, []string{number}
	}
	ran(t, s, "second", dirsync.TriggerSchedule, "{MailboxNumber}", rule, source, target)
	login := map[string]string{"2002": "a@dr", "2003": "b@dr", "2001": "c@dr"}
	list := changesOf(t, s, "second", dirsync.ChangePlanned)
	if len(list) != 4 {
		t.Fatalf("%d changes, want three and the step out of the circle: %+v", len(list), list)
	}
	for _, c := range list {
		c.State, c.TargetLogin, c.TargetRule = dirsync.ChangeDone, login[c.Number], ruleOf("dr", rule)
		saveChanges(t, s, "second", []dirsync.Change{c})
	}
	wantLogins(t, "after the circle", loginsOf(t, s, "dr", "2001", "2002", "2003"), "c@dr", "a@dr", "b@dr")
	finished(t, s, "second")

	// What was looked at by another rule is not recorded.
	source[0].Texts[directory.LastName] = []string{"other"}
	ran(t, s, "third", dirsync.TriggerSchedule, "{MailboxNumber}", rule, source, target)
	list = changesOf(t, s, "third", dirsync.ChangePlanned)
	if len(list) == 0 {
		t.Fatal("nothing is planned")
	}
	before := loginsOf(t, s, "dr", "2001", "2002", "2003")
	for i := range list {
		list[i].State, list[i].TargetLogin, list[i].TargetRule = dirsync.ChangeDone, "wrong@dr", ruleOf("dr", "{uid}")
	}
	saveChanges(t, s, "third", list[:1])
	wantLogins(t, "by another rule", loginsOf(t, s, "dr", "2001", "2002", "2003"), before...)
	finished(t, s, "third")
}

// A run that is given up in staging, or whose compare fails, leaves log-ins alone.
func TestLoginsOfFailedRun(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	byRule(t, s, "prod", "{mail}")
	ran(t, s, "good", dirsync.TriggerOperator, "{mail}", "{MailboxNumber}", boxesOf("s", "2001=u1@x"), nil)
	finished(t, s, "good")
	ctx := t.Context()
	must(t, s.BeginDirectoryRun(ctx, "bad", link, dirsync.TriggerSchedule))
	cut := errors.New("cut")
	err := s.StageDirectory(ctx, "bad", dirsync.SourceSide, func() (directory.Record, error) { return directory.Record{}, cut })
	if !errors.Is(err, cut) {
		t.Errorf("staging: %v", err)
	}
	must(t, s.FinishDirectoryRun(ctx, "bad", dirsync.Failed, []string{"cut"}, ""))
	wantLogins(t, "after a run that failed", loginsOf(t, s, "prod", "2001"), "u1@x")
}
