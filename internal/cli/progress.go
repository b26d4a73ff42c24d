package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

// window is how far back a rate looks: long enough to be steady, short enough
// to show that something stalls.
const window = 20 * time.Second

// tracker turns the running totals of a compare into rates and an estimate.
type tracker struct{ samples []sample }

type sample struct {
	at                         time.Time
	mailboxes, messages, total int
	bytes                      int64
}

// rates is what is known at one moment.
type rates struct {
	messages, dueMessages int
	bytes, dueBytes       int64
	known                 bool // false at the first look, which tells no rate
	messagesPerSecond     float64
	bytesPerSecond        float64
	// remaining is 0 where nothing can be said yet.
	remaining time.Duration
}

// add takes a new look at a run.
func (t *tracker) add(run site.CompareRun, now time.Time) rates {
	work := run.Messages.Add(run.Greetings)
	s := sample{at: now, mailboxes: run.Reviewed, total: run.Mailboxes, messages: work.Appended, bytes: work.Bytes}
	t.samples = append(t.samples, s)
	for len(t.samples) > 2 && now.Sub(t.samples[0].at) > window {
		t.samples = t.samples[1:]
	}
	r := rates{
		messages: work.Appended, dueMessages: max(run.DueMessages, work.Appended),
		bytes: work.Bytes, dueBytes: max(run.DueBytes, work.Bytes),
	}
	first := t.samples[0]
	seconds := now.Sub(first.at).Seconds()
	if seconds <= 0 {
		return r
	}
	r.known = true
	r.messagesPerSecond = float64(s.messages-first.messages) / seconds
	r.bytesPerSecond = float64(s.bytes-first.bytes) / seconds
	// Both mailboxes and bytes have to come to their end, and what the
	// mailboxes that were not looked at yet still bring is not known: the
	// slower of the two is the better guess.
	left := ahead(float64(s.total-s.mailboxes), float64(s.mailboxes-first.mailboxes)/seconds)
	r.remaining = max(left, ahead(float64(r.dueBytes-r.bytes), r.bytesPerSecond))
	return r
}

func ahead(left, perSecond float64) time.Duration {
	const tooFar = 1000 * time.Hour
	if left <= 0 || perSecond <= 0 || left/perSecond > tooFar.Seconds() {
		return 0
	}
	return time.Duration(left / perSecond * float64(time.Second))
}

// String is the text beside the bar.
func (r rates) String() string {
	s := fmt.Sprintf("%d/%d messages  %s", r.messages, r.dueMessages, size(r.bytes))
	if r.known {
		s += fmt.Sprintf("  %.0f/s  %s/s", r.messagesPerSecond, size(int64(r.bytesPerSecond)))
	}
	if r.remaining > 0 {
		s += "  ETA " + span(r.remaining.Round(time.Second))
	}
	return s
}

// display shows how far something is.
type display interface {
	// every is how often it wants to be updated.
	every() time.Duration
	update(done, total int, text string)
	// warn shows a line that stays.
	warn(text string)
	close()
}

// waiting is how a command waits for the end of a run. A silent display asks for no
// progress: nobody would see it.
func waiting[R any](show display, progress func(R)) control.Waiting[R] {
	if _, is := show.(silent); is {
		progress = nil
	}
	return control.Waiting[R]{Every: show.every(), Progress: progress, NoWorker: func(since time.Duration) {
		show.warn("no worker of this release has taken up this work for " + span(since.Round(time.Second)) +
			"; it waits for one: start Mailmirror with mailmirror up, or start mailmirror-worker")
	}}
}

// watched waits for the end of a run, and shows how far it is: update is called now and
// then, and with how it ended.
func watched[R any](show display, wait func(control.Waiting[R]) (R, error), update func(R)) (R, error) {
	defer show.close()
	run, err := wait(waiting(show, update))
	if err == nil {
		update(run)
	}
	return run, err
}

// newDisplay chooses by where standard error goes: a bar on a terminal, a line
// now and then elsewhere, nothing where a program reads.
func (c *cli) newDisplay(title, unit string) display {
	switch {
	case c.output == outputJSON:
		return silent{c}
	case isTerminal(c.env.Stderr):
		return newBar(c.env.Stderr, title, unit)
	default:
		return &lines{silent: silent{c}, w: c.env.Stderr, title: title, unit: unit, now: c.env.Now}
	}
}

// silent shows warnings alone.
type silent struct{ c *cli }

func (silent) every() time.Duration    { return time.Second }
func (silent) update(int, int, string) {}
func (s silent) warn(text string)      { s.c.warn("%s", text) }
func (silent) close()                  {}

// lines writes a plain line every few seconds, for logs and pipes.
type lines struct {
	silent
	w           io.Writer
	title, unit string
	now         func() time.Time
	last        time.Time
	written     string
}

const betweenLines = 5 * time.Second

func (l *lines) every() time.Duration { return betweenLines }

func (l *lines) update(done, total int, text string) {
	line := fmt.Sprintf("%s: %d/%d %s  %s", l.title, done, total, l.unit, text)
	finished := done >= total
	if line == l.written || (!finished && !l.last.IsZero() && l.now().Sub(l.last) < betweenLines) {
		return
	}
	l.last, l.written = l.now(), line
	fmt.Fprintln(l.w, clean(line))
}

// bar is a progress bar on a terminal.
type bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	unit     string
	text     atomic.Pointer[string]
	counts   atomic.Pointer[string]
}

func newBar(w io.Writer, title, unit string) *bar {
	b := &bar{unit: unit}
	b.set(0, 0, "")
	b.progress = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(200*time.Millisecond))
	// The figures stand on a line of their own, so that 80 columns hold all.
	figures := mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		_, err := fmt.Fprintf(w, "  %s\n", *b.text.Load())
		return err
	})
	b.bar = b.progress.AddBar(0,
		mpb.BarExtender(figures, false),
		mpb.PrependDecorators(
			decor.Name(clean(title)+"  "),
			decor.Any(func(decor.Statistics) string { return *b.counts.Load() }),
		),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5})),
	)
	return b
}

func (b *bar) set(done, total int, text string) {
	counts := fmt.Sprintf("%d/%d %s  ", done, total, b.unit)
	text = clean(text)
	b.counts.Store(&counts)
	b.text.Store(&text)
}

func (b *bar) every() time.Duration { return 500 * time.Millisecond }

func (b *bar) update(done, total int, text string) {
	b.set(done, total, text)
	b.bar.SetTotal(int64(total), false)
	b.bar.SetCurrent(int64(done))
}

// warn writes above the bar.
func (b *bar) warn(text string) { _, _ = fmt.Fprintf(b.progress, "warning: %s\n", clean(text)) }

// close leaves the last state of the bar on the screen.
func (b *bar) close() {
	b.bar.Abort(false)
	b.progress.Wait()
}
