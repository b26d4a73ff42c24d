//go:build integration

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestSuspensionOutlivesARestore: the mirror and the link by itself are suspended, and the
// database is restored from a dump of before that. Not one command that writes reaches the
// target, status and errors say what was found, and after both are resumed all is mirrored.
func TestSuspensionOutlivesARestore(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.suspension, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(5301, 3)
	r.fill(all, corpus.Options{Seed: 11, Messages: 5, Greetings: 1, MinSize: 1 << 10, MaxSize: 2 << 10})
	r.startWorker()
	r.add(all)
	r.settle()
	before, suspended := filepath.Join(t.TempDir(), "before.sql"), filepath.Join(t.TempDir(), "suspended.sql")
	dump := func(to string) { r.postgres("pg_dump", "--no-owner", "--file", to) }
	restore := func(from string) {
		r.sql(`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`)
		r.postgres("psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", from)
	}
	// says waits until a command says some words.
	says := func(words string, command ...string) {
		t.Helper()
		for deadline := time.Now().Add(longest); ; time.Sleep(100 * time.Millisecond) {
			_, out, _ := r.command(t.Context(), command...)
			if strings.Contains(out, words) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v does not say %q:\n%s", command, words, out)
			}
		}
	}
	dump(before)
	r.run("suspend", r.link, "--reason", "comes first", "--as", "bob", "--wait")
	r.run("suspend", "--reason", "storage maintenance", "--as", "alice", "--wait")
	mark := len(r.toDR.Commands())
	for _, number := range all {
		r.deposit(number, user.VoiceIn("INBOX", "while suspended "+number))
	}
	dump(suspended)
	restore(before)
	for _, number := range all { // the database does not know of the mailboxes' changes either
		r.command(t.Context(), "sync", r.link, number)
	}
	says("did not know of the suspension that Temporal holds", "errors", r.link)
	says("alice: storage maintenance", "status", r.link)
	says("SUSPENDED", "status", r.link)
	says("bob: comes first", "status", r.link)
	r.wrote(mark, 0, "suspended, and restored to before that")
	r.run("resume")
	says("link "+r.link+" is SUSPENDED", "status", r.link)
	r.wrote(mark, 0, "the link is suspended still")

	// The other way about: the database knows of a suspension that is over.
	r.run("resume", r.link)
	r.compareUntilEqual()
	r.equal(all)
	restore(suspended)
	mark = len(r.toDR.Commands())
	says("Temporal does not: the mirror stays suspended", "errors", r.link)
	says("storage maintenance", "status", r.link)
	r.deposit(all[0], user.VoiceIn("INBOX", "while suspended again"))
	r.wrote(mark, 0, "a suspension that was restored")
	r.run("resume", r.link)
	r.run("resume")
	r.compareUntilEqual()
	r.equal(all)
	r.neverDoubled(all)
	r.onlyRead()
}
