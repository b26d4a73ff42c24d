package imapstore

import (
	"strings"
	"testing"
	"time"
)

func TestSlownessIsMeasured(t *testing.T) {
	quick := CheckReport{Connect: 20 * time.Millisecond, LoginTime: 90 * time.Millisecond, RoundTrip: time.Millisecond}
	if list := slowness(quick); len(list) > 0 {
		t.Errorf("a quick store is called slow: %+v", list)
	}
	for want, r := range map[string]CheckReport{
		"takes 12s to accept a connection":           {Connect: 12 * time.Second},
		"takes 16s to log in":                        {LoginTime: 16 * time.Second},
		"takes 300ms to answer the simplest command": {RoundTrip: 300 * time.Millisecond},
	} {
		if list := slowness(r); len(list) != 1 || !strings.Contains(list[0].Effect, want) {
			t.Errorf("%+v, want one that says %q", list, want)
		}
	}
}
