package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// DS389Options describes one 389 Directory Server. The zero value is an empty
// directory of mailboxes that does everything that its trusted server asks.
type DS389Options struct {
	Dir      string // where everything lives; made when empty, and then removed by Stop
	Port     int    // default: a free one
	Binaries string // the folder that install-servers.sh unpacked the server into; found when empty

	AdminPassword   string // of cn=admin, for whom no right counts; default "admin"
	TrustedPassword string // of cn=trusted, who reads and writes mailboxes; default "secret"

	SizeLimit int  // entries that a search returns at most, whole pages together; 0 is no limit
	ReadOnly  bool // of the mailboxes
	// MaxRequest is how many bytes a request has at most: the server ends the
	// connection at a larger one. 0 is the server's own limit.
	MaxRequest int
	// Access is put into aci attributes of the top: `(targetattr="Password")
	// (version 3.0; acl "x"; deny (read) userdn="ldap:///cn=trusted,dc=example";)`.
	Access   []string
	NoSchema bool   // the mailboxes' own attributes and class are unknown
	LDIF     string // what the directory holds at first besides its top
}

// DS389 is a running 389 Directory Server, with its Berkeley database, without
// TLS: its certificates live in a database of NSS, whose tools are not needed
// for anything else.
type DS389 struct {
	instance
	opts       DS389Options
	root, libs string // of the unpacked packages, and its library folder
}

// StartDS389 starts a server and returns when it answers.
func StartDS389(ctx context.Context, o DS389Options) (*DS389, error) {
	d, err := newDS389(o)
	if err != nil {
		return nil, fmt.Errorf("prepare 389 directory server: %w", err)
	}
	loaded := false
	err = d.startAnywhere(ctx, o.Port, func(port int) error {
		if err := d.writeConfig(port); err != nil || loaded {
			return err
		}
		loaded = true
		return d.load(ctx)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start 389 directory server: %w", err), d.Stop())
	}
	return d, nil
}

// ds389Suffix is the top of the directory.
const ds389Suffix = "dc=example"

func newDS389(o DS389Options) (*DS389, error) {
	setDefault(&o.AdminPassword, "admin")
	setDefault(&o.TrustedPassword, "secret")
	root, libs, err := findDS389(o.Binaries)
	if err != nil {
		return nil, err
	}
	a, err := findAccount("dirsrv", "nobody")
	if err != nil {
		return nil, err
	}
	d := &DS389{opts: o, root: root, libs: libs}
	d.account, d.greets = a, readLDAPAnswer
	if d.opts.Dir == "" {
		dir, err := os.MkdirTemp("", "mailmirror-389-")
		if err != nil {
			return nil, fmt.Errorf("create folder: %w", err)
		}
		d.opts.Dir = dir
		d.cleanup = append(d.cleanup, dir)
	}
	for _, sub := range []string{"", "config", "config/schema", "log", "lock", "tmp", "ldif", "bak", "run", "db", "inst"} {
		if err := a.makeDir(filepath.Join(d.opts.Dir, sub)); err != nil {
			return nil, errors.Join(err, d.Stop())
		}
	}
	for _, dir := range []string{d.opts.Dir, d.root} {
		if err := a.checkReach(dir); err != nil {
			return nil, errors.Join(err, d.Stop())
		}
	}
	d.logPath = d.path("log/errors")
	d.launch = func() (*process, error) {
		return startProcess(d.account, d.opts.Dir, d.path("log/output"), d.env(),
			d.program(), "-d", "0", "-D", d.path("config"), "-i", d.path("run/pid"))
	}
	return d, nil
}

// findDS389 looks for what install-servers.sh unpacked.
func findDS389(wanted string) (root, libs string, err error) {
	home, _ := os.UserHomeDir() // without one there is one place less to look
	places := []string{wanted, os.Getenv("MAILMIRROR_389"), "/var/cache/mailmirror/389", filepath.Join(home, ".cache/mailmirror/389")}
	for _, dir := range places {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "complete")); err != nil {
			continue
		}
		found, _ := filepath.Glob(filepath.Join(dir, "root/usr/lib/*/dirsrv")) // the pattern is valid
		if len(found) == 1 {
			return filepath.Join(dir, "root"), filepath.Dir(found[0]), nil
		}
	}
	return "", "", errors.New("find 389 directory server: not unpacked; run test/scripts/install-servers.sh test")
}

func (d *DS389) path(name string) string { return filepath.Join(d.opts.Dir, name) }

func (d *DS389) program() string { return filepath.Join(d.root, "usr/sbin/ns-slapd") }

// env makes the unpacked program find its libraries; its plugins link one
// another.
func (d *DS389) env() []string {
	return []string{"LD_LIBRARY_PATH=" + strings.Join([]string{d.libs + "/dirsrv", d.libs + "/dirsrv/plugins", d.libs}, ":")}
}

// load puts the first entries into the database while the server is down.
func (d *DS389) load(ctx context.Context) error {
	if err := d.account.writeFile(d.path("ldif/first.ldif"), []byte(d.top()+d.opts.LDIF)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.program(), "ldif2db", "-D", d.path("config"), "-n", "mailboxes", "-i", d.path("ldif/first.ldif"))
	cmd.Dir, cmd.Env = d.opts.Dir, append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + d.opts.Dir}, d.env()...)
	d.account.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ldif2db: %w: %.500s", err, out[max(0, len(out)-500):])
	}
	return nil
}

// Base is the DN below which mailboxes are.
func (d *DS389) Base() string { return "ou=mailboxes," + ds389Suffix }

// AdminDN is the name of the user for whom no limit and no right counts.
func (d *DS389) AdminDN() string { return "cn=admin" }

// AdminPassword is that user's password.
func (d *DS389) AdminPassword() string { return d.opts.AdminPassword }

// TrustedDN is the name of the user that reads and writes mailboxes.
func (d *DS389) TrustedDN() string { return "cn=trusted," + ds389Suffix }

// TrustedPassword is that user's password.
func (d *DS389) TrustedPassword() string { return d.opts.TrustedPassword }

// Apply carries out changes written as LDIF (RFC 2849) as the administrator,
// by ldapmodify; records without a changetype are added.
func (d *DS389) Apply(ctx context.Context, ldif string) error {
	return d.apply(ctx, false, d.AdminDN(), d.opts.AdminPassword, ldif)
}

// Dump returns all entries as LDIF by ldapsearch as the administrator.
func (d *DS389) Dump(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", "ldap://"+d.addr, "-D", d.AdminDN(),
		"-w", d.opts.AdminPassword, "-b", ds389Suffix, "(objectClass=*)", "*", "nsUniqueId", "modifyTimestamp")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ldapsearch: %w: %.500s", err, errOut.String())
	}
	return out.String(), nil
}
