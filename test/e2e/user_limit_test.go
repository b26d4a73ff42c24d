//go:build integration

package e2e

import (
	"strings"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
)

// TestOneConnectionPerUser: stores that allow each user one connection from an address,
// and a production that is listened to by IDLE. Every mailbox is mirrored, also what
// comes later; Mailmirror learns that a sync does not fit beside IDLE, reads in turn, and
// says why.
func TestOneConnectionPerUser(t *testing.T) {
	t.Parallel()
	one := servers.DovecotOptions{Extra: "mail_max_userip_connections = 1\n"}
	all := numbers(7501, 4)
	r := newQuietRig(t, one, one)
	for _, p := range []*faults.Proxy{r.toProduction, r.toDR} { // users have addresses of their own
		p.SetSource("127.0.0.2")
	}
	r.fill(all, corpus.Options{Seed: 41, Messages: 3, Greetings: 1, MinSize: 1 << 10, MaxSize: 2 << 10})
	r.run("store", "edit", r.source, "--events", "idle", "--poll-every", "2s")
	r.add(all)
	for deadline, seed := time.Now().Add(4*time.Minute), uint64(42); ; seed++ {
		_, status, _ := r.command(t.Context(), "status", r.link)
		if strings.Contains(status, "listening by poll") && strings.Contains(status, "mail_max_userip_connections") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status does not say that the store allows a user one connection:\n%s", status)
		}
		r.fill(all, corpus.Options{Seed: seed, Messages: 1, MinSize: 1 << 10, MaxSize: 2 << 10})
		time.Sleep(time.Second)
	}
	r.fill(all, corpus.Options{Seed: 40, Messages: 2, MinSize: 1 << 10, MaxSize: 2 << 10})
	r.settle()
	r.equal(all)
	if _, status, _ := r.command(t.Context(), "status", r.link); strings.Contains(status, "the server refused a connection at") {
		t.Errorf("Mailmirror bounds the connections to all mailboxes:\n%s", status)
	}
	r.onlyRead()
}
