//go:build integration

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/user"
)

// metrics are what a worker shows, asked for as Prometheus does.
func (r *rig) metrics(address string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		r.t.Fatalf("status %d, %v", answer.StatusCode, err)
	}
	return string(body)
}

// shows waits until the metrics hold all of these lines, in which LINK is the
// test's link. Metrics that come from the database are some seconds old.
func (r *rig) shows(address string, lines ...string) {
	r.t.Helper()
	deadline := time.Now().Add(longest)
	for {
		text := r.metrics(address)
		missing := ""
		for _, line := range lines {
			line = strings.ReplaceAll(line, "LINK", r.link)
			if !strings.Contains("\n"+text, "\n"+line) {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the metrics lack %q:\n%s", missing, text)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	all := numbers(7001, 4)
	r := newEventRig(t, all, "notify")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	r.env = append(r.env, "MAILMIRROR_METRICS_LISTEN="+address)

	// While the port is somebody else's, a worker says so and does not start.
	refused := exec.CommandContext(t.Context(), filepath.Join(r.bin, "mailmirror-worker"), "--data", r.data)
	refused.Env = r.env
	out, err := refused.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "listen on "+address) || !strings.Contains(string(out), "metrics.listen") {
		t.Errorf("a worker whose port is taken: %v, %s", err, out)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	r.startWorker()
	r.fill(all, corpus.Options{Seed: 5, Messages: 30, Greetings: 1, MinSize: 2 << 10, MaxSize: 4 << 10})
	r.add(all)
	r.settle()
	r.listened(len(all))
	r.shows(address,
		fmt.Sprintf(`mailmirror_listener_mailboxes{link="LINK",shard="0",way="heard"} %d`, len(all)),
		`mailmirror_listener_healthy{link="LINK",shard="0"} 1`,
		`mailmirror_listener_connections{link="LINK",shard="0"} 1`,
		`mailmirror_listener_connections_wanted{link="LINK",shard="0"} 1`,
		fmt.Sprintf(`mailmirror_mailboxes{link="LINK",state="equal"} %d`, len(all)),
		`mailmirror_suspension{link="",state="running"} 1`,
		`mailmirror_database_up 1`,
		`mailmirror_copied_bytes_total{link="LINK",role="messages"} `,
		fmt.Sprintf(`mailmirror_messages_total{change="copied",link="LINK",role="greetings"} %d`, len(all)),
		`temporal_request_total{`, `temporal_activity_execution_latency_seconds_bucket{`,
		`process_resident_memory_bytes `)

	r.put(all[0], "INBOX", "event", 3)
	r.appears("a message", all...)
	r.shows(address, `mailmirror_events_total{kind="message in",link="LINK"} `, `mailmirror_syncs_total{link="LINK",outcome="equal"} `,
		`mailmirror_listener_last_event_timestamp_seconds{link="LINK",shard="0"} `)

	// A folder that is emptied: the guard holds all that was in it.
	r.on(all[1], func(u *user.User) { u.Empty("INBOX") })
	r.shows(address, `mailmirror_syncs_total{link="LINK",outcome="held"} `, `mailmirror_mailboxes{link="LINK",state="held"} 1`)
	waiting := 0
	for _, h := range r.holds("waiting") {
		waiting += h.Messages
	}
	r.shows(address, fmt.Sprintf(`mailmirror_held_messages{decision="waiting",link="LINK"} %d`, waiting))

	r.run("suspend", "--reason", "metrics", "--wait")
	r.shows(address, `mailmirror_suspension{link="",state="suspended"} 1`, `mailmirror_suspension{link="",state="running"} 0`)
	r.run("resume")
	r.shows(address, `mailmirror_suspension{link="",state="running"} 1`)

	// A target that lets nobody in: failures by kind.
	if err := r.toDR.Refuse(true); err != nil {
		t.Fatal(err)
	}
	r.put(all[2], "INBOX", "refused", 1)
	r.shows(address, `mailmirror_syncs_total{link="LINK",outcome="failed"} `, `mailmirror_sync_failures_total{kind="transient",link="LINK"} `,
		`mailmirror_activity_failures_total{activity="SyncMailbox",kind="transient"} `)
	if err := r.toDR.Refuse(false); err != nil {
		t.Fatal(err)
	}

	// Nothing tells of a mailbox, of what is in it, or of a password. A
	// number of bytes may look like a mailbox's.
	for line := range strings.Lines(r.metrics(address)) {
		series := line[:strings.LastIndex(strings.TrimRight(line, "\n"), " ")+1]
		for _, secret := range append([]string{r.production.TrustedPassword(), "event0", "INBOX"}, all...) {
			if strings.Contains(series, secret) {
				t.Errorf("the metrics hold %q: %s", secret, line)
			}
		}
	}
}
