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
	"sync"
	"time"

	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// latencyCommand measures how soon a message that is deposited on production
// can be read on DR.
const latencyCommand = "latency"

type latencyOptions struct {
	mailboxes, deposits int
	streams             int
	memory              int // mailboxes at which the listener's memory is measured
	ways                []way
	dir, binaries       string
}

// way is a kind of production and how it is listened to.
type way struct{ server, events string }

func (w way) String() string { return w.server + "/" + w.events }

// allWays are those that there is a promise for.
const allWays = "dovecot/notify,dovecot/idle,cyrus/idle"

func parseLatency(args []string, errOut io.Writer) (latencyOptions, error) {
	var o latencyOptions
	var ways string
	f := flag.NewFlagSet("bench latency", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.mailboxes, "mailboxes", 500, "mailboxes that take part")
	f.IntVar(&o.deposits, "deposits", 1000, "messages deposited; 0 only listens")
	f.IntVar(&o.streams, "streams", 5, "depositors at a time, each into a mailbox of its own, each waiting for its message before the next")
	f.IntVar(&o.memory, "memory", 1000, "mailboxes that take part when the listener's memory is measured; 0 does not measure it")
	f.StringVar(&ways, "ways", allWays, "what is measured: production (dovecot or cyrus; DR is always Dovecot) / how it is listened to (notify, idle or poll)")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.mailboxes < 1 || o.mailboxes > 9000 || o.memory < 0 || o.memory > 9000 || o.deposits < 0 {
		return o, errors.New("-mailboxes must be 1 to 9000, -memory at most 9000, -deposits not negative")
	}
	if o.streams < 1 || o.streams > o.mailboxes {
		return o, errors.New("-streams must be 1 to the number of mailboxes")
	}
	for text := range strings.SplitSeq(ways, ",") {
		server, events, _ := strings.Cut(text, "/")
		if server != "dovecot" && server != "cyrus" || !slices.Contains([]string{"notify", "idle", "poll"}, events) {
			return o, fmt.Errorf("-ways %q is none such as dovecot/notify, cyrus/idle", text)
		}
		o.ways = append(o.ways, way{server, events})
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

// runLatency measures one way after the other, each on a rig of its own, and
// prints one table.
func runLatency(ctx context.Context, o latencyOptions, out, progress io.Writer) error {
	var all []latencyFigures
	var failed error
	for _, w := range o.ways {
		f, err := measureWay(ctx, o, w, progress)
		if err != nil {
			failed = fmt.Errorf("%s: %w", w, err)
			break
		}
		all = append(all, f)
	}
	// What was measured until then is told in any case.
	_, err := io.WriteString(out, latencyTable(o, all))
	return errors.Join(failed, err)
}

func measureWay(ctx context.Context, o latencyOptions, w way, progress io.Writer) (f latencyFigures, err error) {
	dir, err := os.MkdirTemp(o.dir, "mailmirror-latency-")
	if err != nil {
		return f, fmt.Errorf("create scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as users of their own
		return f, fmt.Errorf("open scratch folder: %w", err)
	}
	l := &latency{latencyOptions: o, way: w, dir: dir, progress: progress, took: time.Now()}
	// Those that only the memory is measured with take part later.
	for i := range max(o.mailboxes, o.memory) {
		l.known = append(l.known, fmt.Sprint(1000+i))
	}
	l.numbers = l.known[:o.mailboxes]
	if w.server == "dovecot" && w.events == "idle" {
		putBack, err := roomToIdle(len(l.known), l.say)
		if err != nil {
			return f, err
		}
		defer putBack()
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	if err := l.start(ctx); err != nil {
		return f, err
	}
	f, err = l.measure(ctx)
	if err == nil && o.memory > 0 {
		err = l.measureMemory(ctx, &f)
	}
	return f, err
}

type latency struct {
	latencyOptions
	way
	dir            string
	known, numbers []string // all mailboxes of production, and those that take part
	progress       io.Writer
	took           time.Time
	source         imapServer
	target         *servers.Dovecot
	mm             *mailmirror
	notify         *tap    // of the whole of a Dovecot; nil on Cyrus
	idle           float64 // MB of a worker that listens to nothing yet
}

func (l *latency) start(ctx context.Context) (err error) {
	if l.server == "cyrus" {
		if l.source, err = servers.StartCyrus(ctx, servers.CyrusOptions{}); err != nil {
			return err
		}
	} else {
		source, err := servers.StartDovecot(ctx, servers.DovecotOptions{Name: "production", SharedNamespace: true, Mailboxes: l.known, Sync: true,
			Extra: "service imap {\n process_limit = 4000\n client_limit = 1\n}\n"})
		if err != nil {
			return err
		}
		l.source = source
	}
	if l.target, err = servers.StartDovecot(ctx, servers.DovecotOptions{Name: "dr", SharedNamespace: true, Mailboxes: l.known, Sync: true}); err != nil {
		return err
	}
	l.say("filling %d mailboxes", len(l.known))
	if err := l.fill(ctx); err != nil {
		return err
	}
	l.mm = &mailmirror{binaries: l.binaries, data: filepath.Join(l.dir, "mailmirror"), config: filepath.Join(l.dir, "mailmirror.toml")}
	if err := os.WriteFile(l.mm.config, nil, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := l.mm.start(ctx, filepath.Join(l.dir, "mailmirror.log")); err != nil {
		return err
	}
	for name, s := range map[string]imapServer{"production": l.source, "standby": l.target} {
		password := filepath.Join(l.dir, name+".password")
		if err := os.WriteFile(password, []byte(s.TrustedPassword()), 0o600); err != nil {
			return fmt.Errorf("write password file: %w", err)
		}
		if err := l.mm.run(ctx, "store", "add", name, "--imap", s.Addr(), "--imap-security", "none", "--login", "authzid",
			"--trusted-name", s.TrustedName(), "--trusted-password-file", password, "--events", l.events, "--max-idle", "5000"); err != nil {
			return err
		}
	}
	if err := l.mm.run(ctx, "link", "add", benchLink, "--source", "production", "--target", "standby"); err != nil {
		return err
	}
	if l.idle, err = l.workerMemory(); err != nil {
		return err
	}
	return l.join(ctx, l.numbers)
}

// fill deposits a message into every mailbox of production.
func (l *latency) fill(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var group sync.WaitGroup
	for part := range slices.Chunk(l.known, len(l.known)/4+1) {
		group.Go(func() {
			for _, n := range part {
				if err := deposit(ctx, reach(l.source), n, "first"); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// join makes mailboxes take part and copies what they hold.
func (l *latency) join(ctx context.Context, numbers []string) error {
	list := filepath.Join(l.dir, "mailboxes")
	if err := os.WriteFile(list, []byte(strings.Join(numbers, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write list of mailboxes: %w", err)
	}
	if err := l.mm.run(ctx, "mailbox", "add", benchLink, "--file", list); err != nil {
		return err
	}
	l.say("first copy of %d mailboxes", len(numbers))
	return l.mm.run(ctx, "compare", benchLink, "--wait")
}

func (l *latency) say(format string, args ...any) {
	fmt.Fprintf(l.progress, "%s, %3.0f s: %s\n", l.way, time.Since(l.took).Seconds(), fmt.Sprintf(format, args...))
}

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

// measure deposits, some at a time, and waits for each to be readable on DR,
// over connections that are open already.
func (l *latency) measure(ctx context.Context) (latencyFigures, error) {
	f := latencyFigures{way: l.way, idle: l.idle}
	l.say("waiting until all mailboxes are listened to")
	if err := l.awaitListening(ctx, 0); err != nil {
		return f, err
	}
	if l.deposits == 0 {
		return f, nil
	}
	if d, ok := l.source.(*servers.Dovecot); ok {
		ear, err := openNotify(ctx, reach(d), l.numbers)
		if err != nil {
			return f, err
		}
		defer ear.close()
		l.notify = ear
	}
	l.say("so far %s", l.trouble(ctx))
	l.say("%d deposits, %d at a time", l.deposits, l.streams)
	f.before = load()
	began := time.Now()
	var mu sync.Mutex
	next := 0
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var group sync.WaitGroup
	for stream := range l.streams {
		group.Go(func() {
			// Each has mailboxes of its own, in an order without a pattern.
			var own []string
			for i := stream; i < len(l.numbers); i += l.streams {
				own = append(own, l.numbers[i])
			}
			for turn := 0; ; turn++ {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= l.deposits {
					return
				}
				number := own[(turn*7919)%len(own)]
				end, announced, readable, err := l.one(ctx, number, fmt.Sprint("deposit", i))
				if err != nil {
					fail(fmt.Errorf("deposit %d into mailbox %s: %w", i, number, err))
					return
				}
				mu.Lock()
				f.deposit = append(f.deposit, readable.Sub(end))
				if !announced.IsZero() {
					f.event = append(f.event, readable.Sub(announced))
					f.server = append(f.server, announced.Sub(end))
				}
				mu.Unlock()
				if readable.Sub(end) > late {
					l.explain(ctx, i, number, end, announced, readable)
				}
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return f, context.Cause(ctx)
	}
	l.say("%s", l.trouble(ctx))
	f.rate, f.after = float64(l.deposits)/time.Since(began).Seconds(), load()
	return f, nil
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
	at := ear.listen(number)
	defer ear.forget(number)
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
	return end, heard(at), readable, nil
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
