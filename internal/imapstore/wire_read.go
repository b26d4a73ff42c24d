package imapstore

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
)

var (
	errResponse   = errors.New("the server's answer breaks the protocol")
	errUnknownTag = errors.New("the server answers a command that was not sent")
)

// reader splits the server's bytes into responses, reads them within bounds and
// decides of each whether go-imap gets it. What go-imap gets was written here, of
// parts that were read and understood (wire_judge.go, wire_fetch.go): not one byte
// of the server's own reaches it, but for the content of a message that was asked
// for. It has no bounds of its own, ends the process on deep nesting, and gives
// the connection up on anything that it cannot parse.
type reader struct {
	buf  []byte // buf[r:] is read from the link and not yet looked at
	r    int
	out  []byte // a line that go-imap is to get next
	lit  int64  // bytes of a message that go-imap is to get after out
	held []byte // a response of several lines
}

func (d *reader) read(w *wire, p []byte) (int, error) {
	for {
		switch {
		case len(d.out) > 0:
			n := copy(p, d.out)
			d.out = d.out[n:]
			return n, nil
		case d.lit > 1:
			n, err := d.readSome(w, p[:min(int64(len(p)), d.lit-1)])
			d.lit -= int64(n)
			return n, err
		}
		next := d.next
		if d.lit == 1 {
			next = d.lastByte
		}
		if err := next(w); err != nil {
			return 0, w.Fail(err)
		}
	}
}

// next reads one response.
func (d *reader) next(w *wire) error {
	if err := d.peek(w, len("* ESEARCH")); err != nil {
		return err
	}
	if extended, ok := isSearch(d.buf[d.r:]); ok {
		return d.readSearch(w, extended)
	}
	line, err := d.readLine(w, 0)
	if err != nil {
		return err
	}
	return w.judge(d, line)
}

// readSome gives bytes of a literal: from the buffer, or straight from the
// link, so that a message is not copied once more.
func (d *reader) readSome(w *wire, p []byte) (int, error) {
	if d.r < len(d.buf) {
		n := copy(p, d.buf[d.r:])
		d.r += n
		return n, nil
	}
	return w.link.Read(p)
}

// peek reads until n bytes or a line end are there.
func (d *reader) peek(w *wire, n int) error {
	for len(d.buf)-d.r < n && bytes.IndexByte(d.buf[d.r:], '\n') < 0 {
		if err := d.fill(w); err != nil {
			return err
		}
	}
	return nil
}

// readLine returns the next line with its line end; before bytes of the same
// response were read already. It stays valid until the next call.
func (d *reader) readLine(w *wire, before int) ([]byte, error) {
	seen := 0
	for {
		i := bytes.IndexByte(d.buf[d.r+seen:], '\n')
		if i < 0 {
			seen = len(d.buf) - d.r
		} else {
			seen += i + 1
		}
		if before+seen > maxLine {
			return nil, beyond("a line without end", "%d kB in one line", maxLine>>10)
		}
		if i >= 0 {
			line := d.buf[d.r : d.r+seen]
			d.r += seen
			return line, nil
		}
		if err := d.fill(w); err != nil {
			return nil, err
		}
	}
}

// fill reads once more from the link behind what is unread.
func (d *reader) fill(w *wire) error {
	rest := len(d.buf) - d.r
	switch {
	case cap(d.buf)-len(d.buf) >= readBuffer/4:
	case rest <= readBuffer/2 && cap(d.buf) >= readBuffer && cap(d.buf) <= 4*readBuffer:
		copy(d.buf[:rest], d.buf[d.r:])
		d.buf, d.r = d.buf[:rest], 0
	default:
		// Double for a long line, and back to normal size after one.
		bigger := make([]byte, rest, max(readBuffer, 2*rest+readBuffer/2))
		copy(bigger, d.buf[d.r:])
		d.buf, d.r = bigger, 0
	}
	n, err := w.link.Read(d.buf[len(d.buf):cap(d.buf)])
	d.buf = d.buf[:len(d.buf)+n]
	return err
}

// whole returns a response with its literals in place, given its first line.
func (d *reader) whole(w *wire, line []byte) ([]byte, error) {
	size, ok := literalSize(trimEnd(line))
	if !ok {
		return line, nil
	}
	d.held = append(d.held[:0], line...)
	for literals := 1; ok; literals++ {
		if literals > maxLiterals || size > maxLine-int64(len(d.held)) {
			return nil, beyond("a response that is too long", "%d kB and %d literals in one response", maxLine>>10, maxLiterals)
		}
		d.held = slices.Grow(d.held, int(size))
		for size > 0 {
			have := len(d.held)
			n, err := d.readSome(w, d.held[have:have+int(size)])
			d.held = d.held[:have+n]
			size -= int64(n)
			if err != nil {
				return nil, err
			}
		}
		line, err := d.readLine(w, len(d.held))
		if err != nil {
			return nil, err
		}
		d.held = append(d.held, line...)
		size, ok = literalSize(trimEnd(line))
	}
	held := d.held
	if cap(held) > 4*readBuffer {
		d.held = nil
	}
	return held, nil
}

// discard reads a response that nobody asked for to its end.
func (d *reader) discard(w *wire, line []byte) error {
	for {
		if err := w.unaskedFor(int64(len(line))); err != nil {
			return err
		}
		size, ok := literalSize(trimEnd(line))
		if !ok {
			return nil
		}
		if err := w.unaskedFor(size); err != nil {
			return err
		}
		if err := d.skip(w, size); err != nil {
			return err
		}
		var err error
		if line, err = d.readLine(w, 0); err != nil {
			return err
		}
	}
}

// skip reads so many bytes of a literal and keeps none of them.
func (d *reader) skip(w *wire, size int64) error {
	for size > 0 {
		if d.r == len(d.buf) {
			if err := d.fill(w); err != nil {
				return err
			}
		}
		n := min(size, int64(len(d.buf)-d.r))
		d.r += int(n)
		size -= n
	}
	return nil
}

// literalSize reads the "{n}" that ends a line before a literal.
func literalSize(text []byte) (int64, bool) {
	if len(text) < 3 || text[len(text)-1] != '}' {
		return 0, false
	}
	i := bytes.LastIndexByte(text, '{')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(text[i+1:len(text)-1]), 10, 64)
	return n, err == nil && n >= 0
}

func trimEnd(line []byte) []byte { return bytes.TrimRight(line, "\r\n") }
