//go:build integration

package imapstore_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/imapstore/imapstoretest"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// server is what the private servers have in common.
type server interface {
	Addr() string
	TrustedName() string
	TrustedPassword() string
}

// newStore makes a store on a private server; change may alter the options.
func newStore(t *testing.T, s server, change func(*imapstore.Options)) *imapstore.Store {
	t.Helper()
	o := imapstore.Options{
		Name: "store", Address: s.Addr(), Security: site.SecurityNone, Login: site.LoginAuthzid,
		TrustedName: s.TrustedName(), Password: seal.NewSecret(s.TrustedPassword()),
	}
	if change != nil {
		change(&o)
	}
	store, err := imapstore.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// numbers gives mailbox numbers that nobody used.
func numbers() func(*testing.T) mailbox.Number {
	var n atomic.Int64
	return func(*testing.T) mailbox.Number { return mailbox.Number(fmt.Sprint(5000 + n.Add(1))) }
}

func dovecotBackend(t *testing.T, o servers.DovecotOptions) imapstoretest.Backend {
	d := servers.DovecotT(t, o)
	return imapstoretest.Backend{
		Store:       newStore(t, d, nil),
		Mailbox:     numbers(),
		Independent: &reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()},
		CondStore:   true, UIDPlus: true,
		Message: func(o corpus.Oddity) corpus.Expect { return o.Dovecot },
		Folder:  func(o corpus.FolderOddity) corpus.Expect { return o.Dovecot },
	}
}

func TestDovecot(t *testing.T) {
	imapstoretest.Run(t, dovecotBackend(t, servers.DovecotOptions{}))
}

// TestDovecotHidden runs over a Dovecot that announces little, has another
// separator and a prefix, so that every fallback is taken.
func TestDovecotHidden(t *testing.T) {
	t.Parallel() // nothing in it measures time or memory
	b := dovecotBackend(t, servers.DovecotOptions{
		Separator: ".", Prefix: "INBOX.",
		HideCapabilities: []string{"CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+", "LIST-STATUS", "LIST-EXTENDED",
			"ESEARCH", "SASL-IR", "UNSELECT", "SPECIAL-USE", "MOVE", "MULTIAPPEND", "ENABLE"},
	})
	b.CondStore, b.UIDPlus = false, false
	b.Small = true
	b.Omit = map[string]string{"below the inbox": "the independent reader takes INBOX.INBOX for the inbox"}
	b.Folder = func(o corpus.FolderOddity) corpus.Expect {
		if strings.Contains(o.Folder, ".") {
			return corpus.Refused // a name with the separator in it cannot be told from two levels
		}
		return o.Dovecot
	}
	imapstoretest.Run(t, b)
}

// TestDovecotMixed hides one half of the extensions and logs in by separator.
func TestDovecotMixed(t *testing.T) {
	t.Parallel() // nothing in it measures time or memory
	// Enough for every part of the suite; a server takes new ones slowly.
	known := make([]string, 200)
	for i := range known {
		known[i] = fmt.Sprint(5001 + i)
	}
	d := servers.DovecotT(t, servers.DovecotOptions{
		Mailboxes: known, HideCapabilities: []string{"LITERAL+", "LIST-STATUS", "NAMESPACE"},
	})
	imapstoretest.Run(t, imapstoretest.Backend{
		Store:     newStore(t, d, func(o *imapstore.Options) { o.Login = site.LoginSeparator }),
		Mailbox:   numbers(),
		CondStore: true, UIDPlus: true, Small: true, UnknownMailbox: "404",
		Independent: &reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword(), Separator: "*"},
		Message:     func(o corpus.Oddity) corpus.Expect { return o.Dovecot },
		Folder:      func(o corpus.FolderOddity) corpus.Expect { return o.Dovecot },
	})
}

func TestCyrus(t *testing.T) {
	c := servers.CyrusT(t, servers.CyrusOptions{})
	imapstoretest.Run(t, imapstoretest.Backend{
		Store:       newStore(t, c, nil),
		Mailbox:     numbers(),
		Independent: &reader.Store{Addr: c.Addr(), Trusted: c.TrustedName(), Password: c.TrustedPassword()},
		CondStore:   true, UIDPlus: true, KeepsSpecialUse: true,
		Message: func(o corpus.Oddity) corpus.Expect { return o.Cyrus },
		Folder:  func(o corpus.FolderOddity) corpus.Expect { return o.Cyrus },
	})
}

// TestCyrusUnknown: Cyrus logs a proxy in for a mailbox that does not exist.
func TestCyrusUnknown(t *testing.T) {
	t.Parallel()
	c := servers.CyrusT(t, servers.CyrusOptions{Mailboxes: []string{"1"}})
	store := newStore(t, c, nil)
	for range 2 { // the namespace is known the second time
		if _, err := store.Open(t.Context(), "404"); !fault.Is(err, fault.Permanent) {
			t.Errorf("unknown mailbox: %v", err)
		}
		s, err := store.Open(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
}

// TestCyrusHidden runs over a Cyrus in its old spelling of names, with little
// announced. It cannot hide what it does not announce by setting, so that only
// some extensions go.
func TestCyrusHidden(t *testing.T) {
	t.Parallel() // nothing in it measures time or memory
	c := servers.CyrusT(t, servers.CyrusOptions{
		InboxPrefix: true, DotSeparator: true,
		HideCapabilities: []string{"LITERAL+", "LIST-STATUS", "ESEARCH", "UNSELECT", "SASL-IR"},
	})
	imapstoretest.Run(t, imapstoretest.Backend{
		Store:       newStore(t, c, nil),
		Mailbox:     numbers(),
		Independent: &reader.Store{Addr: c.Addr(), Trusted: c.TrustedName(), Password: c.TrustedPassword()},
		CondStore:   true, UIDPlus: true, Small: true,
		Message: func(o corpus.Oddity) corpus.Expect { return o.Cyrus },
		Folder: func(o corpus.FolderOddity) corpus.Expect {
			if strings.Contains(o.Folder, ".") {
				return corpus.Refused
			}
			if strings.Contains(o.Folder, "^") {
				return corpus.Kept // here it stands for nothing else
			}
			return o.Cyrus
		},
	})
}

// TestDovecotTLS runs over both kinds of TLS, whose records and deadlines are
// others than TCP's.
func TestDovecotTLS(t *testing.T) {
	certs := makeCertificates(t)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(certs.caFile)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("read authority: %v", err)
	}
	for _, mode := range []servers.TLSMode{servers.TLSImplicit, servers.TLSStartTLS} {
		t.Run(string(mode), func(t *testing.T) {
			d := servers.DovecotT(t, servers.DovecotOptions{TLS: &servers.TLSOptions{Mode: mode, CertFile: certs.good, KeyFile: certs.goodKey}})
			b := imapstoretest.Backend{
				Store: newStore(t, d, func(o *imapstore.Options) {
					o.Security, o.CAFile = site.Security(mode), certs.caFile
				}),
				Mailbox:   numbers(),
				CondStore: true, UIDPlus: true,
				Omit:    map[string]string{"big folder": "no matter of TLS", "odd folder names": "no matter of TLS", "at the limits": "no matter of TLS"},
				Message: func(o corpus.Oddity) corpus.Expect { return o.Dovecot },
				Folder:  func(o corpus.FolderOddity) corpus.Expect { return o.Dovecot },
			}
			if mode == servers.TLSImplicit {
				b.Independent = &reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword(),
					TLS: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}
			}
			imapstoretest.Run(t, b)
		})
	}
}
