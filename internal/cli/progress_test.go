package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/site"
)

// at is a compare of 100 mailboxes and what it did so far.
func at(reviewed, messages, due int, bytes, dueBytes int64) site.CompareRun {
	return site.CompareRun{Mailboxes: 100, CompareProgress: site.CompareProgress{
		Reviewed: reviewed, DueMessages: due, DueBytes: dueBytes,
		Messages: copier.Work{Appended: messages, Bytes: bytes},
	}}
}

func TestTrackerEstimatesByWhateverIsSlower(t *testing.T) {
	start := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	var tr tracker
	if r := tr.add(at(0, 0, 0, 0, 0), start); r.remaining != 0 || r.messagesPerSecond != 0 {
		t.Errorf("the first look cannot tell a rate: %+v", r)
	}
	// 10 mailboxes in 10 s: 90 s are left by mailboxes, 30 s by bytes.
	r := tr.add(at(10, 500, 2000, 1_000_000, 4_000_000), start.Add(10*time.Second))
	if r.messagesPerSecond != 50 || r.bytesPerSecond != 100_000 || r.remaining != 90*time.Second {
		t.Errorf("bound by mailboxes: %+v", r)
	}
	// All were looked at, what is planned is not copied.
	r = tr.add(at(100, 1000, 2000, 2_000_000, 4_000_000), start.Add(20*time.Second))
	if r.remaining != 20*time.Second {
		t.Errorf("bound by bytes: %+v", r)
	}
	if got, want := r.String(), "1000/2000 messages  2.0 MB  50/s  100.0 kB/s  ETA 20s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// Nothing moves for longer than the window: no rate, no promise.
	for i := range 30 {
		r = tr.add(at(100, 1000, 2000, 2_000_000, 4_000_000), start.Add(time.Duration(21+i)*time.Second))
	}
	if r.messagesPerSecond != 0 || r.remaining != 0 || strings.Contains(r.String(), "ETA") {
		t.Errorf("stalled: %+v", r)
	}
	if len(tr.samples) > 25 {
		t.Errorf("%d samples are kept", len(tr.samples))
	}
}

func TestTrackerNeverShowsLessDueThanDone(t *testing.T) {
	var tr tracker
	r := tr.add(at(1, 10, 0, 1000, 0), time.Now())
	if r.dueMessages != 10 || r.dueBytes != 1000 {
		t.Errorf("%+v", r)
	}
}

func TestLinesComeNowAndThenAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &lines{w: &out, title: "compare dr", unit: "mailboxes", now: time.Now}
		for i := range 12 {
			l.update(i, 12, "")
			time.Sleep(time.Second)
		}
		l.update(12, 12, "x\x1b[2Jy")
		l.update(12, 12, "x\x1b[2Jy")
		l.close()
		want := "compare dr: 0/12 mailboxes  \ncompare dr: 5/12 mailboxes  \ncompare dr: 10/12 mailboxes  \ncompare dr: 12/12 mailboxes  x\uFFFD[2Jy\n"
		if got := out.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

// The bar draws in goroutines of its own; what is checked here is that it
// shows what it was told and that closing ends them, even at once or when
// nothing is known, which goleak sees.
func TestBarEndsCleanly(t *testing.T) {
	newBar(&bytes.Buffer{}, "nothing", "mailboxes").close()
	var out bytes.Buffer
	b := newBar(&out, "compare dr", "mailboxes")
	b.update(0, 0, "")
	b.update(40, 50, "2310/2700 messages")
	b.update(50, 50, "2700/2700 messages")
	b.close()
	for _, want := range []string{"compare dr", "50/50 mailboxes", "2700/2700 messages"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not drawn: %q", want, out.String())
		}
	}
}
