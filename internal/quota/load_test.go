package quota_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailmirror/internal/quota"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestMost(t *testing.T) {
	source := quota.Bounds{Listeners: 500}.Or(quota.DefaultBounds(true))
	total := func(n int) quota.Bounds { b := source; b.Connections = n; return b }
	for name, test := range map[string]struct {
		kind   quota.Kind
		bounds quota.Bounds
		load   quota.Load
		held   map[quota.Kind]int
		want   int
	}{
		"sessions by default":             {quota.Sessions, source, quota.Load{}, map[quota.Kind]int{quota.Listeners: 400}, 20},
		"listings by default":             {quota.Listings, source, quota.Load{}, nil, 1},
		"sessions of what is left":        {quota.Sessions, total(6), quota.Load{}, map[quota.Kind]int{quota.Listeners: 2}, 4},
		"listeners keep to their bound":   {quota.Listeners, source, quota.Load{}, map[quota.Kind]int{quota.Trunks: 5}, 500},
		"no listeners":                    {quota.Listeners, quota.DefaultBounds(true), quota.Load{}, nil, 0},
		"trunks without listeners":        {quota.Trunks, quota.DefaultBounds(true), quota.Load{}, nil, 32},
		"trunks beside all listeners":     {quota.Trunks, source, quota.Load{}, map[quota.Kind]int{quota.Listeners: 500}, 32},
		"listeners get half":              {quota.Listeners, total(6), quota.Load{}, nil, 3},
		"trunks get half":                 {quota.Trunks, total(6), quota.Load{}, nil, 3},
		"listeners and trunks share half": {quota.Listeners, total(6), quota.Load{}, map[quota.Kind]int{quota.Trunks: 2}, 1},
		"trunks of what is left of half":  {quota.Trunks, total(6), quota.Load{}, map[quota.Kind]int{quota.Listeners: 3}, 0},
		"sessions beside trunks":          {quota.Sessions, total(6), quota.Load{}, map[quota.Kind]int{quota.Listeners: 1, quota.Trunks: 2}, 3},
		"listeners come after sessions":   {quota.Listeners, total(6), quota.Load{}, map[quota.Kind]int{quota.Sessions: 5}, 1},
		"a server that took four":         {quota.Listeners, source, quota.Load{Capacity: 2}, nil, 1},
		"a session, whatever was learned": {quota.Sessions, source, quota.Load{Capacity: 2}, map[quota.Kind]int{quota.Listeners: 4}, 1},
		"a slow server":                   {quota.Sessions, source, quota.Load{Pace: 3}, nil, 3},
		"after a list without an end":     {quota.Listings, source, quota.Load{ListingFree: noon.Add(time.Minute)}, nil, 0},
		"when that is long ago":           {quota.Listings, source, quota.Load{ListingFree: noon.Add(-time.Minute)}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := quota.Most(test.kind, test.bounds, test.load, test.held, noon); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestCapacity(t *testing.T) {
	var l quota.Load
	l = l.OnRefusal(4, noon)
	if l.Capacity != 2 || l.Refused != 4 {
		t.Fatalf("learned %+v", l)
	}
	if again := l.OnRefusal(2, noon.Add(time.Second)); again != l {
		t.Errorf("the same refusal counts twice: %+v", again)
	}
	if l.OnRefusal(0, noon.Add(time.Hour)) != l {
		t.Error("a refusal while nothing is open says something of the capacity")
	}
	for now := noon; now.Before(noon.Add(23 * time.Hour)); now = now.Add(10 * time.Minute) {
		l = l.OnTime(now)
		if l.Capacity < 2 || l.Capacity > 3 {
			t.Fatalf("%d connections after %s: as many as the server refused", l.Capacity, now.Sub(noon))
		}
	}
	if l.Capacity != 3 {
		t.Errorf("it never grew: %+v", l)
	}
	if l = l.OnTime(noon.Add(24 * time.Hour)); l.Capacity != 0 {
		t.Errorf("still believed after a day: %+v", l)
	}
}

// TestMailboxFull: what a server refuses beside a connection that listens says nothing
// of what it takes in all, and is forgotten after a day.
func TestMailboxFull(t *testing.T) {
	l := quota.Load{}.OnRefusal(8, noon)
	l = l.OnMailboxFull(1, noon.Add(time.Minute))
	if l.Capacity != 0 || l.PerMailbox != 1 || len(l.Lines(noon)) != 1 {
		t.Fatalf("learned %+v, %q", l, l.Lines(noon))
	}
	if late := l.OnRefusal(8, noon.Add(90*time.Second)); late != l {
		t.Errorf("a refusal that is told late counts: %+v", late)
	}
	if l.OnRefusal(8, noon.Add(time.Hour)).Capacity != 4 {
		t.Error("a refusal that is no mailbox's own does not count any more")
	}
	if l.OnTime(noon.Add(23*time.Hour)).MailboxFull() == "" || l.OnTime(noon.Add(25*time.Hour)).MailboxFull() != "" {
		t.Error("it is not believed for a day")
	}
}

func TestPace(t *testing.T) {
	const most = 20
	var l quota.Load
	now := noon
	step := func(mean time.Duration, timeouts int) {
		now = now.Add(15 * time.Second)
		l = l.OnLogins(5, mean, timeouts, most, now)
	}
	step(20*time.Millisecond, 0)
	step(90*time.Millisecond, 0)
	if l.Pace != 0 {
		t.Errorf("a login of 90 ms is called slow: %+v", l)
	}
	for _, want := range []int{10, 5, 2, 1, 1} {
		if step(3*time.Second, 0); l.Pace != want {
			t.Errorf("%d sessions, want %d", l.Pace, want)
		}
	}
	for _, want := range []int{2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18} {
		if step(20*time.Millisecond, 0); l.Pace != want {
			t.Fatalf("%d sessions, want %d", l.Pace, want)
		}
	}
	if step(20*time.Millisecond, 0); l.Pace != 0 {
		t.Errorf("still bounded: %+v", l)
	}
	if step(20*time.Millisecond, 1); l.Pace != most/2 {
		t.Errorf("%d sessions after a timeout", l.Pace)
	}
}

// TestPaceNeverStops: whatever is seen, at least one session and at most the bound
// is allowed.
func TestPaceNeverStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l quota.Load
		now := noon
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			l = l.OnLogins(rapid.IntRange(0, 9).Draw(t, "logins"), time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms"))*time.Millisecond,
				rapid.IntRange(0, 2).Draw(t, "timeouts"), 7, now)
			if l.Pace < 0 || l.Pace > 7 {
				t.Fatalf("%d sessions of 7", l.Pace)
			}
		}
	})
}

func TestListings(t *testing.T) {
	var l quota.Load
	if why := l.NotWorthListing(1, noon); why != "" {
		t.Errorf("nothing is known, and %s", why)
	}
	last := time.Duration(0)
	for range 12 {
		l = l.OnListingAbandoned(5*time.Minute, noon)
		wait := l.ListingFree.Sub(noon)
		if wait < 10*time.Minute || wait < last || wait > 6*time.Hour {
			t.Fatalf("%s after %d lists without an end, %s before", wait, l.Abandoned, last)
		}
		last = wait
	}
	if l.NotWorthListing(5000, noon) == "" || len(l.Lines(noon)) != 1 {
		t.Error("repeated while the server may work on it")
	}
	l = l.OnListing(30*time.Second, 4000, noon)
	l.Login = 10 * time.Millisecond
	if l.NotWorthListing(4000, noon) != "" {
		t.Error("30 s for 4000 mailboxes are worth it")
	}
	if l.NotWorthListing(100, noon) == "" {
		t.Error("30 s for 100 mailboxes are not")
	}
	if l.NotWorthListing(100, noon.Add(7*time.Hour)) != "" {
		t.Error("what it cost long ago is still believed")
	}
}

func TestPollEvery(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: time.Minute, time.Second: time.Minute, 24 * time.Second: 456 * time.Second,
	} {
		if got := quota.PollEvery(time.Minute, took, 1); got != want {
			t.Errorf("every %s after a reading of %s, want %s", got, took, want)
		}
	}
	// Twenty readers with 225 mailboxes each: together they read for a twentieth of the time.
	if got := quota.PollEvery(time.Minute, 1200*time.Millisecond, 20); got != 399*1200*time.Millisecond {
		t.Errorf("one of 20 readers reads every %s", got)
	}
}

func TestPollPause(t *testing.T) {
	const one = 6 * time.Millisecond
	if p := quota.PollPause(time.Minute, 100*one, one, 100, 400, 1); p != 0 {
		t.Errorf("400 mailboxes are read in 2.4 s, and it pauses for %s", p)
	}
	if p := quota.PollPause(time.Minute, 100*one, one, 100, 4000, 0); p != 19*one {
		t.Errorf("4000 mailboxes take 24 s, and it pauses for %s", p)
	}
	if p := quota.PollPause(time.Minute, 100*one, one, 100, 400, 20); p != 399*one {
		t.Errorf("20 readers of 400 mailboxes each take 48 s, and one pauses for %s", p)
	}
	if p := quota.PollPause(time.Minute, 0, 0, 0, 4000, 1); p != 0 {
		t.Errorf("before the first it pauses for %s", p)
	}
}

// A store that always answers slowly looks like its best: the time tells.
func TestAlwaysSlow(t *testing.T) {
	var l quota.Load
	for i := range 5 {
		l = l.OnLogins(1, 16*time.Second, 0, 20, noon.Add(time.Duration(i)*time.Minute))
	}
	lines := l.Lines(noon)
	if len(lines) != 1 || !strings.Contains(lines[0], "the store is slow: a login takes 16s") || !strings.Contains(lines[0], "look at") {
		t.Errorf("status says %q", lines)
	}
	if lines := (quota.Load{}).OnLogins(9, 300*time.Millisecond, 0, 20, noon).Lines(noon); len(lines) > 0 {
		t.Errorf("of a quick store, status says %q", lines)
	}
}
