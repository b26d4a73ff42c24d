package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// line keeps one listening connection open: it connects through the door,
// listens, and connects again, until it is cancelled.
type line struct {
	cancel context.CancelFunc
	begun  time.Time

	mu    sync.Mutex
	conn  Conn // nil while there is none
	heard map[mailbox.Number]bool
	alive time.Time
}

// badMailbox is how long a mailbox that cannot be listened to by its own fault
// is left alone, spread like all waits.
const badMailbox = 5 * time.Minute

// occupied is after how long a connection is tried again that made room for a sync,
// spread like all waits.
const occupied = 5 * time.Second

// lasting is how long a connection has to be open until it counts as good.
const lasting = 5 * time.Second

// badSoon is how soon a connection ends again that a mailbox ends by its own fault.
const badSoon = time.Minute

// start runs a line, which listens to one mailbox alone or to many. opened is told of
// every attempt's end; false gives up.
func (w *Watcher) start(parent context.Context, alone bool, open func(context.Context) (Conn, error), opened func(Conn, error) bool) *line {
	ctx, cancel := context.WithCancel(parent)
	l := &line{cancel: cancel, begun: time.Now()}
	door := w.door
	w.group.Go(func() {
		defer cancel()
		for ctx.Err() == nil {
			var conn Conn
			var own error // the mailbox's own fault, which says nothing of the store
			age, err := door.through(ctx, func() error {
				// Guarded here as well: a panic is this mailbox's own fault.
				err := fault.Guard(func() (err error) { conn, err = open(ctx); return err })
				if fault.Is(err, fault.Permanent) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ErrOccupied) {
					own, err = err, nil
				}
				return err
			})
			if own != nil {
				err = own
			}
			if err == nil {
				// Before anybody is told: who is told asks who is heard.
				l.up(conn)
			}
			if !opened(conn, err) {
				return
			}
			switch {
			case errors.Is(own, ErrOccupied):
				sleep.For(ctx, occupied/2+rand.N(occupied))
				continue
			case own != nil:
				w.trouble("listen to a mailbox", own)
				sleep.For(ctx, badMailbox/2+time.Duration(rand.Int64N(int64(badMailbox))))
				continue
			case err != nil:
				w.trouble("connect to listen", err)
				continue
			}
			began := time.Now()
			// Not by the server's words: a quiet one has none for long.
			good := time.AfterFunc(lasting, door.lasts)
			err = fault.Guard(func() error {
				return conn.Listen(ctx, w.report, func() {
					l.live()
					w.recovered()
				})
			})
			good.Stop()
			l.down()
			conn.Close()
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, ErrOccupied) {
				sleep.For(ctx, occupied/2+rand.N(occupied))
				continue
			}
			w.trouble("listen", err)
			if alone && fault.Is(err, fault.Permanent) && time.Since(began) < badSoon {
				// It is the mailbox's own fault, and says nothing of the store.
				sleep.For(ctx, badMailbox/2+time.Duration(rand.Int64N(int64(badMailbox))))
				continue
			}
			if time.Since(began) < lasting {
				// One that ends as soon as it is open counts as not let in.
				door.fail(age)
			}
		}
	})
	return l
}

func (l *line) up(c Conn) {
	heard := c.Heard()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.alive = c, time.Now()
	l.heard = make(map[mailbox.Number]bool, len(heard))
	for _, n := range heard {
		l.heard[n] = true
	}
}

func (l *line) live() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive = time.Now()
}

func (l *line) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = nil
}

// listening tells how many mailboxes are heard of, and whether the connection
// is open. One that shows no sign of life is closed.
func (l *line) listening(now time.Time) (mailboxes int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return 0, false
	}
	if now.Sub(l.alive) > silence {
		l.conn.Close()
		return 0, false
	}
	return len(l.heard), true
}

func (l *line) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil
}

// nobody notes that the store lets it hear of none.
func (l *line) nobody() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == nil {
		l.heard = map[mailbox.Number]bool{}
	}
}

// hears returns those of some mailboxes that it hears of, sorted, and those that it
// does not; known is false until it was open once, as nobody can tell then.
func (l *line) hears(of []mailbox.Number) (heard, unheard []mailbox.Number, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range of {
		if l.heard[n] {
			heard = append(heard, n)
		} else {
			unheard = append(unheard, n)
		}
	}
	slices.Sort(heard)
	return heard, unheard, l.heard != nil
}
