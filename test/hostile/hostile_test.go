//go:build integration

package hostile

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
	"mailmirror/test/engine/enginetest"
	"mailmirror/test/output"
	"mailmirror/test/servers"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// ceiling bounds the memory of this process, with the stores in it.
const ceiling = 150 << 20

// password is the trusted account's on every hostile store.
const password = "canary-Passwort-7391"

// harmless are the modes that must not keep a mailbox from being mirrored: what
// the store sends is no more than odd.
var harmless = map[servers.Mode]bool{
	"append: all UIDs": true, "open: permanent flags of 900 kB": true, "list: attributes without end": true,
	"login: capabilities of words": true,
}

// rig is two hostile stores, the adapters of them, and the engine over a ledger.
type rig struct {
	source, target *servers.Hostile
	from, to       *imapstore.Store
	ledger         *pgstore.Store
	dsn            string
	engine         *copier.Engine
	log            *output.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, 3*time.Second)
}

// newRigOf is newRig with how long a silent server is waited for.
func newRigOf(t *testing.T, patience time.Duration) *rig {
	t.Helper()
	r := &rig{source: servers.HostileT(t, password), target: servers.HostileT(t, password), log: &output.Buffer{}}
	r.ledger, r.dsn = enginetest.Ledger(t, r.source.Addr(), r.target.Addr())
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	memory := imapstore.NewMemory()
	for _, side := range []struct {
		name  string
		h     *servers.Hostile
		store **imapstore.Store
	}{{"production", r.source, &r.from}, {"dr", r.target, &r.to}} {
		var err error
		*side.store, err = imapstore.New(imapstore.Options{Name: side.name, Address: side.h.Addr(), Security: site.SecurityNone,
			Login: site.LoginAuthzid, TrustedName: side.h.TrustedName(), Password: seal.NewSecret(password), Logger: logger, Memory: memory,
			Timeouts: imapstore.Timeouts{Connect: 20 * time.Second, Read: patience, Write: 20 * time.Second, Quiet: time.Second, Answer: patience}})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The stores are in this process: what they were sent before a cut lands soon.
	r.engine = copier.NewEngine(r.ledger, enginetest.Clock{}, copier.Options{Lease: lease.Times{Fence: 500 * time.Millisecond}}, logger)
	return r
}

// canaries must be in no output: parts of the password, of what is sent at the
// login, and of messages.
func canaries(number string) []string {
	sasl := base64.StdEncoding.EncodeToString([]byte(number + "\x00trusted\x00" + password))
	return []string{"canary", "passwort", strings.ToLower(sasl[len(sasl)-20 : len(sasl)-8])}
}

func message(i int) []byte {
	return fmt.Appendf(nil, "From: canary-sender-%d@example.org\r\nSubject: canary subject\r\nMessage-ID: <%d@canary>\r\n\r\n"+
		"canary words of a body %d\r\nCREATE canary\r\n", i, i, i)
}

// sync mirrors a mailbox and records a failure as a worker does.
func (r *rig) sync(t *testing.T, number string) (copier.Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := r.ledger.AddMailboxes(ctx, "dr", []mailbox.Number{mailbox.Number(number)}); err != nil {
		t.Fatal(err)
	}
	job := copier.Job{Key: mailbox.Key{Link: "dr", Number: mailbox.Number(number)}, Generation: 1, Trigger: "operator",
		Source: r.from, Target: r.to, Greetings: mailbox.DefaultGreetings}
	report, err := r.engine.Sync(ctx, job)
	if err != nil {
		report.Key, report.Outcome, report.ErrKind = job.Key, copier.Failed, string(fault.KindOf(err))
		report.Err, report.Hint = fault.Plain(err.Error()), fault.HintOf(err)
		if report.Started.IsZero() {
			report.Started, report.Finished = time.Now(), time.Now()
		}
		if err := r.ledger.RecordFailure(ctx, report, time.Hour); err != nil {
			t.Errorf("the failure %q cannot be recorded: %v", report.Err, err)
		}
	}
	return report, err
}

// look uses a mailbox in the ways that a sync of three messages does not, and
// returns what a worker and an operator would be shown.
func (r *rig) look(t *testing.T, store *imapstore.Store, number mailbox.Number, mode servers.Mode) string {
	t.Helper()
	var said strings.Builder
	note := func(err error, more ...any) { fmt.Fprintln(&said, append(more, err, fault.HintOf(err))...) }
	report, err := store.Check(t.Context(), number)
	note(err, report)
	_, why, err := store.Offer(t.Context(), number)
	note(err, why)
	all := mailbox.UIDSet{{First: 1, Last: 3}}
	for _, use := range []func(s copier.Session) error{
		func(s copier.Session) error { _, err := s.UIDs(t.Context()); return err },
		func(s copier.Session) error { _, err := s.Messages(t.Context(), all, 0); return err },
		func(s copier.Session) error { _, err := s.Headers(t.Context(), all); return err },
		func(s copier.Session) error {
			return s.Bodies(t.Context(), all, func(_ mailbox.UID, _ int64, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
		},
		func(s copier.Session) error { return s.SetFlags(t.Context(), all, "$canaryKeyword") },
		func(s copier.Session) error { return s.Expunge(t.Context(), all) },
	} {
		s, err := store.Open(t.Context(), number)
		if err != nil {
			note(err)
			continue
		}
		_, err = s.Examine(t.Context(), "INBOX")
		note(err)
		if err == nil {
			note(use(s))
		}
		_ = s.Close()
	}
	limit := 200 * time.Millisecond
	if strings.HasPrefix(string(mode), "idle") {
		limit = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := store.Idle(ctx, number, 0)
	if err == nil {
		err = conn.Listen(ctx, func(watch.Report) {}, func() {})
	}
	note(err)
	return said.String()
}

// TestHostileStore runs every mode of the hostile store, as the source and as the
// target, beside an honest mailbox of the same two stores.
func TestHostileStore(t *testing.T) {
	r := newRig(t)
	resetPeak(t)
	for i, mode := range servers.HostileModes() {
		for _, side := range []string{"source", "target"} {
			t.Run(side+", "+string(mode), func(t *testing.T) {
				number, honest := fmt.Sprintf("1%03d%s", i, side), fmt.Sprintf("2%03d%s", i, side)
				for n := range 3 {
					r.source.Put(number, "INBOX", `\Seen $canaryKeyword`, message(n))
					r.source.Put(honest, "INBOX", `\Seen $canaryKeyword`, message(n))
				}
				hostile, store := r.source, r.from
				if side == "target" {
					hostile, store = r.target, r.to
					// As on a DR store that has been in use.
					r.target.Put(number, "INBOX", "$canaryKeyword", message(0))
				}
				hostile.SetMode(number, mode)
				var beside sync.WaitGroup
				beside.Go(func() {
					if _, err := r.sync(t, honest); err != nil {
						t.Errorf("the honest mailbox: %v", err)
					}
				})
				began := time.Now()
				report, err := r.sync(t, number)
				took := time.Since(began)
				beside.Wait()
				if got := r.target.Messages(honest, "INBOX"); len(got) != 3 {
					t.Errorf("%d messages of the honest mailbox arrived", len(got))
				}
				r.judge(t, side, mode, number, report, err)
				shown := fmt.Sprint(report.Err, report.Hint, err, r.look(t, store, mailbox.Number(number), mode))
				for _, c := range canaries(number) {
					if strings.Contains(strings.ToLower(shown), c) {
						t.Errorf("%q is shown:\n%s", c, shown)
					}
				}
				if most := peak(t); most > ceiling {
					t.Errorf("the process took %d MB", most>>20)
					resetPeak(t)
				}
				t.Logf("%.1f s: %v, %d differences: %v (%s)", took.Seconds(), report.Outcome, report.Differences, err, report.Hint)
			})
		}
	}
	t.Logf("at most %d MB", peak(t)>>20)
	r.nothingLeaked(t)
}

// judge holds what became of the hostile mailbox against what may: whatever the
// store did, no message is there that the source does not have, and a mailbox that
// is not mirrored says why.
func (r *rig) judge(t *testing.T, side string, mode servers.Mode, number string, report copier.Report, err error) {
	t.Helper()
	known := map[string]bool{}
	for n := range 3 {
		known[string(message(n))] = true
	}
	whole := 0
	for _, m := range r.target.Messages(number, "INBOX") {
		if known[string(m.Body)] {
			whole++
		} else {
			t.Errorf("on the target: %q", m.Body)
		}
	}
	switch {
	case err != nil && report.Err == "":
		t.Error("the failure says nothing")
	case err != nil && harmless[mode]:
		t.Errorf("failed: %v", err)
	case err == nil && mode == "names: of paths and lines" && side == "source" && report.Differences == 0:
		t.Error("names that cannot be mirrored are no difference")
	case err == nil && report.Differences == 0 && report.Held == 0 && whole != 3:
		t.Errorf("%d of 3 messages are on the target, and nobody says why", whole)
	}
}

// nothingLeaked searches the log and every row of the database.
func (r *rig) nothingLeaked(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(strings.ToLower(line), "canary") || strings.Contains(line, "Passwort") {
			t.Errorf("in the log: %s", line)
		}
	}
	for _, row := range pgtest.Search(t, r.dsn, "canary", "passwort", "Passwort") {
		t.Errorf("in the database: %s", row)
	}
}

// resetPeak begins to measure the process's greatest resident size anew.
func resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// peak is the process's greatest resident size since then, in bytes.
func peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(after, &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}
