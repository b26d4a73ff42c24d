//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"mailmirror/test/servers"
	"mailmirror/workflows"
)

// TestTheBackgroundIsLookedAfter ends by hand what runs in the background, and then
// has the database reject the worker for some time. Each is shown and started again,
// and listening goes on. No compare helps: what changes is mirrored since a listener
// noticed it.
func TestTheBackgroundIsLookedAfter(t *testing.T) {
	t.Parallel()
	all := numbers(7801, 2)
	o := servers.DovecotOptions{SharedNamespace: true, Mailboxes: all}
	r := newRigOn(t, &shared.database, o, o)
	r.env = append(r.env, "MAILMIRROR_COMPARE_INTERVAL=24h", "MAILMIRROR_WORKER_DEBOUNCE=1s")
	info := r.stack.Info()
	admin, err := pgx.Connect(t.Context(), info.DatabaseDSN)
	must(t, err)
	t.Cleanup(func() { must(t, admin.Close(context.WithoutCancel(t.Context()))) })
	role := fmt.Sprintf("mirror_%d", time.Now().UnixNano())
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	config, err := pgx.ParseConfig(info.DatabaseDSN)
	must(t, err)
	do("CREATE ROLE " + role + " LOGIN SUPERUSER IN ROLE " + config.User)
	// PostgreSQL here asks the system who a client is; it lets the worker's role in without that.
	var hba string
	must(t, admin.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba))
	var rules string // read first: COPY empties the file before its query runs
	must(t, admin.QueryRow(t.Context(), "SELECT replace(pg_read_file($1), E'\\t', ' ')", hba).Scan(&rules))
	rules = "local all " + role + " trust\n" + rules
	do(fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO '%s'", strings.ReplaceAll(rules, "'", "''"), hba))
	do("SELECT pg_reload_conf()")
	r.worker = r.newWorker("MAILMIRROR_DATABASE=" + strings.Replace(info.DatabaseDSN, config.User+"@", role+"@", 1))
	r.add(all)
	r.listened(2)
	r.put(all[0], "INBOX", "before", 2)
	r.appears("a message", all...)
	r.add([]string{"Zoë"}) // the source has no such mailbox: its failure concerns no other

	c, err := client.Dial(client.Options{HostPort: info.TemporalAddress, Namespace: info.TemporalNamespace})
	must(t, err)
	defer c.Close()
	for what, end := range map[string]func() error{
		"listening":          func() error { return c.TerminateWorkflow(t.Context(), workflows.WatchID(r.link), "", "by hand") },
		"suspension control": func() error { return c.TerminateWorkflow(t.Context(), workflows.ControlID, "", "by hand") },
		"schedule sweep":     func() error { return c.ScheduleClient().GetHandle(t.Context(), workflows.SweepID).Delete(t.Context()) },
		"schedule " + workflows.CompareID(r.link): func() error {
			return c.ScheduleClient().GetHandle(t.Context(), workflows.CompareID(r.link)).Delete(t.Context())
		},
	} {
		if err := end(); err != nil {
			t.Fatalf("end %s: %v", what, err)
		}
		r.until(what+" to be started again", func() bool {
			return strings.Contains(r.run("status", r.link), what+" had ended and was started again")
		})
		r.until(what+" to stand in the history", func() bool { return strings.Contains(r.run("history"), what) })
	}
	for _, id := range []string{workflows.WatchID(r.link), workflows.ControlID} {
		if d, err := c.DescribeWorkflowExecution(t.Context(), id, ""); err != nil || d.GetWorkflowExecutionInfo().GetCloseTime() != nil {
			t.Errorf("%s: it does not run, %v", id, err)
		}
	}
	for _, id := range []string{workflows.SweepID, workflows.CompareID(r.link)} {
		var none *serviceerror.NotFound
		if _, err := c.ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context()); errors.As(err, &none) {
			t.Errorf("there is no schedule %s", id)
		}
	}
	r.put(all[1], "INBOX", "between", 2)
	r.appears("a message after the restart", all...)
	// The mailbox that fails stops nothing else, and errors says what is wrong with it.
	r.until("the trouble of one mailbox", func() bool {
		out := r.run("errors", r.link)
		return strings.Contains(out, "Zoë") && !strings.Contains(out, "the sweep fails")
	})

	// What one worker has for itself is shown as well: its shares of load.
	do("ALTER TABLE load_shares RENAME TO load_shares_away")
	r.until("shares that are not renewed to be shown", func() bool {
		const says = "cannot renew its share of connections"
		return strings.Contains(r.run("status", r.link), says) && strings.Contains(r.run("errors", r.link), says)
	})
	do("ALTER TABLE load_shares_away RENAME TO load_shares")
	r.until("shares to be renewed", func() bool { return !strings.Contains(r.run("errors", r.link), "cannot renew") })

	do("ALTER ROLE " + role + " NOLOGIN")
	do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + role + "'")
	r.put(all[0], "INBOX", "meanwhile", 3)
	r.until("the end of listening to be shown", func() bool {
		var s []struct {
			Lag       *int64 `json:"lag_ns"`
			Listening struct {
				Blind bool `json:"blind"`
			} `json:"listening"`
		}
		if err := json.Unmarshal([]byte(r.run("status", r.link, "-o", "json")), &s); err != nil {
			t.Fatal(err)
		}
		return s[0].Listening.Blind && s[0].Lag == nil
	})
	// The connection may be gone before the last sign of life is old.
	r.until("status to say that listening stopped", func() bool {
		return strings.Contains(r.run("status", r.link), "LISTENING STOPPED")
	})
	r.until("errors to show it", func() bool {
		out := r.run("errors", r.link)
		return strings.Contains(out, "LISTENING STOPPED") || strings.Contains(out, "NO WORKER")
	})
	do("ALTER ROLE " + role + " LOGIN")
	r.appears("a message of meanwhile", all...)
	r.put(all[1], "INBOX", "after", 2)
	r.appears("a message afterwards", all...)
	r.until("all to be well", func() bool {
		out := r.run("status", r.link)
		return !strings.Contains(out, "STOPPED") && !strings.Contains(out, "NO WORKER") && !strings.Contains(out, "unknown")
	})
	log, err := os.ReadFile(filepath.Join(r.data, "worker.log"))
	must(t, err)
	if !strings.Contains(string(log), "started what did not run") {
		t.Error("the log does not say what was started again")
	}
}
