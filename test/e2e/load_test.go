//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/servers"
)

// TestServerCapacity: a production that serves four sessions, each of ten
// mailboxes listened to by a connection of its own. Mailmirror learns how many
// connections the server takes, leaves some to its users, and mirrors everything.
func TestServerCapacity(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{Extra: "service imap {\n process_limit = 4\n client_limit = 1\n}\n"}, servers.DovecotOptions{})
	all := numbers(7301, 10)
	for _, n := range all { // one at a time: four at once would be all that the server takes
		r.fill([]string{n}, corpus.Options{Seed: 31, Messages: 2, MinSize: 1 << 10, MaxSize: 2 << 10})
	}
	r.run("store", "edit", r.source, "--events", "idle")
	r.add(all)
	r.settle()
	// It was learned, and status says so.
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(time.Second) {
		_, status, _ := r.command(t.Context(), "status", r.link)
		if strings.Contains(status, "the server refused a connection") && strings.Contains(status, "of Mailmirror's were open") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status does not say that the server refused connections:\n%s", status)
		}
	}
	// A user gets in.
	r.equal(all)
	if shown := r.run("store", "show", r.source); !strings.Contains(shown, "Mailmirror uses") {
		t.Errorf("store show says\n%s", shown)
	}
}

// TestSessionBound: two workers share a small bound of sessions to a production
// that shows all mailboxes in one namespace, with everything that logs in to it
// but the listeners: syncs, reviews, lists of all mailboxes, reading in turn.
func TestSessionBound(t *testing.T) {
	t.Parallel()
	const most = 3
	all := numbers(7401, 40)
	r := newRigOn(t, &shared.workers, servers.DovecotOptions{SharedNamespace: true, Mailboxes: all}, servers.DovecotOptions{SharedNamespace: true, Mailboxes: all})
	r.fill(all, corpus.Options{Seed: 32, Messages: 3, MinSize: 1 << 10, MaxSize: 4 << 10})
	door := newCounter(t, r.toProduction.Addr())
	r.run("store", "edit", r.source, "--imap", door.addr(), "--max-sessions", fmt.Sprint(most), "--max-logins", "50",
		"--events", "poll", "--poll-every", "1s")
	r.add(all)
	env := []string{"MAILMIRROR_WORKER_MAILBOXES=8", "MAILMIRROR_WORKER_PAGE_SIZE=10"}
	workers := []func(){}
	for range 2 {
		w := r.spawn(env...)
		workers = append(workers, func() { stop(t, w) })
	}
	r.settle()
	r.run("compare", r.link, "--wait")
	r.run("compare", r.link, "--wait")
	r.equal(all)
	if n := door.seen(); n > most || n < 2 {
		t.Errorf("production had up to %d sessions, want some and no more than %d", n, most)
	}
	for _, end := range workers {
		end()
	}
	r.onlyRead()
}
