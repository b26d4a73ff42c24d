//go:build integration

package reader_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// change does what users do and returns no error on either kind of server.
func change(t *testing.T, s reader.Store, mailbox string, commands ...string) {
	t.Helper()
	c, err := s.Open(t.Context(), mailbox)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, command := range commands {
		if _, err := c.Command(command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// TestEquality fills two kinds of server with the same mail below different
// namespaces, and holds each way to change one of them against the reader.
func TestEquality(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{Separator: ".", Prefix: "INBOX."})
	c := servers.CyrusT(t, servers.CyrusOptions{})
	a := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword(), Separator: "*"}
	b := reader.Store{Addr: c.Addr(), Trusted: c.TrustedName(), Password: c.TrustedPassword()}
	numbers := []string{"4001", "4002", "4003"}
	for _, s := range []reader.Store{a, b} {
		if err := corpus.Fill(t.Context(), s, numbers, corpus.Options{Seed: 5, Messages: 8, Greetings: 2, MaxSize: 20 << 10}, 2, nil); err != nil {
			t.Fatal(err)
		}
		for _, n := range numbers { // INBOX is subscribed by itself on one of them only
			change(t, s, n, "SUBSCRIBE INBOX")
		}
	}
	differences := func() []string {
		t.Helper()
		diff, err := reader.Compare(t.Context(), a, b, numbers, 2)
		if err != nil {
			t.Fatal(err)
		}
		return diff
	}
	if diff := differences(); len(diff) > 0 {
		t.Fatalf("equal stores differ: %q", diff)
	}
	before, err := a.Read(t.Context(), "4001")
	if err != nil {
		t.Fatal(err)
	}
	if messages, bytes := before.Counts(); messages != 10 || bytes < 50_000 {
		t.Errorf("%d messages of %d bytes", messages, bytes)
	}
	for _, step := range []struct{ name, do, undo, want string }{
		{"flag", "UID STORE 1 +FLAGS (Unheard)", "UID STORE 1 -FLAGS (Unheard)", "unheard"},
		{"deleted flag", `UID STORE 2 +FLAGS (\Draft)`, `UID STORE 2 -FLAGS (\Draft)`, `\draft`},
		{"new folder", "CREATE INBOX.Extra", "DELETE INBOX.Extra", `folder "Extra": only on the first`},
		{"rename", "RENAME INBOX.Saved INBOX.Kept", "RENAME INBOX.Kept INBOX.Saved", `folder "Saved": only on the second`},
		{"subscription", "UNSUBSCRIBE INBOX.Greetings", "SUBSCRIBE INBOX.Greetings", `"Greetings": subscribed: false / true`},
		{"twin", "UID COPY 1 INBOX", "", "2 / 1 times"},
		{"expunge", `UID STORE 1 +FLAGS (\Deleted)`, "", `\deleted`},
	} {
		change(t, a, "4002", "SELECT INBOX", step.do)
		diff := differences()
		if len(diff) == 0 || !strings.Contains(strings.Join(diff, "\n"), step.want) || !strings.HasPrefix(diff[0], "4002 ") {
			t.Errorf("%s: got %q", step.name, diff)
		}
		if step.undo == "" {
			continue
		}
		change(t, a, "4002", "SELECT INBOX", step.undo)
		// A rename takes the subscription along on one server and not on the other.
		if step.name == "rename" {
			change(t, a, "4002", "SUBSCRIBE INBOX.Saved")
		}
		if diff := differences(); len(diff) > 0 {
			t.Errorf("%s undone: %q", step.name, diff)
		}
	}
	change(t, a, "4002", "SELECT INBOX", "UID EXPUNGE 1")
	for _, kill := range []func() error{d.Kill9, c.Kill9} {
		if err := kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Read(t.Context(), "4001"); err == nil {
		t.Error("a killed server was read")
	}
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := a.Read(t.Context(), "4001")
	if err != nil {
		t.Fatal(err)
	}
	if diff := reader.Diff(before, after); len(diff) > 0 {
		t.Errorf("lost by kill -9: %q", diff)
	}
}

func TestReadOverTLS(t *testing.T) {
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(t.TempDir(), "good", servers.CertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	d := servers.DovecotT(t, servers.DovecotOptions{TLS: &servers.TLSOptions{Mode: servers.TLSImplicit, CertFile: cert, KeyFile: key}})
	s := reader.Store{
		Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword(),
		TLS: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"},
	}
	if all, err := s.Read(t.Context(), "4001"); err != nil || len(all) != 1 {
		t.Errorf("got %v, %v", all, err)
	}
	s.Password = "wrong"
	if _, err := s.Read(t.Context(), "4001"); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestSharedNamespaceIsForeign: what a trusted user sees of others is not its
// own mailbox.
func TestSharedNamespaceIsForeign(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: []string{"4001", "4002"}})
	s := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
	// Without the SELECT nobody would have made the INBOX yet, and the shared
	// namespace would list it as \NonExistent, without a status.
	change(t, s, "4001", "CREATE Greetings", "SELECT INBOX")
	c, err := reader.Dial(t.Context(), d.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(d.TrustedName(), d.TrustedPassword()); err != nil {
		t.Fatal(err)
	}
	own, err := c.Folders()
	if err != nil || len(own) != 1 {
		t.Errorf("own folders %v, %v", own, err)
	}
	reply, err := c.Command(`LIST "" "users/*" RETURN (STATUS (MESSAGES))`)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range reply.Untagged {
		if r.Name == "STATUS" {
			seen++
		}
	}
	if seen != 2 { // 4001's INBOX and Greetings; 4002 never logged in
		t.Errorf("%d folders with status", seen)
	}
}
