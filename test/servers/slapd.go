package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// SlapdOptions describes one OpenLDAP server. The zero value is an empty
// directory of mailboxes that does everything that its trusted server asks.
type SlapdOptions struct {
	// Dir is where everything lives; it becomes the server's user's own. When
	// empty one is made, and removed by Stop.
	Dir  string
	Port int // default: a free one

	// Suffix is the top of the directory, a dc or an o; default "dc=example".
	// Mailboxes are looked for below "ou=mailboxes" of it: see Base.
	Suffix          string
	AdminPassword   string // of cn=admin, for whom no limit and no right counts; default "admin"
	TrustedPassword string // of cn=trusted, who reads and writes mailboxes; default "secret"

	TLS *TLSOptions

	SizeLimit int      // entries that a search returns at most, whole pages together; 0 is no limit
	TimeLimit int      // seconds that a search may take; 0 is no limit
	Limits    []string // values of olcLimits, as they are
	ReadOnly  bool
	// Access is put before the rules of access, without "to": `attrs=Password
	// by dn.exact="cn=trusted,dc=example" none by * break` hides passwords.
	Access   []string
	NoSchema bool // the mailboxes' own attributes and class are unknown
	Syncprov bool // offers changes to syncrepl (RFC 4533)
	// MaxSize is the size of the database's file in bytes, and thereby what it
	// holds at most; default 4 GB, of which no more is taken than is used.
	MaxSize int64
	// Sync makes every write reach the disk before it is answered.
	Sync bool
	// MaxRequest is how many bytes a request of somebody bound has at most: the server
	// ends the connection at a larger one. 0 is the server's own limit.
	MaxRequest int
	// Extra are attributes of the database's configuration, as they are.
	Extra []string
	// Debug says what is logged, slapd(8); default "none", which are the messages
	// that come at every level.
	Debug string
	// LDIF, if not nil, is what the directory holds at first besides its top.
	LDIF io.Reader
	// Whole says that LDIF holds the top, too: it is another server's Dump.
	Whole bool
}

// Slapd is a running OpenLDAP server.
type Slapd struct {
	instance
	opts   SlapdOptions
	binary string
}

// StartSlapd starts a server and returns when it answers. It runs as one
// unprivileged user: the caller, or for root the package's own.
func StartSlapd(ctx context.Context, o SlapdOptions) (*Slapd, error) {
	s, err := newSlapd(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("prepare slapd: %w", err)
	}
	if err := s.startAnywhere(ctx, s.opts.Port, func(int) error { return nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("start slapd: %w", err), s.Stop())
	}
	return s, nil
}

func newSlapd(ctx context.Context, o SlapdOptions) (*Slapd, error) {
	setDefault(&o.Suffix, "dc=example")
	setDefault(&o.AdminPassword, "admin")
	setDefault(&o.TrustedPassword, "secret")
	setDefault(&o.Debug, "none")
	if o.MaxSize == 0 {
		o.MaxSize = 4 << 30
	}
	a, err := findAccount("openldap", "nobody")
	if err != nil {
		return nil, err
	}
	s := &Slapd{opts: o}
	s.account, s.greets = a, readLDAPAnswer
	s.tls = o.TLS != nil && o.TLS.Mode == TLSImplicit
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// prepare lays out the folder and loads what the directory holds at first.
func (s *Slapd) prepare(ctx context.Context) error {
	if s.opts.Dir == "" {
		dir, err := os.MkdirTemp("", "mailmirror-slapd-")
		if err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		s.opts.Dir = dir
		s.cleanup = append(s.cleanup, dir)
	}
	for _, sub := range []string{"", "data", "tls"} {
		if err := s.account.makeDir(filepath.Join(s.opts.Dir, sub)); err != nil {
			return err
		}
	}
	if err := s.account.checkReach(s.opts.Dir); err != nil {
		return err
	}
	s.logPath = filepath.Join(s.opts.Dir, "slapd.log")
	s.launch = func() (*process, error) {
		scheme := "ldap://"
		if s.tls {
			scheme = "ldaps://"
		}
		// -d keeps it in the foreground.
		return startProcess(s.account, s.opts.Dir, s.logPath, nil,
			s.binary, "-d", s.opts.Debug, "-F", s.confDir(), "-h", scheme+s.addr)
	}
	var err error
	if s.binary, err = s.ownBinary(); err != nil {
		return err
	}
	if err := s.writeConfig(ctx); err != nil {
		return err
	}
	if used, err := os.ReadDir(filepath.Join(s.opts.Dir, "data")); err != nil || len(used) > 0 {
		return err // the folder is one that a server left
	}
	if !s.opts.Whole {
		if err := s.Load(ctx, strings.NewReader(s.top())); err != nil {
			return err
		}
	}
	if s.opts.LDIF != nil {
		return s.Load(ctx, s.opts.LDIF)
	}
	return nil
}

// ownBinary is the server's program: a copy in the instance's folder where
// AppArmor would keep the packaged one, which it knows by its path, out of
// every other folder.
func (s *Slapd) ownBinary() (string, error) {
	const packaged = "/usr/sbin/slapd"
	program, err := os.ReadFile(packaged)
	if err != nil {
		return "", fmt.Errorf("find slapd (is the package installed?): %w", err)
	}
	if on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !bytes.HasPrefix(on, []byte("Y")) {
		return packaged, nil //nolint:nilerr // a system without AppArmor has no such file
	}
	copied := filepath.Join(s.opts.Dir, "slapd")
	if err := os.WriteFile(copied, program, 0o755); err != nil { //nolint:gosec // a program
		return "", fmt.Errorf("copy slapd: %w", err)
	}
	return copied, nil
}

// Change starts the server again with other options and the same entries, on
// the same address. Dir, Port, Suffix, LDIF and the way of TLS stay.
func (s *Slapd) Change(ctx context.Context, change func(*SlapdOptions)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("change server: it was stopped for good")
	}
	if s.proc != nil {
		if err := s.proc.stop(); err != nil {
			return err
		}
		s.proc = nil
	}
	change(&s.opts)
	if err := s.writeConfig(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// Base is the DN below which mailboxes are: "ou=mailboxes" of the suffix.
func (s *Slapd) Base() string { return "ou=mailboxes," + s.opts.Suffix }

// Suffix is the DN of the directory's top.
func (s *Slapd) Suffix() string { return s.opts.Suffix }

// AdminDN is the name of the user for whom no limit and no right counts.
func (s *Slapd) AdminDN() string { return "cn=admin," + s.opts.Suffix }

// AdminPassword is that user's password.
func (s *Slapd) AdminPassword() string { return s.opts.AdminPassword }

// TrustedDN is the name of the user that reads and writes mailboxes.
func (s *Slapd) TrustedDN() string { return "cn=trusted," + s.opts.Suffix }

// TrustedPassword is that user's password.
func (s *Slapd) TrustedPassword() string { return s.opts.TrustedPassword }

// Dir is the folder in which the server keeps everything.
func (s *Slapd) Dir() string { return s.opts.Dir }

// Load puts entries into the database by slapadd, past all rights and checks
// of values. The server may be running.
func (s *Slapd) Load(ctx context.Context, ldif io.Reader) error {
	_, err := s.tool(ctx, ldif, "add", "-q", "-n", "1")
	return err
}

// Dump returns all entries as LDIF (RFC 2849) by slapcat, whatever anybody may
// see of them, with what the server notes of each. The server may be running.
func (s *Slapd) Dump(ctx context.Context) (string, error) {
	return s.tool(ctx, nil, "cat", "-n", "1", "-o", "ldif-wrap=no")
}

// tool runs the server's program as one of its tools.
func (s *Slapd) tool(ctx context.Context, in io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, append([]string{"-T", name, "-F", s.confDir()}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errOut
	cmd.Dir = s.opts.Dir
	s.account.apply(cmd)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("slap%s: %w: %.500s", name, err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// Apply carries out changes written as LDIF (RFC 2849) as the administrator,
// by ldapmodify; records without a changetype are added.
func (s *Slapd) Apply(ctx context.Context, ldif string) error {
	return s.apply(ctx, s.opts.TLS != nil && s.opts.TLS.Mode == TLSStartTLS, s.AdminDN(), s.opts.AdminPassword, ldif)
}
