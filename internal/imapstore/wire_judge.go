package imapstore

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// judge reads the response that begins with line: it gives go-imap what a
// command of ours can have brought, keeps what the session reads by itself, and
// drops the rest. Human text may end in "{5}" and mean nothing by it, so that only
// responses that are data have literals.
func (w *wire) judge(d *reader, line []byte) error {
	tag, rest, _ := bytes.Cut(trimEnd(line), []byte(" "))
	switch {
	case len(tag) > 0 && tag[0] == '+':
		return w.judgeContinuation(d, line)
	case !bytes.Equal(tag, []byte("*")):
		return w.judgeTagged(d, tag, rest)
	}
	kind, args, _ := bytes.Cut(rest, []byte(" "))
	number := []byte(nil)
	if len(kind) > 0 && kind[0] >= '0' && kind[0] <= '9' {
		number = kind
		kind, args, _ = bytes.Cut(args, []byte(" "))
	}
	switch word := strings.ToUpper(string(kind)); word {
	case "OK", "PREAUTH", "NO", "BYE", "BAD":
		return w.judgeStatus(d, word, args, line)
	case "CAPABILITY":
		d.out = fmt.Appendf(d.out[:0], "* CAPABILITY %s\r\n", w.noteCapabilities(args))
		return w.unaskedFor(int64(len(line)) + dear)
	case "EXISTS", "EXPUNGE":
		n, err := strconv.ParseUint(string(number), 10, 32)
		if err != nil || n == 0 && word == "EXPUNGE" {
			return errResponse
		}
		d.out = fmt.Appendf(d.out[:0], "* %d %s\r\n", n, word)
		return w.unaskedFor(int64(len(line)))
	case "FETCH":
		return d.readFetch(w, line)
	case "LIST", "LSUB", "STATUS", "NAMESPACE", "ID":
		w.smu.Lock()
		sink := w.sink
		w.smu.Unlock()
		if sink == nil {
			return d.discard(w, line)
		}
		held, err := d.whole(w, line)
		if err != nil {
			return err
		}
		return sink.take(held)
	}
	return d.discard(w, line)
}

// What a response counts beside its bytes, in bytes: reading a small one takes time
// as well, and one of capabilities more of it.
const (
	cheap = 16
	dear  = 4 << 10
)

// unaskedFor counts the bytes of something that is no answer.
func (w *wire) unaskedFor(n int64) error {
	w.smu.Lock()
	defer w.smu.Unlock()
	if w.unasked += n + cheap; n > maxUnasked || w.unasked > maxUnasked {
		return beyond("data without end that nobody asked for", "%d MB of it between two commands", maxUnasked>>20)
	}
	return nil
}

func (w *wire) judgeContinuation(d *reader, line []byte) error {
	w.smu.Lock()
	defer w.smu.Unlock()
	if !w.loggedIn {
		d.out = append(d.out[:0], "+\r\n"...)
		return nil
	}
	if g := w.awaiting; g != nil {
		w.awaiting = nil
		g.ch <- true
		return nil
	}
	w.unasked += int64(len(line))
	if w.unasked > maxUnasked {
		return beyond("requests to go on without end", "%d MB of them", maxUnasked>>20)
	}
	return nil
}

func (w *wire) judgeTagged(d *reader, tag, rest []byte) error {
	kind, args, _ := bytes.Cut(rest, []byte(" "))
	word := strings.ToUpper(string(kind))
	said := readStatus(args)
	w.smu.Lock()
	if g := w.awaiting; g != nil && g.tag == string(tag) {
		w.awaiting = nil
		g.ch <- false
	}
	early := w.batch != "" && w.batch == string(tag)
	quiet, known := w.sent[string(tag)]
	delete(w.sent, string(tag))
	w.smu.Unlock()
	if early {
		_ = w.Fail(newEarlyAnswer(word, said))
	}
	if word == "BAD" {
		w.refuseBad()
	}
	if !known {
		return errUnknownTag
	}
	out := fmt.Appendf(d.out[:0], "%s %s", tag, word)
	switch word {
	case "OK":
		if said.code == imap.ResponseCode("APPENDUID") {
			// go-imap knows that of a single message only.
			w.noteAppended(string(tag), said.args)
		}
		if said.code == imap.ResponseCode("CAPABILITY") {
			out = fmt.Appendf(out, " [CAPABILITY %s]", w.noteCapabilities(said.args))
		} else if shown, told := w.toldAtLogin(); told {
			// Told by a response of their own, which go-imap forgets with the end of
			// the login, and asks again whenever it comes to it: in the middle of an
			// APPEND, if need be.
			out = fmt.Appendf(out, " [CAPABILITY %s]", shown)
		}
	case "NO", "BAD":
		if code := said.refusedFor(); code != "" && !hasArguments[code] {
			out = fmt.Appendf(out, " [%s]", code)
		}
		if text := w.shows(said.text); !quiet && text != "" {
			out = fmt.Appendf(out, " %s", text)
		}
	default:
		return errResponse
	}
	d.out = append(out, "\r\n"...)
	return nil
}

// hasArguments are the response codes that go-imap does not take alone.
var hasArguments = map[imap.ResponseCode]bool{"CAPABILITY": true, "APPENDUID": true, "COPYUID": true}

// shows returns a server's text as it may be shown.
func (w *wire) shows(text []byte) string {
	w.smu.Lock()
	defer w.smu.Unlock()
	return w.secrets.show(string(text))
}

// refuseBad drops the connection at once: what the server did not understand
// may have been an APPEND, whose message it would now read as commands.
func (w *wire) refuseBad() {
	w.smu.Lock()
	loggedIn := w.loggedIn
	w.smu.Unlock()
	if loggedIn {
		_ = w.Fail(errBadCommand)
	}
}

// judgeStatus reads an untagged OK, NO, BAD, BYE or PREAUTH. go-imap gets the
// greeting, and the response codes that tell of a folder that is being opened.
func (w *wire) judgeStatus(d *reader, word string, args, line []byte) error {
	said := readStatus(args)
	if word == "BAD" {
		w.refuseBad()
	}
	code := ""
	switch said.code { //nolint:exhaustive // go-imap gets no other code
	case "CAPABILITY":
		code = fmt.Sprintf(" [CAPABILITY %s]", w.noteCapabilities(said.args))
	case "PERMANENTFLAGS":
		w.notePermanent(said.args)
	case "UIDNEXT", "UIDVALIDITY":
		if n, err := strconv.ParseUint(string(said.args), 10, 32); err == nil {
			code = fmt.Sprintf(" [%s %d]", said.code, n)
		}
	case "HIGHESTMODSEQ":
		if n, err := strconv.ParseUint(string(said.args), 10, 64); err == nil {
			code = fmt.Sprintf(" [%s %d]", said.code, n)
		}
	case "CLOSED":
		code = " [CLOSED]"
	}
	w.smu.Lock()
	greeting := !w.greeted
	w.greeted = true
	w.smu.Unlock()
	if greeting || code != "" {
		d.out = fmt.Appendf(d.out[:0], "* OK%s\r\n", code)
	}
	return w.unaskedFor(int64(len(line)))
}

// notePermanent keeps a PERMANENTFLAGS for the session. go-imap cannot read a
// bracket in a keyword.
func (w *wire) notePermanent(list []byte) {
	open, closing := bytes.IndexByte(list, '('), bytes.LastIndexByte(list, ')')
	if open < 0 || closing < open {
		return
	}
	flags := []string{}
	for f := range bytes.FieldsSeq(list[open+1 : closing]) {
		flags = append(flags, string(f))
	}
	w.smu.Lock()
	w.permanent = flags
	w.smu.Unlock()
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
