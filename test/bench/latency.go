package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailmirror/test/bench/meter"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// latencyCommand measures how soon a message that is deposited on production
// can be read on DR.
const latencyCommand = "latency"

type latencyOptions struct {
	mailboxes, deposits int
	server              string // dovecot or cyrus, as production
	events              string
	dir, binaries       string
}

func parseLatency(args []string, errOut io.Writer) (latencyOptions, error) {
	var o latencyOptions
	f := flag.NewFlagSet("bench latency", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.mailboxes, "mailboxes", 500, "mailboxes that take part")
	f.IntVar(&o.deposits, "deposits", 1000, "messages deposited, one after the other; 0 only listens")
	f.StringVar(&o.server, "server", "dovecot", "production: dovecot or cyrus; DR is always Dovecot")
	f.StringVar(&o.events, "events", "auto", "how production is listened to: auto, notify, idle or poll")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.mailboxes < 1 || o.mailboxes > 9000 || o.deposits < 0 {
		return o, errors.New("-mailboxes must be 1 to 9000, -deposits not negative")
	}
	if o.server != "dovecot" && o.server != "cyrus" {
		return o, fmt.Errorf("-server %q is neither dovecot nor cyrus", o.server)
	}
	return o, nil
}

// imapServer is what the two kinds of production have in common.
type imapServer interface {
	Addr() string
	TrustedName() string
	TrustedPassword() string
	Stop() error
}

func reach(s imapServer) reader.Store {
	return reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
}

// runLatency builds the rig, measures, and prints what it found.
func runLatency(ctx context.Context, o latencyOptions, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "mailmirror-latency-")
	if err != nil {
		return fmt.Errorf("create scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as users of their own
		return fmt.Errorf("open scratch folder: %w", err)
	}
	var numbers []string
	for i := range o.mailboxes {
		numbers = append(numbers, fmt.Sprint(1000+i))
	}
	l := &latency{latencyOptions: o, numbers: numbers, out: out, progress: progress}
	if err := l.start(ctx, dir); err != nil {
		return errors.Join(err, l.stop())
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	return l.measure(ctx)
}

type latency struct {
	latencyOptions
	numbers       []string
	out, progress io.Writer
	source        imapServer
	target        *servers.Dovecot
	mm            *mailmirror
	notify        *tap // of the whole of a Dovecot; nil on Cyrus
}

func (l *latency) start(ctx context.Context, dir string) (err error) {
	if l.server == "cyrus" {
		if l.source, err = servers.StartCyrus(ctx, servers.CyrusOptions{}); err != nil {
			return err
		}
	} else {
		source, err := servers.StartDovecot(ctx, servers.DovecotOptions{Name: "production", SharedNamespace: true, Mailboxes: l.numbers,
			Extra: "service imap {\n process_limit = 4000\n client_limit = 1\n}\n"})
		if err != nil {
			return err
		}
		l.source = source
	}
	if l.target, err = servers.StartDovecot(ctx, servers.DovecotOptions{Name: "dr", SharedNamespace: true, Mailboxes: l.numbers}); err != nil {
		return err
	}
	l.say("filling %d mailboxes", len(l.numbers))
	for _, n := range l.numbers {
		if err := deposit(ctx, reach(l.source), n, "first"); err != nil {
			return err
		}
	}
	l.mm = &mailmirror{binaries: l.binaries, data: filepath.Join(dir, "mailmirror"), config: filepath.Join(dir, "mailmirror.toml")}
	if err := os.WriteFile(l.mm.config, nil, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := l.mm.start(ctx, filepath.Join(dir, "mailmirror.log")); err != nil {
		return err
	}
	for name, s := range map[string]imapServer{"production": l.source, "standby": l.target} {
		password := filepath.Join(dir, name+".password")
		if err := os.WriteFile(password, []byte(s.TrustedPassword()), 0o600); err != nil {
			return fmt.Errorf("write password file: %w", err)
		}
		if err := l.mm.run(ctx, "store", "add", name, "--imap", s.Addr(), "--imap-security", "none", "--login", "authzid",
			"--trusted-name", s.TrustedName(), "--trusted-password-file", password, "--events", l.events, "--max-idle", "5000"); err != nil {
			return err
		}
	}
	list := filepath.Join(dir, "mailboxes")
	if err := os.WriteFile(list, []byte(strings.Join(l.numbers, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write list of mailboxes: %w", err)
	}
	if err := l.mm.run(ctx, "link", "add", benchLink, "--source", "production", "--target", "standby"); err != nil {
		return err
	}
	if err := l.mm.run(ctx, "mailbox", "add", benchLink, "--file", list); err != nil {
		return err
	}
	l.say("first copy")
	return l.mm.run(ctx, "compare", benchLink, "--wait")
}

func (l *latency) say(format string, args ...any) { fmt.Fprintf(l.progress, format+"\n", args...) }

func (l *latency) stop() error {
	var errs []error
	if l.mm != nil {
		errs = append(errs, l.mm.close())
	}
	if l.source != nil {
		errs = append(errs, l.source.Stop())
	}
	if l.target != nil {
		errs = append(errs, l.target.Stop())
	}
	return errors.Join(errs...)
}

func deposit(ctx context.Context, s reader.Store, number, name string) error {
	c, err := s.Open(ctx, number)
	if err != nil {
		return fmt.Errorf("deposit: %w", err)
	}
	defer c.Close()
	return put(c, name)
}

// put appends a voice message of 20 kB.
func put(c *reader.Conn, name string) error {
	text := "Message-ID: <" + name + "@voice.example.com>\r\nSubject: voice\r\n\r\n" + strings.Repeat(strings.Repeat("v", 70)+"\r\n", 280)
	size, body := reader.Bytes([]byte(text))
	stored, err := c.Append(reader.Deposit{Folder: "INBOX", Size: size, Body: body})
	return errors.Join(err, stored.Err)
}

// measure deposits one message after the other and waits for each to be
// readable on DR, over connections that are open already.
func (l *latency) measure(ctx context.Context) error {
	l.say("waiting until all mailboxes are listened to")
	if err := l.awaitListening(ctx); err != nil {
		return err
	}
	if d, ok := l.source.(*servers.Dovecot); ok {
		ear, err := openNotify(ctx, reach(d), l.numbers)
		if err != nil {
			return err
		}
		defer ear.close()
		l.notify = ear
	}
	worker, err := l.workerMemory()
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "%s, events %s, %d mailboxes: worker uses %.1f MB; load average %s\n", l.server, l.events, len(l.numbers), worker, load())
	var fromDeposit, fromEvent []time.Duration
	for i := range l.deposits {
		number := l.numbers[(i*7919)%len(l.numbers)]
		end, announced, readable, err := l.one(ctx, number, fmt.Sprint("deposit", i))
		if err != nil {
			return fmt.Errorf("deposit %d into mailbox %s: %w", i, number, err)
		}
		fromDeposit = append(fromDeposit, readable.Sub(end))
		if !announced.IsZero() {
			fromEvent = append(fromEvent, readable.Sub(announced))
		}
	}
	if l.deposits > 0 {
		fmt.Fprintf(l.out, "%d deposits; load average %s\n", l.deposits, load())
		distribution(l.out, "from the end of the deposit to readable on DR", fromDeposit)
		distribution(l.out, "from the server's announcement to readable on DR", fromEvent)
	}
	return nil
}

// one deposits and returns when the deposit ended, when the server announced it
// to a listener of ours, and when it was readable on DR.
func (l *latency) one(ctx context.Context, number, name string) (end, announced, readable time.Time, err error) {
	ear := l.notify
	if ear == nil {
		if ear, err = openIdle(ctx, reach(l.source), number); err != nil {
			return end, announced, readable, err
		}
		defer ear.close()
	}
	dr, err := reach(l.target).Open(ctx, number)
	if err != nil {
		return end, announced, readable, err
	}
	defer dr.Close()
	before, err := count(dr, "SELECT INBOX", 0)
	if err != nil {
		return end, announced, readable, err
	}
	user, err := reach(l.source).Open(ctx, number)
	if err != nil {
		return end, announced, readable, err
	}
	defer user.Close()
	time.Sleep(300 * time.Millisecond) // what the log-ins stirred up has settled
	ear.listen(number)
	if err := put(user, name); err != nil {
		return end, announced, readable, err
	}
	end = time.Now()
	const look = 3 * time.Millisecond
	for deadline := end.Add(time.Minute); ; time.Sleep(look) {
		now, err := count(dr, "NOOP", before)
		if err != nil {
			return end, announced, readable, err
		}
		if now > before {
			readable = time.Now()
			break
		}
		if time.Now().After(deadline) {
			return end, announced, readable, errors.New("not on DR within a minute")
		}
	}
	return end, ear.heard(), readable, nil
}

// count runs a command and returns the last EXISTS, or what was before.
func count(c *reader.Conn, command string, before int) (int, error) {
	reply, err := c.Command(command)
	if err != nil {
		return before, err
	}
	for _, r := range reply.Untagged {
		if r.Name == "EXISTS" {
			before = int(r.Number)
		}
	}
	return before, nil
}

// distribution prints percentiles.
func distribution(out io.Writer, what string, times []time.Duration) {
	if len(times) == 0 {
		fmt.Fprintf(out, "%s: nothing was measured\n", what)
		return
	}
	slices.Sort(times)
	at := func(p float64) time.Duration {
		return times[min(int(p*float64(len(times))), len(times)-1)].Round(time.Millisecond)
	}
	fmt.Fprintf(out, "%s: median %v, 90th percentile %v, 99th %v, worst %v (%d)\n",
		what, at(0.5), at(0.9), at(0.99), times[len(times)-1].Round(time.Millisecond), len(times))
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// workerMemory is the worker's resident memory in MB.
func (l *latency) workerMemory() (float64, error) {
	table, err := meter.ReadTable()
	if err != nil {
		return 0, err
	}
	for _, p := range l.mm.residents(table).tool {
		if strings.HasPrefix(p.Name, "mailmirror-work") {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
			if err != nil {
				return 0, fmt.Errorf("read the worker's memory: %w", err)
			}
			for line := range strings.Lines(string(b)) {
				var kb float64
				if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
					return kb / 1024, nil
				}
			}
		}
	}
	return 0, errors.New("read the worker's memory: there is no worker")
}
