package imapstoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
)

// Ears is a store to be listened to, and what is known of its server.
type Ears struct {
	// Source is reached through the proxy, the user through Users.
	Source watch.Source
	Proxy  *faults.Proxy
	Users  reader.Store
	Mode   site.ListenMode
	// Offers is what auto is to choose.
	Offers site.ListenMode
	// Numbers are mailboxes that exist and that nobody else uses; at least ten.
	Numbers []mailbox.Number
	// Folders is true where events of other folders than the inbox are told,
	// and not only read at an interval.
	Folders bool
	// CondStore is false where no counter tells of changed flags.
	CondStore bool
	// Kill kills the server and starts it again; nil where it cannot.
	Kill func() error
}

// within is how long an event may take until it counts as missed, on a slow machine
// too. It is less than what a watcher needs to find by a review what was missed.
const within = 2 * time.Minute

// RunListening runs the suite of the listeners: a watcher listens to the store,
// a user does something, and the watcher has to mark it.
func RunListening(t *testing.T, e Ears) {
	mode, _, err := e.Source.Offer(t.Context(), e.Numbers[0])
	if err != nil || mode != e.Offers {
		t.Errorf("the store offers %s (%v), want %s", mode, err, e.Offers)
	}
	l := listen(t, e)
	box := e.Numbers[0]
	for _, step := range []struct {
		name string
		do   func(*user)
		want []site.EventKind
		omit bool
	}{
		{"message in", func(u *user) { u.deposit("INBOX", 1) }, []site.EventKind{site.EventMessageIn}, false},
		{"flags", func(u *user) { u.do(`SELECT INBOX`); u.do(`STORE 1 +FLAGS (\Seen)`) }, []site.EventKind{site.EventFlags}, e.Mode == site.ListenPoll && !e.CondStore},
		{"message gone", func(u *user) { u.do(`SELECT INBOX`); u.do(`STORE 1 +FLAGS (\Deleted)`); u.do("EXPUNGE") },
			[]site.EventKind{site.EventMessageGone, site.EventFlags}, false},
		{"a greetings folder", func(u *user) { u.folder("Greetings") }, []site.EventKind{site.EventGreeting}, false},
		{"a greeting", func(u *user) { u.deposit("Greetings", 1) }, []site.EventKind{site.EventGreeting}, false},
		{"a folder", func(u *user) { u.folder("Work") }, []site.EventKind{site.EventFolder}, false},
		{"into a folder", func(u *user) { u.deposit("Work", 1) }, []site.EventKind{site.EventMessageIn, site.EventFolder}, false},
		{"a folder goes", func(u *user) { u.remove("Work") }, []site.EventKind{site.EventFolder, site.EventMessageGone}, false},
		{"many at once", func(u *user) { u.deposit("INBOX", 50) }, []site.EventKind{site.EventMessageIn, site.EventFlags}, false},
	} {
		if step.omit {
			continue
		}
		l.settle(t)
		began := time.Now()
		l.as(t, box, step.do)
		l.want(t, step.name, map[mailbox.Number][]site.EventKind{box: step.want})
		t.Logf("%s: heard after %v", step.name, time.Since(began).Round(time.Millisecond))
	}
	l.onlyLooked(t)
	l.manyMailboxes(t)
	l.interruptions(t)
	for _, c := range faults.OnlyReads(e.Proxy.Commands()) {
		t.Errorf("the store was sent %q", c)
	}
}

// listener is a watcher over the store, and a database that keeps its marks.
type listener struct {
	Ears
	mu      sync.Mutex
	numbers []mailbox.Number
	changed func()
	marks   map[mailbox.Number][]site.EventKind
	health  site.Health
	news    chan struct{}
}

func listen(t *testing.T, e Ears) *listener {
	t.Helper()
	l := &listener{Ears: e, numbers: e.Numbers[:len(e.Numbers)-1], marks: map[mailbox.Number][]site.EventKind{}, news: make(chan struct{}, 1)}
	w := watch.New(watch.Ports{Roster: l, Journal: l, Waker: l}, watch.Options{Quiet: time.Millisecond, Tick: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := w.Run(ctx)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watcher ended with %v", err)
		}
	})
	l.listening(t, len(l.numbers))
	return l
}

// listening waits until that many mailboxes are listened to, or read in turn.
func (l *listener) listening(t *testing.T, n int) {
	t.Helper()
	l.until(t, fmt.Sprintf("%d mailboxes listened to", n), func() bool {
		heard := l.health.Listened
		if l.Mode == site.ListenPoll {
			heard = l.health.Polled
		}
		return l.health.Mode == l.Mode && heard == n
	})
}

// until waits for a condition; what changes it gives news.
func (l *listener) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.news:
		case <-limit.C:
			l.mu.Lock()
			state := fmt.Sprintf("health %+v, marks %v", l.health, l.marks)
			l.mu.Unlock()
			t.Fatalf("%s: not within %v; %s", what, within, state)
		}
	}
}

// settle forgets all marks once there were none for a moment: a change may be
// told more than once, and what a step before did must not count for the next.
func (l *listener) settle(t *testing.T) {
	t.Helper()
	for quiet := time.NewTimer(time.Second); ; {
		select {
		case <-l.news:
			l.mu.Lock()
			again := len(l.marks) > 0
			clear(l.marks)
			l.mu.Unlock()
			if again {
				quiet.Reset(time.Second)
			}
		case <-quiet.C:
			l.mu.Lock()
			clear(l.marks)
			l.mu.Unlock()
			return
		}
	}
}

// want waits until each mailbox has a mark of one of the kinds.
func (l *listener) want(t *testing.T, what string, want map[mailbox.Number][]site.EventKind) {
	t.Helper()
	l.until(t, what, func() bool {
		for n, kinds := range want {
			if !slices.ContainsFunc(l.marks[n], func(k site.EventKind) bool { return slices.Contains(kinds, k) }) {
				return false
			}
		}
		return true
	})
}

// onlyLooked has mailboxes opened by their owners and listed by the trusted
// account, as every review does: nothing changes in them.
func (l *listener) onlyLooked(t *testing.T) {
	t.Helper()
	l.settle(t)
	first, others := l.numbers[0], l.numbers[1:]
	open := func() {
		for _, n := range others {
			l.as(t, n, func(u *user) { u.do(`LIST "" *`); u.do("EXAMINE INBOX") })
		}
	}
	list := func() {
		err := l.Source.Poll(t.Context(), l.numbers, nil, func(watch.Report) {}, func(n mailbox.Number, err error) { t.Errorf("%s: %v", n, err) },
			func(int, time.Duration) {})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, look := range []func(){open, list, open, list, open} {
		look()
		// What the server tells of the looks comes no later than of this.
		l.as(t, first, func(u *user) { u.deposit("INBOX", 1) })
		l.want(t, "one beside many looks", map[mailbox.Number][]site.EventKind{first: {site.EventMessageIn}})
		l.mu.Lock()
		delete(l.marks, first)
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.marks, first)
	if len(l.marks) > 0 {
		t.Errorf("looking at mailboxes counts as a change of them: %v", l.marks)
	}
}

// manyMailboxes has something happen to all of them at once, and to none else.
func (l *listener) manyMailboxes(t *testing.T) {
	t.Helper()
	l.settle(t)
	want := map[mailbox.Number][]site.EventKind{}
	for _, n := range l.numbers {
		l.as(t, n, func(u *user) { u.deposit("INBOX", 1) })
		want[n] = []site.EventKind{site.EventMessageIn}
	}
	l.want(t, "one each for many", want)

	// A mailbox that joins is listened to, the others go on.
	l.settle(t)
	fresh := l.Numbers[len(l.Numbers)-1]
	l.mu.Lock()
	l.numbers = l.Numbers
	changed := l.changed
	l.mu.Unlock()
	changed()
	l.listening(t, len(l.Numbers))
	l.want(t, "a new mailbox is not known to be mirrored", map[mailbox.Number][]site.EventKind{fresh: {site.EventFolder, site.EventGreeting}})
	l.settle(t)
	for _, n := range []mailbox.Number{fresh, l.Numbers[0]} {
		l.as(t, n, func(u *user) { u.deposit("INBOX", 1) })
	}
	l.want(t, "a new mailbox and an old one", map[mailbox.Number][]site.EventKind{fresh: {site.EventMessageIn}, l.Numbers[0]: {site.EventMessageIn}})
}

// interruptions has changes made while nobody can hear of them.
func (l *listener) interruptions(t *testing.T) {
	t.Helper()
	box := l.Numbers[1]
	for _, broken := range []struct {
		name  string
		begin func() error
		end   func() error
	}{
		{"cut", func() error { l.Proxy.CutAll(faults.RST); return nil }, nil},
		{"stalled", func() error { l.Proxy.CutAll(faults.Stall); return nil }, nil},
		{"refused", func() error { err := l.Proxy.Refuse(true); l.Proxy.CutAll(faults.FIN); return err }, func() error { return l.Proxy.Refuse(false) }},
		{"server killed", l.Kill, nil},
	} {
		if broken.begin == nil {
			continue
		}
		l.settle(t)
		began := time.Now()
		if err := broken.begin(); err != nil {
			t.Fatal(err)
		}
		l.as(t, box, func(u *user) { u.deposit("INBOX", 1) })
		if broken.end != nil {
			if err := broken.end(); err != nil {
				t.Fatal(err)
			}
		}
		l.want(t, broken.name, map[mailbox.Number][]site.EventKind{box: {site.EventMessageIn}})
		t.Logf("%s: found after %v", broken.name, time.Since(began).Round(time.Millisecond))
		l.listening(t, len(l.Numbers))
	}
}

// user is one who is logged in to the mailbox itself.
type user struct {
	t    *testing.T
	conn *reader.Conn
}

func (l *listener) as(t *testing.T, n mailbox.Number, do func(*user)) {
	t.Helper()
	conn, err := l.Users.Open(t.Context(), string(n))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	do(&user{t, conn})
	_ = conn.Logout()
}

func (u *user) do(command string) {
	u.t.Helper()
	if _, err := u.conn.Command(command); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) folder(name string) {
	u.t.Helper()
	if err := u.conn.EnsureFolders(name); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) remove(name string) {
	u.t.Helper()
	ns, err := u.conn.Namespace()
	if err != nil {
		u.t.Fatal(err)
	}
	u.do("DELETE " + reader.Quote(ns.Wire(name)))
}

func (u *user) deposit(folder string, n int) {
	u.t.Helper()
	size, body := reader.Bytes([]byte("Subject: voice\r\n\r\nhello\r\n"))
	all := make([]reader.Deposit, n)
	for i := range all {
		all[i] = reader.Deposit{Folder: folder, Size: size, Body: body}
	}
	results, err := u.conn.AppendAll(all)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			u.t.Fatal(r.Err)
		}
	}
}

// Plan implements watch.Roster.
func (l *listener) Plan(context.Context) (watch.Plan, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return watch.Plan{Mode: l.Mode, IdleLimit: 1000, PollEvery: time.Second, Greetings: mailbox.DefaultGreetings,
		Numbers: l.numbers, Source: l.Source, Version: "1"}, nil
}

// Changes implements watch.Roster.
func (l *listener) Changes(ctx context.Context, changed func()) error {
	l.mu.Lock()
	l.changed = changed
	l.mu.Unlock()
	changed()
	<-ctx.Done()
	return ctx.Err()
}

// Known implements watch.Journal: nothing is.
func (l *listener) Known(context.Context, []mailbox.Number) (map[mailbox.Number]watch.Known, error) {
	return map[mailbox.Number]watch.Known{}, nil
}

// Mark implements watch.Journal.
func (l *listener) Mark(_ context.Context, marks []watch.Mark) ([]mailbox.Number, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range marks {
		l.marks[m.Number] = append(l.marks[m.Number], m.Kind)
	}
	l.tell()
	return nil, nil
}

// Save implements watch.Journal.
func (l *listener) Save(_ context.Context, h site.Health) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = h
	l.tell()
	return nil
}

func (l *listener) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// Wake implements watch.Waker.
func (*listener) Wake(context.Context, mailbox.Number) error { return nil }
