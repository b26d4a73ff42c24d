package watch

import (
	"context"
	"sync"
	"time"

	"mailmirror/internal/fault"
)

// waits are what a watcher waits for because Mailmirror bounds its own load: the store
// is not out of reach then.
type waits struct {
	mu   sync.Mutex
	next int
	open map[int]waiting
}

type waiting struct {
	since time.Time
	say   func() (text, hint string)
}

type waitsKey struct{}

// Waits says that whoever calls it waits for a bound of Mailmirror's own until done is
// called. say tells what for, and what the operator can do; it returns "" if that is
// not the reason any more. A context that is not a watcher's is left alone.
func Waits(ctx context.Context, say func() (text, hint string)) (done func()) {
	w, ok := ctx.Value(waitsKey{}).(*waits)
	if !ok {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[int]waiting{}
	}
	w.next++
	id := w.next
	w.open[id] = waiting{time.Now(), say}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, id)
	}
}

// shortWait is how long a wait may be without a word.
const shortWait = 5 * time.Second

// trouble is what is waited for the longest; nil if nothing is.
func (w *waits) trouble(now time.Time) error {
	w.mu.Lock()
	var oldest *waiting
	for _, o := range w.open {
		if now.Sub(o.since) > shortWait && (oldest == nil || o.since.Before(oldest.since)) {
			oldest = &o
		}
	}
	w.mu.Unlock()
	if oldest == nil {
		return nil
	}
	text, hint := oldest.say()
	if text == "" {
		return nil
	}
	return fault.New(fault.Transient, text, nil, hint)
}
