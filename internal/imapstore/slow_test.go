package imapstore

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/verdict"
)

func TestSlownessIsMeasured(t *testing.T) {
	quick := verdict.Store{Connect: 20 * time.Millisecond, LoginTime: 90 * time.Millisecond, RoundTrip: time.Millisecond}
	if list := slowness(CheckReport{Store: quick}); len(list) > 0 {
		t.Errorf("a quick store is called slow: %+v", list)
	}
	for want, r := range map[string]verdict.Store{
		"takes 12s to accept a connection":           {Connect: 12 * time.Second},
		"takes 16s to log in":                        {LoginTime: 16 * time.Second},
		"takes 300ms to answer the simplest command": {RoundTrip: 300 * time.Millisecond},
	} {
		if list := slowness(CheckReport{Store: r}); len(list) != 1 || !strings.Contains(list[0].Effect, want) {
			t.Errorf("%+v, want one that says %q", list, want)
		}
	}
}

// TestAloneRejected: Dovecot delays the login after a rejected one. Its time is not the
// server's, and what to do about it is another thing.
func TestAloneRejected(t *testing.T) {
	list := advice(CheckReport{Store: verdict.Store{LoginTime: 4 * time.Second}, aloneRejected: true})
	if len(list) == 0 || !strings.Contains(list[0].Effect, "log in as itself") {
		t.Errorf("got %+v", list)
	}
	for _, a := range list {
		if strings.Contains(a.Effect, "the store is slow") {
			t.Errorf("the store is called slow: %s", a.Effect)
		}
	}
}
