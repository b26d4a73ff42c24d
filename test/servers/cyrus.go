package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// CyrusOptions describes one Cyrus instance.
type CyrusOptions struct {
	Dir      string // where everything lives; made when empty, and then removed by Stop
	Port     int    // default: a free one
	Binaries string // the folder that install-servers.sh unpacked Cyrus into; found when empty

	// Mailboxes, if not nil, are the only ones that exist; CreateMailbox makes
	// more. Nil makes a mailbox at the first log-in for it.
	Mailboxes       []string
	MailboxPassword string // default "mailbox"; only mailboxes given or created have one

	TrustedName     string // may act for any mailbox; default "trusted"
	TrustedPassword string // default "secret"
	TrustedPlain    bool   // the trusted user is an ordinary one, without that right

	InboxPrefix      bool // own folders lie below "INBOX/" (altnamespace: no)
	DotSeparator     bool // "." separates levels in place of "/" (unixhierarchysep: no)
	HideCapabilities []string
	TLS              *TLSOptions
	Extra            string // appended to imapd.conf as it is
}

// Cyrus is a running Cyrus instance. There is no log-in by separator on Cyrus:
// the trusted user acts for a mailbox by SASL PLAIN with an authorization
// identity. Logged in as itself it is an administrator and sees all mailboxes
// as "user/<number>".
type Cyrus struct {
	instance
	opts CyrusOptions
	root string // of the unpacked packages
	libs string // its library folder
}

// StartCyrus starts an instance and returns when it greets. Cyrus logs by
// syslog only, so LogPath holds little.
func StartCyrus(ctx context.Context, o CyrusOptions) (*Cyrus, error) {
	c, err := newCyrus(o)
	if err != nil {
		return nil, fmt.Errorf("prepare cyrus: %w", err)
	}
	if err := c.startAnywhere(ctx, c.opts.Port, func(int) error { return c.writeConfig() }); err != nil {
		return nil, errors.Join(fmt.Errorf("start cyrus: %w", err), c.Stop())
	}
	if err := c.CreateMailbox(ctx, o.Mailboxes...); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func newCyrus(o CyrusOptions) (*Cyrus, error) {
	setDefault(&o.MailboxPassword, "mailbox")
	setDefault(&o.TrustedName, "trusted")
	setDefault(&o.TrustedPassword, "secret")
	binaries, libs, err := findCyrus(o.Binaries)
	if err != nil {
		return nil, err
	}
	a, err := findAccount("cyrus", "mail", "nobody")
	if err != nil {
		return nil, err
	}
	c := &Cyrus{opts: o, root: filepath.Join(binaries, "root"), libs: libs}
	c.account = a
	if c.opts.Dir == "" {
		dir, err := os.MkdirTemp("", "mailmirror-cyrus-")
		if err != nil {
			return nil, fmt.Errorf("create folder: %w", err)
		}
		c.opts.Dir = dir
		c.cleanup = append(c.cleanup, dir)
	}
	for _, sub := range []string{
		"", "conf", "conf/socket", "conf/lock", "conf/proc", "conf/db", "conf/log", "conf/msg",
		"conf/ptclient", "conf/user", "conf/quota", "conf/tmp", "spool", "tls",
	} {
		if err := a.makeDir(filepath.Join(c.opts.Dir, sub)); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	for _, dir := range []string{c.opts.Dir, c.root} {
		if err := a.checkReach(dir); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	c.logPath = filepath.Join(c.opts.Dir, "cyrus.log")
	c.tls = o.TLS != nil && o.TLS.Mode == TLSImplicit
	c.launch = func() (*process, error) {
		return startProcess(a, c.opts.Dir, c.logPath, c.env(), c.binary("master"), "-D",
			"-C", filepath.Join(c.opts.Dir, "imapd.conf"), "-M", filepath.Join(c.opts.Dir, "cyrus.conf"),
			"-p", filepath.Join(c.opts.Dir, "master.pid"))
	}
	if err := c.setPassword(o.TrustedName, o.TrustedPassword); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// findCyrus looks for what install-servers.sh unpacked.
func findCyrus(wanted string) (binaries, libs string, err error) {
	home, _ := os.UserHomeDir() // without one there is one place less to look
	places := []string{wanted, os.Getenv("MAILMIRROR_CYRUS"), "/var/cache/mailmirror/cyrus", filepath.Join(home, ".cache/mailmirror/cyrus")}
	for _, dir := range places {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "complete")); err != nil {
			continue
		}
		found, _ := filepath.Glob(filepath.Join(dir, "root/usr/lib/*/libcyrus.so.0")) // the pattern is valid
		if len(found) == 1 {
			return dir, filepath.Dir(found[0]), nil
		}
	}
	return "", "", errors.New("find cyrus: not unpacked; run test/scripts/install-servers.sh test")
}

func (c *Cyrus) binary(name string) string { return filepath.Join(c.root, "usr/lib/cyrus/bin", name) }

// env makes the unpacked programs find their libraries and SASL plugins, and
// tells them whom to run as.
func (c *Cyrus) env() []string {
	return []string{"LD_LIBRARY_PATH=" + c.libs, "SASL_PATH=" + filepath.Join(c.libs, "sasl2"), "CYRUS_USER=" + c.account.name}
}

// TrustedName is the name of the user that may act for any mailbox.
func (c *Cyrus) TrustedName() string { return c.opts.TrustedName }

// TrustedPassword is that user's password.
func (c *Cyrus) TrustedPassword() string { return c.opts.TrustedPassword }

// MailboxPassword is the own password of each mailbox that was created.
func (c *Cyrus) MailboxPassword() string { return c.opts.MailboxPassword }

// Dir is the folder in which the instance keeps everything.
func (c *Cyrus) Dir() string { return c.opts.Dir }

// AddMailboxes is CreateMailbox under the name that Dovecot has for it.
func (c *Cyrus) AddMailboxes(ctx context.Context, numbers ...string) error {
	return c.CreateMailbox(ctx, numbers...)
}

// CreateMailbox makes mailboxes, as the administrator, and gives them their
// own password. One that exists is left as it is.
func (c *Cyrus) CreateMailbox(ctx context.Context, numbers ...string) error {
	if len(numbers) == 0 {
		return nil
	}
	separator := "/"
	if c.opts.DotSeparator {
		separator = "."
	}
	commands := make([]string, 0, len(numbers))
	for _, n := range numbers {
		if err := c.setPassword(n, c.opts.MailboxPassword); err != nil {
			return err
		}
		commands = append(commands, fmt.Sprintf("CREATE %q", "user"+separator+n))
	}
	answers, err := session(ctx, c.addr, c.tls, c.opts.TrustedName, c.opts.TrustedPassword, commands)
	if err != nil {
		return fmt.Errorf("create mailboxes: %w", err)
	}
	for i, a := range answers {
		if !strings.HasPrefix(a, "OK") && !strings.Contains(a, "exists") {
			return fmt.Errorf("create mailbox %s: server says %s", numbers[i], a)
		}
	}
	return nil
}

// setPassword enters a user in the instance's password file.
func (c *Cyrus) setPassword(name, password string) error {
	cmd := exec.Command(filepath.Join(c.root, "usr/sbin/saslpasswd2"), "-p", "-c",
		"-f", filepath.Join(c.opts.Dir, "sasldb2"), "-u", realm, name)
	cmd.Env = c.env()
	cmd.Dir = c.opts.Dir
	cmd.Stdin = strings.NewReader(password)
	c.account.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set password of %s: %w: %s", name, err, out)
	}
	return nil
}

// realm is the part after "@" in the password file, the servername of the
// configuration; user names are used without it.
const realm = "mailmirror.test"

// writeConfig writes cyrus.conf (which services) and imapd.conf (the rest).
func (c *Cyrus) writeConfig() error {
	dir := c.opts.Dir
	mode := TLSNone
	lines := []string{
		"configdirectory: " + dir + "/conf",
		"defaultpartition: default",
		"partition-default: " + dir + "/spool",
		"servername: " + realm,
		"proc_path: " + dir + "/conf/proc",
		"mboxname_lockpath: " + dir + "/conf/lock",
		"idlesocket: " + dir + "/conf/socket/idle",
		"lmtpsocket: " + dir + "/conf/socket/lmtp",
		"notifysocket: " + dir + "/conf/socket/notify",
		"temp_path: " + dir + "/conf/tmp",
		"cyrus_user: " + c.account.name,
		"cyrus_group: " + c.account.group,
		"umask: 077",
		"allowplaintext: yes",
		"sasl_mech_list: PLAIN LOGIN",
		"sasl_pwcheck_method: auxprop",
		"sasl_auxprop_plugin: sasldb",
		"sasl_sasldb_path: " + dir + "/sasldb2",
		"expunge_mode: immediate",
		"delete_mode: immediate",
		"specialuse_extra: \\Drafts",
		"maxmessagesize: 0",
		"failedloginpause: 0",
		"timeout: 60",
		"altnamespace: " + yesNo(!c.opts.InboxPrefix),
		"unixhierarchysep: " + yesNo(!c.opts.DotSeparator),
	}
	if !c.opts.TrustedPlain {
		lines = append(lines, "admins: "+c.opts.TrustedName, "proxyservers: "+c.opts.TrustedName)
	}
	if c.opts.Mailboxes == nil {
		lines = append(lines, "autocreate_quota: 0")
	}
	if len(c.opts.HideCapabilities) > 0 {
		lines = append(lines, "suppress_capabilities: "+strings.Join(c.opts.HideCapabilities, " "))
	}
	if t := c.opts.TLS; t != nil {
		mode = t.Mode
		if err := c.account.copyTLS(t, filepath.Join(dir, "tls")); err != nil {
			return err
		}
		lines = append(lines, "tls_server_cert: "+dir+"/tls/cert.pem", "tls_server_key: "+dir+"/tls/key.pem",
			"tls_session_timeout: 0")
		if mode == TLSStartTLS {
			i := slices.Index(lines, "allowplaintext: yes")
			lines[i] = "allowplaintext: no"
			lines = append(lines, "allowstarttls: yes") // off by default since Cyrus 3.10
		}
	}
	imapd := strings.Join(append(lines, c.opts.Extra), "\n") + "\n"
	if err := c.account.writeFile(filepath.Join(dir, "imapd.conf"), []byte(imapd)); err != nil {
		return err
	}
	flag := ""
	if mode == TLSImplicit {
		flag = " -s"
	}
	services := fmt.Sprintf(`START {
  recover cmd="%[1]s/ctl_cyrusdb -C %[2]s -r"
  idled cmd="%[1]s/idled -C %[2]s"
}
SERVICES {
  imap cmd="%[1]s/imapd -C %[2]s -U 100%[3]s" listen="%[4]s" proto="tcp4" prefork=2 maxchild=2000
}
EVENTS {
}
`, filepath.Dir(c.binary("imapd")), filepath.Join(dir, "imapd.conf"), flag, c.addr)
	return c.account.writeFile(filepath.Join(dir, "cyrus.conf"), []byte(services))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
