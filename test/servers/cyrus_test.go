//go:build integration

package servers_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"mailmirror/test/servers"
)

func TestCyrusLogIn(t *testing.T) {
	for name, c := range map[string]struct {
		opts      servers.CyrusOptions
		namespace string
	}{
		"default":      {servers.CyrusOptions{}, `(("" "/"))`},
		"inbox prefix": {servers.CyrusOptions{InboxPrefix: true, DotSeparator: true}, `(("INBOX." "."))`},
	} {
		t.Run(name, func(t *testing.T) {
			s := servers.CyrusT(t, c.opts)
			t.Logf("started in %v", s.StartTime())
			lines := talk(t, s.Addr(), nil, authzid("4001", s.TrustedName(), s.TrustedPassword()), "NAMESPACE", `LIST "" *`)
			if !has(lines, "t0 OK") || !has(lines, c.namespace) || !has(lines, "INBOX") {
				t.Errorf("unexpected %q", lines)
			}
			if lines := talk(t, s.Addr(), nil, authzid("4001", s.TrustedName(), "wrong")); has(lines, "t0 OK") {
				t.Errorf("a wrong password was accepted: %q", lines)
			}
			if err := s.CreateMailbox(t.Context(), "4002", "4003"); err != nil {
				t.Fatal(err)
			}
			if lines := talk(t, s.Addr(), nil, "LOGIN 4002 "+s.MailboxPassword(), `LIST "" *`); !has(lines, "INBOX") {
				t.Errorf("own password: %q", lines)
			}
			sep := c.namespace[len(c.namespace)-4 : len(c.namespace)-3]
			lines = talk(t, s.Addr(), nil, "LOGIN trusted secret", `LIST "" "user`+sep+`%" RETURN (STATUS (MESSAGES UIDNEXT))`)
			for _, n := range []string{"4001", "4002", "4003"} {
				if !has(lines, "STATUS user"+sep+n+" (MESSAGES 0 UIDNEXT 1)") {
					t.Errorf("the administrator does not see %s: %q", n, lines)
				}
			}
		})
	}
}

func TestCyrusLimited(t *testing.T) {
	s := servers.CyrusT(t, servers.CyrusOptions{
		Mailboxes: []string{"4001"}, HideCapabilities: []string{"CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+"},
	})
	lines := talk(t, s.Addr(), nil, authzid("4001", "trusted", "secret"), "CAPABILITY", "EXAMINE INBOX")
	if !has(lines, "t2 OK") || has(lines, "UIDPLUS") || has(lines, "CONDSTORE") {
		t.Errorf("unexpected %q", lines)
	}
	if lines := talk(t, s.Addr(), nil, authzid("4002", "trusted", "secret"), "EXAMINE INBOX"); has(lines, "t1 OK") {
		t.Errorf("an unknown mailbox is there: %q", lines)
	}
	plain := servers.CyrusT(t, servers.CyrusOptions{TrustedPlain: true})
	if lines := talk(t, plain.Addr(), nil, authzid("4001", "trusted", "secret")); has(lines, "t0 OK") {
		t.Errorf("a plain user acted for another: %q", lines)
	}
}

func TestCyrusKillAndRestart(t *testing.T) {
	s := servers.CyrusT(t, servers.CyrusOptions{})
	login := authzid("4001", "trusted", "secret")
	talk(t, s.Addr(), nil, login, "CREATE kept", "APPEND kept {17+}\r\nSubject: x\r\n\r\nb\r\n")
	pid, addr := s.Pid(), s.Addr()
	if err := s.Kill9(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Fatal("a killed server still listens")
	}
	if left := servers.GroupMembers(pid); len(left) > 0 {
		t.Fatalf("processes left after kill -9: %v", left)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted in %v", s.StartTime())
	if lines := talk(t, addr, nil, login, "STATUS kept (MESSAGES)"); !has(lines, "MESSAGES 1") {
		t.Errorf("the folder is lost: %q", lines)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restart while running: %v", err)
	}
}

func TestCyrusTLS(t *testing.T) {
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	cert, key, err := ca.Issue(t.TempDir(), "cyrus", servers.CertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []servers.TLSMode{servers.TLSImplicit, servers.TLSStartTLS} {
		s := servers.CyrusT(t, servers.CyrusOptions{TLS: &servers.TLSOptions{Mode: mode, CertFile: cert, KeyFile: key}})
		if mode == servers.TLSImplicit {
			conf := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
			if lines := talk(t, s.Addr(), conf, authzid("4001", "trusted", "secret")); !has(lines, "t0 OK") {
				t.Errorf("%q", lines)
			}
			continue
		}
		if lines := talk(t, s.Addr(), nil, "LOGIN trusted secret", "STARTTLS"); has(lines, "t0 OK") || !has(lines, "t1 OK") {
			t.Errorf("%s", strings.Join(lines, "\n"))
		}
	}
}
