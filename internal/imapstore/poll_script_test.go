package imapstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		err := store.Poll(t.Context(), []mailbox.Number{"1000"}, func(r watch.Report) { got = append(got, r) },
			func(_ mailbox.Number, err error) { t.Error(err) }, func(_ int, d time.Duration) { took += d })
		if err != nil || len(got) != 1 || took > pollOne {
			t.Errorf("%+v, %v, and the server was busy for %s", got, err, took)
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
			s.answer("LIST", othersInbox...)
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
