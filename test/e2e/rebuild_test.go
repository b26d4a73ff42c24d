//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// rebuilt is what `ledger rebuild --wait -o json` tells.
type rebuilt struct {
	Kind      string      `json:"kind"`
	Mailboxes int         `json:"mailboxes"`
	Synced    int         `json:"synced"`
	Failed    int         `json:"failed"`
	Busy      int         `json:"busy"`
	Messages  copier.Work `json:"messages"`
	Greetings copier.Work `json:"greetings"`
}

// rebuild rebuilds the ledger and waits for it.
func (r *rig) rebuild() rebuilt {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), longest)
	defer cancel()
	code, out, errs := r.command(ctx, "ledger", "rebuild", r.link, "--wait", "-o", "json")
	var done rebuilt
	if err := json.Unmarshal([]byte(out), &done); code != 0 || err != nil {
		r.t.Fatalf("rebuild: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	return done
}

// sql runs statements on the database of the stack, as somebody with psql would.
func (r *rig) sql(statements ...string) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.stack.Info().DatabaseDSN)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(r.t.Context(), s); err != nil {
			r.t.Fatalf("%s: %v", s, err)
		}
	}
}

// postgres runs one of PostgreSQL's own programs on the database of the stack.
func (r *rig) postgres(program string, args ...string) {
	r.t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if err != nil || len(found) == 0 {
		r.t.Fatalf("no %s: %v", program, err)
	}
	servers.RunT(r.t, found[len(found)-1], append([]string{"--dbname", r.stack.Info().DatabaseDSN}, args...)...)
}

// deposit puts messages in a mailbox of production.
func (r *rig) deposit(number string, deposits ...reader.Deposit) {
	r.t.Helper()
	conn := connect(r.t, r.production, number)
	stored, err := conn.AppendAll(deposits)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range stored {
		if s.Err != nil {
			r.t.Fatal(s.Err)
		}
	}
	if err := conn.Logout(); err != nil {
		r.t.Fatal(err)
	}
}

// wrote fails the test where the target was sent a command that writes since
// mark, but for the number of appends that are told.
func (r *rig) wrote(mark, appends int, when string) {
	r.t.Helper()
	sent := faults.Changes(r.toDR.Commands()[mark:])
	if len(sent) != appends {
		r.t.Errorf("%s the target was sent %d commands that write, want %d: %.300q", when, len(sent), appends, sent)
	}
}

// TestLedgerRebuild alters the ledger of a running installation in every way,
// rebuilds it, and sees that nothing was written to the target, that both sides
// are equal, and that the mirror goes on from there.
func TestLedgerRebuild(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.database, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(5001, 8)
	r.fill(all, corpus.Options{Seed: 7, Messages: 16, Greetings: 3, MinSize: 1 << 10, MaxSize: 6 << 10})
	r.startWorker()
	r.add(all)
	r.settle()
	r.equal(all)
	type damage struct {
		name string
		sql  []string
	}
	for _, d := range repeat.Some(3, []damage{
		{"every other run is deleted", []string{`DELETE FROM ledger_runs WHERE source_uid % 2 = 1`}},
		{"pairs are shifted", []string{`UPDATE ledger_runs SET target_uid = target_uid + 1`}},
		{"counters are of the past", []string{`UPDATE ledger_folders SET source_at_uidnext = 2, source_at_messages = 1, target_at_uidnext = 2,
			target_at_messages = 1, source_at_modseq = 1, target_at_modseq = 1`}},
		// Those that follow are only in make soak.
		{"nothing", nil},
		{"all folders are deleted", []string{`DELETE FROM ledger_folders`}},
		{"the folders of one mailbox are deleted", []string{`DELETE FROM ledger_folders WHERE number = '5001'`}},
		{"pairs are another folder's", []string{`CREATE TEMP TABLE mixed AS SELECT r.folder_id, r.source_uid, r.target_uid, r.length,
				lead(r.folder_id, 1, r.folder_id) OVER (ORDER BY r.folder_id) AS other FROM ledger_runs r`,
			`DELETE FROM ledger_runs`, `INSERT INTO ledger_runs SELECT other, source_uid, target_uid, length FROM mixed ON CONFLICT DO NOTHING`}},
		{"counters are of the future", []string{`UPDATE ledger_folders SET source_at_uidnext = 100000, target_at_modseq = 100000`}},
		{"other UIDVALIDITYs", []string{`UPDATE ledger_folders SET source_validity = 1, target_validity = 2`}},
		{"differences that are none", []string{`INSERT INTO differences SELECT id, 2, kind, 'made up' FROM ledger_folders,
			unnest(ARRAY['refused', 'altered', 'unreadable', 'keywords_refused']) kind ON CONFLICT DO NOTHING`}},
		{"an intent that nobody had", []string{`INSERT INTO intents SELECT id, 3, '1:50' FROM ledger_folders ON CONFLICT DO NOTHING`}},
		{"a folder that is on neither side", []string{`INSERT INTO ledger_folders (link, number, folder, source_validity, target_validity,
			source_at_validity, source_at_uidnext, source_at_messages, source_at_modseq, target_at_validity, target_at_uidnext, target_at_messages, target_at_modseq)
			SELECT link, number, 'Nowhere', 5, 6, 5, 9, 8, 7, 6, 9, 8, 7 FROM mailboxes`}},
	}) {
		t.Run(d.name, func(t *testing.T) {
			r.t = t
			r.sql(d.sql...)
			mark := len(r.toDR.Commands())
			done := r.rebuild()
			if done.Kind != "rebuild" || done.Mailboxes != len(all) || done.Synced != len(all) || done.Failed+done.Busy > 0 {
				t.Errorf("rebuilt %+v", done)
			}
			r.wrote(mark, 0, "by the rebuild")
			r.equal(all)
			// What it made is right: a change is mirrored as what it is.
			mark = len(r.toDR.Commands())
			r.deposit("5001", user.VoiceIn("INBOX", "after "+d.name))
			r.run("compare", r.link, "--wait")
			r.wrote(mark, 1, "for one message that came")
			r.equal(all)
		})
	}
	r.t = t
	r.neverDoubled(all)
	r.onlyRead()
}

// TestDatabaseRestored puts an old backup of the database in place of the one
// that worker and stores have gone on with.
func TestDatabaseRestored(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.database, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(5101, 6)
	r.fill(all, corpus.Options{Seed: 8, Messages: 12, Greetings: 2, MinSize: 1 << 10, MaxSize: 6 << 10})
	r.startWorker()
	r.add(all)
	r.settle()
	backup := filepath.Join(t.TempDir(), "backup.sql")
	r.postgres("pg_dump", "--no-owner", "--file", backup)
	if info, err := os.Stat(backup); err != nil || info.Size() == 0 {
		t.Fatalf("no backup: %v", err)
	}

	// What the backup knows nothing of: messages that came, and one that went.
	for i, number := range all {
		r.deposit(number, user.VoiceIn("INBOX", "since"+number), user.VoiceIn("Greetings", "greeting"+number))
		if i%2 == 0 {
			conn := connect(t, r.production, number)
			for _, c := range []string{"SELECT INBOX", `STORE 2 +FLAGS (\Deleted)`, "EXPUNGE", "LOGOUT"} {
				if _, err := conn.Command(c); err != nil && c != "LOGOUT" {
					t.Fatal(err)
				}
			}
		}
	}
	r.settle()
	r.equal(all)

	r.sql(`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`)
	r.postgres("psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", backup)
	mark := len(r.toDR.Commands())
	r.rebuild()
	r.wrote(mark, 0, "after the restore")
	r.equal(all)
	mark = len(r.toDR.Commands())
	r.deposit("5101", user.VoiceIn("INBOX", "later"))
	r.settle()
	r.wrote(mark, 1, "for one message that came after the restore")
	r.equal(all)
	r.onlyRead()
}

// TestRebuildWhileMirroring: while the ledger is rebuilt again and again,
// messages come and compares run.
func TestRebuildWhileMirroring(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(5201, 10)
	r.fill(all, corpus.Options{Seed: 9, Messages: 20, Greetings: 3, MinSize: 1 << 10, MaxSize: 20 << 10})
	r.startWorker()
	r.add(all)
	for round := range 5 {
		r.run("ledger", "rebuild", r.link)
		for _, number := range all[:5] {
			r.deposit(number, user.Voices(time.Now().Format("150405.000000")+number, 1)[0])
			r.run("sync", r.link, number)
		}
		r.command(t.Context(), "compare", r.link, "--wait")
		if round == 2 {
			r.killWorker()
			r.startWorker()
		}
	}
	r.rebuild()
	r.settle()
	r.equal(all)
	r.neverDoubled(all)
	r.onlyRead()
}
