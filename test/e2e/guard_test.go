//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailmirror/internal/guard"
	limit "mailmirror/internal/mirror"
	"mailmirror/internal/site"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// at lets a user of a store's mailbox do something.
func (r *rig) at(d *servers.Dovecot, number string, do func(u *user.User)) {
	r.t.Helper()
	user.Use(r.t, user.Access(d), number, do)
}

// on is at on production.
func (r *rig) on(number string, do func(u *user.User)) {
	r.t.Helper()
	r.at(r.production, number, do)
}

// onDR reads a mailbox of the DR store.
func (r *rig) onDR(number string) reader.Copy {
	r.t.Helper()
	c, err := user.Access(r.dr).Read(r.t.Context(), number)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// holds is what `mailmirror guard list` shows of a state.
func (r *rig) holds(state guard.HoldState) []guard.Hold {
	r.t.Helper()
	var holds []guard.Hold
	if err := json.Unmarshal([]byte(r.run("guard", "list", r.link, "--state", string(state), "-o", "json")), &holds); err != nil {
		r.t.Fatal(err)
	}
	return holds
}

// hold is the only one that waits.
func (r *rig) hold(number, folder string, messages int, rule limit.Rule) guard.Hold {
	r.t.Helper()
	holds := r.holds(guard.HoldWaiting)
	if len(holds) != 1 {
		r.t.Fatalf("%d holds wait, want 1: %+v", len(holds), holds)
	}
	h := holds[0]
	tripped := slices.ContainsFunc(h.Reasons, func(x limit.Reason) bool { return x.Rule == rule })
	if string(h.Number) != number || string(h.Folder) != folder || h.Messages != messages || !tripped {
		r.t.Fatalf("held is %+v, want %d messages of %s in mailbox %s for %s", h, messages, folder, number, rule)
	}
	return h
}

// compare runs a full compare that must end with an exit code.
func (r *rig) compare(code int) {
	r.t.Helper()
	var run site.CompareRun
	got, out, errs := r.command(r.t.Context(), "compare", r.link, "--wait", "-o", "json")
	for json.Unmarshal([]byte(out), &run) == nil && run.Busy > 0 {
		// An event began a sync just before, which is not the compare's to judge.
		run = site.CompareRun{}
		got, out, errs = r.command(r.t.Context(), "compare", r.link, "--wait", "-o", "json")
	}
	if got != code {
		_, list, _ := r.command(r.t.Context(), "errors", r.link)
		r.t.Fatalf("compare ended with exit code %d, want %d\n%s%s\n%s", got, code, out, errs, list)
	}
}

// state is what `mailmirror mailbox show` says.
func (r *rig) state(number string) site.Mailbox {
	r.t.Helper()
	var m site.Mailbox
	if err := json.Unmarshal([]byte(r.run("mailbox", "show", r.link, number, "-o", "json")), &m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) wantState(number string, want site.MailboxState) {
	r.t.Helper()
	if m := r.state(number); m.State != want {
		r.t.Errorf("mailbox %s is %s, want %s (%s)", number, m.State, want, m.Error)
	}
}

// unchanged reads the DR store and returns a check that it still is as it was.
func (r *rig) unchanged(all []string) func(when string) {
	r.t.Helper()
	before := map[string]reader.Copy{}
	for _, n := range all {
		before[n] = r.onDR(n)
	}
	return func(when string) {
		r.t.Helper()
		for _, n := range all {
			for name, was := range before[n] {
				now := r.onDR(n)[name]
				for m, count := range was.Messages {
					if now.Messages[m] < count {
						r.t.Errorf("%s: a message is gone from %s of mailbox %s on DR", when, name, n)
					}
				}
			}
		}
	}
}

// mount puts other storage below a server, as somebody does who mounts the
// wrong disk, or none.
func mount(t *testing.T, d *servers.Dovecot, swap func(mail string)) {
	t.Helper()
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	swap(filepath.Join(d.Dir(), "mail"))
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestGuard has every accident happen to production that the deletion guard is
// there for, on the whole system as an operator has it.
func TestGuard(t *testing.T) {
	t.Parallel()
	const large, inboxes, work, old, few = 8, 40, 10, 3, 3
	all := numbers(7001, 24)
	r := newQuietRig(t, servers.DovecotOptions{Mailboxes: slices.Clone(all)}, servers.DovecotOptions{Mailboxes: slices.Clone(all)})
	fill := func(i int, u *user.User) {
		if i >= large {
			u.Put("INBOX", user.Voices("few "+u.Number, few)...)
			return
		}
		u.Put("INBOX", user.Voices("inbox "+u.Number, inboxes)...)
		u.Put("Work", user.Voices("work "+u.Number, work)...)
		u.Put("Old", user.Voices("old "+u.Number, old)...)
	}
	for i, n := range all {
		r.on(n, func(u *user.User) { fill(i, u) })
	}
	r.add(all)
	r.startWorker()
	r.compareUntilEqual()
	r.equal(all)
	scene := func(name string, play func()) {
		t.Run(name, func(t *testing.T) {
			r.t = t
			play()
			r.compareUntilEqual()
			r.equal(all)
			if left := append(r.holds(guard.HoldWaiting), r.holds(guard.HoldRefused)...); len(left) > 0 {
				t.Errorf("something is held at the end: %+v", left)
			}
		})
		r.t = t
		if t.Failed() {
			t.FailNow()
		}
	}

	scene("a folder is emptied, and that is approved", func() {
		n := all[0]
		r.on(n, func(u *user.User) {
			u.Empty("INBOX")
			u.Put("INBOX", user.Voices("new", 2)...)
		})
		r.on(all[1], func(u *user.User) { // everyday
			u.Do("SELECT %s", "INBOX")
			u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		})
		r.compare(3)
		h := r.hold(n, "INBOX", inboxes, limit.RuleFolderShare)
		if got := r.onDR(n)["INBOX"].Count(); got != inboxes+2 {
			r.t.Errorf("%d messages on DR, want %d: copies must not wait, and deletions must", got, inboxes+2)
		}
		if got := r.onDR(all[1])["INBOX"].Count(); got != inboxes-2 {
			r.t.Errorf("%d messages on DR where two were deleted, want %d", got, inboxes-2)
		}
		r.wantState(n, site.StateHeld)
		if out := r.run("errors", r.link, "-o", "json"); !strings.Contains(out, `"kind": "held"`) {
			r.t.Errorf("errors do not tell of it: %s", out)
		}
		r.compare(3)
		if again := r.hold(n, "INBOX", inboxes, limit.RuleFolderShare); again.ID != h.ID || !again.Since.Equal(h.Since) {
			r.t.Errorf("hold %d became %d", h.ID, again.ID)
		}
		// More becomes due: what was shown is not what would be approved.
		r.on(n, func(u *user.User) {
			u.Empty("INBOX")
			u.Put("INBOX", user.Voices("newer", 25)...)
		})
		r.compare(3)
		r.on(n, func(u *user.User) { u.Empty("INBOX") })
		r.compare(3)
		if code, _, errs := r.command(r.t.Context(), "guard", "approve", fmt.Sprint(h.ID)); code != 1 || !strings.Contains(errs, "hold") {
			r.t.Errorf("a hold that grew was approved by its old id: exit code %d, %s", code, errs)
		}
		grown := r.hold(n, "INBOX", inboxes+25, limit.RuleFolderShare)
		r.run("guard", "approve", fmt.Sprint(grown.ID))
		if out := r.run("guard", "show", r.link, "-o", "json"); !strings.Contains(out, `"decision": "approved"`) || strings.Contains(out, `"who": ""`) {
			r.t.Errorf("nobody approved it: %s", out)
		}
	})

	scene("an operator's sync is guarded, and the messages come back", func() {
		n := all[2]
		r.on(n, func(u *user.User) { u.Empty("INBOX") })
		if code, out, errs := r.command(r.t.Context(), "sync", r.link, n, "--wait"); code != 3 {
			r.t.Errorf("sync ended with exit code %d, want 3\n%s%s", code, out, errs)
		}
		r.hold(n, "INBOX", inboxes, limit.RuleFolderShare)
		r.on(n, func(u *user.User) { u.Put("INBOX", user.Voices("inbox "+n, inboxes)...) })
		before := uidNext(r, n)
		r.compare(0)
		if holds := r.holds(guard.HoldWaiting); len(holds) > 0 {
			r.t.Errorf("still held: %+v", holds)
		}
		if after := uidNext(r, n); after != before {
			r.t.Errorf("messages that were there were copied: UIDNEXT went from %d to %d", before, after)
		}
	})

	scene("a folder is made anew with fewer messages, and that is refused", func() {
		n := all[3]
		r.on(n, func(u *user.User) {
			u.Do("DELETE %s", "Work")
			u.Put("Work", user.Voices("work "+n, 4)...)
		})
		r.compare(3)
		h := r.hold(n, "Work", work-4, limit.RuleRecreated)
		r.run("guard", "refuse", fmt.Sprint(h.ID))
		r.compare(3)
		if holds := r.holds(guard.HoldWaiting); len(holds) > 0 {
			r.t.Errorf("what was refused is asked about again: %+v", holds)
		}
		r.wantState(n, site.StateDiffering)
		r.on(n, func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 1 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		})
		r.compare(3)
		if got := r.onDR(n)["Work"].Count(); got != work-1 {
			r.t.Errorf("%d messages of the folder on DR, want %d: the refused ones and three", got, work-1)
		}
		r.on(n, func(u *user.User) { u.Put("Work", user.Voices("work "+n, work)[4:]...) })
	})

	scene("a folder is gone", func() {
		n := all[4]
		r.on(n, func(u *user.User) { u.Do("DELETE %s", "Old") })
		r.compare(3)
		r.hold(n, "Old", old, limit.RuleVanished)
		if got := r.onDR(n)["Old"].Count(); got != old {
			r.t.Errorf("%d messages of the folder on DR, want %d", got, old)
		}
		r.run("guard", "approve", "--link", r.link, "--all")
	})

	scene("a mailbox is made anew", func() {
		n := all[5]
		same := r.unchanged(all[5:6])
		mount(r.t, r.production, func(mail string) { must(r.t, os.RemoveAll(filepath.Join(mail, n))) })
		r.compare(3)
		same("made anew, and empty")
		held := map[string]int{}
		for _, h := range r.holds(guard.HoldWaiting) {
			held[string(h.Number)+" "+string(h.Folder)] = h.Messages
		}
		if want := map[string]int{n + " INBOX": inboxes, n + " Work": work, n + " Old": old}; !maps.Equal(held, want) {
			r.t.Errorf("held are %v, want %v", held, want)
		}
		before := uidNext(r, n)
		r.on(n, func(u *user.User) { fill(5, u) })
		r.compare(0)
		if after := uidNext(r, n); after != before {
			r.t.Errorf("messages that were there were copied: UIDNEXT went from %d to %d", before, after)
		}
	})

	scene("production's storage is not mounted", func() {
		same := r.unchanged(all)
		aside := filepath.Join(r.production.Dir(), "aside")
		mount(r.t, r.production, func(mail string) {
			servers.RunT(r.t, "mv", mail, aside)
			servers.RunT(r.t, "install", "-d", "--mode=700", mail)
			servers.RunT(r.t, "chown", "--reference="+aside, mail)
			servers.RunT(r.t, "chmod", "--reference="+aside, mail)
		})
		r.compare(3)
		same("with an empty disk")
		if holds := r.holds(guard.HoldWaiting); len(holds) != len(all)+2*large-2 { // one folder is gone by now and one inbox empty
			r.t.Errorf("%d holds, want one for every folder with messages", len(holds))
		}
		r.compare(3)
		same("compared again")
		mount(r.t, r.production, func(mail string) {
			if err := os.RemoveAll(mail); err != nil {
				r.t.Fatal(err)
			}
			servers.RunT(r.t, "mv", aside, mail)
		})
		r.compareUntilEqual()
		same("after the disk is back")
	})

	scene("every inbox is emptied", func() {
		for _, n := range all[1:] { // the first is empty
			r.on(n, func(u *user.User) { u.Empty("INBOX") })
		}
		r.compare(3)
		emptied := 0
		for _, n := range all {
			if r.onDR(n)["INBOX"].Count() == 0 {
				emptied++
			}
		}
		// A quarter of the mailboxes, but for the one that was emptied before.
		if most := len(all) / 4; emptied > most+1 {
			r.t.Errorf("%d of %d inboxes were emptied on DR, want %d at the most", emptied, len(all), most)
		}
		r.t.Logf("%d of %d inboxes were emptied before the guard held", emptied, len(all))
		if out := r.run("guard", "show", r.link); !strings.Contains(out, "the inbox emptied in") {
			r.t.Errorf("guard show does not tell the figures:\n%s", out)
		}
		for i, n := range all {
			r.on(n, func(u *user.User) {
				if i < large {
					u.Put("INBOX", user.Voices("inbox "+n, inboxes)...)
				} else {
					u.Put("INBOX", user.Voices("few "+n, few)...)
				}
			})
		}
	})

	scene("production lists nothing", func() {
		same := r.unchanged(all)
		r.toProduction.Hide("* LIST ", "* STATUS ")
		defer r.toProduction.Hide()
		r.on(all[6], func(u *user.User) { u.Put("INBOX", user.Voices("meanwhile", 2)...) })
		for _, how := range []string{"compare", "compare again"} {
			r.compare(1)
			same(how)
		}
		for _, n := range all {
			r.wantState(n, site.StateParked)
		}
		if holds := r.holds(guard.HoldWaiting); len(holds) > 0 {
			r.t.Errorf("somebody is asked what to do about an answer that says nothing: %+v", holds)
		}
		for _, more := range [][]string{{"sync", r.link, all[0]}, {"ledger", "rebuild", r.link}} {
			if code, out, errs := r.command(r.t.Context(), append(more, "--wait")...); code != 1 {
				r.t.Errorf("%s ended with exit code %d, want 1\n%s%s", more[0], code, out, errs)
			}
			same(strings.Join(more, " "))
		}
		var troubles []site.ErrorEntry
		if err := json.Unmarshal([]byte(r.run("errors", r.link, "-o", "json")), &troubles); err != nil {
			r.t.Fatal(err)
		}
		// That listening works no better is another thing.
		troubles = slices.DeleteFunc(troubles, func(x site.ErrorEntry) bool { return x.Number == "" })
		if len(troubles) != len(all) {
			r.t.Errorf("%d troubles are shown, want one for each of %d mailboxes", len(troubles), len(all))
		}
		for _, x := range troubles {
			if !strings.Contains(x.Text, "the store lists no inbox") || x.Hint == "" {
				r.t.Errorf("errors does not say what is wrong: %+v", x)
			}
		}
	})

	scene("half of the mailboxes are gone", func() {
		same := r.unchanged(all)
		gone := all[:len(all)/2]
		if err := r.production.RemoveMailboxes(r.t.Context(), gone...); err != nil {
			r.t.Fatal(err)
		}
		r.compare(1)
		same("with half of the mailboxes")
		for _, n := range gone {
			r.wantState(n, site.StateParked)
		}
		if err := r.production.AddMailboxes(r.t.Context(), gone...); err != nil {
			r.t.Fatal(err)
		}
	})
	r.onlyRead()
}

// uidNext asks the DR store for the inbox's.
func uidNext(r *rig, number string) int {
	r.t.Helper()
	out, err := r.dr.Doveadm(r.t.Context(), "mailbox", "status", "-u", number, "uidnext", "INBOX")
	if err != nil {
		r.t.Fatal(err)
	}
	_, text, _ := strings.Cut(strings.TrimSpace(out), "uidnext=")
	n, err := strconv.Atoi(text)
	if err != nil {
		r.t.Fatalf("doveadm said %q", out)
	}
	return n
}
