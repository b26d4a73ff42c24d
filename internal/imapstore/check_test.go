//go:build integration

package imapstore_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/servers"
)

// certificates are the good and the bad ones of one test authority.
type certificates struct{ caFile, good, goodKey, expired, expiredKey, wrongHost, wrongHostKey string }

func makeCertificates(t *testing.T) certificates {
	t.Helper()
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var c certificates
	issue := func(name string, o servers.CertOptions) (string, string) {
		cert, key, err := ca.Issue(dir, name, o)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	c.good, c.goodKey = issue("good", servers.CertOptions{})
	c.expired, c.expiredKey = issue("expired", servers.CertOptions{NotAfter: time.Now().Add(-time.Hour)})
	c.wrongHost, c.wrongHostKey = issue("wrong", servers.CertOptions{Hosts: []string{"imap.example.org"}})
	if c.caFile, err = ca.WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	return c
}

// listen accepts connections and hands each to serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// TestCheckFailures: each way to fail has a sentence of its own, as a Config
// error with a hint.
func TestCheckFailures(t *testing.T) {
	t.Parallel()
	certs := makeCertificates(t)
	plain := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"4001"}})
	powerless := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"4001"}, TrustedPlain: true})
	tlsServer := func(mode servers.TLSMode, cert, key string) *servers.Dovecot {
		return servers.DovecotT(t, servers.DovecotOptions{TLS: &servers.TLSOptions{Mode: mode, CertFile: cert, KeyFile: key}})
	}
	implicit := tlsServer(servers.TLSImplicit, certs.good, certs.goodKey)
	expired := tlsServer(servers.TLSImplicit, certs.expired, certs.expiredKey)
	wrongHost := tlsServer(servers.TLSImplicit, certs.wrongHost, certs.wrongHostKey)
	expiredStart := tlsServer(servers.TLSStartTLS, certs.expired, certs.expiredKey)
	cyrus := servers.CyrusT(t, servers.CyrusOptions{Mailboxes: []string{"4001"}})

	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := refused.Addr().String()
	_ = refused.Close()
	ssh := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") })
	smtp := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n") })
	mute := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	busy := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "* BYE too many connections\r\n"); _ = c.Close() })
	noPlain := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	preauth := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "* PREAUTH welcome\r\n") })

	secure := func(mode site.Security, caFile string) func(*imapstore.Options) {
		return func(o *imapstore.Options) { o.Security, o.CAFile = mode, caFile }
	}
	at := func(addr string) func(*imapstore.Options) { return func(o *imapstore.Options) { o.Address = addr } }
	for _, c := range []struct {
		name   string
		server server
		change func(*imapstore.Options)
		number mailbox.Number
		want   string
	}{
		{"wrong password", plain, func(o *imapstore.Options) { o.Password = seal.NewSecret("no") }, "", "refuses the trusted name or password"},
		{"wrong password for a mailbox", plain, func(o *imapstore.Options) { o.Password = seal.NewSecret("no") }, "4001", "refuses the trusted name or password"},
		{"wrong name", plain, func(o *imapstore.Options) { o.TrustedName = "nobody" }, "", "refuses the trusted name or password"},
		{"wrong password on cyrus", cyrus, func(o *imapstore.Options) { o.Password = seal.NewSecret("no") }, "4001", "refuses the trusted name or password"},
		{"no right to act for others", powerless, nil, "4001", "may not act for other mailboxes"},
		{"unknown mailbox", plain, nil, "404", "no such mailbox"},
		{"unknown mailbox by separator", plain, func(o *imapstore.Options) { o.Login = site.LoginSeparator }, "404", "no such mailbox"},
		{"nothing listens", plain, at(nobody), "", "nothing listens on"},
		{"ssh", plain, at(ssh), "", "does not speak IMAP"},
		{"smtp", plain, at(smtp), "", "does not speak IMAP"},
		{"smtp, with tls", plain, func(o *imapstore.Options) { o.Address, o.Security = smtp, site.SecurityTLS }, "", "does not speak TLS"},
		{"silent port", plain, func(o *imapstore.Options) { o.Address, o.Timeouts.Connect = mute, 300*time.Millisecond }, "", "says nothing"},
		{"turned away", plain, at(busy), "", "turns the connection away"},
		{"preauth", plain, at(preauth), "", "without asking who"},
		{"tls to a plain port", plain, secure(site.SecurityTLS, ""), "", "speaks IMAP without TLS"},
		{"plain to a tls port", implicit, func(o *imapstore.Options) { o.Timeouts.Connect = time.Second }, "", "begins with TLS"},
		{"starttls to a tls port", implicit, func(o *imapstore.Options) { o.Security, o.Timeouts.Connect = site.SecurityStartTLS, time.Second }, "", "begins with TLS"},
		{"starttls not offered", plain, secure(site.SecurityStartTLS, certs.caFile), "", "does not offer STARTTLS"},
		{"plain where starttls is wanted", plain, at(noPlain), "", "no way to log in"},
		{"unknown ca", implicit, secure(site.SecurityTLS, ""), "", "authority that this machine does not know"},
		{"expired certificate", expired, secure(site.SecurityTLS, certs.caFile), "", "certificate has expired"},
		{"expired certificate, starttls", expiredStart, secure(site.SecurityStartTLS, certs.caFile), "", "certificate has expired"},
		{"wrong host name", wrongHost, secure(site.SecurityTLS, certs.caFile), "", "certificate is not for"},
		{"unknown host name", plain, at("no-such-host.invalid:143"), "", "no-such-host.invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := newStore(t, c.server, c.change).Check(t.Context(), c.number)
			if err == nil {
				t.Fatal("no error")
			}
			t.Logf("%v\n\thint: %s (%v)", err, fault.HintOf(err), time.Since(start).Round(time.Millisecond))
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q", c.want)
			}
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Kind != fault.Config || fault.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
			for _, secret := range []string{c.server.TrustedPassword()} {
				if strings.Contains(err.Error()+fault.HintOf(err), secret) {
					t.Error("the password is in the text")
				}
			}
		})
	}
	t.Run("unknown mailbox on cyrus", func(t *testing.T) {
		// Cyrus logs in for it, and then has no inbox to show.
		_, err := newStore(t, cyrus, nil).Check(t.Context(), "404")
		if err == nil || !strings.Contains(err.Error(), "no such mailbox") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCheckReport(t *testing.T) {
	t.Parallel()
	certs := makeCertificates(t)
	for _, mode := range []servers.TLSMode{servers.TLSStartTLS, servers.TLSImplicit} {
		d := servers.DovecotT(t, servers.DovecotOptions{
			SharedNamespace: true, Mailboxes: []string{"4001"},
			TLS: &servers.TLSOptions{Mode: mode, CertFile: certs.good, KeyFile: certs.goodKey},
		})
		r, err := newStore(t, d, func(o *imapstore.Options) {
			o.Security, o.CAFile = site.Security(mode), certs.caFile
		}).Check(t.Context(), "4001")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		if !strings.HasPrefix(r.TLS, "TLS 1.") || r.CertificateExpires.IsZero() {
			t.Errorf("tls: %q until %s", r.TLS, r.CertificateExpires)
		}
		if r.Server != "Dovecot" || r.Overview != "users/" || r.Separator != "/" || r.RoundTrip <= 0 || r.LoginTime <= 0 || r.Connect <= 0 {
			t.Errorf("report: %+v", r)
		}
		if r.Mailbox != "4001" || len(r.Held) == 0 || len(r.Capabilities) < 10 {
			t.Errorf("mailbox: %+v", r)
		}
	}
	c := servers.CyrusT(t, servers.CyrusOptions{})
	r, err := newStore(t, c, nil).Check(t.Context(), "4001")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Server, "Cyrus") || !strings.HasPrefix(r.Release, "3.") || r.Overview != "user/" {
		t.Errorf("cyrus: %+v", r)
	}
	for _, a := range r.Advice {
		t.Logf("without %s: %s", a.Missing, a.Effect)
	}

	poor := servers.DovecotT(t, servers.DovecotOptions{HideCapabilities: []string{"CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+", "LIST-STATUS"}})
	r, err = newStore(t, poor, nil).Check(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, a := range r.Advice {
		missing = append(missing, a.Missing)
	}
	if got := strings.Join(missing, ","); !strings.HasPrefix(got, "CONDSTORE,UIDPLUS,LITERAL+,LIST-STATUS,a namespace of all mailboxes") {
		t.Errorf("advice: %s", got)
	}
}
