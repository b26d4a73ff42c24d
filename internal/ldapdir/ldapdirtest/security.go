package ldapdirtest

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/servers"
)

// tried is an attempt to connect, and what it has to end with.
type tried struct {
	change func(*ldapdir.Options)
	kind   fault.Kind
	text   string // of the error or its hint; none where it has to succeed
}

func try(t *testing.T, o ldapdir.Options, attempts map[string]tried) {
	t.Helper()
	for what, a := range attempts {
		changed := o
		a.change(&changed)
		err := func() error {
			store, err := ldapdir.New(changed)
			if err != nil {
				return err
			}
			s, err := store.Open(t.Context())
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			_, err = s.Find(t.Context(), "4001")
			return err
		}()
		if a.text == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err == nil || a.kind != "" && fault.KindOf(err) != a.kind || !strings.Contains(err.Error()+"; "+fault.HintOf(err), a.text) {
			t.Errorf("%s: %s: %v; %s", what, fault.KindOf(err), err, fault.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), changed.Password.Reveal()) {
			t.Errorf("%s: the password is in the error", what)
		}
	}
}

func security(t *testing.T, k Kind) {
	ca, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	other, err := servers.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	caFile, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	otherFile, err := other.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	serve := func(mode servers.TLSMode, o servers.CertOptions) ldapdir.Options {
		cert, key, err := ca.Issue(t.TempDir(), "ldap", o)
		if err != nil {
			t.Fatal(err)
		}
		return options(k.Start(t, Wish{TLS: &servers.TLSOptions{Mode: mode, CertFile: cert, KeyFile: key}}))
	}
	by := func(s site.Security, ca string) func(*ldapdir.Options) {
		return func(o *ldapdir.Options) { o.Security, o.CAFile = s, ca }
	}
	start := serve(servers.TLSStartTLS, servers.CertOptions{})
	try(t, start, map[string]tried{
		"StartTLS":                  {change: by(site.SecurityStartTLS, caFile)},
		"plain":                     {change: by(site.SecurityNone, "")},
		"TLS to a plain port":       {by(site.SecurityTLS, caFile), fault.Config, "use starttls"},
		"StartTLS, unknown CA":      {by(site.SecurityStartTLS, otherFile), fault.Config, "--ldap-ca-file"},
		"StartTLS, the system's CA": {by(site.SecurityStartTLS, ""), fault.Config, "--ldap-ca-file"},
		"no CA file":                {by(site.SecurityStartTLS, "/nowhere.pem"), fault.Config, "CA file"},
	})
	try(t, serve(servers.TLSImplicit, servers.CertOptions{}), map[string]tried{
		"TLS":                    {change: by(site.SecurityTLS, caFile)},
		"TLS, unknown CA":        {by(site.SecurityTLS, otherFile), fault.Config, "--ldap-ca-file"},
		"plain to a TLS port":    {by(site.SecurityNone, ""), fault.Transient, "use tls"},
		"StartTLS to a TLS port": {by(site.SecurityStartTLS, caFile), fault.Transient, "use tls"},
	})
	try(t, serve(servers.TLSStartTLS, servers.CertOptions{NotAfter: time.Now().Add(-time.Hour)}), map[string]tried{
		"expired": {by(site.SecurityStartTLS, caFile), fault.Config, "expired"},
	})
	try(t, serve(servers.TLSImplicit, servers.CertOptions{Hosts: []string{"ldap.example.org"}}), map[string]tried{
		"another host": {by(site.SecurityTLS, caFile), fault.Config, "ldap.example.org"},
	})
	try(t, options(k.Start(t, Wish{})), map[string]tried{
		"StartTLS without": {by(site.SecurityStartTLS, caFile), fault.Config, "does not offer StartTLS"},
	})
}

func credentials(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	o := options(d)
	try(t, o, map[string]tried{
		"right":          {change: func(*ldapdir.Options) {}},
		"wrong password": {func(o *ldapdir.Options) { o.Password = seal.NewSecret("not-this-one") }, fault.Config, "password file"},
		"wrong name":     {func(o *ldapdir.Options) { o.BindDN = "cn=nobody,dc=example" }, fault.Config, "bind DN"},
		"no name":        {func(o *ldapdir.Options) { o.BindDN = "nobody" }, fault.Config, "bind DN"},
	})
	// Refused from one moment to the next: who is in stays in, and who comes is
	// told so.
	s := open(t, o)
	apply(t, d, "dn: "+d.TrustedDN()+"\nchangetype: modify\nreplace: userPassword\nuserPassword: another\n")
	if _, err := s.Find(t.Context(), "4001"); err != nil {
		t.Errorf("the session that is open: %v", err)
	}
	try(t, o, map[string]tried{"changed": {func(*ldapdir.Options) {}, fault.Config, "password file"}})
}

// otherProtocols are ports on which something else answers, or nothing.
func otherProtocols(t *testing.T, k Kind) {
	o := options(k.Start(t, Wish{}))
	o.Timeouts.Connect, o.Timeouts.Read = 2*time.Second, 2*time.Second
	serve := func(greeting string, hold bool) string {
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
				_, _ = io.WriteString(c, greeting)
				if hold {
					go func() { _, _ = io.Copy(io.Discard, c) }()
					continue
				}
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	to := func(addr string, s site.Security) func(*ldapdir.Options) {
		return func(o *ldapdir.Options) { o.Address, o.Security = addr, s }
	}
	imap, mute, dead := serve("* OK ready\r\n", true), serve("", true), serve("", false)
	huge := serve("\x30\x84\x7f\xff\xff\xff", true)
	gone := serve("", false)
	try(t, o, map[string]tried{
		"IMAP":                {to(imap, site.SecurityNone), fault.Config, "does not speak LDAP"},
		"IMAP, by StartTLS":   {to(imap, site.SecurityStartTLS), fault.Config, "does not speak LDAP"},
		"IMAP, by TLS":        {to(imap, site.SecurityTLS), fault.Config, "does not speak TLS"},
		"silence":             {to(mute, site.SecurityNone), fault.Transient, "says nothing"},
		"silence, StartTLS":   {to(mute, site.SecurityStartTLS), fault.Transient, "says nothing"},
		"hung up":             {to(dead, site.SecurityNone), fault.Transient, "closes the connection"},
		"hung up, StartTLS":   {to(dead, site.SecurityStartTLS), fault.Transient, "closes the connection"},
		"an absurd length":    {to(huge, site.SecurityNone), fault.Config, "does not speak LDAP"},
		"nobody":              {to(closedPort(t), site.SecurityNone), fault.Transient, "nothing listens"},
		"an unknown name":     {to("nowhere.invalid:389", site.SecurityNone), "", "nowhere.invalid"},
		"no address":          {to("nowhere", site.SecurityNone), fault.Config, "host:port"},
		"an unknown security": {to(gone, "perhaps"), fault.Config, "use none, starttls or tls"},
	})
}

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
