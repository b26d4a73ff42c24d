package copiersim

import (
	"context"
	"fmt"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// keptIn is where the target keeps deleted messages.
const keptIn mailbox.FolderName = "Kept"

func isKept(name mailbox.FolderName) bool {
	return name == keptIn || strings.HasPrefix(string(name), string(keptIn)+"/")
}

// place names one message of one folder, whatever the folder is called.
type place struct {
	validity uint32
	uid      mailbox.UID
}

// inKept counts a message over all folders for deleted ones.
func (s *store) inKept(m *message) int {
	n := 0
	for name := range s.folders {
		if isKept(name) {
			n += s.countLike(name, m)
		}
	}
	return n
}

func (c *session) CanMove() bool { return c.s.feat.move }

func (c *session) Move(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	if !c.s.feat.move {
		return fault.Newf(fault.Permanent, "unknown command")
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return err
	}
	if c.s.folders[to] == nil {
		return fault.Newf(fault.Permanent, "no such folder")
	}
	for uid := range uids.All() {
		m := f.find(uid)
		if m == nil {
			continue
		}
		// The server is at it while the connection may go at any message.
		if w := c.k.w; w.chaos && w.rng.IntN(100) < 3 {
			w.faults["cut in a move"]++
			c.cut()
			return errCut
		}
		c.s.put(to, m.content, m.flags, m.date)
		if isKept(to) {
			c.noted(to, m)
			c.takeOut(f, m)
			continue
		}
		w := c.k.w
		w.faults["moved along"]++
		c.s.remove(c.name, uid)
		w.tell("%s moves %s %d %v to %s", c.k.name, c.name, uid, m, to)
		if n, on := c.s.countLike(to, m), w.source.countLike(to, m); n > on && !w.source.touchedSince(m.content, c.opened) && !c.s.touchedSince(m.content, c.opened) {
			w.violate("%s: message %v moved there: the target has %d, and the source %d", to, m, n, on)
		}
	}
	return nil
}

func (c *session) Copy(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return err
	}
	if c.s.folders[to] == nil {
		return fault.Newf(fault.Permanent, "no such folder")
	}
	w := c.k.w
	for uid := range uids.All() {
		m := f.find(uid)
		if m == nil {
			continue
		}
		at := place{f.validity, uid}
		if w.ledger.copied[at] && !w.movesLost {
			w.violate("%s: message %v copied twice to %s", c.name, m, to)
		}
		w.ledger.copied[at] = true
		c.noted(to, m)
		c.s.put(to, m.content, m.flags, m.date)
		w.tell("%s copies %s %d to %s", c.k.name, c.name, uid, to)
	}
	if w.chaos && w.rng.IntN(100) < 10 {
		w.faults["cut after a copy"]++
		c.cut()
		return errCut
	}
	return nil
}

// takeOut removes a message of the target, and checks that it may go: that the
// source does not have it, that the guard let it go, and that it is kept where
// deleted messages are.
func (c *session) takeOut(f *folder, m *message) {
	w := c.k.w
	if isKept(c.name) {
		c.purged(c.name, m)
		c.s.remove(c.name, m.uid)
		return
	}
	before := c.s.countLike(c.name, m)
	c.s.remove(c.name, m.uid)
	w.tell("%s expunges %s %d %v", c.k.name, c.name, m.uid, m)
	quiet := w.source.lastTouched(c.name, m.content).Before(c.opened) && c.s.lastTouched(c.name, m.content).Before(c.opened)
	if on := w.source.countLike(c.name, m); quiet && before <= on {
		w.violate("%s: message %q expunged although the source has %d of it and the target had %d", c.name, m.content, on, before)
	}
	c.stillThere(c.name, f, m)
	c.mayGo(c.name, f, m)
}

// mayGo holds a message that went against the guard and the folder for deleted
// messages.
func (c *session) mayGo(name mailbox.FolderName, f *folder, m *message) {
	w := c.k.w
	at := place{f.validity, m.uid}
	if !w.ledger.permitted[at] {
		w.violate("%s: message %d %v went past the guard", name, m.uid, m)
	}
	if m.byUser && !w.ledger.consented[at] && !w.source.had[m.content] {
		w.violate("%s: message %d %v, which a user of the target left there, was deleted without an approval", name, m.uid, m)
	}
	if !w.keeps {
		return
	}
	key := fmt.Sprintf("%q %d", m.content, m.date.Unix())
	w.removed[key]++
	if kept := c.s.inKept(m); kept < w.removed[key] {
		w.violate("%s: message %v was deleted %d times and is kept %d times", name, m, w.removed[key], kept)
	}
}

// goesAgain lets the target's copies of a message be kept a second time: the
// source has it once more, so that its deletion is another one. (Found by seed
// 8691: a twin took the place of a message that was kept and not yet expunged.)
func (w *world) goesAgain(name mailbox.FolderName, content string) {
	f := w.target.folders[name]
	if f == nil {
		return
	}
	for _, m := range f.messages {
		if m.content == w.target.kept(content) {
			delete(w.ledger.copied, place{f.validity, m.uid})
		}
	}
}
