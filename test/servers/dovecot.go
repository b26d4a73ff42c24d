package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// DovecotOptions describes one Dovecot instance. The zero value is a server
// that accepts any mailbox number and says everything that Dovecot can do.
type DovecotOptions struct {
	// Dir is where everything lives; it becomes the server's user's own. When
	// empty one is made, and removed by Stop.
	Dir  string
	Name string // shown in process titles and in the greeting; default "store"
	Port int    // default: a free one

	// Mailboxes, if not nil, are the only mailbox numbers that exist;
	// AddMailboxes adds more. Nil accepts every name.
	Mailboxes       []string
	MailboxPassword string // default "mailbox"

	TrustedName     string // may act for any mailbox; default "trusted"
	TrustedPassword string // default "secret"
	TrustedPlain    bool   // the trusted user is an ordinary one, without that right
	TrustedMaster   bool   // the trusted user is a master user alone, who cannot log in by itself

	Storage   string // sdbox (default), mdbox or maildir
	Separator string // default "/"
	Prefix    string // personal namespace prefix such as "INBOX."; default none

	HideCapabilities []string // extensions that the server does not announce
	SharedNamespace  bool     // the trusted user sees every known mailbox below users<sep>; needs Mailboxes
	ReuseProcesses   bool     // a process serves one log-in after the other: the mailboxes belong to one system user
	QuotaBytes       int64    // per mailbox; 0 is no limit
	QuotaMessages    int64    // per mailbox; 0 is no limit
	TLS              *TLSOptions
	Sync             bool   // every write reaches the disk before it is answered
	Extra            string // appended to the configuration as it is
}

// Dovecot is a running Dovecot instance.
type Dovecot struct {
	instance
	opts   DovecotOptions
	conf   string
	modern bool     // 2.4 or later, with another language of configuration
	hide   []string // the full capability list to announce; nil announces all
}

// StartDovecot starts an instance and returns when it greets. Everything runs
// as one unprivileged user: the caller, or for root the package's own.
func StartDovecot(ctx context.Context, o DovecotOptions) (*Dovecot, error) {
	d, err := newDovecot(o)
	if err != nil {
		return nil, fmt.Errorf("prepare dovecot: %w", err)
	}
	if err := d.startAnywhere(ctx, d.opts.Port, d.writeConfig); err != nil {
		return nil, errors.Join(fmt.Errorf("start dovecot: %w", err), d.Stop())
	}
	if len(o.HideCapabilities) > 0 {
		if err := d.hideCapabilities(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("hide capabilities: %w", err), d.Stop())
		}
	}
	return d, nil
}

func newDovecot(o DovecotOptions) (*Dovecot, error) {
	setDefault(&o.Name, "store")
	setDefault(&o.MailboxPassword, "mailbox")
	setDefault(&o.TrustedName, "trusted")
	setDefault(&o.TrustedPassword, "secret")
	setDefault(&o.Storage, "sdbox")
	setDefault(&o.Separator, "/")
	if o.SharedNamespace && o.Mailboxes == nil {
		return nil, errors.New("a shared namespace lists known mailboxes only: set Mailboxes")
	}
	a, err := findAccount("dovecot", "mail", "nobody")
	if err != nil {
		return nil, err
	}
	d := &Dovecot{opts: o}
	d.account = a
	if d.modern, err = dovecotIsModern(); err != nil {
		return nil, err
	}
	if err := d.makeDirs(); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	d.logPath = filepath.Join(d.opts.Dir, "dovecot.log")
	d.conf = filepath.Join(d.opts.Dir, "dovecot.conf")
	d.tls = o.TLS != nil && o.TLS.Mode == TLSImplicit
	d.launch = func() (*process, error) {
		// A pid file left by kill -9 may name a process that is another one by now.
		_ = os.Remove(filepath.Join(d.runDir(), "master.pid"))
		if err := d.removeLocks(); err != nil {
			return nil, err
		}
		p, err := startProcess(d.account, d.opts.Dir, d.logPath, nil, "dovecot", "-F", "-c", d.conf)
		if err == nil {
			p.rest = 2 // the master gives its log process a second to end
		}
		return p, err
	}
	if err := d.writeUsers(); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// removeLocks removes the lock files of processes that are dead: none of the
// instance runs when it is launched. Dovecot believes one that is left by a
// kill -9, and does not name its process, for two minutes, in which whoever
// needs it waits; a system whose power failed has it removed by its init script.
func (d *Dovecot) removeLocks() error {
	return filepath.WalkDir(d.opts.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); !e.IsDir() && (strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".newlock")) {
			return os.Remove(path)
		}
		return nil
	})
}

// dovecotIsModern asks the installed Dovecot for its release.
func dovecotIsModern() (bool, error) {
	out, err := exec.Command("/usr/sbin/dovecot", "--version").Output() // not on every user's path
	if err != nil {
		return false, fmt.Errorf("ask dovecot's release (is dovecot-imapd installed?): %w", err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "%d.%d", &major, &minor); err != nil {
		return false, fmt.Errorf("understand dovecot's release %.20q: %w", out, err)
	}
	return major > 2 || minor >= 4, nil
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// makeDirs lays out the instance's folder: run (sockets), state, mail.
func (d *Dovecot) makeDirs() error {
	if d.opts.Dir == "" {
		dir, err := os.MkdirTemp("", "mailmirror-dovecot-")
		if err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		d.opts.Dir = dir
		d.cleanup = append(d.cleanup, dir)
	}
	for _, sub := range []string{"", "state", "mail", "tls"} {
		if err := d.account.makeDir(filepath.Join(d.opts.Dir, sub)); err != nil {
			return err
		}
	}
	if err := d.account.makeDir(d.runDir()); err != nil {
		return err
	}
	if filepath.Dir(d.runDir()) != d.opts.Dir {
		d.cleanup = append(d.cleanup, d.runDir())
	}
	return d.account.checkReach(d.opts.Dir)
}

// runDir holds the sockets. Their paths may have 107 bytes at the most
// (unix(7)), and Dovecot appends up to some 30 of its own.
func (d *Dovecot) runDir() string {
	if dir := filepath.Join(d.opts.Dir, "run"); len(dir) <= 70 {
		return dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("mailmirror-run-%x", hash32(d.opts.Dir)))
}

// AddMailboxes makes more mailbox numbers known and returns when they can log
// in. It is needed only where Options.Mailboxes limits them.
func (d *Dovecot) AddMailboxes(ctx context.Context, numbers ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opts.Mailboxes == nil || len(numbers) == 0 {
		return nil // every name is accepted
	}
	for _, n := range numbers {
		if !slices.Contains(d.opts.Mailboxes, n) {
			d.opts.Mailboxes = append(d.opts.Mailboxes, n)
		}
	}
	if err := d.writeUsers(); err != nil {
		return err
	}
	// The auth process looks at the file's time at most once a second.
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for d.proc != nil {
		_, err := d.Doveadm(ctx, "user", numbers[len(numbers)-1])
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("await new mailboxes: %w", err)
		}
	}
	return nil
}

// RemoveMailboxes makes mailbox numbers unknown again, their mail stays, and
// returns when they cannot log in. It needs Options.Mailboxes.
func (d *Dovecot) RemoveMailboxes(ctx context.Context, numbers ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opts.Mailboxes = slices.DeleteFunc(slices.Clone(d.opts.Mailboxes), func(n string) bool { return slices.Contains(numbers, n) })
	if err := d.writeUsers(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for d.proc != nil {
		if _, err := d.Doveadm(ctx, "user", numbers[len(numbers)-1]); err != nil {
			break
		}
	}
	return ctx.Err()
}

// TrustedName is the name of the user that may act for any mailbox.
func (d *Dovecot) TrustedName() string { return d.opts.TrustedName }

// TrustedPassword is that user's password.
func (d *Dovecot) TrustedPassword() string { return d.opts.TrustedPassword }

// MailboxPassword is every mailbox's own password.
func (d *Dovecot) MailboxPassword() string { return d.opts.MailboxPassword }

// Dir is the folder in which the instance keeps everything.
func (d *Dovecot) Dir() string { return d.opts.Dir }

// ConfigPath is the configuration file, for doveadm -c and dsync.
func (d *Dovecot) ConfigPath() string { return d.conf }

// Doveadm runs doveadm against this instance and returns its output.
func (d *Dovecot) Doveadm(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "doveadm", append([]string{"-c", d.conf}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Dir = d.opts.Dir
	d.account.apply(cmd)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("doveadm %s: %w: %s", args[0], err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// hideCapabilities asks the running server what it can do, and starts it again
// with a list that leaves the hidden ones out. The list is asked for because
// it depends on Dovecot's release and plugins.
func (d *Dovecot) hideCapabilities(ctx context.Context) error {
	all, err := capabilities(ctx, d.addr, d.tls, d.firstMailbox(), d.opts.MailboxPassword)
	if err != nil {
		return err
	}
	hidden := func(c string) bool {
		return slices.ContainsFunc(d.opts.HideCapabilities, func(h string) bool { return strings.EqualFold(h, c) })
	}
	d.hide = slices.DeleteFunc(all, hidden)
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		return fmt.Errorf("parse own address: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("parse own port: %w", err)
	}
	if err := d.writeConfig(number); err != nil {
		return err
	}
	return d.Restart(ctx)
}

// firstMailbox is a mailbox that can log in.
func (d *Dovecot) firstMailbox() string {
	if len(d.opts.Mailboxes) > 0 {
		return d.opts.Mailboxes[0]
	}
	return "capability-probe"
}
