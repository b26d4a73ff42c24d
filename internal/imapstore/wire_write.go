package imapstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// writeBuffer bounds one write and what a message on its way takes of memory.
const writeBuffer = 64 << 10

// literalMinusMax is the biggest literal that LITERAL- lets go without a
// continuation (RFC 7888, section 5).
const literalMinusMax = 4096

var errBodySize = errors.New("the message is not as long as announced")

// literal is the message that the next APPEND carries. go-imap itself encodes
// an APPEND of an empty message, "{0+}"; the wire puts the real one there. So
// no message passes through go-imap's own literal code, which goes on using
// the connection after a short write, waits a round trip for every message
// above 4 kB, and closes the connection when a NO comes instead of a "+".
type literal struct {
	size int64
	body io.Reader
	more bool // the command stays open for another message
	tag  string
	done bool
	err  error // of body; the link is dead then
}

// emptyAppend is how go-imap ends an APPEND of an empty message.
const emptyAppend = "{0+}\r\n\r\n"

// Write takes whole or partial command lines from go-imap. After an error go-imap closes
// what its reader sends the answers of earlier commands to, so that the reader has to end
// first.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.write(p)
	if err != nil {
		_ = w.Fail(err)
		w.awaitReader()
	}
	return n, err
}

// awaitReader waits until go-imap's reader has ended on a dead link. If the reader is
// stuck handing over an answer that nobody takes, the wait ends without that, and
// reports false.
func (w *wire) awaitReader() bool {
	w.smu.Lock()
	reader := w.reader
	w.smu.Unlock()
	select {
	case <-reader:
		return true
	case <-time.After(time.Second):
		return false
	}
}

func (w *wire) write(p []byte) (int, error) {
	w.noteCommand(p)
	switch {
	case w.literal != nil && !w.literal.done:
		w.text = append(w.text, p...)
		if !bytes.HasSuffix(w.text, []byte(emptyAppend)) {
			return len(p), nil
		}
		w.literal.done = true
		head := w.text[:len(w.text)-len(emptyAppend)]
		w.text = w.text[:0]
		if err := w.sendAppend(head, w.literal); err != nil {
			return 0, err
		}
		return len(p), nil
	case w.replace != "":
		// A command that go-imap has no method for, in the place of a NOOP.
		tag, _, found := bytes.Cut(p, []byte(" NOOP\r\n"))
		if found {
			line := string(tag) + " " + w.replace + "\r\n"
			w.replace = ""
			if _, err := w.put([]byte(line)); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return w.put(p)
}

// noteCommand notes the tag of a command that begins with p, and whether its
// answer's text may be shown. go-imap numbers its commands from T1 on.
func (w *wire) noteCommand(p []byte) {
	w.smu.Lock()
	defer w.smu.Unlock()
	tag := "T" + strconv.Itoa(w.lastTag+1)
	rest, ok := bytes.CutPrefix(p, []byte(tag+" "))
	if !ok {
		return
	}
	w.lastTag++
	w.unasked = 0
	name, _, _ := bytes.Cut(trimEnd(rest), []byte(" "))
	if w.replace != "" && string(name) == "NOOP" {
		name, _, _ = bytes.Cut([]byte(w.replace), []byte(" "))
	}
	// A server that received a message may quote it in any later answer.
	w.hushed = w.hushed || string(name) == "APPEND"
	w.sent[tag] = w.hushed || quietCommands[string(name)]
}

// hold keeps back the commands that follow until letGo: one packet and one turn
// of the server for all of them.
func (w *wire) hold() { w.holding = true }

// letGo sends what was held back. An error is that of the link, which is dead
// then.
func (w *wire) letGo() error {
	w.holding = false
	held := w.held
	w.held = w.held[:0]
	if len(held) == 0 {
		return nil
	}
	_, err := w.link.Write(held)
	return err
}

// put sends text of commands, or holds it back. A literal waits for the server's
// word (RFC 9051, section 7.6), so that what announces one goes out at once.
func (w *wire) put(p []byte) (int, error) {
	if !w.holding {
		return w.link.Write(p)
	}
	// go-imap waits for ever for a command that it could write after its reader
	// ended.
	if err := w.Cause(); err != nil {
		return 0, err
	}
	w.held = append(w.held, p...)
	if bytes.HasSuffix(p, []byte("}\r\n")) {
		if err := w.letGo(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// unaskedMax is the size in bytes up to which a message is sent without waiting
// for the server's word on it; above, the round trip costs little beside it.
const unaskedMax = 1 << 20

// sendAppend writes one APPEND with its message. Whatever goes wrong after the
// announcement of the literal kills the link before anything else is written:
// not one byte that is not of the message may complete it.
func (w *wire) sendAppend(head []byte, lit *literal) error {
	tag, _, _ := bytes.Cut(head, []byte(" "))
	lit.tag = string(tag)
	// A message that the server may find too big is announced first: sent
	// unasked, it would cost the connection (RFC 7888, section 4).
	sync := lit.size > unaskedMax || !w.has("LITERAL+") && (!w.has("LITERAL-") || lit.size > literalMinusMax)
	if err := w.putHead(head, lit, sync); err != nil {
		return err
	}
	if sync {
		goOn, err := w.announce(lit.tag)
		if err != nil || !goOn {
			// Refused with a tagged answer: the command is over, and neither
			// the literal nor the CRLF after it is sent.
			return err
		}
	}
	if lit.more {
		w.setBatch(lit.tag)
		return w.putBody(lit)
	}
	if err := w.putBody(lit); err != nil {
		return err
	}
	return w.endAppend()
}

// setBatch says which APPEND is still open. A server that answers it before its
// end may take what is yet to come for commands.
func (w *wire) setBatch(tag string) {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.batch = tag
}

// appendMore writes a further message of an APPEND (RFC 3502): arguments are
// its flags and date.
func (w *wire) appendMore(arguments []byte, lit *literal) error {
	lit.done = true
	if err := w.putHead(arguments, lit, false); err != nil {
		return err
	}
	return w.putBody(lit)
}

// endAppend ends the command and sends what of it was not sent yet.
func (w *wire) endAppend() error {
	if w.used+2 > len(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.setBatch("")
	w.used += copy(w.buf[w.used:], "\r\n")
	return w.flush()
}

func (w *wire) putHead(head []byte, lit *literal, sync bool) error {
	if w.buf == nil {
		w.buf = make([]byte, writeBuffer)
	}
	announcement := "{" + strconv.FormatInt(lit.size, 10) + "+}\r\n"
	if sync {
		announcement = "{" + strconv.FormatInt(lit.size, 10) + "}\r\n"
	}
	need := len(head) + len(announcement)
	if need+2 > len(w.buf) {
		lit.err = errors.New("the command before the message is too long")
		return w.Fail(lit.err)
	}
	if w.used+need > len(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.used += copy(w.buf[w.used:], head)
	w.used += copy(w.buf[w.used:], announcement)
	return nil
}

// putBody writes a message but for its last bytes, which wait for what comes
// after it: a message that is longer than announced is never complete.
func (w *wire) putBody(lit *literal) error {
	for left := lit.size; left > 0; {
		if w.used == len(w.buf) {
			if err := w.flush(); err != nil {
				return err
			}
		}
		n, err := io.ReadFull(lit.body, w.buf[w.used:min(int64(len(w.buf)), int64(w.used)+left)])
		if err != nil {
			lit.err = fmt.Errorf("%w: reading it from the other store failed: %w", errBodySize, err)
			return w.Fail(lit.err)
		}
		left -= int64(n)
		w.used += n
	}
	var extra [1]byte
	if n, _ := io.ReadFull(lit.body, extra[:]); n > 0 {
		lit.err = errBodySize
		return w.Fail(lit.err)
	}
	return nil
}

// flush sends what is in the buffer.
func (w *wire) flush() error {
	used := w.used
	w.used = 0
	_, err := w.link.Write(w.buf[:used])
	return err
}

// announce sends the line that announces a synchronising literal and waits for
// the server's word on it.
func (w *wire) announce(tag string) (bool, error) {
	g := &goAhead{tag: tag, ch: make(chan bool, 1)}
	w.smu.Lock()
	w.awaiting = g
	w.smu.Unlock()
	w.Await(true)
	defer w.Await(false)
	if err := w.flush(); err != nil {
		return false, err
	}
	select {
	case goOn := <-g.ch:
		return goOn, nil
	case <-w.Dead():
		return false, w.Cause()
	}
}
