//go:build integration

package dirsync_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/ldapdir/ldapdirtest"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/servers"
)

// serverDirectory reaches a server as the trusted server.
func serverDirectory(t *testing.T, d servers.Directory) *dirsync.Directory {
	t.Helper()
	m := directory.DefaultMapping()
	m.BaseDN = d.Base()
	store, err := ldapdir.New(ldapdir.Options{Name: "test", Address: d.Addr(), Security: site.SecurityNone,
		BindDN: d.TrustedDN(), Password: seal.NewSecret(d.TrustedPassword()), Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	return &dirsync.Directory{Store: "test", Mapping: m, Digest: func(_ directory.Column, v []byte) []byte { return v },
		Open: func(ctx context.Context) (dirsync.Session, error) {
			s, err := store.Open(ctx)
			if err != nil {
				return nil, err
			}
			return s, nil
		}}
}

// A target that ends the connection at one entry, as its recorded name is too large,
// takes all others in the same run. The entry is recorded, with what to do, and is
// mirrored once the target accepts it.
func TestApplyDirectoryPassesAnEntryThatEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, kind := range []ldapdirtest.Kind{ldapdirtest.Slapd(), ldapdirtest.DS389()} {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			box := func(number string) string {
				return "dn: MailboxNumber=" + number + ",ou=mailboxes,dc=example\nobjectClass: umMailbox\nMailboxNumber: " + number + "\ncn: Box\nPassword: 1\n\n"
			}
			server := kind.Start(t, ldapdirtest.Wish{MaxRequest: 262144, LDIF: box("1001") + box("1002")})
			m := newMirrorerOf(t, nil, serverDirectory(t, server), slog.DiscardHandler)
			put := func(number, pin string, name int) {
				m.runs.Source.Put(number, map[directory.Column]string{directory.CommonName: "Box", directory.Password: pin, directory.RecordedName: strings.Repeat("x", name)})
			}
			put("1001", "1", 300<<10)
			put("1002", "2", 10)
			put("1003", "3", 10)
			for run := range 2 {
				m.compare(dirsync.TriggerOperator)
				result, err := m.apply(100)
				if err != nil || result.Stopped != "" || result.Failed != 1 || run == 0 && result.Done != 2 {
					t.Fatalf("run %d: %+v, %v", run, result, err)
				}
				for _, c := range m.runs.Changes() {
					if failed := c.State == dirsync.ChangeFailed; failed != (c.Number == "1001") || failed && (!strings.Contains(c.Hint, "maxbersize") || strings.Contains(c.Error, "xxx")) {
						t.Errorf("run %d: %s is %s: %s (%s)", run, c.Number, c.State, c.Error, c.Hint)
					}
				}
				m.finish()
			}
			put("1001", "1", 200<<10)
			m.compare(dirsync.TriggerOperator)
			if result, err := m.apply(100); err != nil || result.Done != 1 {
				t.Errorf("a smaller name: %+v, %v", result, err)
			}
		})
	}
}
