//go:build integration

package e2e

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/guard"
	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestLinkEdit changes the settings of a link while workers run, as an operator
// does, and checks the effect on the stores.
func TestLinkEdit(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	t.Run("deleted messages are kept", func(t *testing.T) { r.t = t; r.keepsDeleted() })
	t.Run("bandwidth", func(t *testing.T) { r.t = t; r.keepsToBandwidth() })
	r.t = t
	r.onlyRead()
}

// keepsDeleted has deleted messages stay on DR for a time.
func (r *rig) keepsDeleted() {
	const keptIn = string(guard.DefaultDeletedFolder)
	n := "7301"
	r.on(n, func(u *user.User) {
		u.Put("INBOX", user.Voices("inbox", 6)...)
		u.Put("Work", user.Voices("work", 3)...)
	})
	r.add([]string{n})
	r.settle()
	before := r.onDR(n)
	remove := func(folder, which string) {
		r.on(n, func(u *user.User) {
			u.Do("SELECT %s", folder)
			u.Do(`STORE ` + which + ` +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		})
	}
	// kept compares, and returns the folders for the deleted messages of each day;
	// it may be midnight.
	kept := func(when string, inbox, work int) (days []string) {
		r.t.Helper()
		r.compare(0)
		left, err := user.Access(r.production).Read(r.t.Context(), n)
		if err != nil {
			r.t.Fatal(err)
		}
		mirrored, kept := r.onDR(n).Apart(keptIn)
		for _, d := range reader.Diff(left, mirrored) {
			r.t.Errorf("%s: %s", when, d)
		}
		got := map[string]int{}
		for name, f := range kept {
			from := "INBOX"
			if path.Base(name) == "Work" {
				from = "Work"
			} else if name != keptIn {
				days = append(days, name)
			}
			got[from] += f.Count()
			for m := range f.Messages {
				if !before[from].Had(m) {
					r.t.Errorf("%s: %s holds a message that was not in %s", when, name, from)
				}
			}
		}
		if got["INBOX"] != inbox || got["Work"] != work {
			r.t.Errorf("%s: kept are %v, want %d of the inbox and %d of the other folder", when, got, inbox, work)
		}
		return days
	}

	r.run("link", "edit", r.link, "--keep-deleted", "14d")
	remove("INBOX", "2:4")
	remove("Work", "1")
	days := kept("deleted", 3, 1)
	if code, out, errs := r.command(r.t.Context(), "verify", r.link, "--deep"); code != 0 {
		r.t.Errorf("verify takes what is kept for a difference: exit code %d\n%s%s", code, out, errs)
	}
	// The days go by: on DR, and in the ledger, which knows what the mirror moved there.
	const long = keptIn + "/2001-01-0"
	r.at(r.dr, n, func(u *user.User) {
		for i, day := range days {
			then := long + fmt.Sprint(i+1)
			u.Do("RENAME %s %s", day, then)
			r.sql(fmt.Sprintf(`UPDATE ledger_folders SET folder = '%[1]s' || substr(folder, length('%[2]s') + 1)
				WHERE link = '%[3]s' AND number = '%[4]s' AND (folder = '%[2]s' OR starts_with(folder, '%[2]s/'))`, then, day, r.link, n))
		}
	})
	kept("after its time", 0, 0)
	for name := range r.onDR(n) {
		if strings.HasPrefix(name, long) {
			r.t.Errorf("folder %s is still there", name)
		}
	}

	r.run("link", "edit", r.link, "--keep-deleted", "0")
	remove("INBOX", "1")
	kept("deleted at once", 0, 0)
}

// keepsToBandwidth copies under bounds, always the same amount. That a busy
// machine is slower than it may be does not count: too fast is what is looked for.
func (r *rig) keepsToBandwidth() {
	const (
		rate = 100_000 // bytes per second
		// A block of half a second goes at once, and each of two workers may have
		// one left over.
		burst = 3 * rate / 2
	)
	next := 7401
	o := corpus.Options{Seed: 22, Messages: 12, MinSize: 30 << 10, MaxSize: 40 << 10}
	// fresh has mailboxes with messages participate.
	fresh := func() []string {
		all := numbers(next, 2)
		next += len(all)
		r.fill(all, o)
		r.add(all)
		return all
	}
	for _, bound := range [][]string{
		{"--bandwidth", fmt.Sprintf("%dB/s", rate)},
		// Business hours that hold all week, in place of no bound at all.
		{"--bandwidth", "unlimited", "--bandwidth-window", fmt.Sprintf("Mon-Sun 00:00-24:00 %dB/s", rate), "--timezone", "Pacific/Auckland"},
	} {
		r.run(append([]string{"link", "edit", r.link}, bound...)...)
		before, begin := r.toDR.Appended(), time.Now()
		all := fresh()
		least := int64(len(all) * o.Messages * o.MinSize)
		for deadline := begin.Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			passed := r.toDR.Appended() - before
			if most := int64(time.Since(begin).Seconds()*rate) + burst; passed > most {
				r.t.Fatalf("%v: %d bytes went to DR within %s, want %d at the most", bound, passed, time.Since(begin), most)
			}
			if passed >= least {
				r.t.Logf("%v: %d bytes went to DR within %s", bound, passed, time.Since(begin).Round(10*time.Millisecond))
				break
			}
			if time.Now().After(deadline) {
				r.t.Fatalf("%v: only %d bytes went to DR within %s", bound, passed, time.Since(begin))
			}
		}
		r.settle(all...)
		r.equal(all)
	}
	// The hours of a day that is far away bound nothing: by them this would take
	// half an hour.
	day := time.Now().UTC().AddDate(0, 0, 3).Weekday().String()[:3]
	r.run("link", "edit", r.link, "--bandwidth-window", day+" 00:00-24:00 500B/s", "--timezone", "UTC")
	all := fresh()
	r.settle(all...)
	r.equal(all)
}
