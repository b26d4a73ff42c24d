//go:build integration

package engine

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/guard"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/engine/enginetest"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// side is one store of a mirror, behind a proxy that sees every command.
type side struct {
	t      *testing.T
	number string
	access reader.Store // past the proxy
	proxy  *faults.Proxy
	store  *imapstore.Store
}

// link is the name of every mirror's link: each has a database of its own.
const link = "dr"

// mirror is the copy engine over two real stores and a real ledger, with one
// mailbox to keep equal: all that a worker does, without Temporal around it.
type mirror struct {
	t              *testing.T
	source, target *side
	ledger         *pgstore.Store
	dsn            string
	engine         *copier.Engine
	job            copier.Job
}

func newMirror(t *testing.T, number string, source, target user.Server) *mirror {
	t.Helper()
	m := &mirror{t: t}
	m.source, m.target = newSide(t, number, "production", source), newSide(t, number, "dr", target)
	// Nothing connects to the addresses in the ledger.
	m.ledger, m.dsn = enginetest.Ledger(t, "127.0.0.1:143", "127.0.0.1:143")
	if _, err := m.ledger.AddMailboxes(t.Context(), link, []mailbox.Number{mailbox.Number(number)}); err != nil {
		t.Fatal(err)
	}
	m.job = copier.Job{Key: mailbox.Key{Link: link, Number: mailbox.Number(number)}, Generation: 1, Trigger: "operator",
		Source: m.source.store, Target: m.target.store, Greetings: mailbox.DefaultGreetings}
	m.engine = copier.NewEngine(m.ledger, enginetest.Clock{}, copier.Options{}, slog.New(slog.DiscardHandler))
	return m
}

func newSide(t *testing.T, number, name string, s user.Server) *side {
	t.Helper()
	p := faults.ProxyT(t, s.Addr())
	store, err := imapstore.New(imapstore.Options{Name: name, Address: p.Addr(), Security: site.SecurityNone,
		Login: site.LoginAuthzid, TrustedName: s.TrustedName(), Password: seal.NewSecret(s.TrustedPassword())})
	if err != nil {
		t.Fatal(err)
	}
	return &side{t: t, number: number, proxy: p, store: store,
		access: user.Access(s)}
}

// sync makes the mailbox equal.
func (m *mirror) sync() copier.Report {
	m.t.Helper()
	report, err := m.engine.Sync(m.t.Context(), m.job)
	if err != nil {
		m.t.Fatalf("sync: %v (hint: %s)", err, report.Hint)
	}
	return report
}

// exact runs a sync and approves what the guard holds, so that a second one makes
// the target exact. It returns what both did.
func (m *mirror) exact(sync func() copier.Report) copier.Report {
	m.t.Helper()
	r := sync()
	if r.Held == 0 {
		return r
	}
	held, err := m.ledger.Holds(m.t.Context(), link)
	if err != nil {
		m.t.Fatal(err)
	}
	ids := make([]int64, len(held))
	for i, h := range held {
		ids[i] = h.ID
	}
	if _, err := m.ledger.DecideHolds(m.t.Context(), ids, guard.HoldApproved, "operator"); err != nil {
		m.t.Fatal(err)
	}
	again := sync()
	again.Held = r.Held
	for _, w := range []struct{ of, and *copier.Work }{{&again.Messages, &r.Messages}, {&again.Greetings, &r.Greetings}} {
		w.of.Appended += w.and.Appended
		w.of.Expunged += w.and.Expunged
	}
	again.Folders.Created += r.Folders.Created
	return again
}

// force syncs and believes nothing that the ledger says.
func (m *mirror) force() copier.Report {
	m.t.Helper()
	forced := *m
	forced.job.Force = true
	return forced.sync()
}

// review is what a full compare does with a mailbox.
func (m *mirror) review() (copier.Report, bool) {
	m.t.Helper()
	states, err := m.ledger.ReviewStates(m.t.Context(), link, []mailbox.Number{m.job.Key.Number})
	if err != nil {
		m.t.Fatal(err)
	}
	report, unchanged, err := m.engine.Review(m.t.Context(), m.job, states[m.job.Key.Number].Folders)
	if err != nil {
		m.t.Fatalf("review: %v", err)
	}
	return report, unchanged
}

// settled proves that what was synced is left alone: a second sync writes
// nothing, not even in vain. With mod-sequences on both sides a review sees by
// the counters alone that there is nothing to do, but for what the target
// refused, which a review tries again.
func (m *mirror) settled(counters bool) {
	m.t.Helper()
	before := len(m.target.proxy.Commands())
	if again := m.sync(); !again.Idle() {
		m.t.Errorf("the sync of an equal mailbox changed it: %+v", again)
	}
	for _, c := range faults.Changes(m.target.proxy.Commands()[before:]) {
		m.t.Errorf("the sync of an equal mailbox sent %.100q", c)
	}
	refused := false
	for _, kinds := range m.recorded() {
		refused = refused || len(kinds[copier.Refused])+len(kinds[copier.FolderRefused])+len(kinds[copier.Unreadable]) > 0
	}
	report, unchanged := m.review()
	if counters && !refused && !unchanged {
		m.t.Error("the counters do not prove an unchanged mailbox to be unchanged")
	}
	if !report.Idle() {
		m.t.Errorf("the review of an equal mailbox changed it: %+v", report)
	}
}

// onlyRead proves that no command that could change something went to the
// source.
func (m *mirror) onlyRead() {
	m.t.Helper()
	for _, c := range faults.OnlyReads(m.source.proxy.Commands()) {
		m.t.Errorf("the source was sent %.100q", c)
	}
}

// sql runs statements on the ledger, as somebody with psql would.
func (m *mirror) sql(statements ...string) {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), m.dsn)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(m.t.Context(), s); err != nil {
			m.t.Fatalf("%s: %v", s, err)
		}
	}
}

// use lets a user do something in the mailbox.
func (s *side) use(do func(u *user.User)) {
	s.t.Helper()
	user.Use(s.t, s.access, s.number, do)
}

// number names a mailbox that no other test of the run uses on the servers
// that they share.
func mailboxNumber(i int) string { return fmt.Sprint(9000 + i) }

var _ = []user.Server{(*servers.Dovecot)(nil), (*servers.Cyrus)(nil)}
