//go:build integration

package servers_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/test/servers"
)

// talk sends each command after the tagged answer to the one before and
// returns all lines received. The address answers in plain text or by TLS.
func talk(t *testing.T, addr string, conf *tls.Config, commands ...string) []string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if conf != nil {
		conn = tls.Client(conn, conf)
	}
	r := bufio.NewReader(conn)
	var lines []string
	read := func(until string) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("read: %v after %q", err, lines)
			}
			lines = append(lines, strings.TrimRight(line, "\r\n"))
			if strings.HasPrefix(line, until) {
				return
			}
		}
	}
	read("* ")
	for i, c := range commands {
		if _, err := fmt.Fprintf(conn, "t%d %s\r\n", i, c); err != nil {
			t.Fatal(err)
		}
		read(fmt.Sprintf("t%d ", i))
	}
	return lines
}

func has(lines []string, part string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, part) })
}

func authzid(mailbox, name, password string) string {
	return "AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte(mailbox+"\x00"+name+"\x00"+password))
}

func TestDovecotLogIn(t *testing.T) {
	for _, storage := range []string{"sdbox", "mdbox", "maildir"} {
		t.Run(storage, func(t *testing.T) {
			d := servers.DovecotT(t, servers.DovecotOptions{Storage: storage})
			t.Logf("started in %v", d.StartTime())
			for name, login := range map[string]string{
				"own password": "LOGIN 4001 " + d.MailboxPassword(),
				"separator":    "LOGIN 4001*" + d.TrustedName() + " " + d.TrustedPassword(),
				"authzid":      authzid("4001", d.TrustedName(), d.TrustedPassword()),
			} {
				lines := talk(t, d.Addr(), nil, login, "CREATE Greetings", `LIST "" *`)
				if !has(lines, "t0 OK") || !has(lines, "Greetings") {
					t.Errorf("%s: %q", name, lines)
				}
			}
			lines := talk(t, d.Addr(), nil, authzid("4001", d.TrustedName(), "wrong"))
			if !has(lines, "t0 NO [AUTHENTICATIONFAILED]") {
				t.Errorf("wrong password: %q", lines)
			}
			out, err := d.Doveadm(t.Context(), "mailbox", "list", "-u", "4001")
			if err != nil || !strings.Contains(out, "Greetings") {
				t.Errorf("doveadm: %q %v", out, err)
			}
		})
	}
}

func TestDovecotLimitedMailboxes(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"4001"}})
	login := authzid("4002", d.TrustedName(), d.TrustedPassword())
	if lines := talk(t, d.Addr(), nil, login); has(lines, "t0 OK") {
		t.Errorf("an unknown mailbox was let in: %q", lines)
	}
	if err := d.AddMailboxes(t.Context(), "4002"); err != nil {
		t.Fatal(err)
	}
	if lines := talk(t, d.Addr(), nil, login); !has(lines, "t0 OK") {
		t.Errorf("an added mailbox was refused: %q", lines)
	}
}

func TestDovecotTrustedWithoutRight(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{TrustedPlain: true})
	if lines := talk(t, d.Addr(), nil, "LOGIN trusted secret"); !has(lines, "t0 OK") {
		t.Errorf("the user itself was refused: %q", lines)
	}
	if lines := talk(t, d.Addr(), nil, authzid("4001", "trusted", "secret")); has(lines, "t0 OK") {
		t.Errorf("a plain user acted for another: %q", lines)
	}
}

func TestDovecotHideCapabilities(t *testing.T) {
	hide := []string{"CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+", "LIST-STATUS", "LIST-EXTENDED", "ESEARCH"}
	d := servers.DovecotT(t, servers.DovecotOptions{HideCapabilities: hide, Separator: ".", Prefix: "INBOX."})
	lines := talk(t, d.Addr(), nil, "LOGIN 4001 mailbox", "CAPABILITY", "NAMESPACE")
	for _, l := range lines {
		for _, w := range strings.FieldsFunc(l, func(r rune) bool { return r == ' ' || r == '[' || r == ']' }) {
			if slices.Contains(hide, w) {
				t.Errorf("%s is announced: %s", w, l)
			}
		}
	}
	if !has(lines, "IDLE") || !has(lines, `(("INBOX." "."))`) {
		t.Errorf("unexpected %q", lines)
	}
}

func TestDovecotKillAndRestart(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	talk(t, d.Addr(), nil, "LOGIN 4001 mailbox", "CREATE kept")
	pid, addr := d.Pid(), d.Addr()
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Fatal("a killed server still listens")
	}
	if left := servers.GroupMembers(pid); len(left) > 0 {
		t.Fatalf("processes left after kill -9: %v", left)
	}
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted in %v", d.StartTime())
	if d.Addr() != addr {
		t.Errorf("address changed from %s to %s", addr, d.Addr())
	}
	if lines := talk(t, addr, nil, "LOGIN 4001 mailbox", `LIST "" *`); !has(lines, "kept") {
		t.Errorf("the folder is lost: %q", lines)
	}
	if err := d.Restart(t.Context()); err != nil {
		t.Fatalf("restart while running: %v", err)
	}
	dir := filepath.Dir(d.LogPath())
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the instance's folder is still there: %v", err)
	}
}

// TestDovecotLongFolder: socket paths are short, folders may be long, and what
// had to be put elsewhere goes with the instance while its mail stays.
func TestDovecotLongFolder(t *testing.T) {
	base, err := os.MkdirTemp("", "mailmirror-long-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, strings.Repeat("long", 20))
	for range 2 {
		d := servers.DovecotT(t, servers.DovecotOptions{Dir: dir})
		talk(t, d.Addr(), nil, "LOGIN 4001 mailbox", "CREATE kept")
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(servers.RunDir(d)); !os.IsNotExist(err) {
			t.Errorf("the folder of the sockets is still there: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "mail", "4001")); err != nil {
		t.Error(err)
	}
}

func TestDovecotSharedNamespace(t *testing.T) {
	var numbers []string
	for i := range 30 {
		numbers = append(numbers, fmt.Sprint(4000+i))
	}
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: numbers})
	for i, n := range numbers {
		body := strings.Repeat("x", i+1)
		lines := talk(t, d.Addr(), nil, authzid(n, d.TrustedName(), d.TrustedPassword()), "CREATE Greetings",
			fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(body), body), fmt.Sprintf("APPEND Greetings {%d+}\r\n%s", len(body), body))
		if !has(lines, "t3 OK") {
			t.Fatalf("deposit: %q", lines)
		}
	}
	lines := talk(t, d.Addr(), nil, "LOGIN trusted secret", "NAMESPACE",
		`LIST "" "users/*" RETURN (STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))`)
	for _, n := range numbers {
		for _, f := range []string{"users/" + n, "users/" + n + "/Greetings"} {
			// An INBOX is shown at the mailbox's own root.
			if !has(lines, "STATUS "+f+" (MESSAGES 1 UIDNEXT 2") {
				t.Errorf("no status for %s", f)
			}
		}
	}
	if t.Failed() {
		t.Logf("%s", strings.Join(lines, "\n"))
	}
	if lines := talk(t, d.Addr(), nil, "LOGIN 4001 mailbox", `LIST "" "users/*"`); has(lines, "users/4002") {
		t.Errorf("an ordinary user sees others: %q", lines)
	}
}

func TestDovecotQuota(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{QuotaMessages: 1})
	lines := talk(t, d.Addr(), nil, "LOGIN 4001 mailbox", "APPEND INBOX {1+}\r\nx", "APPEND INBOX {1+}\r\nx")
	if !has(lines, "t1 OK") || !has(lines, "t2 NO [OVERQUOTA]") {
		t.Errorf("unexpected %q", lines)
	}
}

func TestDovecotTLS(t *testing.T) {
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	dir := t.TempDir()
	for name, c := range map[string]struct {
		opts servers.CertOptions
		fail string
	}{
		"good":       {servers.CertOptions{}, ""},
		"expired":    {servers.CertOptions{NotAfter: time.Now().Add(-time.Hour)}, "expired"},
		"wrong host": {servers.CertOptions{Hosts: []string{"mail.example.com"}}, "127.0.0.1"},
	} {
		cert, key, err := ca.Issue(dir, strings.ReplaceAll(name, " ", "-"), c.opts)
		if err != nil {
			t.Fatal(err)
		}
		d := servers.DovecotT(t, servers.DovecotOptions{TLS: &servers.TLSOptions{Mode: servers.TLSImplicit, CertFile: cert, KeyFile: key}})
		conn, err := tls.Dial("tcp", d.Addr(), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
		if err == nil {
			conn.Close()
		}
		switch {
		case c.fail == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)):
			t.Errorf("%s: want an error about %q, got %v", name, c.fail, err)
		}
	}
	cert, key, err := ca.Issue(dir, "starttls", servers.CertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := servers.DovecotT(t, servers.DovecotOptions{TLS: &servers.TLSOptions{Mode: servers.TLSStartTLS, CertFile: cert, KeyFile: key}})
	if lines := talk(t, d.Addr(), nil, "STARTTLS"); !has(lines, "t0 OK") {
		t.Errorf("starttls: %q", lines)
	}
}
