//go:build integration

package olddata

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/app"
	"mailmirror/internal/cli"
	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/test/engine/enginetest"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
)

const link = "site"

// TestOldData restores what each release left and migrates it. Every row is there, the
// commands show what those of the release showed, the suspension stands, and after the
// resumption the mirror continues without copying anything again.
func TestOldData(t *testing.T) {
	releases, err := filepath.Glob("testdata/*/database.sql")
	if err != nil || len(releases) == 0 {
		t.Fatalf("no data of any release: %v", err)
	}
	for _, dump := range releases {
		t.Run(filepath.Base(filepath.Dir(dump)), func(t *testing.T) {
			t.Parallel()
			d := restored(t, filepath.Dir(dump))
			before := d.rows()
			d.readsWithoutMigrating(before)
			d.migrate()
			d.sameRows(before)
			d.sameAnswers()
			d.continues()
		})
	}
}

// data is a database of a release that was restored.
type data struct {
	t           *testing.T
	folder, dsn string
	// settings is the configuration of the program.
	settings string
	repo     *pgstore.Store
}

func restored(t *testing.T, folder string) *data {
	t.Helper()
	d := &data{t: t, folder: folder, dsn: pgtest.EmptyDSN(t)}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(found) == 0 {
		t.Fatalf("no psql: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], "--dbname", d.dsn, "--quiet", "--set", "ON_ERROR_STOP=1", "--file", filepath.Join(folder, "database.sql"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(folder, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d.settings = filepath.Join(dir, "config.toml")
	for path, text := range map[string]string{filepath.Join(dir, "seal.key"): string(key),
		d.settings: fmt.Sprintf("key_file = %q\n[database]\ndsn = %q\n[temporal]\naddress = \"127.0.0.1:9\"\n", filepath.Join(dir, "seal.key"), d.dsn)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// migrate brings the schema up to date, as a worker does when it starts.
func (d *data) migrate() {
	d.t.Helper()
	repo, err := pgstore.Open(d.t.Context(), d.dsn)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(repo.Close)
	if err := pgtest.Migrate(d.t.Context(), repo); err != nil {
		d.t.Fatal(err)
	}
	d.repo = repo
}

// query returns the rows of a query, each as one text.
func (d *data) query(statement string, args ...any) []string {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(d.t.Context(), statement, args...)
	if err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
	return list
}

// table is what a table holds: its columns, and each row as JSON.
type table struct{ columns, rows []string }

// rows returns what every table holds, without the partitions, which their table shows. A
// view may stand for a table of before.
// control_events is a view of later releases, by which the one before reads its rows.
func (d *data) rows() map[string]table {
	d.t.Helper()
	all := map[string]table{}
	for _, name := range d.query(`SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND (relkind IN ('r', 'p', 'v') OR relname = 'control_events')
		AND NOT relispartition AND relname NOT LIKE 'goose%'`) {
		columns := d.query(`SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped`, name)
		all[name] = table{columns, d.query("SELECT to_jsonb(r)::text FROM " + name + " r")}
	}
	return all
}

// mustHave are the tables in which the data of a release has rows, so that the test shows
// something.
var mustHave = []string{"stores", "links", "mailboxes", "ledger_folders", "ledger_runs", "ledger_witnesses", "differences", "history",
	"guard_settings", "guard_holds", "guard_decisions", "directory_stores", "directory_settings", "directory_runs", "directory_pairs",
	"directory_failures", "directory_changes", "directory_holds", "directory_held", "logins", "watchers", "schedule_specs", "control_events", "suspension", "compare_runs"}

// transient are tables whose rows mean nothing after a restore.
var transient = []string{"leases", "directory_leases"}

// sameRows compares what every table holds with what it held before the migration, in the
// columns that it has still.
func (d *data) sameRows(before map[string]table) {
	d.t.Helper()
	after := d.rows()
	for _, name := range mustHave {
		if len(before[name].rows) == 0 {
			d.t.Errorf("the data has no row of %s", name)
		}
	}
	for name, was := range before {
		now, there := after[name]
		if slices.Contains(transient, name) || !there && len(was.rows) == 0 {
			continue
		}
		if !there {
			d.t.Errorf("%s is gone with %d rows", name, len(was.rows))
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(was.columns), func(c string) bool { return !slices.Contains(now.columns, c) })
		old, present := d.only(kept, was.rows), d.only(kept, now.rows)
		for _, row := range old {
			if at := slices.Index(present, row); at >= 0 {
				present = slices.Delete(present, at, at+1)
			} else {
				d.t.Errorf("%s lost %s", name, row)
			}
		}
	}
}

// only returns rows with some of their columns.
func (d *data) only(columns, rows []string) (out []string) {
	d.t.Helper()
	for _, row := range rows {
		var values map[string]json.RawMessage
		if err := json.Unmarshal([]byte(row), &values); err != nil {
			d.t.Fatal(err)
		}
		for name := range values {
			if !slices.Contains(columns, name) {
				delete(values, name)
			}
		}
		text, err := json.Marshal(values)
		if err != nil {
			d.t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// run gives a command of today's program, in this process. No Temporal is there.
func (d *data) run(args ...string) (code int, out, errs string) {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(d.t.Context(), args, cli.Environment{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, User: "operator",
		LookupEnv: func(name string) (string, bool) {
			if name != "MAILMIRROR_CONFIG" {
				return "", false
			}
			return d.settings, true
		}, Open: app.Open, Migrate: app.Migrate})
	return code, stdout.String(), stderr.String()
}

// readsWithoutMigrating shows that commands warn of a schema that is older than they are,
// and that mailmirror migrate is what they name. They change nothing. If the mirror cannot be
// suspended, suspend names another way.
func (d *data) readsWithoutMigrating(before map[string]table) {
	d.t.Helper()
	for command, does := range map[string]string{"status": "", "errors": "", "audit": "", "link list": "", "link remove none": "version", "suspend --reason upgrade": "--name suspend"} {
		code, _, errs := d.run(strings.Fields(command)...)
		if code == 0 && does != "" || !strings.Contains(errs, "is older than this release") || !strings.Contains(errs, "mailmirror migrate") ||
			!strings.Contains(errs, does) {
			d.t.Errorf("%s before the migration: exit code %d, %s", command, code, errs)
		}
	}
	if after := d.rows(); !reflect.DeepEqual(after, before) {
		d.t.Error("a command changed the database before the migration")
	}
}

// sameAnswers compares what the commands show with what those of the release showed. They
// may show more.
func (d *data) sameAnswers() {
	d.t.Helper()
	content, err := os.ReadFile(filepath.Join(d.folder, "shown.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(content, &shown); err != nil {
		d.t.Fatal(err)
	}
	if len(shown) < 20 {
		d.t.Fatalf("the release showed only %d answers", len(shown))
	}
	for command, was := range shown {
		code, out, errs := d.run(append(strings.Fields(command), "-o", "json")...)
		if code != 0 {
			d.t.Errorf("mailmirror %s: exit code %d\n%s", command, code, errs)
			continue
		}
		var now any
		if err := json.Unmarshal([]byte(out), &now); err != nil {
			d.t.Errorf("mailmirror %s: %v", command, err)
			continue
		}
		for _, lost := range missing(command, was, now) {
			d.t.Error(lost)
		}
	}
}

// ofTheMoment are fields that tell the time since something, what was learned of a server
// lately, or a sentence of the release.
var ofTheMoment = []string{"figures", "learned", "hint", "text"}

// missing says what of an answer is not in another one. Elements of a list may have
// another order.
func missing(at string, was, now any) (out []string) {
	switch was := was.(type) {
	case map[string]any:
		fields, ok := now.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v, was an object", at, now)}
		}
		for name, value := range was {
			if slices.Contains(ofTheMoment, name) {
				continue
			}
			out = append(out, missing(at+" ."+name, value, fields[name])...)
		}
	case []any:
		elements, _ := now.([]any)
		for _, element := range was {
			if !slices.ContainsFunc(elements, func(e any) bool { return len(missing("", element, e)) == 0 }) {
				text, _ := json.Marshal(element) // it came from JSON
				out = append(out, fmt.Sprintf("%s: lost %s", at, text))
			}
		}
	default:
		if was != now {
			out = append(out, fmt.Sprintf("%s: %v, was %v", at, now, was))
		}
	}
	return out
}

// side is one store with the mail that it had.
type side struct {
	store *imapstore.Store
	proxy *faults.Proxy
}

func (d *data) side(name string, mailboxes []string, quota int64) side {
	t := d.t
	t.Helper()
	s := servers.DovecotT(t, servers.DovecotOptions{Name: name, Mailboxes: mailboxes, QuotaBytes: quota})
	servers.RunT(t, "tar", "--extract", "--gzip", "--file", filepath.Join(d.folder, name+".tar.gz"), "--directory", s.Dir())
	servers.RunT(t, "chown", "--recursive", "--reference", s.Dir(), filepath.Join(s.Dir(), "mail"))
	p := faults.ProxyT(t, s.Addr())
	store, err := imapstore.New(imapstore.Options{Name: name, Address: p.Addr(), Security: site.SecurityNone,
		Login: site.LoginAuthzid, TrustedName: s.TrustedName(), Password: seal.NewSecret(s.TrustedPassword())})
	if err != nil {
		t.Fatal(err)
	}
	return side{store, p}
}

// continues lets the copy engine go on where that of the release stopped.
func (d *data) continues() {
	t, ctx := d.t, d.t.Context()
	t.Helper()
	boxes, err := d.repo.Mailboxes(ctx, link, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []mailbox.Number
	var names []string
	for _, b := range boxes {
		numbers, names = append(numbers, b.Number), append(names, string(b.Number))
	}
	production := d.side("production", names, 0)
	dr := d.side("dr", slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "5006" }), 40<<10)
	engine := copier.NewEngine(d.repo, enginetest.Clock{}, copier.Options{}, slog.New(slog.DiscardHandler))
	job := func(b site.Mailbox) copier.Job {
		return copier.Job{Key: mailbox.Key{Link: link, Number: b.Number}, Generation: b.DirtyGeneration, Trigger: "operator",
			Source: production.store, Target: dr.store, Greetings: mailbox.Patterns{"Greetings", "Names"}, Exclude: mailbox.Patterns{"Trash"}}
	}

	d.suspended(engine, job(boxes[0]))
	states, err := d.repo.ReviewStates(ctx, link, numbers)
	if err != nil {
		t.Fatal(err)
	}
	seen, proven := map[site.MailboxState]int{}, 0
	for _, b := range boxes {
		seen[b.State]++
		if b.Failures > 0 {
			continue // as it did under the release: it cannot be opened
		}
		report, unchanged, err := engine.Review(ctx, job(b), states[b.Number].Folders)
		if err != nil {
			t.Errorf("%s: %v (hint: %s)", b.Number, err, report.Hint)
			continue
		}
		want := int64(0)
		if b.State == site.StateDirty {
			want = 1 // the message that came while the mirror was suspended
		}
		if got := report.Messages.Appended + report.Greetings.Appended; int64(got) != want {
			t.Errorf("mailbox %s, %s: %d messages copied, want %d", b.Number, b.State, got, want)
		}
		if expunged := report.Messages.Expunged + report.Greetings.Expunged; expunged > 0 {
			t.Errorf("mailbox %s, %s: %d messages deleted", b.Number, b.State, expunged)
		}
		if b.State == site.StateEqual && !report.Idle() {
			t.Errorf("mailbox %s, %s: the compare wrote something: %+v", b.Number, b.State, report)
		}
		if unchanged {
			proven++
		}
	}
	if proven == 0 {
		t.Error("the counters of the ledger prove no mailbox to be equal")
	}
	for _, state := range []site.MailboxState{site.StateEqual, site.StateDirty, site.StateHeld, site.StateDiffering, site.StateParked} {
		if seen[state] == 0 {
			t.Errorf("no mailbox was %s", state)
		}
	}
	for _, c := range faults.OnlyReads(production.proxy.Commands()) {
		t.Errorf("production was sent %.100q", c)
	}
}

// suspended proves that the suspension stands: no lease is given before an operator
// resumes.
func (d *data) suspended(engine *copier.Engine, job copier.Job) {
	t, ctx := d.t, d.t.Context()
	t.Helper()
	proof, err := d.repo.SuspensionProof(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !proof.Rows.Own("").Suspended() || proof.Confirmed || !proof.Used {
		t.Errorf("the suspension after the restore: %+v", proof)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := engine.Sync(ctx, job); err == nil {
			t.Errorf("a mailbox was synced %s", when)
		}
	}
	refused("after the restore")
	// The supervision confirms the row: Temporal knows nothing of it.
	if err := errors.Join(d.repo.ConfirmSuspension(ctx, proof, 0), d.repo.ConfirmLinks(ctx, proof)); err != nil {
		t.Fatal(err)
	}
	refused("after the suspension was confirmed")
	if now, err := d.repo.Resume(ctx, suspension.Request{Who: "operator", Epoch: proof.Rows.Own("").Epoch}); err != nil || now.Suspended() {
		t.Fatalf("resume: %+v, %v", now, err)
	}
	refused("before the leases that the dump may lack are over")
	// A test does not wait for that.
	d.query("UPDATE suspension SET quiet_until = clock_timestamp() RETURNING ''")
}
