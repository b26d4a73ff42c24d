//go:build integration

package engine

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/test/engine/enginetest"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestOverQuota: a target without room for one folder takes the others, keeps
// what it has, says what is missing and why, and becomes equal once there is
// room: because the source makes some, or the target is given more.
func TestOverQuota(t *testing.T) {
	t.Parallel()
	const room = 200 << 10
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	// Its folder outlives it: it comes back with more room.
	o := servers.DovecotOptions{Name: "dr", Dir: t.TempDir(), QuotaBytes: room}
	if err := os.Chmod(filepath.Dir(o.Dir), 0o755); err != nil { // the server's user has to get in
		t.Fatal(err)
	}
	dr := servers.DovecotT(t, o)
	m := newMirror(t, mailboxNumber(310), production, dr)
	m.engine = copier.NewEngine(m.ledger, enginetest.Clock{}, copier.Options{Lease: lease.Times{TTL: 2 * time.Second}}, slog.New(slog.DiscardHandler))
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("small", 400))
		u.Put("Work", user.Voices("work", 5)...)
		u.Put("Archive", user.Voices("archive", 5)...)
	})
	m.sync()
	m.wholly("with room")

	// The folders that come after the one without room still get theirs.
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("first", 500), user.Voice("huge", room+1000), user.Voice("last", 600))
		u.Put("Work", user.Voices("more work", 3)...)
		u.Put("Zoo", user.Voices("zoo", 2)...)
		u.Do("SELECT %s", "Archive")
		u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		u.Do(`STORE 1 +FLAGS (\Flagged)`)
	})
	for range 2 { // it stays as it is, and nothing is doubled by trying
		m.partly("INBOX", 3)
		j := m.read()
		for name, v := range j {
			if name != "INBOX" {
				t.Errorf("folder %s had room and differs: %+v", name, v)
			}
		}
		if v := j["INBOX"]; v.Extra > 0 || v.Missing != 1 {
			t.Errorf("the inbox lacks the one message that is too large, and differs so: %+v", v)
		}
	}
	m.source.use(func(u *user.User) {
		u.Do("SELECT %s", "INBOX")
		u.Do(`STORE 3 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
	})
	if _, err := m.inTurn(); err != nil {
		t.Fatal(err)
	}
	m.wholly("after the source made room")

	// Full of what the source deletes in the same sync: room is made first.
	m.source.use(func(u *user.User) { u.Put("Work", user.Voice("filler", room*3/4)) })
	m.sync()
	m.source.use(func(u *user.User) {
		u.Do("SELECT %s", "Work")
		u.Do(`STORE 9 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		u.Put("INBOX", user.Voice("instead", room*3/4))
	})
	// A server that says that it has no room while a command is still open costs
	// the connection, and what comes next is sent message by message.
	if report, err := m.inTurn(); err != nil {
		if !strings.Contains(report.Err, "OVERQUOTA") {
			t.Fatal(err)
		}
		if _, err := m.inTurn(); err != nil {
			t.Fatal(err)
		}
	}
	m.wholly("after one large message took another's place")

	// More room on the target.
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("waiting", 4)...)
		u.Put("INBOX", user.Voice("larger", room/2))
	})
	// The last one has no room, and the others had.
	if report, err := m.inTurn(); err != nil || report.Outcome != copier.Differing {
		t.Errorf("the sync without room for the last message ended %s, %v", report.Outcome, err)
	}
	if kept := m.recorded()["INBOX"][copier.Postponed]; len(kept) != 1 || !strings.Contains(fmt.Sprint(kept), "raise its quota") {
		t.Errorf("recorded are %v", m.recorded())
	}
	m.job.Retry = true // as a compare does
	if err := dr.Stop(); err != nil {
		t.Fatal(err)
	}
	o.QuotaBytes = 10 * room
	more := servers.DovecotT(t, o)
	m.target.proxy.SetTarget(more.Addr())
	m.target.access.Addr = more.Addr()
	if _, err := m.inTurn(); err != nil {
		t.Fatal(err)
	}
	m.wholly("after the target was given more room")
	m.settled(true)
	m.onlyRead()
}

// partly syncs a mailbox of which the target has no room for one message.
func (m *mirror) partly(folder string, uid mailbox.UID) {
	m.t.Helper()
	report, err := m.inTurn()
	if err != nil || report.Outcome != copier.Differing {
		m.t.Fatalf("the sync to a target without room for one message ended %s, %v", report.Outcome, err)
	}
	said := m.recorded()[folder][copier.Postponed][uid]
	for _, want := range []string{"OVERQUOTA", "raise its quota", " bytes"} {
		if !strings.Contains(said, want) {
			m.t.Errorf("the operator is told %q without %q of %v", said, want, m.recorded())
		}
	}
}

// inTurn syncs once the lease of a sync that lost its connection is over.
func (m *mirror) inTurn() (copier.Report, error) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		report, err := m.engine.Sync(m.t.Context(), m.job)
		if !fault.Is(err, fault.Conflict) || time.Now().After(end) {
			return report, err
		}
		if err := (enginetest.Clock{}).Sleep(m.t.Context(), 50*time.Millisecond); err != nil {
			m.t.Fatal(err)
		}
	}
}

// read compares the two stores by the independent reader's eyes alone.
func (m *mirror) read() map[string]verdict {
	m.t.Helper()
	var copies [2]reader.Copy
	for i, s := range []*side{m.source, m.target} {
		c, err := s.access.Read(m.t.Context(), s.number)
		if err != nil {
			m.t.Fatal(err)
		}
		copies[i] = c
	}
	return unlike(copies[0], copies[1])
}
