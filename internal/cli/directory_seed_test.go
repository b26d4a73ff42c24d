package cli_test

import (
	"context"
	"time"

	"mailmirror/internal/control/controltest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// directory gives both stores of the link that seed describes a directory. The
// last run left removals held, and an entry that the target refuses.
func (s *system) directory() {
	for _, name := range []string{"prod", "site"} {
		m := directory.DefaultMapping()
		m.BaseDN, m.Protected = "ou=mailboxes,o="+name, []string{"9999"}
		_ = s.records.PutDirectoryStore(context.Background(), site.Directory{
			Store: name, Address: "ldap." + name + ".example.org:636", Security: site.SecurityTLS, BindDN: "cn=mirror,o=" + name,
			SealedPassword: []byte("x"), Mapping: m})
	}
	run := func(id, trigger string, began time.Duration, state dirsync.State) dirsync.Run {
		return dirsync.Run{RunID: id, Link: "dr", Trigger: trigger, State: state,
			StartedAt: clock.Add(-began), FinishedAt: clock.Add(-began + 12*time.Second)}
	}
	dry := run("dry-1", dirsync.TriggerDryRun, time.Minute, dirsync.Done)
	dry.Source, dry.Target = 800, 801
	dry.Reasons = []string{"200 of 801 entries would be removed: more than 50"}
	last := run("run-9", dirsync.TriggerSchedule, time.Hour, dirsync.Held)
	last.Counts = dirsync.Counts{Source: 800, Target: 801, Created: 3, Altered: 12, Renumbers: 1, Failed: 1, Held: 200, Due: 17, Joined: 3}
	last.Reasons, last.Hint = []string{"200 of 801 entries would be removed: more than 50"}, "mailmirror guard list dr"
	failed := run("run-8", dirsync.TriggerOperator, 7*time.Hour, dirsync.Failed)
	failed.Reasons, failed.Hint = []string{"extract the source's directory: the connection was lost"}, "is the server up?"
	s.records.Runs = []dirsync.Run{dry, last, failed}
	create := dirsync.Change{Seq: 1, State: dirsync.ChangePlanned, Change: directory.Change{Kind: directory.Create, Number: "1001",
		Source: directory.Ref{ID: "id of cn=Ann,o=prod", DN: "cn=Ann,o=prod"}, Columns: []directory.Column{directory.Password, directory.CommonName}}}
	remove := dirsync.Change{Seq: 2, State: dirsync.ChangeHeld, Change: directory.Change{Kind: directory.Remove, Number: "1002",
		Target: directory.Ref{DN: "cn=Bob,o=site"}}}
	refused := dirsync.Change{Seq: 3, State: dirsync.ChangeGivenUp, Failures: 10, Error: "add entry: the server refuses a value (19)",
		Hint: "mend the value on the source", Change: directory.Change{Kind: directory.Create, Number: "1003", Source: directory.Ref{DN: "cn=Eve,o=prod"}}}
	s.records.Changes = map[string][]dirsync.Change{"dry-1": {create}, "run-9": {create, remove, refused}}
	s.records.Rejected = map[string][]dirsync.Rejection{"run-9": {{Number: "1001",
		Error: "add mailboxes to link dr: link other mirrors mailbox 1001", Hint: "remove it from link other"}}}
	s.records.Holds = []guard.DirectoryHold{{ID: 21, State: guard.HoldWaiting, Link: "dr", RunID: "run-9", Kind: directory.Remove,
		Changes: 200, Source: 800, Target: 801, Reasons: last.Reasons, Since: clock.Add(-time.Hour), UpdatedAt: clock.Add(-time.Hour)}}
	closing := true // the run before is recorded as ended, and not closed yet
	s.runner.OnDirectory = func(_, trigger string) (string, bool, error) {
		switch {
		case trigger == dirsync.TriggerDryRun:
			return "dry-1", true, nil
		case closing:
			closing = false
			return "run-8", false, nil
		}
		return "run-9", true, nil
	}
	s.runner.OnAskDirectory = func(string, string) error {
		return fault.New(fault.Transient, "ask Temporal", nil, "is Temporal running?")
	}
	entry := func(dn, password, cn string) directory.Entry {
		return controltest.Numbered("1001", dn, map[directory.Column]string{directory.Password: password, directory.CommonName: cn, directory.RecordedName: "RIFF"})
	}
	ann := entry("cn=Ann,o=prod", "geheim1", "Ann")
	ann.Login = "ann@example.org"
	s.records.LoginsOf = map[string]*directory.Logins{"prod": directory.NewLogins("{mail}", map[string]string{"1001": ann.Login})}
	s.sides.Source = map[string]directory.Entry{"cn=Ann,o=prod": ann,
		"cn=Eve,o=prod": controltest.Numbered("1003", "cn=Eve,o=prod", map[directory.Column]string{directory.CommonName: "Eve"})}
	s.sides.Target = map[string]directory.Entry{"cn=Ann,o=site": entry("cn=Ann,o=site", "geheim2", "Anne")}
	delete(s.servers.Faults, "site")
	s.servers.Reports["site"] = verdict.Store{Server: "Dovecot"}
	s.servers.Rights = map[string]verdict.Rights{"site": {Writable: []string{"Password", "cn"},
		TriedOn: "cn=Ann,o=site", Advice: []string{"whether it takes Misc1 (misc_1) cannot be tried: busy (51): the first run tells"}}}
	s.servers.Directories = map[string]verdict.Directory{
		"prod": {Server: "OpenLDAP", Entries: 500, AtLeast: true, Faults: []string{"the schema has no attribute umRecordedName"},
			Advice: []string{"the server has no assertion control: a change at the same moment is noticed only afterwards"}},
	}
}
