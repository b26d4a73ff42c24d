//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/control"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestDirectory administers subscribers on production alone, in every way, and
// has DR follow.
func TestDirectory(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	for _, name := range []string{r.source, r.target} {
		if code, out, errs := r.command(t.Context(), "store", "check", name, "--mailbox", "2001"); code != 0 || !strings.Contains(out, "holds:") {
			t.Fatalf("store check %s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	r.run("guard", "set", r.link, "--directory-change-share", "0")
	r.startWorker()
	first := crowd(2001, 30)
	r.put(r.from, first...)

	r.scene("new subscribers appear with all that is theirs", func(t *testing.T) {
		for _, n := range []string{"2001", "2002"} {
			r.on(n, func(u *user.User) { u.Put("INBOX", user.Voices("for "+n, 3)...) })
		}
		run := r.mirror(0)
		if run.Created != 30 || run.Joined != 30 || run.State != dirsync.Done {
			t.Errorf("the run is %+v", run)
		}
		r.same("after the first run")
		r.idle("after the first run")
		if got := r.members(); !slices.Equal(got, numbersOf(first)) {
			t.Errorf("in the link are %v", got)
		}
		r.settle()
		r.equal(numbersOf(first))
		r.noSecrets()
	})

	r.scene("every attribute changed, emptied, of several values", func(t *testing.T) {
		changed := map[string][]string{
			"Password": {"pin-another"}, "avUmFindMeEnabled": {"FALSE"}, "umRecordedName": {strings.Repeat("\x00\xff voice", 3000)},
			"Community": {"7"}, "ClassNo": {"99"}, "asciiName": {"Other"}, "cn": {"Über, \"Name\" + #1 ", "Alias"}, "sn": {"Name"},
			"givenName": {"Đorđe"}, "telephoneNumber": {"1", "2"}, "NumericAddress": {"1", "22", "333"}, "Misc1": {" leading"},
			"Misc2": {"b", "a"}, "Misc3": {"\\2c,+=<>;"}, "Misc4": {"x"},
		}
		i := 0
		for attribute, values := range changed {
			r.replace(r.from, numbersOf(first)[i], attribute, values...)
			if attribute != "cn" { // which an entry must have
				r.replace(r.from, numbersOf(first)[29-i], attribute)
			}
			i++
		}
		run := r.mirror(0)
		if run.Altered != 2*len(changed)-1 {
			t.Errorf("%d entries were changed, want %d: %+v", run.Altered, 2*len(changed)-1, run)
		}
		r.same("after the change")
		r.replace(r.from, "2001", "givenName", "GIVEN NAME2001")
		r.replace(r.from, "2002", "givenName", "gIVEN NAME2002")
		if run := r.mirror(0); run.Altered != 2 {
			t.Errorf("case alone: %+v", run)
		}
		r.same("after a change of case")
		r.replace(r.from, "2003", "umRecordedName", "") // legal, and not the same as none
		r.mirror(0)
		r.same("after an empty value")
		r.idle("after every change")
	})

	r.scene("a number is changed", func(t *testing.T) {
		r.apply(r.from, ldifLine("dn", dnOf(r.from, "2004"))+"changetype: modrdn\nnewrdn: MailboxNumber=3004\ndeleteoldrdn: 1\n\n")
		ids := func() map[string]string {
			text, err := r.to.Dump(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all := map[string]string{}
			for record := range strings.SplitSeq(text, "\n\n") {
				dn, id := "", ""
				for line := range strings.Lines(record) {
					if v, ok := strings.CutPrefix(line, "dn: "); ok {
						dn = strings.TrimSpace(v)
					}
					if v, ok := strings.CutPrefix(line, "entryUUID: "); ok {
						id = strings.TrimSpace(v)
					}
				}
				all[dn] = id
			}
			return all
		}
		before := ids()[dnOf(r.to, "2004")]
		if run := r.mirror(0); run.Renumbers != 1 || run.Created+run.Removed > 0 || run.Joined != 1 || run.Left != 1 {
			t.Errorf("the run is %+v", run)
		}
		r.same("after a new number")
		if after := ids()[dnOf(r.to, "3004")]; after == "" || after != before {
			t.Errorf("DR's entry %q was made anew: %q", before, after)
		}
		if got := r.members(); slices.Contains(got, "2004") || !slices.Contains(got, "3004") {
			t.Errorf("in the link are %v", got)
		}
		if out := r.run("history", r.link, "2004", "-o", "json"); !strings.Contains(out, `"left"`) {
			t.Errorf("history does not tell that 2004 left: %s", out)
		}
		// Two change places, which needs a third on the way.
		swap := func(from, to string) string {
			return ldifLine("dn", dnOf(r.from, from)) + "changetype: modrdn\nnewrdn: MailboxNumber=" + to + "\ndeleteoldrdn: 1\n\n"
		}
		r.apply(r.from, swap("2005", "9")+swap("2006", "2005")+swap("9", "2006"))
		r.mirror(0)
		r.same("after two changed places")
		r.idle("after new numbers")
	})

	r.scene("one is removed at once, many wait", func(t *testing.T) {
		r.remove(r.from, "2007")
		if run := r.mirror(0); run.Removed != 1 || run.Left != 1 {
			t.Errorf("the run is %+v", run)
		}
		r.same("after a removal")
		r.run("guard", "set", r.link, "--directory-shrink-share", "50")
		gone := []string{"2010", "2011", "2012", "2013", "2014"}
		kept := r.subscribers(r.from)
		r.remove(r.from, gone...)
		r.put(r.from, aSubscriber("2040", "Fresh"))
		run := r.mirror(3)
		if run.State != dirsync.Held || run.Held != 5 || run.Created != 1 || len(run.Reasons) == 0 {
			t.Errorf("the run is %+v", run)
		}
		for _, n := range gone {
			if _, there := r.subscribers(r.to)[dnOf(r.to, n)]; !there {
				t.Errorf("%s was removed from DR unasked", n)
			}
			if !slices.Contains(r.members(), n) {
				t.Errorf("%s left the link although its removal waits", n)
			}
		}
		holds := r.directoryHolds()
		if len(holds) != 1 || holds[0].Kind != directory.Remove || holds[0].Changes != 5 {
			t.Fatalf("what waits is %+v", holds)
		}
		if out := r.run("guard", "show", fmt.Sprint(holds[0].ID)); !strings.Contains(out, "2012") {
			t.Errorf("guard show does not name the mailboxes:\n%s", out)
		}
		if out := r.run("status", r.link); !strings.Contains(out, "5 changes wait for you") {
			t.Errorf("status does not tell of it:\n%s", out)
		}
		// One more is another hold.
		r.remove(r.from, "2015")
		r.mirror(3)
		if code, _, _ := r.command(t.Context(), "guard", "approve", fmt.Sprint(holds[0].ID)); code != 1 {
			t.Errorf("a hold that grew was approved by its old id: exit code %d", code)
		}
		// One comes back before the approval is carried out.
		holds = r.directoryHolds()
		back := subscriber{}
		for name, values := range kept[dnOf(r.from, "2010")] {
			if name != "dn" {
				back[name] = values
			}
		}
		r.apply(r.from, back.ldif(dnOf(r.from, "2010")))
		r.run("guard", "approve", fmt.Sprint(holds[0].ID))
		r.awaitDirectory(func() bool {
			_, there := r.subscribers(r.to)[dnOf(r.to, "2015")]
			return !there && len(r.directoryHolds()) == 0
		})
		r.mirror(0)
		r.same("after the approval")
		if got := r.members(); slices.Contains(got, "2011") || !slices.Contains(got, "2010") {
			t.Errorf("in the link are %v", got)
		}
	})

	r.scene("removals are refused", func(t *testing.T) {
		gone := []string{"2016", "2017", "2018", "2019", "2021"}
		kept := r.subscribers(r.from)
		r.remove(r.from, gone...)
		r.mirror(3)
		r.run("guard", "refuse", fmt.Sprint(r.directoryHolds()[0].ID))
		if run := r.mirror(3); run.Removed > 0 || run.Held > 0 || run.Refused != 5 || run.State != dirsync.Done {
			t.Errorf("the run after the refusal is %+v", run)
		}
		if len(r.directoryHolds()) > 0 {
			t.Error("what was refused is asked about again")
		}
		for _, n := range gone {
			e := subscriber{}
			for name, values := range kept[dnOf(r.from, n)] {
				if name != "dn" {
					e[name] = values
				}
			}
			r.apply(r.from, e.ldif(dnOf(r.from, n)))
		}
		r.mirror(0)
		r.same("when they are back")
		r.idle("when they are back")
	})

	r.scene("more changes than allowed wait", func(t *testing.T) {
		r.run("guard", "set", r.link, "--directory-change-count", "4")
		for _, n := range []string{"2026", "2027", "2028"} {
			r.replace(r.from, n, "sn", "Many")
		}
		r.apply(r.from, ldifLine("dn", dnOf(r.from, "2029"))+"changetype: modrdn\nnewrdn: MailboxNumber=3029\ndeleteoldrdn: 1\n\n")
		r.remove(r.from, "2030")
		kept := r.kept()
		for range 2 { // asking again is no consent
			if run := r.mirror(3); run.State != dirsync.Held || run.Held != 5 || !strings.Contains(strings.Join(run.Reasons, ";"), "5 entries of the target would change, more than 4") {
				t.Errorf("the run is %+v", run)
			}
			kept("too many changes")
		}
		shown := ""
		for _, h := range r.directoryHolds() {
			shown += fmt.Sprintln(h.Kind, h.Changes) + r.run("guard", "show", fmt.Sprint(h.ID))
		}
		for _, part := range []string{"alter 3\n", "renumber 1\n", "remove 1\n", "2027", "last_name", "3029", "2030"} {
			if !strings.Contains(shown, part) {
				t.Errorf("guard show does not tell %q:\n%s", part, shown)
			}
		}
		r.put(r.from, aSubscriber("2041", "Fresh"))
		if run := r.mirror(3); run.Held != 5 || run.Created != 1 {
			t.Errorf("the run with one that is new is %+v", run)
		}
		r.run("guard", "approve", "--link", r.link, "--all")
		r.awaitDirectory(func() bool { return cmp.Equal(r.subscribers(r.from), r.subscribers(r.to)) })
		r.mirror(0)
		r.idle("after the approval of changes")
	})

	r.scene("changes are refused", func(t *testing.T) {
		some := []string{"2022", "2023", "2026", "2027", "2028"}
		for _, n := range some {
			r.replace(r.from, n, "sn", "Refused")
		}
		kept := r.kept()
		r.mirror(3)
		r.run("guard", "refuse", fmt.Sprint(r.directoryHolds()[0].ID))
		if run := r.mirror(3); run.Altered > 0 || run.Held > 0 || run.Refused != len(some) || run.State != dirsync.Done || len(r.directoryHolds()) > 0 {
			t.Errorf("the run after the refusal is %+v", run)
		}
		kept("after the refusal")
		for _, n := range some {
			r.replace(r.from, n, "sn", r.subscribers(r.to)[dnOf(r.to, n)]["sn"]...)
		}
		r.run("guard", "set", r.link, "--directory-change-count", "2000")
		r.idle("when it is as it was")
	})

	r.scene("an entry fails alone, and is given up", func(t *testing.T) {
		r.run("link", "edit", r.link, "--directory-give-up", "2")
		// The names are taken by what are no mailboxes.
		for _, n := range []string{"2050", "2052"} {
			r.apply(r.to, ldifLine("dn", dnOf(r.to, n))+"objectClass: device\nobjectClass: extensibleObject\ncn: in the way\nMailboxNumber: "+n+"\n\n")
		}
		r.put(r.from, aSubscriber("2050", "Late"), aSubscriber("2051", "Punctual"), aSubscriber("2052", "Later"))
		run := r.mirror(1)
		if run.Failed != 2 || run.Created != 1 || run.State != dirsync.Done {
			t.Errorf("the run is %+v", run)
		}
		if out := r.run("directory", "history", r.link, "--run", run.RunID); !strings.Contains(out, "failed") || !strings.Contains(out, "2050") {
			t.Errorf("the history does not name it:\n%s", out)
		}
		r.mirror(1)
		r.put(r.from, aSubscriber("2053", "Punctual"))
		if run := r.mirror(3); run.Failed > 0 || run.GivenUp != 2 || run.Created != 1 || run.State != dirsync.Done {
			t.Errorf("the run that gave them up is %+v", run)
		}
		if out := r.run("errors", r.link); !strings.Contains(out, "2050") || !strings.Contains(out, "mailmirror directory retry "+r.link) {
			t.Errorf("errors does not tell what to do:\n%s", out)
		}
		if out := r.run("status", r.link); !strings.Contains(out, "2 given up") {
			t.Errorf("status does not tell of them:\n%s", out)
		}
		if code, out, _ := r.command(t.Context(), "directory", "show", r.link, "2050"); code != 3 || !strings.Contains(out, "none") {
			t.Errorf("directory show: exit code %d\n%s", code, out)
		}
		// What is in the way no more is not found by itself; what is another on
		// production is tried anew.
		r.remove(r.to, "2050", "2052")
		r.replace(r.from, "2052", "sn", "Latest")
		if run := r.mirror(3); run.GivenUp != 1 || run.Created != 1 {
			t.Errorf("the run is %+v", run)
		}
		r.run("directory", "retry", r.link, "2050")
		if run := r.mirror(0); run.Created != 1 || run.GivenUp > 0 {
			t.Errorf("the run after the retry is %+v", run)
		}
		r.same("when nothing is in the way")
		r.idle("when nothing is in the way")
	})

	r.scene("what only DR has is told, and removed where that is wanted", func(t *testing.T) {
		r.put(r.to, aSubscriber("7001", "Stranger"))
		if run := r.mirror(0); run.Unknown != 1 || run.Removed > 0 {
			t.Errorf("the run is %+v", run)
		}
		if code, out, _ := r.command(t.Context(), "directory", "diff", r.link); code != 3 || !strings.Contains(out, "unknown") {
			t.Errorf("directory diff: exit code %d\n%s", code, out)
		}
		r.run("link", "edit", r.link, "--directory-remove-unknown")
		if run := r.mirror(0); run.Removed != 1 {
			t.Errorf("the run is %+v", run)
		}
		r.run("link", "edit", r.link, "--directory-remove-unknown=false")
		r.same("without the stranger")
	})

	r.scene("protected entries are left alone", func(t *testing.T) {
		file := filepath.Join(r.dir, "mapping.toml")
		if err := os.WriteFile(file, []byte("protected = [\"2020\", \"(Community=4711)\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.run("store", "edit", r.target, "--ldap-mapping", file)
		r.replace(r.from, "2020", "sn", "Changed")
		r.remove(r.from, "2021")
		r.replace(r.to, "2021", "Community", "4711")
		kept := r.kept()
		if run := r.mirror(0); run.Protected != 2 || run.Altered+run.Removed > 0 {
			t.Errorf("the run is %+v", run)
		}
		kept("protected")
		r.run("store", "edit", r.target, "--ldap-mapping", os.DevNull)
		if err := os.WriteFile(file, []byte("protected = []\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.run("store", "edit", r.target, "--ldap-mapping", file)
		r.mirror(0)
		r.same("protected no more")
	})

	r.scene("a dry run writes the plan and nothing else", func(t *testing.T) {
		r.put(r.from, aSubscriber("2060", "Dry"))
		r.replace(r.from, "2022", "Password", "pin-dry")
		r.remove(r.from, "2023")
		rename := func(from, to string) string {
			return ldifLine("dn", dnOf(r.from, from)) + "changetype: modrdn\nnewrdn: MailboxNumber=" + to + "\ndeleteoldrdn: 1\n\n"
		}
		r.apply(r.from, rename("2024", "9")+rename("2025", "2024")+rename("9", "2025"))
		kept := r.kept()
		plain, whole := filepath.Join(r.dir, "plan.ldif"), filepath.Join(r.dir, "whole.ldif")
		code, out, errs := r.command(t.Context(), "directory", "sync", r.link, "--dry-run", "--ldif", plain)
		if code != 3 || !strings.Contains(out, "2060") {
			t.Fatalf("dry run: exit code %d\n%s%s", code, out, errs)
		}
		kept("a dry run")
		text, err := os.ReadFile(plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"pin-dry", "pin-2060", "cGluL"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the LDIF tells a password: %s", text)
			}
		}
		if code, _, errs := r.command(t.Context(), "directory", "sync", r.link, "--dry-run", "--ldif", whole, "--with-passwords"); code != 3 {
			t.Fatalf("dry run: exit code %d\n%s", code, errs)
		}
		kept("a second dry run")
		if text, err = os.ReadFile(whole); err != nil {
			t.Fatal(err)
		}
		r.apply(r.to, string(text))
		r.same("after the plan was carried out by ldapmodify")
		r.idle("after the plan was carried out by ldapmodify")
		var v control.DirectoryEntryView
		if err := json.Unmarshal([]byte(r.run("directory", "show", r.link, "2060", "-o", "json")), &v); err != nil {
			t.Fatal(err)
		}
		if !v.Equal || len(v.Columns) != len(directory.Attributes()) {
			t.Errorf("directory show says %+v", v)
		}
	})

	r.scene("the link's rule says who joins", func(t *testing.T) {
		r.run("link", "edit", r.link, "--participate", "filter", "--participate-numbers", "21*")
		r.put(r.from, aSubscriber("2101", "In"), aSubscriber("2201", "Out"))
		if run := r.mirror(0); run.Created != 2 || run.Joined != 1 {
			t.Errorf("the run is %+v", run)
		}
		got := r.members()
		if !slices.Contains(got, "2101") || slices.Contains(got, "2201") {
			t.Errorf("in the link are %v", got)
		}
		r.run("link", "edit", r.link, "--participate", "all")
		if run := r.mirror(0); run.Joined != 1 {
			t.Errorf("the run is %+v", run)
		}
	})
	if diff := cmp.Diff(numbersIn(r.subscribers(r.from)), r.members()); diff != "" {
		t.Errorf("who is in the link (-directory +link):\n%s", diff)
	}
	r.noSecrets()
	r.nowhereInDatabases("pin-")
	r.nowhereInDatabases("cGluL") // the same in base64
	r.onlyRead()
}

func numbersIn(entries map[string]subscriber) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e["mailboxnumber"][0])
	}
	slices.Sort(all)
	return all
}

// awaitDirectory waits until what a run does by itself is done.
func (r *directoryRig) awaitDirectory(done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			_, history, _ := r.command(r.t.Context(), "directory", "history", r.link)
			r.t.Fatalf("waited a minute for the directory\n%s", history)
		}
	}
}
