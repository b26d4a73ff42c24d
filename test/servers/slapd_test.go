//go:build integration

package servers_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"mailmirror/test/servers"
)

// aMailbox is an entry with a value that is no text.
const aMailbox = `dn: MailboxNumber=4001,ou=mailboxes,dc=example
objectClass: umMailbox
MailboxNumber: 4001
cn: Anna Berg
Password: 2580
umRecordedName:: AAECAwQF/w==
`

func TestSlapdKeepsEntries(t *testing.T) {
	s := servers.SlapdT(t, servers.SlapdOptions{})
	if err := s.Apply(t.Context(), aMailbox); err != nil {
		t.Fatal(err)
	}
	for _, again := range []func() error{
		func() error { return nil },
		func() error { return s.Restart(t.Context()) },
		func() error {
			if err := s.Kill9(); err != nil {
				return err
			}
			return s.Restart(t.Context())
		},
		func() error { return s.Change(t.Context(), func(o *servers.SlapdOptions) { o.SizeLimit = 1 }) },
	} {
		if err := again(); err != nil {
			t.Fatal(err)
		}
		ldif, err := s.Dump(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(ldif, "umRecordedName:: AAECAwQF/w==") || !strings.Contains(ldif, "entryUUID: ") {
			t.Errorf("the entry is not there: %s", ldif)
		}
	}
}

func TestSlapdWithoutRoomSchemaOrLeave(t *testing.T) {
	s := servers.SlapdT(t, servers.SlapdOptions{NoSchema: true})
	if err := s.Apply(t.Context(), aMailbox); err == nil {
		t.Error("an entry of an unknown class was taken")
	}
	if err := s.Change(t.Context(), func(o *servers.SlapdOptions) { o.NoSchema, o.ReadOnly = false, true }); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), aMailbox); err == nil || !strings.Contains(err.Error(), "(53)") {
		t.Errorf("a write where nothing may be written: %v", err)
	}
	if err := s.Change(t.Context(), func(o *servers.SlapdOptions) { o.ReadOnly, o.MaxSize = false, 256<<10 }); err != nil {
		t.Fatal(err)
	}
	large := aMailbox + "description: " + strings.Repeat("x", 300<<10) + "\n"
	if err := s.Apply(t.Context(), large); err == nil || !strings.Contains(err.Error(), "(80)") {
		t.Errorf("a write beyond the room: %v", err)
	}
	if err := s.Apply(t.Context(), aMailbox); err != nil {
		t.Errorf("a write within the room: %v", err)
	}
}

func TestSlapdTLS(t *testing.T) {
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(t.TempDir(), "slapd", servers.CertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []servers.TLSMode{servers.TLSStartTLS, servers.TLSImplicit} {
		s := servers.SlapdT(t, servers.SlapdOptions{TLS: &servers.TLSOptions{Mode: mode, CertFile: cert, KeyFile: key}})
		if err := s.Apply(t.Context(), aMailbox); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestSlapdLeavesNothing(t *testing.T) {
	s, err := servers.StartSlapd(t.Context(), servers.SlapdOptions{LDIF: strings.NewReader(aMailbox), Syncprov: true})
	if err != nil {
		t.Fatal(err)
	}
	group := s.Pid()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if left := servers.GroupMembers(group); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// A server on the wished port is another's, and would be mistaken for the one that starts.
func TestSlapdDoesNotStartOnAPortInUse(t *testing.T) {
	s := servers.SlapdT(t, servers.SlapdOptions{})
	_, text, _ := net.SplitHostPort(s.Addr())
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	other, err := servers.StartSlapd(t.Context(), servers.SlapdOptions{Port: port})
	if err == nil {
		err = other.Stop()
		t.Fatalf("started beside another (stopped: %v)", err)
	}
	if !strings.Contains(err.Error(), "port "+text+" is in use") {
		t.Errorf("got %v", err)
	}
}
