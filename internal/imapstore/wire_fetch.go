package imapstore

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
)

// fetched is what a FETCH response holds of what was asked for.
type fetched struct {
	seq   uint64
	uid   mailbox.UID
	flags []byte // between the parentheses
	date  string // "" where there is none
	size  int64

	hasFlags, hasSize bool

	// section is what there is of the message: where it is announced by a
	// literal at the end of the text, literal is its size, in bytes.
	section section
	literal int64
	text    []byte
}

// section says how a message came.
type section int

const (
	sectionMissing section = iota
	sectionNIL
	sectionText    // in quotes
	sectionLiteral // announced, and following
)

// scanned says how far scanFetch came.
type scanned int

const (
	scanBroken  scanned = iota
	scanWhole           // to the end of the response
	scanSection         // to the literal that is the message
	scanLiteral         // to another literal
)

// readFetch reads a FETCH response. Only what the command under way asked for goes
// on to go-imap: of messages that were asked for, and of each once. A server may
// send `FETCH (UID 7 FLAGS (\Seen))` of its own accord at any time, and go-imap
// would take it for the answer to a fetch of message 7.
func (d *reader) readFetch(w *wire, line []byte) error {
	w.smu.Lock()
	kind := w.fetch
	w.smu.Unlock()
	if kind == fetchNone {
		return d.discard(w, line)
	}
	var f fetched
	text, err := d.withoutLiterals(w, line, func(text []byte) (scanned, error) {
		s := &scanner{rest: text}
		f = fetched{}
		return f.scan(s, kind.section()), s.fault()
	})
	if err != nil {
		return err
	}
	return d.passFetch(w, kind, &f, int64(len(text)))
}

// withoutLiterals reads a response line by line, and puts an empty text in the
// place of each literal that scan does not stop at.
func (d *reader) withoutLiterals(w *wire, line []byte, scan func([]byte) (scanned, error)) ([]byte, error) {
	for literals := 0; ; literals++ {
		how, fault := scan(line)
		switch how {
		case scanWhole, scanSection:
			return line, nil
		case scanBroken:
			return nil, fault
		case scanLiteral: // taken out of the line below
		}
		head := trimEnd(line)
		size, _ := literalSize(head)
		if literals == maxLiterals || size > maxLine {
			return nil, beyond("a literal that nobody asked for", "%d such literals of %d kB", maxLiterals, maxLine>>10)
		}
		if err := w.unaskedFor(size); err != nil {
			return nil, err
		}
		// line may be part of what the next read overwrites.
		head = append(bytes.Clone(head[:bytes.LastIndexByte(head, '{')]), `""`...)
		if err := d.skip(w, size); err != nil {
			return nil, err
		}
		more, err := d.readLine(w, len(head))
		if err != nil {
			return nil, err
		}
		line = append(head, more...)
	}
}

// passFetch gives go-imap a response of the kind that was asked for.
func (d *reader) passFetch(w *wire, kind fetchKind, f *fetched, size int64) error {
	wanted := f.section != sectionMissing
	if kind == fetchMetadata {
		wanted = f.hasSize
	}
	if wanted {
		var err error
		if wanted, err = w.wants(f.uid); err != nil {
			return err
		}
	}
	if !wanted {
		return d.dropFetch(w, f, size)
	}
	out := fmt.Appendf(d.out[:0], "* %d FETCH (UID %d", f.seq, f.uid)
	switch {
	case kind == fetchMetadata:
		if err := w.countMessage(); err != nil {
			return err
		}
		if len(f.flags) > maxMessageFlags {
			return beyond("a message with flags without end", "%d kB of flags", maxMessageFlags>>10)
		}
		if f.hasFlags {
			out = append(append(append(out, " FLAGS ("...), escapeFlags(f.flags)...), ')')
		}
		if f.date != "" {
			out = fmt.Appendf(out, ` INTERNALDATE "%s"`, f.date)
		}
		out = fmt.Appendf(out, " RFC822.SIZE %d)\r\n", f.size)
	case f.section == sectionNIL:
		out = fmt.Appendf(out, " %s NIL)\r\n", kind.section())
	case f.section == sectionText:
		out = fmt.Appendf(out, " %s {%d}\r\n%s)\r\n", kind.section(), len(f.text), f.text)
	case f.literal == 0:
		if err := d.endFetch(w); err != nil {
			return err
		}
		out = fmt.Appendf(out, " %s {0}\r\n)\r\n", kind.section())
	default:
		out = fmt.Appendf(out, " %s {%d}\r\n", kind.section(), f.literal)
		d.lit = f.literal
	}
	d.out = out
	return nil
}

// dropFetch reads a response to its end that nobody asked for.
func (d *reader) dropFetch(w *wire, f *fetched, size int64) error {
	if f.uid != 0 {
		size += f.literal
	}
	if err := w.unaskedFor(size); err != nil || f.section != sectionLiteral {
		return err
	}
	if err := d.skip(w, f.literal); err != nil {
		return err
	}
	return d.endFetch(w)
}

// lastByte reads the last byte of a message and then the rest of its response:
// a message whose length was announced wrongly must never be complete.
func (d *reader) lastByte(w *wire) error {
	var last [1]byte
	for {
		n, err := d.readSome(w, last[:])
		if err != nil {
			return err
		}
		if n > 0 {
			break
		}
	}
	if err := d.endFetch(w); err != nil {
		return err
	}
	d.lit = 0
	d.out = append(append(d.out[:0], last[0]), ")\r\n"...)
	return nil
}

// endFetch reads what comes behind a message, which nobody asked for.
func (d *reader) endFetch(w *wire) error {
	line, err := d.readLine(w, 0)
	if err != nil {
		return err
	}
	_, err = d.withoutLiterals(w, line, func(text []byte) (scanned, error) {
		s := &scanner{rest: text}
		return new(fetched).items(s, ""), s.fault()
	})
	return err
}

// scan reads a FETCH response from its first byte.
func (f *fetched) scan(s *scanner, section string) scanned {
	s.skip("* ")
	f.seq = s.number()
	s.blanks()
	s.word() // FETCH
	s.blanks()
	if !s.skip("(") || f.seq > 1<<32-1 {
		s.fail()
		return scanBroken
	}
	return f.items(s, section)
}

// items reads the items of a FETCH response and its end. section is the name of
// the item that is the message, "" where none is wanted.
func (f *fetched) items(s *scanner, section string) scanned {
	for {
		s.blanks()
		if s.peek() == ')' {
			s.skip(")")
			s.blanks()
			if len(trimEnd(s.rest)) > 0 {
				s.fail()
			}
			break
		}
		name := s.itemName()
		s.blanks()
		switch {
		case s.bad:
		case section != "" && strings.EqualFold(name, section) && f.section == sectionMissing:
			if f.readSection(s) {
				return scanSection
			}
		case strings.EqualFold(name, "UID") && f.uid == 0:
			f.uid = mailbox.UID(s.numberOrValue(32))
		case strings.EqualFold(name, "RFC822.SIZE") && s.isDigit():
			f.size, f.hasSize = int64(s.numberOrValue(63)), true
		case strings.EqualFold(name, "FLAGS") && s.peek() == '(':
			// Servers put anything into keywords, but for the end of the list.
			end := bytes.IndexByte(s.rest, ')')
			if end < 0 {
				s.fail()
				break
			}
			f.flags, f.hasFlags = s.rest[1:end], true
			s.rest = s.rest[end+1:]
		case strings.EqualFold(name, "INTERNALDATE") && s.peek() == '"':
			f.date = s.quoted()
			if _, err := time.Parse(dateTimeLayout, f.date); err != nil {
				f.date = impossibleDate
			}
		default:
			s.value()
		}
		if s.unfinished {
			return scanLiteral
		}
		if s.bad {
			break
		}
	}
	if s.bad {
		return scanBroken
	}
	return scanWhole
}

// readSection reads the message; true means that it follows as a literal.
func (f *fetched) readSection(s *scanner) bool {
	switch s.peek() {
	case '"':
		f.text, f.section = []byte(s.quoted()), sectionText
	case '{':
		size, ok := literalSize(trimEnd(s.rest))
		if !ok {
			s.fail()
			return false
		}
		f.literal, f.section = size, sectionLiteral
		return true
	default:
		if !strings.EqualFold(s.word(), "NIL") {
			s.fail()
		}
		f.section = sectionNIL
	}
	return false
}

// wants reports whether the command under way asked for a message and has not
// got it yet, and notes that it came.
func (w *wire) wants(uid mailbox.UID) (bool, error) {
	w.smu.Lock()
	defer w.smu.Unlock()
	if uid == 0 || !w.asked.Contains(uid) || w.came.Contains(uid) {
		return false, nil
	}
	if n := len(w.came); n > 0 && uid < w.came[n-1].Last {
		if w.outOfOrder++; w.outOfOrder > maxOutOfOrder {
			return false, beyond("messages in no order", "%d messages of one answer out of order", maxOutOfOrder)
		}
	}
	w.came.Add(uid)
	return true, nil
}

// countMessage counts a message whose metadata is kept.
func (w *wire) countMessage() error {
	w.smu.Lock()
	w.counted++
	n := w.counted
	w.smu.Unlock()
	return w.holds.holdMessages(n*messageMemory, w.Dead())
}

// beginMessages begins to count anew.
func (w *wire) beginMessages() {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.counted = 0
}

// dateTimeLayout is date-time of RFC 9051, section 9, as go-imap reads it.
const dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

// impossibleDate stands for an INTERNALDATE that is none, on either store, so
// that two copies of one message still look alike.
const impossibleDate = " 1-Jan-1970 00:00:00 +0000"

// flagEscape begins a byte that a keyword must not hold, as two letters.
const flagEscape = 0xff

func escapeFlags(flags []byte) []byte {
	out := make([]byte, 0, len(flags))
	for i, c := range flags {
		system := c == '\\' && (i == 0 || flags[i-1] == ' ')
		if c == ' ' || system || (isAtomByte(c) && c != flagEscape) {
			out = append(out, c)
			continue
		}
		out = append(out, flagEscape, 'A'+c>>4, 'A'+c&15)
	}
	return out
}

// unescapeFlag undoes escapeFlags for one flag.
func unescapeFlag(flag string) string {
	if !bytes.Contains([]byte(flag), []byte{flagEscape}) {
		return flag
	}
	var out []byte
	for i := 0; i < len(flag); i++ {
		if flag[i] == flagEscape && i+2 < len(flag) {
			out = append(out, (flag[i+1]-'A')<<4|(flag[i+2]-'A'))
			i += 2
			continue
		}
		out = append(out, flag[i])
	}
	return string(out)
}

// isAtomByte is ATOM-CHAR of RFC 9051, section 9.
func isAtomByte(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return c > 0x20 && c < 0x7f
}
