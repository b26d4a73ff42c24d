// Package ldapdirtest is one conformance suite for directories: what
// internal/ldapdir promises has to hold on every kind of server.
package ldapdirtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
)

// Wish is how a server of the suite has to be.
type Wish struct {
	TLS       *servers.TLSOptions
	SizeLimit int      // of the trusted server's searches, whole pages together
	PageLimit int      // of one page
	Hide      []string // attributes that the trusted server may not see
	Refuse    []string // attributes that it may not write
	HideAll   bool     // it sees nothing at all
	ReadOnly  bool
	NoSchema  bool
	MaxSize   int64 // of the database
	// MaxRequest is how many bytes a request has at most: the server ends the
	// connection at a larger one.
	MaxRequest int
	LDIF       string
}

// Kind is one kind of server.
type Kind struct {
	Name string
	// Start starts one that is like the wish, or skips the test where this kind
	// has no way to be.
	Start func(t *testing.T, w Wish) servers.Directory
	// Assertion says that it has the assertion control.
	Assertion bool
	// BinaryNames says that it takes distinguished names that are no UTF-8.
	BinaryNames bool
	// ID and Version are the attributes that it names entries by.
	ID, Version string
}

// Slapd is OpenLDAP.
func Slapd() Kind {
	return Kind{Name: "slapd", Assertion: true, ID: "entryUUID", Version: "entryCSN", Start: func(t *testing.T, w Wish) servers.Directory {
		o := servers.SlapdOptions{TLS: w.TLS, SizeLimit: w.SizeLimit, ReadOnly: w.ReadOnly, NoSchema: w.NoSchema, MaxSize: w.MaxSize, MaxRequest: w.MaxRequest}
		const trusted = `dn.exact="cn=trusted,dc=example"`
		if w.PageLimit > 0 {
			o.Limits = append(o.Limits, fmt.Sprintf(`%s size.pr=%d size.prtotal=unlimited`, trusted, w.PageLimit))
		}
		for _, a := range w.Hide {
			o.Access = append(o.Access, fmt.Sprintf("attrs=%s by %s none by * break", a, trusted))
		}
		for _, a := range w.Refuse {
			o.Access = append(o.Access, fmt.Sprintf("attrs=%s by %s read by * break", a, trusted))
		}
		if w.HideAll {
			o.Access = append(o.Access, fmt.Sprintf(`dn.subtree="ou=mailboxes,dc=example" by %s none by * break`, trusted))
		}
		if w.LDIF != "" {
			o.LDIF = strings.NewReader(w.LDIF)
		}
		return servers.SlapdT(t, o)
	}}
}

// DS389 is 389 Directory Server.
func DS389() Kind {
	return Kind{Name: "389", ID: "nsUniqueId", Version: "modifyTimestamp", Start: func(t *testing.T, w Wish) servers.Directory {
		switch {
		case w.TLS != nil:
			t.Skip("389 Directory Server keeps its certificates in a database of NSS, whose tools are not installed; TLS is tried on slapd")
		case w.MaxSize != 0:
			t.Skip("389 Directory Server takes what the disk has; a full database is tried on slapd")
		case w.PageLimit != 0:
			t.Skip("389 Directory Server has no limit of one page; it is tried on slapd")
		}
		o := servers.DS389Options{SizeLimit: w.SizeLimit, ReadOnly: w.ReadOnly, NoSchema: w.NoSchema, MaxRequest: w.MaxRequest, LDIF: w.LDIF}
		deny := func(target, rights string) {
			o.Access = append(o.Access, fmt.Sprintf(`%s(version 3.0; acl "deny"; deny (%s) userdn="ldap:///cn=trusted,dc=example";)`, target, rights))
		}
		for _, a := range w.Hide {
			deny(fmt.Sprintf("(targetattr=%q)", a), "read,search,compare")
		}
		for _, a := range w.Refuse {
			deny(fmt.Sprintf("(targetattr=%q)", a), "write")
		}
		if w.HideAll {
			deny(`(target="ldap:///ou=mailboxes,dc=example")(targetattr="*")`, "all")
		}
		return servers.DS389T(t, o)
	}}
}

// Run runs the suite on one kind of server.
func Run(t *testing.T, k Kind) {
	for name, test := range map[string]func(*testing.T, Kind){
		"Attributes":     attributes,
		"Names":          names,
		"Options":        described,
		"BinaryName":     binaryName,
		"CaseOnly":       caseOnly,
		"Protected":      protected,
		"ReadAgain":      readAgain,
		"Conflicts":      conflicts,
		"Refusals":       refusals,
		"Referral":       referral,
		"SizeLimit":      sizeLimit,
		"PageLimit":      pageLimit,
		"Memory":         memory,
		"Cut":            cut,
		"Unreadable":     unreadable,
		"Stalled":        stalled,
		"Cancelled":      cancelled,
		"LostAnswer":     lostAnswer,
		"TooLate":        tooLate,
		"HiddenValues":   hiddenValues,
		"HiddenEntries":  hiddenEntries,
		"MissingSchema":  missingSchema,
		"ReadOnly":       readOnly,
		"Full":           full,
		"Security":       security,
		"Credentials":    credentials,
		"OtherProtocols": otherProtocols,
		"Check":          check,
		"Rights":         rights,
	} {
		t.Run(name, func(t *testing.T) {
			if name != "Memory" { // it measures the process
				t.Parallel()
			}
			test(t, k)
		})
	}
}

// options reach a server as the trusted server.
func options(d servers.Directory) ldapdir.Options {
	m := directory.DefaultMapping()
	m.BaseDN = d.Base()
	return ldapdir.Options{
		Name: "test", Address: d.Addr(), Security: site.SecurityNone,
		BindDN: d.TrustedDN(), Password: seal.NewSecret(d.TrustedPassword()), Mapping: m,
	}
}

// noLease is for tries of rights that nobody else competes with.
func noLease(ctx context.Context) (context.Context, error) { return ctx, nil }

// open opens a session for one test.
func open(t *testing.T, o ldapdir.Options) *ldapdir.Session {
	t.Helper()
	store, err := ldapdir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// through puts a proxy before a server.
func through(t *testing.T, d servers.Directory) (*faults.Proxy, ldapdir.Options) {
	t.Helper()
	p, err := faults.NewProxy(d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	o := options(d)
	o.Address = p.Addr()
	return p, o
}

// plainDigest keeps a value as it is, so that tests see it.
func plainDigest(_ directory.Column, value []byte) []byte {
	return append([]byte("digest of "), value...)
}

// extract reads everything, and fails the test where that is not complete.
func extract(t *testing.T, s *ldapdir.Session) ([]directory.Record, directory.Extracted) {
	t.Helper()
	var all []directory.Record
	found, err := s.Extract(t.Context(), plainDigest, func(r directory.Record) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.Entries != len(all) {
		t.Errorf("%d entries were handed over, and %d counted", len(all), found.Entries)
	}
	return all, found
}

// box is the LDIF of one mailbox with more lines.
func box(base, number string, lines ...string) string {
	return fmt.Sprintf("dn: MailboxNumber=%s,%s\nobjectClass: umMailbox\nMailboxNumber: %s\ncn: Box %s\n%s\n\n",
		number, base, number, number, strings.Join(lines, "\n"))
}

// boxes is the LDIF of many mailboxes.
func boxes(base string, n int, lines ...string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(box(base, fmt.Sprint(100000+i), lines...))
	}
	return b.String()
}

func apply(t *testing.T, d servers.Directory, ldif string) {
	t.Helper()
	if err := d.Apply(t.Context(), ldif); err != nil {
		t.Fatal(err)
	}
}

// dump is all that the server has.
func dump(t *testing.T, d servers.Directory) string {
	t.Helper()
	all, err := d.Dump(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// only returns the one entry with a number.
func only(t *testing.T, s *ldapdir.Session, number string) directory.Entry {
	t.Helper()
	found, err := s.Find(t.Context(), number)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d entries are called %q: %v", len(found), number, err)
	}
	return found[0]
}
