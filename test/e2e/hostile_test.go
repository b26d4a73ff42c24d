//go:build integration

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/test/servers"
)

// hostilePassword is the trusted account's on the hostile stores.
const hostilePassword = "canary-Passwort-7391"

// TestHostileStore runs the worst of what a store can do, as the source and as the
// target, on the whole system: the worker lives, within its memory, and mirrors
// another mailbox of the same stores meanwhile; every mailbox says what is wrong; and
// nothing that the stores quoted is anywhere.
func TestHostileStore(t *testing.T) {
	t.Parallel()
	in := shared.workers.enter(t)
	load <- struct{}{}
	t.Cleanup(func() { <-load })
	n := fmt.Sprint(links.Add(1))
	r := &rig{t: t, installation: in, env: in.env(), dir: t.TempDir(), link: "link" + n, source: "production" + n, target: "dr" + n}
	production, dr := servers.HostileT(t, hostilePassword), servers.HostileT(t, hostilePassword)
	t.Cleanup(func() {
		if t.Failed() {
			for _, command := range [][]string{{"status", r.link}, {"errors", r.link}, {"history", r.link}} {
				_, out, errs := r.command(context.Background(), command...)
				t.Logf("%s:\n%s%s", command[0], out, errs)
			}
			r.showLog("worker.log", 40)
		}
		r.leave()
		r.stopWorker()
	})
	password := filepath.Join(r.dir, "password")
	if err := os.WriteFile(password, []byte(hostilePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*servers.Hostile{r.source: production, r.target: dr} {
		r.run("store", "add", name, "--imap", h.Addr(), "--imap-security", "none", "--login", "authzid",
			"--trusted-name", h.TrustedName(), "--trusted-password-file", password)
	}
	r.run("link", "add", r.link, "--source", r.source, "--target", r.target)

	const honest = "5000"
	mailboxes := []string{honest}
	hostile := map[string]string{} // by mailbox, how it is described
	for _, m := range []struct {
		store *servers.Hostile
		mode  servers.Mode
	}{
		{production, "fetch: envelope with a literal of 100 GB"}, {production, "fetch: body structure nested without end"},
		{production, "list: other names without end"}, {production, "open: untagged without end"},
		{production, "names: of paths and lines"}, {production, "login: words in a BAD"}, {production, "idle: changes without end"},
		{dr, "append: words in a NO"}, {dr, "append: words in a BAD"}, {dr, "list: status nested without end"}, {dr, "open: words in a NO"},
	} {
		number := fmt.Sprint(5001 + len(hostile))
		m.store.SetMode(number, m.mode)
		mailboxes, hostile[number] = append(mailboxes, number), string(m.mode)
	}
	for _, number := range mailboxes {
		for i := range 3 {
			production.Put(number, "INBOX", `\Seen $canaryKeyword`, fmt.Appendf(nil,
				"From: canary-sender@example.org\r\nMessage-ID: <%d@canary>\r\n\r\ncanary words of a body %d\r\n", i, i))
		}
	}
	r.add(mailboxes)
	r.startWorker()
	pid := r.worker.Process.Pid

	r.until("the honest mailbox is mirrored", func() bool { return len(dr.Messages(honest, "INBOX")) == 3 })
	var shown strings.Builder
	for number, mode := range hostile {
		r.until(mode+" is reported", func() bool {
			_, out, _ := r.command(t.Context(), "mailbox", "show", r.link, number)
			_, history, _ := r.command(t.Context(), "history", r.link, number, "-o", "json")
			shown.WriteString(out + history)
			return strings.HasPrefix(mode, "idle") || strings.Contains(history, "at fault") || strings.Contains(history, `"error"`) ||
				strings.Contains(history, "differing") || strings.Contains(out, "differ")
		})
	}
	// And what arrives later arrives as well.
	production.Put(honest, "INBOX", "", []byte("Message-ID: <later@canary>\r\n\r\ncanary\r\n"))
	r.run("sync", r.link, honest)
	r.until("the honest mailbox is mirrored again", func() bool { return len(dr.Messages(honest, "INBOX")) == 4 })

	for _, command := range [][]string{{"status", r.link}, {"errors", r.link}, {"errors", r.link, "-o", "json"}, {"history", r.link},
		{"mailbox", "list", r.link}, {"store", "check", r.source, "--mailbox", "5006"}, {"store", "check", r.target, "--mailbox", "5010"}} {
		_, out, errs := r.command(t.Context(), command...)
		shown.WriteString(out + errs)
	}
	for _, name := range []string{"worker.log", "stack.log"} {
		log, err := os.ReadFile(filepath.Join(r.data, name))
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(log)
	}
	for line := range strings.Lines(shown.String()) {
		if strings.Contains(strings.ToLower(line), "canary") || strings.Contains(line, "Passwort") {
			t.Errorf("shown: %.500q", line)
		}
	}
	for _, row := range pgtest.SearchAll(t, r.stack.Info().DatabaseDSN, "canary", "Passwort") {
		t.Errorf("in the database: %s", row)
	}
	var kB int
	if _, err := fmt.Sscan(peak(t, pid), &kB); err != nil || kB > 150<<10 {
		t.Errorf("the worker took %s: %v", peak(t, pid), err)
	}
	t.Logf("the worker took %d MB", kB>>10)
}
