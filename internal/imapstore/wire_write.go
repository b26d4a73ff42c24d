package imapstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
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
	done bool
	err  error // of body; the link is dead then
}

// emptyAppend is how go-imap ends an APPEND of an empty message.
const emptyAppend = "{0+}\r\n\r\n"

// Write takes whole or partial command lines from go-imap.
func (w *wire) Write(p []byte) (int, error) {
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
			if _, err := w.link.Write([]byte(line)); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return w.link.Write(p)
}

// unaskedMax is the size in bytes up to which a message is sent without waiting
// for the server's word on it; above, the round trip costs little beside it.
const unaskedMax = 1 << 20

// sendAppend writes one APPEND with its message. Whatever goes wrong after the
// announcement of the literal kills the link before anything else is written:
// not one byte that is not of the message may complete it.
func (w *wire) sendAppend(head []byte, lit *literal) error {
	if w.buf == nil {
		w.buf = make([]byte, writeBuffer)
	}
	// A message that the server may find too big is announced first: sent
	// unasked, it would cost the connection (RFC 7888, section 4).
	sync := lit.size > unaskedMax || !w.has("LITERAL+") && (!w.has("LITERAL-") || lit.size > literalMinusMax)
	announce := "{" + strconv.FormatInt(lit.size, 10) + "+}\r\n"
	if sync {
		announce = "{" + strconv.FormatInt(lit.size, 10) + "}\r\n"
	}
	if len(head)+len(announce)+2 > len(w.buf) {
		lit.err = errors.New("the command before the message is too long")
		return w.fail(lit.err)
	}
	used := copy(w.buf, head)
	used += copy(w.buf[used:], announce)
	if sync {
		tag, _, _ := bytes.Cut(head, []byte(" "))
		goOn, err := w.announce(string(tag), w.buf[:used])
		if err != nil || !goOn {
			// Refused with a tagged answer: the command is over, and neither
			// the literal nor the CRLF after it is sent.
			return err
		}
		used = 0
	}
	for left := lit.size; left > 0; {
		piece := w.buf[used:min(int64(len(w.buf)), int64(used)+left)]
		n, err := io.ReadFull(lit.body, piece)
		if err != nil {
			lit.err = fmt.Errorf("%w: %w", errBodySize, err)
			return w.fail(lit.err)
		}
		left -= int64(n)
		used += n
		if left > 0 {
			if _, err := w.link.Write(w.buf[:used]); err != nil {
				return err
			}
			used = 0
		}
	}
	var extra [1]byte
	if n, _ := io.ReadFull(lit.body, extra[:]); n > 0 {
		lit.err = errBodySize
		return w.fail(lit.err)
	}
	if used+2 > len(w.buf) {
		if _, err := w.link.Write(w.buf[:used]); err != nil {
			return err
		}
		used = 0
	}
	used += copy(w.buf[used:], "\r\n")
	_, err := w.link.Write(w.buf[:used])
	return err
}

// announce writes the line that announces a synchronising literal and waits
// for the server's word on it.
func (w *wire) announce(tag string, line []byte) (bool, error) {
	g := &goAhead{tag: tag, ch: make(chan bool, 1)}
	w.smu.Lock()
	w.awaiting = g
	w.smu.Unlock()
	w.await(true)
	defer w.await(false)
	if _, err := w.link.Write(line); err != nil {
		return false, err
	}
	select {
	case goOn := <-g.ch:
		return goOn, nil
	case <-w.dead:
		return false, w.cause()
	}
}
