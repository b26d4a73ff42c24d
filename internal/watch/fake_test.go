package watch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
)

// store is a store and a database in memory, in virtual time.
type store struct {
	mu      sync.Mutex
	plan    Plan
	changed func()
	modes   site.ListenMode // what it offers: Notify also offers Idle
	hidden  map[mailbox.Number]bool
	down    error
	counter map[mailbox.Number]mailbox.Counters
	known   map[mailbox.Number]Known
	conns   map[*conn]bool
	opened  []string
	polls   []mailbox.Number
	logins  int // mailboxes that were read by a login to each

	failMarks error
	// rejected are mailboxes whose marks the database does not accept.
	rejected map[mailbox.Number]bool
	unread   error // of the plan
	marks    []Mark
	woken    []mailbox.Number
	health   site.Health
	mute     bool // connections show no sign of life

	samples     []mailbox.Number // that Offer was asked with
	bad         mailbox.Number   // Offer fails with this one
	slow, reads time.Duration    // how long Notify and Poll take
	waits       time.Duration    // how long Poll waits for a bound of Mailmirror's own
	place       chan struct{}    // Poll waits until it is closed, and says so by say
	say         func() (text, hint string)
	breaks      mailbox.Number // a connection of this one ends by the mailbox's own fault
}

type conn struct {
	s       *store
	numbers []mailbox.Number
	end     chan error
	once    sync.Once
	report  func(Report)
}

func newStore(mode, offers site.ListenMode, numbers ...mailbox.Number) *store {
	s := &store{modes: offers, hidden: map[mailbox.Number]bool{}, counter: map[mailbox.Number]mailbox.Counters{},
		known: map[mailbox.Number]Known{}, conns: map[*conn]bool{}}
	s.plan = Plan{Mode: mode, IdleLimit: 2, PollEvery: time.Minute, Numbers: numbers, Source: s, Version: "1"}
	for _, n := range numbers {
		s.join(n)
	}
	return s
}

// join gives a mailbox an inbox that is mirrored.
func (s *store) join(n mailbox.Number) {
	s.counter[n] = mailbox.Counters{UIDValidity: 1, UIDNext: 1, HighestModSeq: 1}
	s.known[n] = Known{mailbox.Inbox: s.counter[n]}
}

// deposit puts a message into an inbox; who is heard of it is told.
func (s *store) deposit(n mailbox.Number) {
	s.mu.Lock()
	c := s.counter[n]
	c.UIDNext, c.Messages, c.HighestModSeq = c.UIDNext+1, c.Messages+1, c.HighestModSeq+1
	s.counter[n] = c
	s.mu.Unlock()
	s.announce(n)
}

// announce has the connections that listen to a mailbox report its counters.
func (s *store) announce(n mailbox.Number) {
	s.mu.Lock()
	var tell []*conn
	for k := range s.conns {
		if k.report != nil && slices.Contains(k.numbers, n) {
			tell = append(tell, k)
		}
	}
	s.mu.Unlock()
	for _, k := range tell {
		k.report(s.read(n, false))
	}
}

// silence has the open connections announce nothing more until speak is called.
func (s *store) silence() (speak func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := map[*conn]func(Report){}
	for k := range s.conns {
		reports[k], k.report = k.report, nil
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for k, report := range reports {
			k.report = report
		}
	}
}

func (s *store) read(n mailbox.Number, resumed bool) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Report{Number: n, Whole: true, Resumed: resumed, Folders: []mailbox.Folder{folder(mailbox.Inbox, s.counter[n])}}
}

func (s *store) set(f func()) {
	s.mu.Lock()
	f()
	changed := s.changed
	s.mu.Unlock()
	if changed != nil {
		changed()
	}
}

func (s *store) open(what string, numbers []mailbox.Number) (Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, what)
	if s.down != nil {
		return nil, s.down
	}
	k := &conn{s: s, end: make(chan error, 1)}
	for _, n := range numbers {
		if !s.hidden[n] {
			k.numbers = append(k.numbers, n)
		}
	}
	return k, nil
}

func (s *store) Offer(_ context.Context, sample mailbox.Number) (site.ListenMode, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, sample)
	if s.bad == sample && sample != "" {
		return "", "", errors.New("no such mailbox")
	}
	return s.modes, "test", s.down
}

func (s *store) Notify(ctx context.Context, numbers []mailbox.Number) (Conn, error) {
	if !sleep.For(ctx, s.slow) {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	modes := s.modes
	s.mu.Unlock()
	if modes != site.ListenNotify {
		return nil, errors.ErrUnsupported
	}
	return s.open("notify", numbers)
}

func (s *store) Idle(_ context.Context, n mailbox.Number, _ time.Duration) (Conn, error) {
	if s.modes == site.ListenPoll {
		return nil, errors.ErrUnsupported
	}
	k, err := s.open("idle "+string(n), nil)
	if err == nil {
		k.(*conn).numbers = []mailbox.Number{n}
	}
	return k, err
}

func (s *store) Poll(ctx context.Context, numbers, heard []mailbox.Number, report func(Report), _ func(mailbox.Number, error), spent func(int, time.Duration)) error {
	s.mu.Lock()
	s.polls = append(s.polls, numbers...)
	err := s.down
	s.mu.Unlock()
	if err != nil {
		return err
	}
	time.Sleep(s.reads)
	time.Sleep(s.waits)
	if s.place != nil {
		done := Waits(ctx, s.say)
		select {
		case <-s.place:
		case <-ctx.Done():
			return ctx.Err()
		}
		done()
	}
	for _, n := range numbers {
		report(s.read(n, false))
	}
	for _, n := range heard {
		report(s.read(n, false))
	}
	spent(len(numbers), s.reads)
	return nil
}

func (s *store) PollEach(ctx context.Context, numbers []mailbox.Number, report func(Report), failed func(mailbox.Number, error), spent func(int, time.Duration)) error {
	s.mu.Lock()
	s.logins += len(numbers)
	s.mu.Unlock()
	return s.Poll(ctx, numbers, nil, report, failed, spent)
}

func (k *conn) Heard() []mailbox.Number { return k.numbers }

func (k *conn) Listen(ctx context.Context, report func(Report), alive func()) error {
	alive()
	if slices.Contains(k.numbers, k.s.breaks) {
		return fault.Newf(fault.Permanent, "the store sends too much")
	}
	k.s.mu.Lock()
	k.report = report
	k.s.conns[k] = true
	k.s.mu.Unlock()
	defer func() {
		k.s.mu.Lock()
		defer k.s.mu.Unlock()
		delete(k.s.conns, k)
	}()
	for _, n := range k.numbers {
		report(k.s.read(n, true))
	}
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.s.mu.Lock()
			mute := k.s.mute
			k.s.mu.Unlock()
			if !mute {
				alive()
			}
		case <-ctx.Done():
			return ctx.Err()
		case err := <-k.end:
			return err
		}
	}
}

func (k *conn) Close() { k.once.Do(func() { k.end <- errors.New("closed") }) }

// cut ends every connection.
func (s *store) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.conns {
		k.Close()
	}
}

func (s *store) Plan(context.Context) (Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan, s.unread
}

func (s *store) Changes(ctx context.Context, changed func()) error {
	s.mu.Lock()
	s.changed = changed
	s.mu.Unlock()
	changed()
	<-ctx.Done()
	return ctx.Err()
}

func (s *store) Known(_ context.Context, numbers []mailbox.Number) (map[mailbox.Number]Known, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[mailbox.Number]Known{}
	for _, n := range numbers {
		out[n] = maps.Clone(s.known[n])
	}
	return out, nil
}

func (s *store) Mark(_ context.Context, marks []Mark) ([]mailbox.Number, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failMarks != nil {
		return nil, s.failMarks
	}
	for _, m := range marks {
		if s.rejected[m.Number] {
			return nil, fault.New(fault.Permanent, "mark", errors.New("violates a constraint"), "")
		}
	}
	s.marks = append(s.marks, marks...)
	var due []mailbox.Number
	for _, m := range marks {
		due = append(due, m.Number)
	}
	return due, nil
}

func (s *store) Save(_ context.Context, h site.Health) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = h
	return nil
}

func (s *store) Wake(_ context.Context, n mailbox.Number) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = append(s.woken, n)
	return nil
}

// takeWoken waits until nothing moves and returns who was woken since the last
// call, sorted.
func (s *store) takeWoken(after time.Duration) string {
	time.Sleep(after)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.woken)
	var words []string
	for _, n := range s.woken {
		words = append(words, string(n))
	}
	s.woken = nil
	return strings.Join(words, " ")
}

// run runs a watcher over the store while test does its part.
func run(t *testing.T, s *store, test func()) (Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	w := New(Ports{Roster: s, Journal: s, Waker: s}, Options{})
	var outcome Outcome
	var err error
	go func() {
		defer close(ended)
		outcome, err = w.Run(ctx)
	}()
	time.Sleep(time.Second)
	synctest.Wait()
	test()
	cancel()
	<-ended
	return outcome, err
}
