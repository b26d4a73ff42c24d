//go:build integration

package pgstore_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/suspension"
)

// program runs one of PostgreSQL's own programs on a database.
func program(t testing.TB, name, dsn, input string, args ...string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s: %v", name, err)
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], append([]string{"--dbname", dsn}, args...)...)
	cmd.Stdin = bytes.NewBufferString(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, errs.String())
	}
	return string(out)
}

// restorable is a store with a mailbox that was mirrored, and how to dump and restore it.
func restorable(t *testing.T) (s *pgstore.Store, dsn string, dump func() string, restore func(string)) {
	t.Helper()
	s, dsn = seededDatabase(t, "1", "2")
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(t.Context(), lease, initialCopy()))
	must(t, s.Release(t.Context(), lease, true))
	return s, dsn, func() string { return program(t, "pg_dump", dsn, "", "--no-owner") }, func(dump string) {
		sql(t, dsn, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
		program(t, "psql", dsn, dump, "--quiet", "--set", "ON_ERROR_STOP=1")
	}
}

// quiet lets the leases of before a restore or a start be over.
func quiet(t *testing.T, dsn string) {
	t.Helper()
	sql(t, dsn, "UPDATE suspension SET quiet_until = clock_timestamp()")
}

// confirm says that no suspension was lost, as the supervision does, and that the leases
// of before are over.
func confirm(t *testing.T, s *pgstore.Store, dsn string) {
	t.Helper()
	must(t, s.ConfirmSuspension(t.Context(), proofOf(t, s), 0))
	must(t, s.ConfirmLinks(t.Context(), proofOf(t, s)))
	quiet(t, dsn)
}

func proofOf(t *testing.T, s *pgstore.Store) suspension.Proof {
	t.Helper()
	var proof suspension.Proof
	var err error
	for range 20 { // the first look finds what connections died
		if proof, err = s.SuspensionProof(t.Context()); err == nil {
			return proof
		}
	}
	t.Fatal(err)
	return proof
}

// TestSuspensionLostWithTheDatabase: a dump of before the suspension is restored. No
// lease is given, renewed or acknowledged as over before somebody has said whether the
// mirror is suspended, and before what the dump does not know of has ended.
func TestSuspensionLostWithTheDatabase(t *testing.T) {
	t.Parallel()
	s, dsn, dump, restore := restorable(t)
	ctx := t.Context()
	before := dump()
	held, _ := begin(t, s, keyOf("2")) // the dump does not know of it
	suspended := suspend(t, s)
	restore(before)

	proof := proofOf(t, s)
	if now := proof.Rows.Own(""); now.State != suspension.Running || !now.Unconfirmed || !now.Still() || proof.Confirmed || !proof.Used {
		t.Fatalf("restored: %+v", proof)
	}
	_, _, err := s.Begin(ctx, keyOf("1"), ttl, fence)
	refused(t, "begin", err)
	_, err = s.TakeLease(ctx, lease.OfDirectory(link), lease.Times{TTL: ttl, Fence: fence})
	refused(t, "begin in a directory", err)
	if _, err := s.Renew(ctx, held, ttl); err == nil {
		t.Error("a lease of before the restore was renewed")
	}
	// An older word is of no use.
	must(t, s.ConfirmSuspension(ctx, suspension.Proof{Mark: "1 2", Used: true}, time.Second))
	if proofOf(t, s).Confirmed {
		t.Fatal("confirmed by the mark of another row")
	}

	t.Run("suspended again", func(t *testing.T) {
		got := suspend(t, s)
		if got.State != suspension.Suspending || got.Unconfirmed || got.Epoch <= suspended.Epoch || got.Waiting != 0 || got.Remaining <= 0 {
			t.Errorf("suspended again: %+v, before the restore %+v", got, suspended)
		}
		// Writes may land under the lease that only the lost database knew.
		if now, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || now.State != suspension.Suspending {
			t.Errorf("acknowledged at once: %+v, %v", now, err)
		}
		quiet(t, dsn)
		now, err := s.ConfirmSuspended(ctx, "", got.Epoch)
		if err != nil || now.State != suspension.Suspended {
			t.Errorf("acknowledged when it is over: %+v, %v", now, err)
		}
	})
	t.Run("confirmed to be running", func(t *testing.T) {
		restore(before)
		must(t, s.ConfirmSuspension(ctx, proofOf(t, s), 40*time.Second))
		now := proofOf(t, s)
		if !now.Confirmed || now.Rows.Own("").Still() || now.LeaseTime != 40*time.Second || now.Rows.Own("").Remaining < 30*time.Second {
			t.Errorf("confirmed: %+v", now)
		}
		_, _, err := s.Begin(ctx, keyOf("1"), ttl, fence)
		refused(t, "begin while leases of before may be in use", err)
		quiet(t, dsn)
		// A worker of a release before does not ask about links.
		_, _, err = s.Begin(ctx, keyOf("1"), ttl, fence)
		refused(t, "begin while a link's suspension may be lost", err)
		if now := proofOf(t, s); now.LinksConfirmed || !now.Rows.Own(link).Unconfirmed {
			t.Errorf("the link: %+v", now)
		}
		must(t, s.ConfirmLinks(ctx, proofOf(t, s)))
		begin(t, s, keyOf("1"))
	})
	t.Run("resumed by an operator", func(t *testing.T) {
		restore(before)
		row := proofOf(t, s).Rows.Own("")
		now, err := s.Resume(ctx, suspension.Request{Who: "bob", Epoch: row.Epoch})
		if err != nil || now.Still() || now.Who != "bob" || now.Epoch <= suspended.Epoch || now.Remaining <= 0 {
			t.Errorf("resumed: %+v, %v", now, err)
		}
	})
}

// TestSuspensionRestoredAfterResumption: a dump of a suspended mirror is restored after
// the resumption. It stays suspended, and can be resumed.
func TestSuspensionRestoredAfterResumption(t *testing.T) {
	t.Parallel()
	s, _, dump, restore := restorable(t)
	ctx := t.Context()
	got := suspend(t, s)
	before := dump()
	resumed, err := s.Resume(ctx, suspension.Request{Who: "bob", Epoch: got.Epoch})
	must(t, err)
	held, _ := begin(t, s, keyOf("2"))
	restore(before)

	proof := proofOf(t, s)
	if now := proof.Rows.Own(""); proof.Confirmed || now.State != suspension.Suspending || now.Unconfirmed {
		t.Fatalf("restored: %+v", proof)
	}
	// The lease of after the resumption has to end first.
	if now, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || now.State != suspension.Suspending || now.Remaining <= 0 {
		t.Errorf("acknowledged at once: %+v, %v", now, err)
	}
	if _, err := s.Renew(ctx, held, ttl); err == nil {
		t.Error("a lease of before the restore was renewed")
	}
	again, err := s.Resume(ctx, suspension.Request{Who: "carol", Epoch: got.Epoch})
	if err != nil || again.Still() || again.Epoch <= resumed.Epoch || again.Remaining <= 0 {
		t.Errorf("resumed: %+v, %v; the first time %+v", again, err, resumed)
	}
}

// TestSuspensionAfterAStart: a server that was started again may be an earlier copy of
// itself. A database that never mirrored anything has nothing to lose.
func TestSuspensionAfterAStart(t *testing.T) {
	t.Parallel()
	server, s := crashing(t)
	ctx := t.Context()
	_, err := s.AddMailboxes(ctx, link, []mailbox.Number{"1"})
	must(t, err)
	if proof := proofOf(t, s); !proof.Confirmed || proof.Used {
		t.Fatalf("a new database: %+v", proof)
	}
	server.Crash(t)
	restarted(t, server, s)
	proof := proofOf(t, s)
	if proof.Confirmed || proof.Used || !proof.Rows.Own("").Unconfirmed {
		t.Fatalf("started again: %+v", proof)
	}
	must(t, s.ConfirmSuspension(ctx, proof, time.Second))
	must(t, s.ConfirmLinks(ctx, proofOf(t, s)))
	lease, _ := begin(t, s, keyOf("1")) // at once
	must(t, s.Save(ctx, lease, copier.Update{}))
	must(t, s.Release(ctx, lease, true))

	// One that is suspended stays so, and a link, too.
	suspend(t, s)
	_, err = s.Suspend(ctx, suspension.Request{Link: link, Who: "alice"})
	must(t, err)
	server.Crash(t)
	restarted(t, server, s)
	if own := proofOf(t, s).Rows.Own(link); own.State != suspension.Suspending || own.Who != "alice" {
		t.Errorf("the link, started again while suspending: %+v", own)
	}
	if proof := proofOf(t, s); proof.Confirmed || !proof.Used || proof.Rows.Own("").State != suspension.Suspending || proof.Rows.Own("").Unconfirmed {
		t.Errorf("started again while suspending: %+v", proof)
	}
	if _, _, err := s.Begin(ctx, keyOf("1"), ttl, fence); !fault.Is(err, fault.Conflict) {
		t.Errorf("begin: %v", err)
	}
}

// TestSuspensionAfterTheClockWasPutBack: the server started with a clock that was months
// ahead, which was then put right. Nobody waits for months until something is written, or
// until a suspension is acknowledged.
func TestSuspensionAfterTheClockWasPutBack(t *testing.T) {
	t.Parallel()
	s, dsn, _, _ := restorable(t)
	ctx := t.Context()
	putBack := func() {
		t.Helper()
		sql(t, dsn, "UPDATE suspension SET quiet_until = clock_timestamp() + interval '300 days'")
	}
	putBack()
	proof := proofOf(t, s)
	if proof.Confirmed {
		t.Fatalf("nobody asks whether the mirror is suspended: %+v", proof)
	}
	must(t, s.ConfirmSuspension(ctx, proof, time.Second))
	must(t, s.ConfirmLinks(ctx, proofOf(t, s)))
	if now := proofOf(t, s); !now.Confirmed || now.Rows.Own("").Remaining > now.LeaseTime {
		t.Errorf("confirmed: %+v", now)
	}
	_, _, err := s.Begin(ctx, keyOf("1"), ttl, fence)
	refused(t, "begin while leases of before may be in use", err)
	quiet(t, dsn)
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Release(ctx, lease, true))

	got := suspend(t, s)
	putBack()
	if now, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || now.State != suspension.Suspending || now.Remaining > time.Minute {
		t.Errorf("acknowledged at once, or not for long: %+v, %v", now, err)
	}
	quiet(t, dsn)
	if now, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || now.State != suspension.Suspended {
		t.Errorf("acknowledged when it is over: %+v, %v", now, err)
	}
}

// TestSuspensionOfAServerThatDoesNotWait: the server's own setting is that a commit does
// not wait for the disk. A suspension that was acknowledged outlives a crash all the same.
func TestSuspensionOfAServerThatDoesNotWait(t *testing.T) {
	t.Parallel()
	server := pgtest.StartServer(t)
	for _, setting := range []string{"synchronous_commit = off", "wal_writer_delay = '10s'"} {
		sql(t, server.DSN(), "ALTER SYSTEM SET "+setting)
	}
	server.Crash(t)
	server.Start(t)
	s, err := pgstore.Open(t.Context(), server.DSN())
	must(t, err)
	t.Cleanup(s.Close)
	must(t, pgtest.Migrate(t.Context(), s))
	addLink(t, s)
	sql(t, server.DSN(), "CHECKPOINT")
	got := suspend(t, s)
	if now, err := s.ConfirmSuspended(t.Context(), "", got.Epoch); err != nil || now.State != suspension.Suspended {
		t.Fatalf("acknowledged: %+v, %v", now, err)
	}
	server.Crash(t)
	restarted(t, server, s)
	if now := proofOf(t, s).Rows.Own(""); now.State != suspension.Suspended || now.Epoch != got.Epoch {
		t.Errorf("after a crash: %+v, before %+v", now, got)
	}
}
