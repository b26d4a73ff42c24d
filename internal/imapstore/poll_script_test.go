package imapstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/watch"
)

// pacedGate lets a login begin after a time.
type pacedGate struct {
	openGate

	wait time.Duration
	then func()
}

func (g pacedGate) Login(context.Context) error {
	time.Sleep(g.wait)
	if g.then != nil {
		g.then()
	}
	return nil
}

// The time that Mailmirror waits for its own bound of logins is not the server's: reading
// one mailbox in turn is not broken off for it.
func TestPollDoesNotCountThePaceOfLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := piped(t, func(s *script) {
			s.login(standard)
			s.answer("LIST", `* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
			s.rest()
		})
		store.gate, store.overviewLearned = pacedGate{wait: 5 * pollOne}, time.Now().Add(time.Hour)
		var got []watch.Report
		var took time.Duration
		err := store.Poll(t.Context(), []mailbox.Number{"1000"}, nil, func(r watch.Report) { got = append(got, r) },
			func(_ mailbox.Number, err error) { t.Error(err) }, func(_ int, d time.Duration) { took += d })
		if err != nil || len(got) != 1 || took > pollOne {
			t.Errorf("%+v, %v, and the server was busy for %s", got, err, took)
		}
	})
}

// unlistedGate is a gate that nobody may ask for a list of all mailboxes.
type unlistedGate struct {
	openGate

	t *testing.T
}

func (g unlistedGate) WorthListing(context.Context, int) error {
	g.t.Error("a list of all mailboxes was wanted")
	return nil
}

// PollEach logs in to each mailbox, although the store would list all.
func TestPollEachListsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := piped(t, func(s *script) {
			s.login(standard)
			s.answer("LIST", `* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
			s.rest()
		})
		store.gate = unlistedGate{t: t}
		store.overviewLearned, store.overviewOffered = time.Now().Add(time.Hour), true
		var got []watch.Report
		err := store.PollEach(t.Context(), []mailbox.Number{"1000"}, func(r watch.Report) { got = append(got, r) },
			func(_ mailbox.Number, err error) { t.Error(err) }, func(int, time.Duration) {})
		if err != nil || len(got) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A login that the server rejected while another waited for its turn is not tried.
func TestALoginThatWaitsIsNotTriedAfterARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := piped(t, func(*script) { t.Error("it connected") })
		rejected := errors.New("rejected")
		store.gate = pacedGate{wait: time.Second, then: func() {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.all.add(rejected, time.Now())
		}}
		if _, err := store.open(t.Context(), "1000"); !errors.Is(err, rejected) {
			t.Errorf("open: %v", err)
		}
	})
}

// Why a store refuses NOTIFY is told as far as it says so.
func TestNotifyRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"NO":                        "the store refuses NOTIFY over its mailboxes",
		"NO  ":                      "the store refuses NOTIFY over its mailboxes",
		"NO [NOPERM]":               "the store refuses NOTIFY over its mailboxes [NOPERM]",
		"NO [BADEVENT (x)] no such": "the store refuses NOTIFY over its mailboxes [BADEVENT]",
		"NO not here":               "the store refuses NOTIFY over its mailboxes: not here",
	} {
		store := serve(t, func(s *script) {
			s.send("* OK [CAPABILITY " + standard + " NOTIFY] ready")
			tag := s.command("AUTHENTICATE PLAIN")
			s.send(tag + " OK [CAPABILITY " + standard + " NOTIFY] in")
			s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
			s.answer(`STATUS "users/1000"`, othersInbox[1])
			tag = s.command("NOTIFY SET")
			s.send(tag + " " + answer)
			s.rest()
		})
		_, err := store.Notify(t.Context(), []mailbox.Number{"1000"})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.HasSuffix(err.Error(), ": ") || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
	}
}

// One mailbox at which the server sends too much, falls silent or ends the connection
// keeps none behind it from being read in turn. If it does so at every mailbox, the
// reading ends soon.
func TestPollPassesABadMailbox(t *testing.T) {
	bad := map[string]func(s *script){
		"too much": func(s *script) {
			s.command("LIST")
			for range 70_000 {
				if _, err := io.WriteString(s, "* LIST () \"/\" other\r\n"); err != nil {
					return
				}
			}
		},
		"closes": func(s *script) { s.command("LIST") },
		"silent": func(s *script) { s.command("LIST"); s.rest() },
	}
	for name, play := range bad {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " all ", all), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					served := 0
					store := piped(t, func(s *script) {
						served++
						at := served
						s.loginAs("", standard)
						if at == 2 || all {
							play(s)
							return
						}
						s.answer("LIST", `* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
						s.rest()
					})
					store.overviewLearned = time.Now().Add(time.Hour)
					store.opts.Timeouts = Timeouts{}.withDefaults()
					var got, failed []mailbox.Number
					var busy time.Duration
					err := store.Poll(t.Context(), []mailbox.Number{"1", "2", "3", "4", "5"}, nil, func(r watch.Report) { got = append(got, r.Number) },
						func(n mailbox.Number, err error) { failed = append(failed, n) }, func(_ int, took time.Duration) { busy += took })
					if busy > time.Second {
						t.Errorf("the server was busy for %s", busy)
					}
					switch {
					case all && (err == nil || len(got) > 0 || served > badInRow):
						t.Errorf("at all: %v; read %v after %d connections", err, got, served)
					case !all && (err != nil || len(got) != 4 || len(failed) != 1 || failed[0] != "2"):
						t.Errorf("at one: %v; read %v, failed %v", err, got, failed)
					}
				})
			})
		}
	}
}

// What a server sends beyond all bounds to who listens to one mailbox is that mailbox's
// own fault.
func TestIdleBeyondABoundIsTheMailboxesFault(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard + " IDLE")
		s.command("LIST")
		for range 70_000 {
			if _, err := io.WriteString(s, "* LIST () \"/\" other\r\n"); err != nil {
				return
			}
		}
	})
	_, err := store.Idle(t.Context(), "1000", time.Minute)
	if !fault.Is(err, fault.Permanent) || fault.HintOf(err) != storeFaultHint {
		t.Errorf("%s: %v", fault.KindOf(err), err)
	}
}
