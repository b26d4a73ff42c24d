//go:build integration

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"mailmirror/test/servers"
)

// TestLostKeyFile has a worker start with a key file that opens no password of the
// database. It runs, a compare that cannot begin is shown as one that failed, and the
// commands that errors names make everything work again.
func TestLostKeyFile(t *testing.T) {
	t.Parallel()
	all := numbers(7701, 2)
	o := servers.DovecotOptions{SharedNamespace: true, Mailboxes: all}
	r := newRigOn(t, &shared.database, o, o)
	key := filepath.Join(r.dir, "new.key")
	r.run("key", "create", key)
	r.env = append(r.env, "MAILMIRROR_KEY_FILE="+key, "MAILMIRROR_SWEEP_INTERVAL=10s")
	r.put(all[0], "INBOX", "before", 2)
	r.startWorker()
	r.add(all)

	if code, out, _ := r.command(t.Context(), "compare", r.link, "--wait"); code != 1 {
		t.Errorf("the compare ended with code %d\n%s", code, out)
	}
	if out := r.run("status", r.link); !strings.Contains(out, "last compare FAILED") {
		t.Errorf("the compare is shown as one that went well:\n%s", out)
	}
	enter := func(store string) string { return "mailmirror store edit " + store + " --trusted-password-file FILE" }
	r.until("what to do", func() bool {
		out := r.run("errors", r.link)
		return strings.Contains(out, "the last compare of link "+r.link+" failed: open the password of store ") &&
			strings.Contains(out, "the key file does not open the password of ") &&
			strings.Contains(out, enter(r.source)) && strings.Contains(out, enter(r.target))
	})
	for _, store := range []string{r.source, r.target} {
		r.run("store", "edit", store, "--trusted-password-file", filepath.Join(r.dir, store+".password"))
	}
	r.settle(all...)
	r.run("compare", r.link, "--wait")
	r.until("the end of the errors", func() bool {
		out := r.run("errors", r.link)
		return !strings.Contains(out, "the last compare") && !strings.Contains(out, enter(r.source)) && !strings.Contains(out, enter(r.target))
	})
}
