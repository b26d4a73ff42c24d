//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/dirsync"
	"mailmirror/test/faults"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
)

// TestDirectoryInTrouble has everything happen to the two servers that makes a
// careless mirror delete or stop: nothing is changed, it is said why, and the
// next run makes it good.
func TestDirectoryInTrouble(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	r.put(r.from, crowd(2001, 60)...)
	r.startWorker()
	r.mirror(0)
	r.same("at first")
	change := func(s *servers.Slapd, f func(*servers.SlapdOptions)) {
		r.t.Helper()
		if err := s.Change(r.t.Context(), f); err != nil {
			r.t.Fatal(err)
		}
	}
	// Production needs half a minute for a search: it looks through texts that
	// nobody mirrors for one that is nearly in them, again and again.
	slow := "(!(|" + strings.Repeat("(description=*"+strings.Repeat("a", 30)+"b*)", 200) + "))"
	describe := func(values ...string) {
		for _, n := range numbersIn(r.subscribers(r.from)) {
			r.replace(r.from, n, "description", values...)
		}
	}
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprint(strings.Repeat("a", 900), i))
	}
	elsewhere := "ou=elsewhere," + r.from.Base()
	refer := func() {
		r.apply(r.from, "dn: "+elsewhere+"\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://ldap.example/"+elsewhere+"\n\n")
	}
	referNoMore := func() { r.apply(r.from, "dn: "+elsewhere+"\nchangetype: delete\n\n") }
	base := func(dn string) { r.run("store", "edit", r.source, "--ldap-base", dn) }
	for _, trouble := range []struct {
		name        string
		begin, over func()
		// because is part of what the run says.
		because string
	}{
		{"production's size limit", func() { change(r.from, func(o *servers.SlapdOptions) { o.SizeLimit = 20 }) },
			func() { change(r.from, func(o *servers.SlapdOptions) { o.SizeLimit = 0 }) }, "size limit"},
		{"production's time limit", func() {
			describe(texts...)
			r.run("store", "edit", r.source, "--ldap-filter", slow)
			change(r.from, func(o *servers.SlapdOptions) { o.TimeLimit = 1 })
		}, func() {
			change(r.from, func(o *servers.SlapdOptions) { o.TimeLimit = 0 })
			r.run("store", "edit", r.source, "--ldap-filter", "")
			describe()
		}, "time limit"},
		{"another server has some of production's entries", refer, referNoMore, "refers to another one"},
		{"another server has production's base", func() { refer(); base(elsewhere) }, func() { base(r.from.Base()); referNoMore() }, "referral"},
		{"passwords are hidden on production", func() {
			change(r.from, func(o *servers.SlapdOptions) {
				o.Access = []string{`attrs=Password by dn.exact="` + r.from.TrustedDN() + `" none by * break`}
			})
		}, func() { change(r.from, func(o *servers.SlapdOptions) { o.Access = nil }) }, "password"},
		{"production hides every entry", func() {
			change(r.from, func(o *servers.SlapdOptions) { o.Access = []string{`attrs=objectClass by * none`} })
		},
			func() { change(r.from, func(o *servers.SlapdOptions) { o.Access = nil }) }, ""},
		{"nobody listens on DR", func() { must(r.t, r.toTo.Refuse(true)) }, func() { must(r.t, r.toTo.Refuse(false)) }, "nothing listens"},
		{"the password of production is another", func() { r.password(r.from, "changed") },
			func() { r.password(r.from, r.from.TrustedPassword()) }, "credentials"},
		{"DR is read-only", func() { change(r.to, func(o *servers.SlapdOptions) { o.ReadOnly = true }) },
			func() { change(r.to, func(o *servers.SlapdOptions) { o.ReadOnly = false }) }, ""},
	} {
		r.scene(trouble.name, func(t *testing.T) {
			for i := range 12 {
				r.replace(r.from, fmt.Sprint(2001+i), "sn", "changed by "+trouble.name)
			}
			trouble.begin()
			kept := r.kept()
			run := r.mirror(1)
			kept(trouble.name)
			said := strings.Join(run.Reasons, "; ")
			if run.State != dirsync.Failed || said == "" || run.Hint == "" || !strings.Contains(strings.ToLower(said), trouble.because) {
				t.Errorf("the run is %s, and says: %s (%s)", run.State, said, run.Hint)
			}
			t.Logf("it says: %s (%s)", said, run.Hint)
			trouble.over()
			if run := r.mirror(0); run.Altered != 12 || run.GivenUp > 0 {
				t.Errorf("the run after it is %+v", run)
			}
			r.same(trouble.name + " is over")
		})
	}
	t.Run("DR refuses some that lie side by side", func(t *testing.T) {
		r.t = t
		const changed, refused = 30, 8
		for i := range changed {
			r.replace(r.from, fmt.Sprint(2001+i), "sn", "changed beside those that are refused")
		}
		change(r.to, func(o *servers.SlapdOptions) {
			o.Access = []string{`dn.regex="^MailboxNumber=200[1-8]," by dn.exact="` + r.to.TrustedDN() + `" read by * break`}
		})
		check := func(store string, code int, tried bool, want string) {
			t.Helper()
			kept := r.kept()
			got, out, errs := r.command(t.Context(), "store", "check", store, "--mailbox", "2001")
			if got != code || !strings.Contains(out, want) || strings.Contains(out, "tried on") != tried {
				t.Errorf("store check %s: exit code %d\n%s%s", store, got, out, errs)
			}
			kept("store check " + store)
		}
		check(r.target, 0, true, "of some entries, and did not of MailboxNumber=2001,")
		check(r.source, 0, false, "60 mailboxes")
		for i := range 2 {
			run := r.mirror(1)
			said := strings.Join(run.Reasons, "; ")
			if want := (1 - i) * (changed - refused); run.State != dirsync.Done || run.Altered != want || run.Failed != refused || run.GivenUp > 0 {
				t.Errorf("run %d: %d altered, want %d; %+v", i, run.Altered, want, run)
			}
			if !strings.Contains(said, "8 of the changes failed") || !strings.Contains(said, "(50)") || !strings.Contains(run.Hint, "bind DN") {
				t.Errorf("run %d says: %s (%s)", i, said, run.Hint)
			}
			if told := r.run("directory", "history", r.link, "--run", run.RunID); strings.Count(told, "(50)") != refused {
				t.Errorf("run %d: the entries that were refused are not told one by one:\n%s", i, told)
			}
			t.Logf("it says: %s (%s)", said, run.Hint)
		}
		from, to := r.subscribers(r.from), r.subscribers(r.to)
		for number := range from {
			if beside := number > dnOf(r.from, "2008"); beside != reflect.DeepEqual(from[number], to[number]) {
				t.Errorf("%s is mirrored: %v", number, !beside)
			}
		}
		change(r.to, func(o *servers.SlapdOptions) { o.Access = nil })
		if run := r.mirror(0); run.Altered != refused {
			t.Errorf("the run after it is %+v", run)
		}
		r.same("the refusal is over")
		check(r.target, 0, true, "Misc3, Misc4")
	})
	r.t = t
	r.noSecrets()
}

// password changes that of the trusted server on one of the two.
func (r *directoryRig) password(s *servers.Slapd, to string) {
	r.t.Helper()
	r.apply(s, ldifLine("dn", s.TrustedDN())+"changetype: modify\nreplace: userPassword\n"+ldifLine("userPassword", to)+"-\n\n")
}

// TestDirectoryWithoutRoom fills DR's directory up, which is nobody's entry's
// fault, and tries one whose schema does not have the attributes.
func TestDirectoryWithoutRoom(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{MaxSize: 2 << 20})
	r.run("link", "edit", r.link, "--participate", "manual", "--directory-give-up", "1")
	all := crowd(2001, 150)
	for _, e := range all {
		e["umRecordedName"] = []string{strings.Repeat("\x00\xff", 10_000)}
	}
	r.put(r.from, all...)
	r.startWorker()
	run := r.mirror(1)
	if run.State != dirsync.Failed || run.Created == 0 || run.GivenUp > 0 || !strings.Contains(strings.Join(run.Reasons, " "), "in a row") {
		t.Errorf("the run is %+v", run)
	}
	t.Logf("%d of %d entries had room; it says: %v (%s)", run.Created, len(all), run.Reasons, run.Hint)
	must(t, r.to.Change(t.Context(), func(o *servers.SlapdOptions) { o.MaxSize = 100 << 20 }))
	if rest := r.mirror(0); rest.Created != len(all)-run.Created || rest.GivenUp > 0 {
		t.Errorf("the run after it is %+v", rest)
	}
	r.same("when there is room")
	r.idle("when there is room")
}

// TestDirectoryWithoutSchema has a DR server that knows none of the attributes.
func TestDirectoryWithoutSchema(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{NoSchema: true})
	r.put(r.from, crowd(2001, 3)...)
	if code, out, errs := r.command(t.Context(), "store", "check", r.target, "--mailbox", "2001"); code != 1 || !strings.Contains(out+errs, "MailboxNumber") {
		t.Errorf("store check: exit code %d\n%s%s", code, out, errs)
	}
	r.startWorker()
	kept := r.kept()
	run := r.mirror(1)
	kept("without a schema")
	if run.State != dirsync.Failed || !strings.Contains(strings.Join(run.Reasons, " "), "schema") {
		t.Errorf("the run is %+v", run)
	}
	t.Logf("it says: %v (%s)", run.Reasons, run.Hint)
}

// TestDirectoryIsCut cuts the connections at many points of the extracts.
func TestDirectoryIsCut(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	all := crowd(2001, 40)
	r.put(r.from, all...)
	r.startWorker()
	r.mirror(0)
	// A run that finds nothing to do shows how long an extract is.
	passed := r.toFrom.Passed(faults.ToClient)
	r.mirror(0)
	size := (r.toFrom.Passed(faults.ToClient) - passed) * 9 / 10
	// A cut that happens again and again ends the run.
	kept := r.kept()
	r.replace(r.from, "2001", "sn", "Cut")
	r.toFrom.Inject(faults.AfterBytes(faults.ToClient, size/2, faults.FIN).Every())
	if run := r.mirror(1); run.State != dirsync.Failed || len(run.Reasons) == 0 {
		t.Errorf("the run is %+v", run)
	}
	kept("cut every time")
	r.toFrom.Clear()
	before := numbersIn(r.subscribers(r.to))
	cuts := repeat.Times(6, 20)
	for i := range cuts {
		p := r.toFrom
		if i%2 == 1 {
			p = r.toTo
		}
		how := []faults.How{faults.FIN, faults.RST}[i/2%2]
		r.replace(r.from, "2002", "sn", fmt.Sprint("cut ", i))
		fired := p.Inject(faults.AfterBytes(faults.ToClient, 200+size*int64(i)/int64(cuts), how))
		code, out, errs := r.command(t.Context(), "directory", "sync", r.link, "--wait")
		if code > 1 {
			t.Fatalf("cut %d: exit code %d\n%s%s", i, code, out, errs)
		}
		select {
		case <-fired:
		default:
			t.Errorf("cut %d did not hit the run", i)
		}
		p.Clear()
		if after := numbersIn(r.subscribers(r.to)); !slices.Equal(before, after) {
			t.Fatalf("cut %d: entries of DR came or went: %v", i, after)
		}
	}
	r.mirror(0)
	r.same("after all cuts")
}

// TestDirectoryBindRefused has the password changed in the midst of a run, so that
// the next connection is refused: while production is read nothing is changed, and
// while DR is written what was written stays, and no entry is half made.
func TestDirectoryBindRefused(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	r.run("link", "edit", r.link, "--participate", "manual")
	r.run("guard", "set", r.link, "--directory-change-share", "0")
	all := crowd(2001, 40)
	r.put(r.from, all...)
	r.startWorker()
	r.mirror(0)
	for _, c := range []struct {
		name      string
		proxy     *faults.Proxy
		server    *servers.Slapd
		direction faults.Direction
		bytes     int64
		writes    bool // DR
	}{
		{"reading production", r.toFrom, r.from, faults.ToClient, int64(len(all) * len(all[0].ldif("")) / 2), false},
		{"writing DR", r.toTo, r.to, faults.ToServer, 8000, true},
	} {
		for i, e := range all {
			r.replace(r.from, e["MailboxNumber"][0], "sn", fmt.Sprintf("%s %d %s", c.name, i, strings.Repeat("x", 200)))
		}
		before, kept := r.subscribers(r.to), r.kept()
		stalled := c.proxy.Inject(faults.AfterBytes(c.direction, c.bytes, faults.Stall))
		ended := make(chan dirsync.Run, 1)
		go func() {
			_, out, _ := r.command(t.Context(), "directory", "sync", r.link, "--wait", "-o", "json")
			var run dirsync.Run
			_ = json.Unmarshal([]byte(out), &run) // what is missing is found below
			ended <- run
		}()
		await(t, stalled, c.name)
		r.password(c.server, "changed")
		c.proxy.CutAll(faults.FIN)
		run := <-ended
		said := strings.Join(run.Reasons, "; ")
		if run.State != dirsync.Failed || !strings.Contains(strings.ToLower(said), "credentials") || strings.Contains(said, "in a row") {
			t.Errorf("%s: the run is %s, and says: %s (%s)", c.name, run.State, said, run.Hint)
		}
		t.Logf("%s: it says: %s (%s); %d entries were altered", c.name, said, run.Hint, run.Altered)
		if !c.writes {
			kept(c.name)
		} else {
			r.whole(before)
		}
		r.password(c.server, c.server.TrustedPassword())
		if run := r.mirror(0); run.GivenUp > 0 {
			t.Errorf("%s: the run after it is %+v", c.name, run)
		}
		r.same(c.name + " goes on")
		r.idle(c.name + " goes on")
	}
	r.noSecrets()
}

// whole fails the test where an entry of DR is neither as it was nor as production
// has it; at least one has to be as it was, and at least one changed.
func (r *directoryRig) whole(before map[string]subscriber) {
	r.t.Helper()
	from, old, changed := r.subscribers(r.from), 0, 0
	for number, now := range r.subscribers(r.to) {
		switch {
		case reflect.DeepEqual(now, from[number]):
			changed++
		case reflect.DeepEqual(now, before[number]):
			old++
		default:
			r.t.Errorf("%s is half made: %v", number, now)
		}
	}
	if old == 0 || changed == 0 {
		r.t.Errorf("%d entries were changed, %d were not: it was not half-way", changed, old)
	}
}

// TestDirectoryWorkerKilled kills the worker at random moments of writing.
func TestDirectoryWorkerKilled(t *testing.T) {
	t.Parallel()
	kills := repeat.Times(3, 10)
	r := newDirectoryRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{}, servers.SlapdOptions{}, servers.SlapdOptions{})
	r.run("guard", "set", r.link, "--directory-remove-count", "0", "--directory-remove-share", "0", "--directory-change-count", "0",
		"--directory-change-share", "0", "--directory-shrink-share", "0")
	r.run("link", "edit", r.link, "--participate", "manual") // no messages here
	rng := rand.New(rand.NewPCG(3, 4))
	r.put(r.from, crowd(1001, 50)...)
	next := 2000
	for i := range kills {
		r.put(r.from, crowd(next, 60)...)
		if i > 0 {
			gone := numbers(next-60, 20)
			r.remove(r.from, gone...)
			for _, n := range numbers(next-40, 20) {
				r.replace(r.from, n, "Password", "pin-changed")
			}
		}
		next += 60
		moment := r.toTo.Inject(faults.AfterBytes(faults.ToServer, int64(2_000+rng.IntN(30_000)), faults.FIN))
		r.startWorker()
		r.run("directory", "sync", r.link)
		await(t, moment, fmt.Sprintf("writing %d", i+1))
		r.killWorker()
		r.toTo.Clear()
	}
	r.startWorker()
	r.mirror(0) // the one that was broken off, carried on
	r.mirror(0)
	r.same(fmt.Sprintf("after %d kills", kills))
	r.idle("after the kills")
	r.noSecrets()
}

// TestDirectorySuspended: while the mirror is suspended nothing is written, and a
// run that was at it goes on afterwards.
func TestDirectorySuspended(t *testing.T) {
	t.Parallel()
	r := newDirectoryRigOn(t, &shared.suspension, servers.DovecotOptions{}, servers.DovecotOptions{}, servers.SlapdOptions{}, servers.SlapdOptions{})
	r.run("link", "edit", r.link, "--participate", "manual")
	r.startWorker()
	for i := range 3 {
		r.put(r.from, crowd(2000+400*i, 400)...)
		moment := r.toTo.Inject(faults.AfterBytes(faults.ToServer, int64(20_000+15_000*i), faults.FIN))
		r.run("directory", "sync", r.link)
		await(t, moment, "writing")
		r.run("suspend", "--reason", "test", "--wait")
		kept := r.kept()
		if code, _, errs := r.command(t.Context(), "directory", "sync", r.link); code != 1 || !strings.Contains(errs, "suspended") {
			t.Errorf("a run while suspended: exit code %d, %s", code, errs)
		}
		if out := r.run("directory", "history", r.link); !strings.Contains(out, "running") {
			t.Errorf("the run does not wait:\n%s", out)
		}
		r.killWorker()
		r.startWorker()
		kept("while suspended")
		code, out, errs := r.command(t.Context(), "store", "check", r.target, "--mailbox", "2001")
		if code != 0 || !strings.Contains(out, "suspended: whether it may be written was not tried") || strings.Contains(out, "tried on") {
			t.Errorf("store check while suspended: exit code %d\n%s%s", code, out, errs)
		}
		kept("store check while suspended")
		r.run("resume")
		r.toTo.Clear()
		r.mirror(0) // joins the one that goes on
		r.same("after the resumption")
	}
	r.idle("after all")
	// Two at once: the second is told of the first.
	r.put(r.from, crowd(6000, 300)...)
	r.run("directory", "sync", r.link)
	if code, _, errs := r.command(t.Context(), "directory", "sync", r.link, "--dry-run"); code != 1 || !strings.Contains(errs, "under way") {
		t.Errorf("a dry run beside a run: exit code %d, %s", code, errs)
	}
	if out := r.run("directory", "sync", r.link); !strings.Contains(out, "running already") {
		t.Errorf("a second run says %s", out)
	}
	r.mirror(0)
	r.same("after two at once")
	// What is approved meanwhile is done after the resumption, by nobody's asking.
	r.remove(r.from, numbers(2000, 60)...)
	r.mirror(3)
	r.run("suspend", "--reason", "test", "--wait")
	kept := r.kept()
	r.command(t.Context(), "guard", "approve", "--link", r.link, "--all")
	kept("approved while suspended")
	r.run("resume")
	r.awaitDirectory(func() bool { return len(r.subscribers(r.to)) == len(r.subscribers(r.from)) })
	r.same("after the approval")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
