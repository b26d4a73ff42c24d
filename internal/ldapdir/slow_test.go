package ldapdir_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/servers"
)

// A server that takes longer to answer a bind than connecting may take is reached,
// and a write that is sent before its deadline may be answered after it. A write is
// not sent at its deadline.
func TestSlowServer(t *testing.T) {
	h, err := servers.StartHostileLDAP(t.Context(), servers.LDAPSlow, "1001")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	m := directory.DefaultMapping()
	m.BaseDN = h.Base()
	store, err := ldapdir.New(ldapdir.Options{Name: "slow", Address: h.Addr(), Security: site.SecurityNone, BindDN: "cn=trusted,dc=example",
		Password: seal.NewSecret("secret"), Mapping: m, Timeouts: ldapdir.Timeouts{Connect: 500 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context())
	if err != nil {
		t.Fatalf("a slow bind: %v", err)
	}
	defer func() { _ = s.Close() }()
	found, err := s.Find(t.Context(), "1001")
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	write := func(ctx context.Context) error {
		return s.Write(ctx, directory.Operation{Modify: &directory.Modify{Ref: directory.Ref{DN: found[0].DN}, Replace: map[string][][]byte{"cn": {[]byte("x")}}}})
	}
	soon, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := write(soon); err != nil {
		t.Errorf("an answer after the deadline: %v", err)
	}
	if err := write(soon); !fault.Is(err, fault.Transient) || fault.Lost(err) || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("a write after the deadline: %v", err)
	}
}
