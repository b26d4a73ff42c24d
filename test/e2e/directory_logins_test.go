//go:build integration

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/site"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// arrives waits until a mailbox of DR holds what an account of production does.
// A list of all mailboxes may take the announcement of a change. The next review of what
// is listened to, which comes every 5 minutes, finds the change.
func (r *directoryRig) arrives(what, account, number string) {
	r.t.Helper()
	var diffs []string
	for deadline := time.Now().Add(longest); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		source, err := user.Access(r.production).Read(r.t.Context(), account)
		must(r.t, err)
		if diffs = reader.Diff(source, r.onDR(number)); len(diffs) == 0 {
			return
		}
	}
	_, list, _ := r.command(r.t.Context(), "errors", r.link)
	r.t.Fatalf("%s: mailbox %s is not what %s is: %s\n%s", what, number, account, diffs[0], list)
}

// refused waits until the mirror says why it does not open a mailbox, and fails the
// test where DR has anything in it.
func (r *directoryRig) refused(number, because string) {
	r.t.Helper()
	box := r.boxWhere(number, func(m site.Mailbox) bool { return strings.Contains(m.Error, because) })
	if box.ErrorKind != "permanent" || !strings.Contains(box.Hint, "directory sync") {
		r.t.Errorf("mailbox %s failed as %s with the hint %q", number, box.ErrorKind, box.Hint)
	}
	if messages, _ := r.onDR(number).Counts(); messages > 0 {
		r.t.Errorf("DR has %d messages in mailbox %s, which has no log-in", messages, number)
	}
}

// boxWhere waits until a mailbox is shown as it is to be.
func (r *directoryRig) boxWhere(number string, is func(site.Mailbox) bool) site.Mailbox {
	r.t.Helper()
	for deadline := time.Now().Add(longest); ; time.Sleep(100 * time.Millisecond) {
		var m site.Mailbox
		must(r.t, json.Unmarshal([]byte(r.run("mailbox", "show", r.link, number, "-o", "json")), &m))
		if is(m) {
			return m
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("mailbox %s is %+v", number, m)
		}
	}
}

// TestDirectoryLogins has a production that knows its mailboxes by mail addresses,
// which its directory tells, and a DR that knows them by number.
func TestDirectoryLogins(t *testing.T) {
	t.Parallel()
	address := func(number string) string { return "u" + number + "@example.com" }
	addressed := func(number, mail string) subscriber {
		e := aSubscriber(number, "Name"+number)
		if e["mail"] = []string{mail}; mail == "" {
			delete(e, "mail")
		}
		return e
	}
	// 2005 and 2006 are accounts of somebody else, who has nothing to do with the
	// mailboxes of these numbers.
	accounts := []string{"2005", "2006", "twin@example.com"}
	for _, n := range numbers(2001, 8) {
		accounts = append(accounts, address(n))
	}
	r := newDirectoryRigOn(t, &shared.quiet, servers.DovecotOptions{SharedNamespace: true, Mailboxes: accounts},
		servers.DovecotOptions{SharedNamespace: true, Mailboxes: append(numbers(2001, 8), "3001")}, servers.SlapdOptions{}, servers.SlapdOptions{})
	mapping := filepath.Join(r.dir, "mapping.toml")
	must(t, os.WriteFile(mapping, []byte("login = \"{mail}\"\n"), 0o600))
	r.run("store", "edit", r.source, "--ldap-mapping", mapping)
	for _, account := range accounts {
		r.on(account, func(u *user.User) { u.Put("INBOX", user.Voices("of "+account, 2)...) })
	}
	for _, n := range append(numbers(2001, 8), "3001") {
		r.at(r.dr, n, func(u *user.User) { u.Do("SELECT INBOX") }) // so that it is there to be seen
	}
	r.put(r.from, addressed("2001", address("2001")), addressed("2002", address("2002")), addressed("2003", address("2003")),
		addressed("2004", "U2004@example.com"), addressed("2005", ""), addressed("2006", "twin@example.com"), addressed("2007", "twin@example.com"))
	r.run("mailbox", "add", r.link, "2001")
	r.startWorker()
	r.refused("2001", "its log-in is not known") // there was no run over the directory yet
	if run := r.mirror(0); run.Created != 7 || run.Joined != 6 {
		t.Errorf("the run is %+v", run)
	}
	for _, n := range numbers(2001, 4) {
		r.arrives("at first", address(n), n)
	}
	r.refused("2005", "gives no log-in by the rule {mail}")
	r.refused("2006", "several mailboxes: 2006, 2007")
	r.refused("2007", "several mailboxes: 2006, 2007")
	if out := r.run("mailbox", "show", r.link, "2001"); !strings.Contains(out, "source log-in:") || strings.Contains(out, "target log-in:") {
		t.Errorf("mailbox show says\n%s", out)
	}
	if out := r.run("directory", "show", r.link, "2001"); !strings.Contains(out, address("2001")) {
		t.Errorf("directory show says\n%s", out)
	}
	if out := r.run("directory", "show", r.link, "2005"); !strings.Contains(out, "none: the mailbox cannot be opened") {
		t.Errorf("directory show says\n%s", out)
	}
	r.listened(4)
	deposit := func(what, account, number string) {
		t.Helper()
		r.on(account, func(u *user.User) { u.Put("INBOX", user.Voices(what, 1)...) })
		r.arrives(what, account, number)
	}
	deposit("an event", address("2002"), "2002")
	deposit("an event of one that is spelled otherwise", address("2004"), "2004")

	// A dry run knows of another log-in, and changes none.
	r.replace(r.from, "2003", "mail", "renamed@example.com")
	r.run("directory", "diff", r.link)
	r.boxWhere("2003", func(m site.Mailbox) bool { return m.SourceLogin == address("2003") && m.Error == "" })

	// 2003 is renamed, and its address goes to a new subscriber: neither ever gets
	// what is the other's.
	ctx := t.Context()
	must(t, r.production.RemoveMailboxes(ctx, address("2003")))
	home := filepath.Join(r.production.Dir(), "mail")
	must(t, os.Rename(filepath.Join(home, address("2003")), filepath.Join(home, "renamed@example.com")))
	must(t, r.production.AddMailboxes(ctx, "renamed@example.com"))
	r.put(r.from, addressed("3001", address("2003")))
	r.mirror(0)
	r.boxWhere("2003", func(m site.Mailbox) bool { return m.SourceLogin == "renamed@example.com" })
	r.arrives("after the renaming", "renamed@example.com", "2003")
	must(t, r.production.AddMailboxes(ctx, address("2003")))
	r.on(address("2003"), func(u *user.User) { u.Put("INBOX", user.Voices("of the new subscriber", 3)...) })
	r.arrives("the new subscriber", address("2003"), "3001")
	r.listened(5)
	deposit("an event under the new log-in", "renamed@example.com", "2003")
	deposit("an event of the new subscriber", address("2003"), "3001")
	r.neverDoubled([]string{"2001", "2002", "2003", "2004", "3001"})

	// What was missing is given.
	r.replace(r.from, "2005", "mail", address("2005"))
	r.replace(r.from, "2007", "mail", address("2007"))
	r.mirror(0)
	r.arrives("an address is given", address("2005"), "2005")
	r.arrives("an address of its own", "twin@example.com", "2006")
	r.arrives("another address", address("2007"), "2007")
	r.listened(8)
	deposit("an event of one that had no log-in", address("2005"), "2005")

	// What is taken away ends the mirroring of that mailbox, and nothing else.
	r.replace(r.from, "2001", "mail")
	r.mirror(0)
	before := r.onDR("2001")
	r.boxWhere("2001", func(m site.Mailbox) bool { return strings.Contains(m.Error, "gives no log-in") })
	r.listened(7)
	r.on(address("2001"), func(u *user.User) { u.Empty("INBOX") })
	deposit("an event elsewhere", address("2002"), "2002")
	if diffs := reader.Diff(before, r.onDR("2001")); len(diffs) > 0 {
		t.Errorf("a mailbox without a log-in was changed: %v", diffs)
	}
	r.idle("at the end")
	r.onlyRead()
	r.noSecrets()
}
