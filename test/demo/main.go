// Command demo shows the mirror at work on real servers: it starts two private
// Dovecot stores, two OpenLDAP directories and the whole system below one folder,
// creates mailboxes and puts voice mail on production, mirrors both, proves both
// sides equal, has a new subscriber appear, and keeps mirroring until it is
// interrupted. Everything it does to Mailmirror it does by its command
// line, as an operator would.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/system"
)

const (
	link        = "demo"
	firstNumber = 2001
)

func main() {
	dir := flag.String("dir", "data/demo", "`folder` that holds everything")
	bin := flag.String("bin", "bin", "`folder` of the built programs")
	once := flag.Bool("once", false, "end after the proof")
	mailboxes := flag.Int("mailboxes", 50, "how many mailboxes production has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &demo{bin: absolute(*bin), dir: absolute(*dir), mailboxes: *mailboxes}
	err := d.run(ctx, *once)
	if stopErr := d.stop(); err == nil {
		err = stopErr
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

type demo struct {
	bin, dir       string
	mailboxes      int
	production, dr *servers.Dovecot
	system         *system.System

	productionLDAP, drLDAP *servers.Slapd
	// extra are subscribers that were created besides.
	extra []string
	// again is true if an earlier run mirrored production already. What people did
	// since then may keep messages waiting, or differing, without a fault.
	again bool
	// waits is true if something of an earlier run waits or differs.
	waits bool
}

func (d *demo) run(ctx context.Context, once bool) error {
	start := time.Now()
	if err := portsFree(); err != nil {
		return err
	}
	for _, prepare := range []func(context.Context) error{d.startStores, d.startDirectories, d.populate, d.fill} {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	step("Starting PostgreSQL, Temporal and the worker below %s", short(d.dir))
	var err error
	if d.system, err = system.Start(ctx, d.bin, filepath.Join(d.dir, "mirror")); err != nil {
		return err
	}
	if err := d.configure(ctx); err != nil {
		return err
	}
	step("Mirroring the directory: the mailboxes are created on DR, and join the link")
	if err := d.mayWait(d.system.Show(ctx, "directory", "sync", link, "--wait")); err != nil {
		return err
	}
	step("Mirroring production to DR")
	if err := d.mayWait(d.system.Show(ctx, "compare", link, "--wait")); err != nil {
		return err
	}
	if err := d.newSubscriber(ctx); err != nil {
		return err
	}
	if err := d.prove(ctx); err != nil {
		return err
	}
	if d.waits {
		step("What waits for a decision, or differs and stays so, since an earlier run")
		for _, args := range [][]string{{"errors", link}, {"guard", "list", link}} {
			if err := d.system.Show(ctx, args...); err != nil {
				return err
			}
		}
	}
	step("Done after %s", time.Since(start).Round(100*time.Millisecond))
	if once {
		return nil
	}
	d.next()
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping")
		return nil
	case err := <-d.system.Done():
		return fmt.Errorf("the system ended by itself: %w", err)
	}
}

// The ports of the demo's own servers, the same each time: Mailmirror keeps the addresses.
const (
	productionPort     = 10143
	drPort             = 10144
	productionLDAPPort = 10389
	drLDAPPort         = 10390
)

// portsFree is an error that names each port that is in use, of the demo's servers and of
// mailmirror up: a server of another demo would answer there in place of this one's.
func portsFree() error {
	var used []string
	for _, port := range []int{productionPort, drPort, productionLDAPPort, drLDAPPort, 7432, 7233, 7234, 7235, 7239, 8233, 9464} {
		if err := servers.PortFree(port); err != nil {
			used = append(used, err.Error())
		}
	}
	if len(used) > 0 {
		return errors.New(strings.Join(used, "; ") + "\nhint: stop the other demo or \"mailmirror up\", or what else uses the port")
	}
	return nil
}

// startStores starts both message stores.
func (d *demo) startStores(ctx context.Context) error {
	step("Starting two Dovecot message stores, production and DR")
	var err error
	if d.production, err = startStore(ctx, d.dir, "production", productionPort); err != nil {
		return err
	}
	d.dr, err = startStore(ctx, d.dir, "dr", drPort)
	return err
}

func startStore(ctx context.Context, dir, name string, port int) (*servers.Dovecot, error) {
	o := servers.DovecotOptions{Dir: filepath.Join(dir, name), Name: name, Port: port, Sync: true}
	store, err := servers.StartDovecot(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the %s store on port %d: %w", name, port, err)
	}
	return store, nil
}

func (d *demo) numbers() []string {
	numbers := make([]string, d.mailboxes)
	for i := range numbers {
		numbers[i] = fmt.Sprint(firstNumber + i)
	}
	return numbers
}

// fill puts voice messages and greetings on production, the first time only.
func (d *demo) fill(ctx context.Context) error {
	mark := filepath.Join(d.dir, fmt.Sprintf("filled-%d", d.mailboxes))
	if _, err := os.Stat(mark); err == nil {
		step("Production still holds the voice mail of the last time")
		return nil
	}
	step("Leaving voice messages and greetings in %d mailboxes of production", d.mailboxes)
	var messages, bytes atomic.Int64
	err := corpus.Fill(ctx, access(d.production), d.numbers(),
		corpus.Options{Seed: 1, Messages: 24, Greetings: 3, MaxSize: 60 << 10}, 4,
		func(m int, b int64) { messages.Add(int64(m)); bytes.Add(b) })
	if err != nil {
		return fmt.Errorf("fill production: %w", err)
	}
	fmt.Printf("  %d messages, %.0f MB\n", messages.Load(), float64(bytes.Load())/1e6)
	return os.WriteFile(mark, nil, 0o600)
}

func access(s *servers.Dovecot) reader.Store {
	return reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
}

// configure tells Mailmirror of the stores, the link and the mailboxes; what
// it knows already stays.
func (d *demo) configure(ctx context.Context) error {
	if _, err := d.system.Capture(ctx, "link", "show", link); err == nil {
		d.again = true
		if err := d.configureDirectories(ctx); err != nil {
			return err
		}
		return d.compareOften(ctx)
	}
	step("Telling Mailmirror of both stores with their directories, and of the link")
	for _, s := range []struct {
		name      string
		store     *servers.Dovecot
		directory *servers.Slapd
	}{{"production", d.production, d.productionLDAP}, {"dr", d.dr, d.drLDAP}} {
		secret := filepath.Join(d.dir, s.name+".password")
		if err := os.WriteFile(secret, []byte(s.store.TrustedPassword()+"\n"), 0o600); err != nil {
			return err
		}
		ldap, err := d.ldapFlags(s.name, s.directory)
		if err != nil {
			return err
		}
		if _, err := d.system.Capture(ctx, "store", "show", s.name); err == nil {
			continue // a run that was stopped had come that far
		}
		if err := d.system.Show(ctx, append([]string{"store", "add", s.name, "--imap", s.store.Addr(), "--imap-security", "none",
			"--login", "authzid", "--trusted-name", s.store.TrustedName(), "--trusted-password-file", secret}, ldap...)...); err != nil {
			return err
		}
		if err := d.system.Show(ctx, "store", "check", s.name, "--mailbox", fmt.Sprint(firstNumber)); err != nil {
			return err
		}
	}
	if err := d.system.Show(ctx, "link", "add", link, "--source", "production", "--target", "dr"); err != nil {
		return err
	}
	return d.compareOften(ctx)
}

// compareOften has the link compared every minute, so that there is something to see.
func (d *demo) compareOften(ctx context.Context) error {
	return d.system.Show(ctx, "schedule", "set", "full-compare/"+link, "--every", "1m")
}

// exitDifferences is how a command ends after which differences remain, or something
// waits for a decision.
const exitDifferences = 3

// mayWait is the error of a command. If an earlier run mirrored production already,
// differences that remain are none: they are shown at the end.
func (d *demo) mayWait(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitDifferences || !d.again {
		return err
	}
	d.waits = true
	return nil
}

// prove compares the stores twice: by Mailmirror, reading every body, and by a
// reader that shares no code with it.
func (d *demo) prove(ctx context.Context) error {
	step("Proving both stores equal: every body, flag and date")
	if err := d.mayWait(d.system.Show(ctx, "verify", link, "--deep")); err != nil {
		return err
	}
	diffs, err := reader.Compare(ctx, access(d.production), access(d.dr), append(d.numbers(), d.extra...), 4)
	if err != nil {
		return fmt.Errorf("compare by the independent reader: %w", err)
	}
	switch {
	case len(diffs) == 0:
		fmt.Println("  an independent reader agrees: nothing missing, nothing extra, nothing different")
	case d.waits:
		fmt.Printf("  an independent reader sees what waits or differs since an earlier run: %s\n", strings.Join(diffs, "; "))
	default:
		return errors.New("the independent reader sees differences: " + strings.Join(diffs, "; "))
	}
	return d.proveDirectories(ctx)
}

// next tells what there is to see now.
func (d *demo) next() {
	data := short(filepath.Join(d.dir, "mirror"))
	fmt.Printf(`
The mirror runs on. It listens to production, and compares every minute here (every
4 hours unless that is changed: mailmirror schedule set). DR itself is looked at only
by a compare, and by a sync of the mailbox.
Look around from another terminal:

  export MAILMIRROR_DATA=%[1]s
  bin/mailmirror status                     the link at a glance
  bin/mailmirror mailbox list %[2]s            every mailbox and its state
  bin/mailmirror history %[2]s                 what was done
  bin/mailmirror errors %[2]s                  what is not as it should be
  bin/mailmirror verify %[2]s --deep           prove it again

Create a mailbox on production, and have it mirrored:

  printf '%%s\n' 'dn: MailboxNumber=4711,%[9]s' 'objectClass: umMailbox' 'MailboxNumber: 4711' \
    'Password: 1234' 'cn: Somebody New' | ldapmodify -a -x -H ldap://%[6]s -D %[7]s -w %[8]s
  bin/mailmirror directory sync %[2]s --wait
  bin/mailmirror directory show %[2]s 4711

Leave a message on production and have it mirrored:

  printf 'Subject: hello\r\n\r\nCall me back.\r\n' | doveadm -c %[3]s save -u %[4]d
  bin/mailmirror sync %[2]s %[4]d --wait

Temporal Web UI:  %[5]s

Ctrl-C stops everything; the next "make demo" goes on from here.
`, data, link, short(d.production.ConfigPath()), firstNumber, d.system.WebUI(),
		d.productionLDAP.Addr(), d.productionLDAP.AdminDN(), d.productionLDAP.AdminPassword(), d.productionLDAP.Base())
}

func (d *demo) stop() error {
	return errors.Join(servers.StopAll(d.system), servers.StopAll(d.dr, d.production), servers.StopAll(d.drLDAP, d.productionLDAP))
}

func step(format string, args ...any) { fmt.Printf("\n▸ "+format+"\n", args...) }

// short names a path from the working directory where it lies below it.
func short(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}
