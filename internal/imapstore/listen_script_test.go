package imapstore

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// heardOf listens until n reports are there, and returns them.
func heardOf(t *testing.T, c watch.Conn, n int) []watch.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []watch.Report
	err := c.Listen(ctx, func(r watch.Report) {
		if got = append(got, r); len(got) == n {
			cancel()
		}
	}, func() {})
	if len(got) < n {
		t.Fatalf("%d reports, want %d, and then %v", len(got), n, err)
	}
	return got
}

// idler lets one in who is going to listen by IDLE.
func (s *script) idler() {
	s.login(standard + " IDLE")
	s.answer("LIST", `* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
	s.examine(1)
}

// idle begins an IDLE and returns what waits for its end, and reports whether the
// client was there to end it.
func (s *script) idle() (done func() bool) {
	tag := s.command("IDLE")
	s.send("+ go on")
	return func() bool {
		_, err := s.r.ReadString('\n') // DONE
		s.send(tag + " OK done")
		return err == nil
	}
}

var othersInbox = []string{`* LIST () "/" users/1000`, "* STATUS users/1000 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)"}

// notifying is a server that plays to the first connection, which is going to listen by
// NOTIFY, and shows one mailbox to those that list.
func notifying(play func(*script)) func(*script) {
	var connections atomic.Int32
	return func(s *script) {
		if connections.Add(1) == 1 {
			play(s)
			return
		}
		s.send("* OK [CAPABILITY " + standard + "] ready")
		tag := s.command("AUTHENTICATE PLAIN")
		s.send(tag + " OK [CAPABILITY " + standard + "] in")
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
		s.answer("LIST", othersInbox...)
		s.rest()
	}
}

// notifier lets one in who is going to listen by NOTIFY.
func (s *script) notifier() {
	s.send("* OK [CAPABILITY " + standard + " NOTIFY] ready")
	tag := s.command("AUTHENTICATE PLAIN")
	s.send(tag + " OK [CAPABILITY " + standard + " NOTIFY] in")
	s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
	s.answer(`STATUS "users/1000"`, othersInbox[1])
	s.answer("NOTIFY SET")
}

// A server may tell what became of the open inbox with the answer to any
// command, so also while the other folders are read.
func TestIdleHearsWhileItReads(t *testing.T) {
	store := serve(t, func(s *script) {
		s.idler()
		s.idle()()
		s.answer("LIST", `* LIST () "/" INBOX`, "* 2 EXISTS", "* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
		_ = s.rest()
	})
	c, err := store.Idle(t.Context(), "1000", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	got := heardOf(t, c, 2)
	if r := got[1]; r.Kind != site.EventMessageIn || r.Folder != mailbox.Inbox {
		t.Errorf("heard %+v", r)
	}
}

// Dovecot tells that inboxes are gone which only another connection has listed,
// at any time.
func TestNotifyBelievesNoInboxGone(t *testing.T) {
	store := serve(t, notifying(func(s *script) {
		s.notifier()
		s.send(`* LIST (\NonExistent) "/" users/1000`, `* LIST (\HasNoChildren) "/" users/1000`,
			"* STATUS users/1000 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 1 HIGHESTMODSEQ 9)",
			`* LIST () "/" users/1000/Work`)
		_ = s.rest()
	}))
	c, err := store.Notify(t.Context(), []mailbox.Number{"1000"})
	if err != nil {
		t.Fatal(err)
	}
	if heard := c.Heard(); len(heard) != 1 {
		t.Fatalf("hears of %v", heard)
	}
	got := heardOf(t, c, 3)
	want := mailbox.Counters{UIDValidity: 7, UIDNext: 2, Messages: 1, HighestModSeq: 9}
	for _, r := range got[:2] {
		if len(r.Folders) != 1 || r.Kind != "" || r.Folders[0].Counters != want || !r.Folders[0].Selectable {
			t.Errorf("heard %+v", r)
		}
	}
	if r := got[2]; r.Kind != site.EventFolder || r.Folder != "Work" {
		t.Errorf("of the new folder it heard %+v", r)
	}
}

// TestNotifyAsksForNothingIfNoneIsShown: if a list showed none of the mailboxes, the next
// attempt lists before it asks for each.
func TestNotifyAsksForNothingIfNoneIsShown(t *testing.T) {
	shows := []string{}
	var mu sync.Mutex
	asked := 0
	store := serve(t, func(s *script) {
		s.send("* OK [CAPABILITY " + standard + " NOTIFY] ready")
		tag := s.command("AUTHENTICATE PLAIN")
		s.send(tag + " OK [CAPABILITY " + standard + " NOTIFY] in")
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
		for {
			line, err := s.r.ReadString('\n')
			if err != nil {
				return
			}
			tag, command, _ := strings.Cut(strings.TrimSpace(line), " ")
			mu.Lock()
			switch word, _, _ := strings.Cut(command, " "); word {
			case "STATUS":
				asked++
			case "LIST":
				s.send(shows...)
			}
			mu.Unlock()
			s.send(tag + " OK done")
		}
	})
	for range 3 {
		if _, err := store.Notify(t.Context(), []mailbox.Number{"1000"}); !errors.Is(err, errors.ErrUnsupported) {
			t.Fatalf("NOTIFY over nothing: %v", err)
		}
	}
	mu.Lock()
	if asked != 1 {
		t.Errorf("it asked %d times for the mailbox", asked)
	}
	shows = othersInbox
	mu.Unlock()
	c, err := store.Notify(t.Context(), []mailbox.Number{"1000"})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// byIdle and byNotify listen to a scripted server until that ends.
func byIdle(review time.Duration) func(context.Context, *Store) error {
	return func(ctx context.Context, s *Store) error {
		c, err := s.Idle(ctx, "1000", review)
		if err != nil {
			return err
		}
		return c.Listen(ctx, func(watch.Report) {}, func() {})
	}
}

func byNotify(ctx context.Context, s *Store) error {
	c, err := s.Notify(ctx, []mailbox.Number{"1000"})
	if err != nil {
		return err
	}
	return c.Listen(ctx, func(watch.Report) {}, func() {})
}

// byPoll reads once: all mailboxes by an overview, or one by itself.
func byPoll(overview bool) func(context.Context, *Store) error {
	return func(ctx context.Context, s *Store) error {
		if !overview {
			s.overviewLearned = time.Now()
		}
		return s.Poll(ctx, []mailbox.Number{"1000"}, nil, func(watch.Report) {}, func(mailbox.Number, error) {}, func(int, time.Duration) {})
	}
}

// TestHalfOpenIsNoticedWithinAMinute lets a server fall silent, and nothing say
// why, as it is when it, or the way to it, is gone. With the timeouts as they are
// by default the listener has to know within a minute of the last sign of life,
// whatever it was at. That is what Quiet and Answer make together where it
// listens, Answer where it is told of a command's outcome, opening where it is not
// listening yet, and the limits of Poll where it reads in turn. No time goes by but
// that of the test's own clock.
func TestHalfOpenIsNoticedWithinAMinute(t *testing.T) {
	for name, c := range map[string]struct {
		listen func(context.Context, *Store) error
		// play ends when the server falls silent.
		play func(s *script)
	}{
		"idle, at the log-in": {byIdle(time.Hour), func(s *script) {
			s.send("* OK [CAPABILITY " + standard + "] ready")
			s.command("AUTHENTICATE PLAIN")
		}},
		"idle, at the list":  {byIdle(time.Hour), func(s *script) { s.login(standard + " IDLE"); s.command("LIST") }},
		"idle":               {byIdle(time.Hour), func(s *script) { s.idler(); s.idle() }},
		"idle, not answered": {byIdle(time.Hour), func(s *script) { s.idler(); s.command("IDLE") }},
		"idle, in mid-line":  {byIdle(time.Hour), func(s *script) { s.idler(); s.idle(); _, _ = io.WriteString(s, "* 2 EX") }},
		"idle, after some words": {byIdle(time.Hour), func(s *script) {
			s.idler()
			s.idle()
			for range 5 {
				time.Sleep(5 * time.Second) // of the test's clock
				s.send("* OK still here")
			}
		}},
		"idle, for the third time":               {byIdle(time.Hour), func(s *script) { s.idler(); s.idle()(); s.idle()(); s.idle() }},
		"idle, while the other folders are read": {byIdle(time.Second), func(s *script) { s.idler(); s.idle()(); s.command("LIST") }},
		"notify":                                 {byNotify, func(s *script) { s.notifier() }},
		"notify, after some words": {byNotify, func(s *script) {
			s.notifier()
			for range 5 {
				time.Sleep(5 * time.Second)
				s.send("* STATUS users/1000 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
			}
		}},
		"notify, after an answer": {byNotify, func(s *script) { s.notifier(); s.answer("NOOP") }},
		"poll, no greeting":       {byPoll(true), func(*script) {}},
		"poll, one by one":        {byPoll(false), func(s *script) { s.login(standard) }},
		"poll, before an overview": {byPoll(true), func(s *script) {
			s.send("* OK [CAPABILITY " + standard + "] ready")
			tag := s.command("AUTHENTICATE PLAIN")
			s.send(tag + " OK [CAPABILITY " + standard + "] in")
			s.command("NAMESPACE")
		}},
		"poll, an overview": {byPoll(true), func(s *script) {
			s.send("* OK [CAPABILITY " + standard + "] ready")
			tag := s.command("AUTHENTICATE PLAIN")
			s.send(tag + " OK [CAPABILITY " + standard + "] in")
			s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
			s.command("LIST")
		}},
	} {
		for _, takes := range []bool{true, false} {
			if !takes {
				name += ", and nothing gets through to it"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					silent, over := make(chan time.Time, 1), make(chan struct{})
					play := func(s *script) {
						c.play(s)
						silent <- time.Now()
						if takes {
							s.rest()
						}
						<-over
					}
					if strings.HasPrefix(name, "notify") {
						play = notifying(play)
					}
					store := piped(t, play)
					store.opts.Timeouts = Timeouts{}.withDefaults()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					err := c.listen(ctx, store)
					noticed := time.Now()
					close(over)
					if !fault.Is(err, fault.Transient) {
						t.Errorf("it ended with %v", err)
					}
					if took := noticed.Sub(<-silent); took > time.Minute || took < time.Second {
						t.Errorf("that the server is gone was noticed after %s", took)
					}
				})
			})
		}
	}
}

// TestIdleIsRenewed lets a quiet mailbox be listened to for a day: on one
// connection, on which no IDLE lasts 29 minutes (RFC 2177).
func TestIdleIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idles := 0
		store := piped(t, func(s *script) {
			s.idler()
			for begin := time.Now(); s.idle()(); begin = time.Now() {
				if idles++; time.Since(begin) >= 29*time.Minute {
					t.Errorf("an IDLE lasted %s", time.Since(begin))
				}
			}
		})
		store.opts.Timeouts = Timeouts{}.withDefaults()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if err := byIdle(0)(ctx, store); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		synctest.Wait() // until the server has ended too
		if idles < 24*60/29 {
			t.Errorf("%d IDLEs in a day", idles)
		}
	})
}
