//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"mailmirror/internal/guard"
	limit "mailmirror/internal/mirror"
	"mailmirror/internal/site"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestLeftOnDR: the mirror is suspended, somebody leaves messages on DR, and the
// operator just resumes. The messages stay, whatever is run, until the operator
// decides or production has them too.
func TestLeftOnDR(t *testing.T) {
	t.Parallel()
	number := numbers(7301, 1)[0]
	r := newRigOn(t, &shared.suspension, servers.DovecotOptions{}, servers.DovecotOptions{})
	r.on(number, func(u *user.User) { u.Put("INBOX", user.Voices("before", 3)...) })
	r.add([]string{number})
	r.startWorker()
	r.settle()

	r.run("suspend", "--reason", "calls go to DR", "--wait")
	left := user.Voices("left", 2)
	r.at(r.dr, number, func(u *user.User) {
		u.Put("INBOX", left...)
		u.Put("Left", user.Voices("saved", 1)...)
	})
	r.on(number, func(u *user.User) { u.Put("INBOX", user.Voices("after", 1)...) })
	r.run("resume")
	stay := func(when string) {
		t.Helper()
		if dr := r.onDR(number); dr["INBOX"].Count() != 6 || dr["Left"].Count() != 1 {
			t.Fatalf("%s: %d messages in the inbox on DR and %d in the folder, want 6 and 1", when, dr["INBOX"].Count(), dr["Left"].Count())
		}
	}
	r.compare(3)
	stay("after the resumption")
	for _, how := range [][]string{{"sync", r.link, number, "--wait"}, {"ledger", "rebuild", r.link, "--wait"}, {"compare", r.link, "--wait"}} {
		if code, out, errs := r.command(t.Context(), how...); code != 3 {
			t.Errorf("%s ended with exit code %d, want 3\n%s%s", how[0], code, out, errs)
		}
		stay(how[0])
	}
	r.wantState(number, site.StateHeld)
	holds := r.holds(guard.HoldWaiting)
	if len(holds) != 2 {
		t.Fatalf("%d holds wait, want those of two folders: %+v", len(holds), holds)
	}
	for _, h := range holds {
		if h.TargetOnly != h.Messages || len(h.Reasons) != 1 || h.Reasons[0].Rule != limit.RuleTargetOnly {
			t.Errorf("held is %+v, want what only the target has", h)
		}
	}
	for _, command := range [][]string{{"guard", "list", r.link}, {"guard", "show", fmt.Sprint(holds[1].ID)}} {
		if out := r.run(command...); !strings.Contains(out, "the mirror did not put it there") || !strings.Contains(out, "A later release of Mailmirror will copy such messages to production") {
			t.Errorf("%s does not say what the messages are:\n%s", command[1], out)
		}
	}

	// Production gets the two of the inbox: they are the same, and nothing is copied.
	before := uidNext(r, number)
	r.on(number, func(u *user.User) { u.Put("INBOX", left...) })
	r.compare(3)
	stay("after production got them")
	if after := uidNext(r, number); after != before {
		t.Errorf("messages that were there were copied: UIDNEXT went from %d to %d", before, after)
	}
	h := r.hold(number, "Left", 1, limit.RuleTargetOnly)
	r.run("guard", "refuse", fmt.Sprint(h.ID))
	r.compare(3)
	stay("after it was refused")
	r.at(r.dr, number, func(u *user.User) { u.Put("Left", user.Voices("another", 1)...) })
	r.compare(3)
	for _, h := range append(r.holds(guard.HoldWaiting), r.holds(guard.HoldRefused)...) {
		r.run("guard", "approve", fmt.Sprint(h.ID))
	}
	r.until("nothing to be held any more", func() bool {
		return len(r.holds(guard.HoldWaiting))+len(r.holds(guard.HoldRefused)) == 0
	})
	r.settle()
	r.equal([]string{number})
	r.onlyRead()
}
