package ldapdir

import (
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// Timeouts bound every wait on the network. Zero fields take the defaults.
type Timeouts struct {
	// Connect bounds connecting and TLS together.
	Connect time.Duration // default 15 s
	// Read bounds the silence of a server that owes an answer, to the bind as well;
	// searching a large directory for the first page takes its time.
	Read time.Duration // default 1 min
	// Write bounds one write.
	Write time.Duration // default 30 s
}

// Options describes the directory of one store.
type Options struct {
	Name     string // the store's, as the operator calls it
	Address  string // host:port
	Security site.Security
	CAFile   string // PEM; the system's authorities where empty
	BindDN   string // the trusted server's name in the directory
	Password seal.Secret
	Mapping  directory.Mapping
	Timeouts Timeouts

	// Dial replaces net.Dialer.DialContext, for tests.
	Dial endpoint.Dial
}

// Store opens sessions on one directory. It is safe for concurrent use and
// holds no connection of its own.
type Store struct {
	opts Options
	tls  *tls.Config
	base directory.DN
	// protected are the numbers, and shield the filter, of the entries that are
	// never changed or deleted; "" for none.
	protected directory.NumberSet
	shield    string
}

// New checks the options and returns a Store; it does not connect. Every fault
// of the options is reported, as Config errors joined.
func New(opts Options) (*Store, error) {
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{}).DialContext
	}
	opts.Timeouts = opts.Timeouts.withDefaults()
	s := &Store{opts: opts, protected: directory.ProtectedNumbers(opts.Mapping.Protected)}
	var errs []error
	bad := func(what, hint string) {
		errs = append(errs, fault.New(fault.Config, "directory of store "+opts.Name+": "+what, nil, hint))
	}
	endpoint.Validate(opts.Address, "ldap.example.org:389", opts.Security, bad)
	if bind, err := directory.ParseDN(opts.BindDN); err != nil || len(bind) == 0 {
		bad("bind DN "+strconv.Quote(opts.BindDN)+" is not a distinguished name", "for instance cn=trusted,dc=example,dc=org")
	}
	if opts.Password.Empty() {
		// RFC 4513, 5.1.2: a bind without a password succeeds as nobody.
		bad("no bind password", "give the file that holds the trusted server's password")
	}
	var err error
	if s.base, err = directory.ParseDN(opts.Mapping.BaseDN); err != nil || len(s.base) == 0 {
		bad("base DN "+strconv.Quote(opts.Mapping.BaseDN)+" is not a distinguished name", "for instance ou=mailboxes,dc=example,dc=org")
	}
	s.protect(bad)
	s.checkMapping(bad)
	if s.tls, err = endpoint.TLS(opts.Address, opts.Security, opts.CAFile); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// protect makes one filter of those of the entries that are protected.
func (s *Store) protect(bad func(what, hint string)) {
	var filters []string
	for _, p := range s.opts.Mapping.Protected {
		switch {
		case !strings.HasPrefix(p, "("): // a number
		case checkFilter(p) != nil:
			bad("the protected filter "+strconv.Quote(p)+" cannot be read", "for instance (Community=0)")
		default:
			filters = append(filters, p)
		}
	}
	switch len(filters) {
	case 0:
	case 1:
		s.shield = filters[0]
	default:
		s.shield = "(|" + strings.Join(filters, "") + ")"
	}
}

// checkMapping refuses what no search could be made of.
func (s *Store) checkMapping(bad func(what, hint string)) {
	m := s.opts.Mapping
	if !directory.IsAttributeName(m.ObjectClass) {
		bad("object class "+strconv.Quote(m.ObjectClass)+" is not the name of one", "for instance umMailbox")
	}
	if m.Filter != "" && checkFilter(m.Filter) != nil {
		bad("the filter "+strconv.Quote(m.Filter)+" cannot be read", "for instance (Community=1)")
	}
	if m.Names[directory.MailboxNumber] == "" {
		bad("no attribute holds the mailbox number", "the mapping has to name one")
	}
	for column, name := range m.Names {
		if !directory.IsAttributeName(name) {
			bad("attribute "+strconv.Quote(name)+" of "+string(column)+" is not the name of one", "")
		}
	}
	switch m.Scope {
	case directory.ScopeOne, directory.ScopeSubtree:
	default:
		bad("scope "+strconv.Quote(string(m.Scope))+" is unknown", "use sub or one")
	}
}

func (t Timeouts) withDefaults() Timeouts {
	if t.Connect == 0 {
		t.Connect = 15 * time.Second
	}
	if t.Read == 0 {
		t.Read = time.Minute
	}
	if t.Write == 0 {
		t.Write = 30 * time.Second
	}
	return t
}
