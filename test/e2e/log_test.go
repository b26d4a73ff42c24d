//go:build integration

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/test/logged"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestLog looks at all that a worker logs, also at level debug: each transition is one
// line, and nothing of what is in mailboxes, no name of a folder and no password is there.
func TestLog(t *testing.T) {
	t.Parallel()
	const canary, wrong = "canary5107", "canary-password-88"
	r := newRigOn(t, &shared.suspension, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(8941, 2)
	for _, n := range all {
		d := reader.Deposit{Date: time.Date(2025, 5, 6, 7, 8, 9, 0, time.UTC)}
		d.Size, d.Body = reader.Bytes([]byte("Message-ID: <" + n + "@voice.example.com>\r\nSubject: " + canary + "\r\n\r\n" + canary + "\r\n"))
		r.on(n, func(u *user.User) {
			u.Put("INBOX", d)
			u.Put(canary, d)
		})
	}
	path := filepath.Join(r.data, "worker.log")
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	log := func() string {
		b, err := os.ReadFile(path)
		must(t, err)
		return string(b[len(before):])
	}
	r.worker = r.newWorker("MAILMIRROR_LOG_LEVEL=debug", "MAILMIRROR_LOG_FORMAT=json")
	r.add(all)
	r.settle()
	r.run("compare", r.link, "--wait")
	r.run("verify", r.link, "--deep")
	r.run("store", "check", r.target, "--mailbox", all[0])
	r.run("suspend", "--reason", "maintenance", "--wait")
	r.run("resume")
	file := filepath.Join(r.dir, "wrong.password")
	must(t, os.WriteFile(file, []byte(wrong), 0o600))
	r.run("store", "edit", r.target, "--trusted-password-file", file)
	r.on(all[0], func(u *user.User) { u.Put(canary, user.Voices(all[0], 1)...) })
	r.until("the mailbox to be parked", func() bool { return strings.Contains(log(), "mailbox parked") })
	r.stopWorker()
	logged.Check(t, log(), map[string]int{
		"worker started": 1, "worker stopped": 1, "shard adopted": logged.AtLeastOnce, "shard lost": logged.AtLeastOnce,
		"mailbox sync finished": logged.AtLeastOnce, "compare finished": logged.AtLeastOnce, "verification finished": 1, "store check finished": 1,
		"mirror is being suspended": 1, "mirror suspended": 1, "mirror resumed": 1, "mailbox parked": logged.AtLeastOnce,
	}, canary, wrong, r.production.TrustedPassword(), r.dr.TrustedPassword())
}
