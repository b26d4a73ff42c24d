//go:build integration

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"mailmirror/internal/dirsync"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
	"mailmirror/workflows"
)

// TestDirectoryBrokenOff ends runs at their worst moments, half-way through a
// circle of numbers and with the database dead in mid-compare, and has others
// write to DR just before the run does.
func TestDirectoryBrokenOff(t *testing.T) {
	t.Parallel()
	r := newDirectoryRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{}, servers.SlapdOptions{}, servers.SlapdOptions{})
	all := crowd(2001, 30)
	r.put(r.from, all...)
	r.startWorker()
	r.mirror(0)
	r.same("at first")
	members := r.members()
	if !slices.Equal(members, numbersOf(all)) {
		t.Fatalf("in the link are %v", members)
	}
	renumber := func(from, to string) string {
		return ldifLine("dn", dnOf(r.from, from)) + "changetype: modrdn\nnewrdn: MailboxNumber=" + to + "\ndeleteoldrdn: 1\n\n"
	}
	// circle gives 2001 the number 2002, 2002 the number 2003, and 2003 the number
	// 2001. On DR the last goes first, to a free number.
	circle := func() {
		r.apply(r.from, renumber("2003", "9")+renumber("2002", "2003")+renumber("2001", "2002")+renumber("9", "2001"))
	}
	halfWay := func(when string) {
		r.t.Helper()
		numbers := numbersIn(r.subscribers(r.to))
		if !slices.Contains(numbers, "9999") || slices.Contains(numbers, "2003") || len(numbers) != len(all) {
			r.t.Fatalf("%s: DR has %v, want 2003 under a number for a while", when, numbers)
		}
	}
	mended := func(when string) {
		r.t.Helper()
		run := r.mirror(0)
		if run.Renumbers != 3 || run.Created+run.Removed > 0 {
			r.t.Errorf("%s: the run is %+v", when, run)
		}
		r.same(when)
		r.idle(when)
		if got := r.members(); !slices.Equal(got, members) {
			r.t.Errorf("%s: in the link are %v", when, got)
		}
	}

	r.scene("a circle of numbers is broken off", func(t *testing.T) {
		circle()
		// The new name of a rename (RFC 4511, 4.9) is followed by a BOOLEAN.
		moment := r.toTo.Inject(faults.AfterPattern(faults.ToServer, "MailboxNumber=2003\x01\x01", 1, faults.Stall))
		r.run("directory", "sync", r.link)
		await(t, moment, "the second step of the circle")
		r.killWorker()
		r.toTo.Clear()
		info := r.stack.Info()
		c, err := client.Dial(client.Options{HostPort: info.TemporalAddress, Namespace: info.TemporalNamespace})
		must(t, err)
		defer c.Close()
		must(t, c.TerminateWorkflow(t.Context(), workflows.DirectoryID(r.link), "", "the test wants another run"))
		halfWay("broken off")
		r.startWorker()
		mended("the run after it")
	})

	r.scene("a circle of numbers is refused half-way", func(t *testing.T) {
		circle()
		must(t, r.to.Change(t.Context(), func(o *servers.SlapdOptions) {
			o.Access = []string{`dn.base="` + dnOf(r.to, "2002") + `" by dn.exact="` + r.to.TrustedDN() + `" read by * break`}
		}))
		for range 2 {
			if run := r.mirror(1); run.State != dirsync.Done || run.Failed == 0 {
				t.Errorf("the run is %+v", run)
			}
			halfWay("refused")
		}
		must(t, r.to.Change(t.Context(), func(o *servers.SlapdOptions) { o.Access = nil }))
		mended("the run after the refusal")
	})

	r.scene("another hand writes to DR while the run compares", func(t *testing.T) {
		for _, n := range []string{"2006", "2007", "2008", "2009"} {
			r.replace(r.from, n, "sn", "Changed")
		}
		r.remove(r.from, "2010")
		r.put(r.from, aSubscriber("2041", "Fresh"))
		run := r.inCompare(func() {
			r.replace(r.to, "2006", "givenName", "Another hand")
			r.replace(r.to, "2007", "sn", "Another hand")
			r.remove(r.to, "2008")
			r.apply(r.to, ldifLine("dn", dnOf(r.to, "2009"))+"changetype: modrdn\nnewrdn: MailboxNumber=2909\ndeleteoldrdn: 1\n\n")
			r.put(r.from, aSubscriber("2010", "Back")) // and one is back on production
			r.put(r.to, aSubscriber("2041", "Another hand"))
		})
		if run.State != dirsync.Done || run.Altered != 2 || run.Created+run.Removed+run.Renumbers+run.Failed > 0 {
			t.Errorf("the run is %+v", run)
		}
		dr := r.subscribers(r.to)
		for n, want := range map[string]string{"2006": "Changed", "2007": "Changed", "2010": "Name2010son", "2041": "Another handson"} {
			if got := dr[dnOf(r.to, n)]["sn"]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s is called %q, want %q", n, got, want)
			}
		}
		if got := dr[dnOf(r.to, "2006")]["givenname"]; !slices.Equal(got, []string{"Another hand"}) || dr[dnOf(r.to, "2009")] != nil {
			t.Errorf("what was not compared was written over: %q", got)
		}
		if run := r.mirror(0); run.Altered != 3 || run.Created != 1 || run.Renumbers != 1 || run.Removed > 0 {
			t.Errorf("the run after it is %+v", run)
		}
		r.same("after another hand's changes")
		r.idle("after another hand's changes")
	})

	r.scene("another hand is faster by a moment", func(t *testing.T) {
		r.mapping(r.target, r.to.Base(), "protected = [\"(Community=4711)\"]\n")
		r.replace(r.from, "2011", "sn", "Too late")
		r.replace(r.from, "2012", "sn", "Changed")
		// The server has not got all of the request, and looks for the version then.
		moment := r.toTo.Inject(faults.AfterPattern(faults.ToServer, "Too l", 1, faults.Hold))
		r.run("directory", "sync", r.link)
		await(t, moment, "a change of 2011")
		r.replace(r.to, "2011", "Community", "4711")
		theirs := r.subscribers(r.to)[dnOf(r.to, "2011")]
		r.toTo.Release()
		if run := r.ended(); run.State != dirsync.Done || run.Altered != 1 || run.Failed > 0 {
			t.Errorf("the run is %+v", run)
		}
		if diff := cmp.Diff(theirs, r.subscribers(r.to)[dnOf(r.to, "2011")]); diff != "" {
			t.Errorf("an entry that was just protected was written to (-before +after):\n%s", diff)
		}
		r.replace(r.to, "2011", "Community", "1")
		if run := r.mirror(0); run.Altered != 1 {
			t.Errorf("the run after it is %+v", run)
		}
		r.same("after another hand's change")
	})

	r.scene("the database dies in mid-compare", func(t *testing.T) {
		for _, n := range []string{"2004", "2005"} {
			r.replace(r.from, n, "sn", "Changed")
		}
		r.remove(r.from, "2030")
		members := r.members()
		run := r.inCompare(func() { must(t, syscall.Kill(r.child("postgres"), syscall.SIGKILL)) })
		if run.State != dirsync.Done || run.Altered != 2 || run.Removed != 1 || run.Created+run.Renumbers > 0 {
			t.Errorf("the run is %+v", run)
		}
		if log, err := os.ReadFile(filepath.Join(r.data, "worker.log")); err != nil || !strings.Contains(string(log), "both directories are read again") {
			t.Errorf("the worker does not tell that both sides were read again (%v)", err)
		}
		r.same("after the run")
		r.idle("after the run")
		if got, want := r.members(), slices.DeleteFunc(members, func(n string) bool { return n == "2030" }); !slices.Equal(got, want) {
			t.Errorf("in the link are %v", got)
		}
	})
}

// inCompare starts a run, has something happen when it has read both sides and
// not compared them yet, and returns how it ended.
func (r *directoryRig) inCompare(happens func()) dirsync.Run {
	r.t.Helper()
	ctx := r.t.Context()
	conn, err := pgx.Connect(ctx, r.stack.Info().DatabaseDSN)
	must(r.t, err)
	defer conn.Close(ctx)
	// The compare alone needs this table, and waits for it.
	_, err = conn.Exec(ctx, "BEGIN; LOCK TABLE directory_matched")
	must(r.t, err)
	r.run("directory", "sync", r.link)
	r.until("the compare to wait", func() bool {
		var waiting bool
		must(r.t, conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'directory_matched'::regclass)").Scan(&waiting))
		return waiting
	})
	happens()
	_ = conn.Close(ctx) // which ends the transaction, if it is not dead
	return r.ended()
}

// ended waits until the last run has ended, and returns how it did.
func (r *directoryRig) ended() dirsync.Run {
	r.t.Helper()
	var run dirsync.Run
	r.until("the run to end", func() bool {
		var runs []dirsync.Run
		code, out, _ := r.command(r.t.Context(), "directory", "history", r.link, "--limit", "1", "-o", "json")
		if code != 0 || json.Unmarshal([]byte(out), &runs) != nil || len(runs) == 0 {
			return false
		}
		run = runs[0]
		return run.State != dirsync.Running
	})
	return run
}
