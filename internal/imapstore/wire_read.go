package imapstore

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
)

// Bounds of what is held in memory of one response. A SEARCH of a million UIDs
// is a line of 8 MB.
const (
	readBuffer    = 16 << 10
	maxLine       = 32 << 20
	maxHeldString = 1 << 20
)

var errResponse = errors.New("the server's answer breaks the protocol")

// action is what becomes of a response.
type action int

const (
	pass    action = iota // go-imap gets it
	drop                  // nobody gets it
	collect               // the session gets it
)

// reader splits the server's bytes into responses and decides of each whether
// go-imap sees it. It is needed because go-imap gives the connection up on
// anything that it cannot parse: a folder name in broken modified UTF-7, a
// keyword with a bracket, an unknown kind of response.
type reader struct {
	buf  []byte // buf[r:] is read from the link and not yet looked at
	r    int
	out  []byte // the part of a line that go-imap is to get next
	lit  int64  // bytes of a literal that go-imap is to get after out
	act  action
	cont bool   // the next line goes on with the response after a literal
	held []byte // a response being collected
}

func (d *reader) read(w *wire, p []byte) (int, error) {
	for {
		switch {
		case len(d.out) > 0:
			n := copy(p, d.out)
			d.out = d.out[n:]
			return n, nil
		case d.lit > 0:
			if int64(len(p)) > d.lit {
				p = p[:d.lit]
			}
			n, err := d.readSome(w, p)
			d.lit -= int64(n)
			return n, err
		}
		line, err := d.readLine(w)
		if err != nil {
			return 0, err
		}
		if err := d.take(w, line); err != nil {
			return 0, w.fail(err)
		}
	}
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

// readLine returns the next line with its line end. It stays valid until the
// next call.
func (d *reader) readLine(w *wire) ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(d.buf[d.r+seen:], '\n'); i >= 0 {
			line := d.buf[d.r : d.r+seen+i+1]
			d.r += len(line)
			return line, nil
		}
		seen = len(d.buf) - d.r
		if seen > maxLine {
			return nil, w.fail(errResponse)
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

// take decides what becomes of a line and of the literal that it announces.
func (d *reader) take(w *wire, line []byte) error {
	text := bytes.TrimRight(line, "\r\n")
	mayHoldLiteral := true
	if !d.cont {
		d.act, line, mayHoldLiteral = w.judge(text, line)
	}
	size, ok := int64(0), false
	if mayHoldLiteral {
		size, ok = literalSize(text)
	}
	d.cont = ok
	switch d.act {
	case pass:
		d.out, d.lit = line, size
	case drop:
		return d.skip(w, size)
	case collect:
		d.held = append(d.held, line...)
		if int64(len(d.held))+size > maxHeldString {
			return errResponse
		}
		for size > 0 {
			n, err := d.readSome(w, d.grow(size))
			d.held = d.held[:len(d.held)+n]
			size -= int64(n)
			if err != nil {
				return err
			}
		}
		if !ok {
			w.smu.Lock()
			w.collected = append(w.collected, bytes.Clone(d.held))
			w.smu.Unlock()
			d.held = d.held[:0]
		}
	}
	return nil
}

// grow returns room for at most n bytes behind held.
func (d *reader) grow(n int64) []byte {
	have := len(d.held)
	if int64(cap(d.held)-have) < n {
		d.held = append(make([]byte, 0, int64(have)+n), d.held...)
	}
	return d.held[have : int64(have)+n]
}

func (d *reader) skip(w *wire, size int64) error {
	var scratch [4096]byte
	for size > 0 {
		n, err := d.readSome(w, scratch[:min(size, int64(len(scratch)))])
		size -= int64(n)
		if err != nil {
			return err
		}
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

// judge looks at the first line of a response and returns what becomes of it,
// the line as go-imap shall see it, and whether the line can announce a
// literal: human text may end in "{5}" and mean nothing by it.
func (w *wire) judge(text, line []byte) (action, []byte, bool) {
	tag, rest, _ := bytes.Cut(text, []byte(" "))
	switch {
	case len(tag) > 0 && tag[0] == '+':
		return w.judgeContinuation(line)
	case !bytes.Equal(tag, []byte("*")):
		return w.judgeTagged(tag, rest, line)
	}
	kind, args, _ := bytes.Cut(rest, []byte(" "))
	if len(kind) > 0 && kind[0] >= '0' && kind[0] <= '9' {
		kind, args, _ = bytes.Cut(args, []byte(" "))
	}
	switch string(bytes.ToUpper(kind)) {
	case "OK", "PREAUTH", "NO", "BYE":
		return w.judgeStatus(args, line)
	case "BAD":
		w.refuseBad()
		return pass, line, false
	case "CAPABILITY":
		shown := w.noteCapabilities(args)
		return pass, append(append([]byte("* CAPABILITY "), shown...), "\r\n"...), false
	case "EXISTS", "EXPUNGE", "SEARCH", "ESEARCH":
		return pass, line, false
	case "FETCH":
		return w.judgeFetch(line)
	case "LIST", "LSUB", "STATUS", "NAMESPACE", "ID":
		w.smu.Lock()
		defer w.smu.Unlock()
		if w.collect {
			return collect, line, true
		}
	}
	return drop, line, true
}

func (w *wire) judgeContinuation(line []byte) (action, []byte, bool) {
	w.smu.Lock()
	defer w.smu.Unlock()
	if !w.loggedIn {
		return pass, line, false
	}
	if g := w.awaiting; g != nil {
		w.awaiting = nil
		g.ch <- true
	}
	return drop, line, false
}

func (w *wire) judgeTagged(tag, rest, line []byte) (action, []byte, bool) {
	w.smu.Lock()
	if g := w.awaiting; g != nil && g.tag == string(tag) {
		w.awaiting = nil
		g.ch <- false
	}
	early := w.batch != "" && w.batch == string(tag)
	w.smu.Unlock()
	kind, args, _ := bytes.Cut(rest, []byte(" "))
	if early {
		_ = w.fail(newEarlyAnswer(kind, args))
	}
	if bytes.EqualFold(kind, []byte("BAD")) {
		w.refuseBad()
	}
	if list, ok := cutPrefixFold(args, "[APPENDUID "); ok {
		if list, text, found := bytes.Cut(list, []byte("]")); found {
			// go-imap knows that of a single message only.
			w.noteAppended(string(tag), list)
			return pass, slices.Concat(tag, []byte(" "), kind, []byte(" "), bytes.TrimLeft(text, " "), []byte(".\r\n")), false
		}
	}
	if shown, told := w.toldAtLogin(); told && bytes.EqualFold(kind, []byte("OK")) && !bytes.HasPrefix(args, []byte("[")) {
		// Told by a response of their own, which go-imap forgets with the end of
		// the log-in, and asks again whenever it comes to it: in the middle of an
		// APPEND, if need be.
		return pass, slices.Concat(tag, []byte(" OK [CAPABILITY "), shown, []byte("] "), args, []byte("\r\n")), false
	}
	return w.judgeStatus(args, line)
}

// noteAppended keeps an APPENDUID for the session; one that cannot be read is
// none.
func (w *wire) noteAppended(tag string, list []byte) {
	validity, set, _ := bytes.Cut(list, []byte(" "))
	v, err := strconv.ParseUint(string(validity), 10, 32)
	uids, ok := scanUIDs(set)
	if err != nil || !ok {
		return
	}
	w.smu.Lock()
	defer w.smu.Unlock()
	w.appended[tag] = appendUID{validity: uint32(v), uids: uids}
}

// refuseBad drops the connection at once: what the server did not understand
// may have been an APPEND, whose message it would now read as commands.
func (w *wire) refuseBad() {
	w.smu.Lock()
	loggedIn := w.loggedIn
	w.smu.Unlock()
	if loggedIn {
		_ = w.fail(errBadCommand)
	}
}

// judgeStatus looks at the response code of OK, NO, BAD, BYE or PREAUTH.
func (w *wire) judgeStatus(args, line []byte) (action, []byte, bool) {
	if len(args) == 0 || args[0] != '[' {
		return pass, line, false
	}
	end := bytes.IndexByte(args, ']')
	code, list, _ := bytes.Cut(args[1:max(end, 1)], []byte(" "))
	switch {
	case bytes.EqualFold(code, []byte("CAPABILITY")) && end > 0:
		i := bytes.IndexByte(line, '[')
		shown := w.noteCapabilities(list)
		out := append([]byte(nil), line[:i]...)
		out = append(append(out, "[CAPABILITY "...), shown...)
		out = append(append(out, args[end:]...), "\r\n"...)
		return pass, out, false
	case bytes.EqualFold(code, []byte("PERMANENTFLAGS")):
		// Read here and not by go-imap, which dies of a bracket in a keyword.
		open, closing := bytes.IndexByte(args, '('), bytes.LastIndexByte(args, ')')
		if open < 0 || closing < open {
			return drop, line, false
		}
		flags := []string{}
		for f := range bytes.FieldsSeq(args[open+1 : closing]) {
			flags = append(flags, string(f))
		}
		w.smu.Lock()
		w.permanent = flags
		w.smu.Unlock()
		return drop, line, false
	}
	return pass, line, false
}

func (w *wire) judgeFetch(line []byte) (action, []byte, bool) {
	w.smu.Lock()
	kind := w.fetch
	w.smu.Unlock()
	if kind == fetchNone || indexFold(line, kind.mark()) < 0 {
		return drop, line, true
	}
	if kind == fetchMetadata {
		line = mendFetch(line)
	}
	return pass, line, true
}
