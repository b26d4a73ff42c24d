package imapstore

import (
	"bytes"
	"slices"

	"mailmirror/internal/mailbox"
)

// maxWord is how much of a word between lists of UIDs is looked at, in bytes.
const maxWord = 16

// searched collects the UIDs of SEARCH and ESEARCH responses, which may be lines
// of many megabytes: it reads them byte by byte and keeps runs of UIDs alone.
type searched struct {
	runs  mailbox.UIDSet
	bytes int64
}

// numberList reads the numbers of one response.
type numberList struct {
	to        *searched
	number    uint64
	digits    int
	first     uint64 // of a range, 0 where none is open
	separator byte   // ' ' in SEARCH, ',' in ESEARCH
	failed    bool
}

// feed takes one byte; done is true at the end of the list.
func (l *numberList) feed(c byte) (done bool) {
	switch {
	case c >= '0' && c <= '9':
		if l.digits++; l.digits > 10 {
			l.failed = true
		}
		l.number = l.number*10 + uint64(c-'0')
	case c == ':' && l.separator == ',' && l.digits > 0 && l.first == 0:
		l.first, l.number, l.digits = l.number, 0, 0
	case c == ' ', c == ',' && l.separator == ',', c == '\r', c == '\n':
		l.end()
		return c != l.separator
	default:
		l.failed = true
	}
	return false
}

// end takes the number that is complete.
func (l *numberList) end() {
	if l.digits == 0 {
		l.failed = l.failed || l.first != 0
		return
	}
	first := l.number
	if l.first != 0 {
		first = l.first
	}
	first, last := min(first, l.number), max(first, l.number)
	l.number, l.digits, l.first = 0, 0, 0
	if first == 0 || last > 1<<32-1 {
		l.failed = true
		return
	}
	l.to.add(mailbox.Range{First: mailbox.UID(first), Last: mailbox.UID(last)})
}

func (s *searched) add(r mailbox.Range) {
	if n := len(s.runs); n > 0 {
		if last := &s.runs[n-1]; last.First <= r.First && uint64(r.First) <= uint64(last.Last)+1 {
			last.Last = max(last.Last, r.Last)
			return
		}
	}
	s.runs = append(s.runs, r)
}

// set returns what was found as a set.
func (s *searched) set() mailbox.UIDSet { return s.runs.Union(nil) }

// isSearch reports the responses that readSearch reads.
func isSearch(line []byte) (extended, ok bool) {
	if hasPrefixFold(line, "* SEARCH") {
		return false, true
	}
	ok = hasPrefixFold(line, "* ESEARCH")
	return ok, ok
}

// readSearch reads one SEARCH or ESEARCH response to its end, of any length.
// Without a search under way it counts as unasked.
func (d *reader) readSearch(w *wire, extended bool) error {
	w.smu.Lock()
	to := w.found
	w.smu.Unlock()
	if to == nil {
		to = &searched{}
	}
	list := &numberList{to: to, separator: ' '}
	var word []byte // the one being read, where it is no list of numbers
	skip := len("* SEARCH")
	if extended {
		skip, list = len("* ESEARCH"), nil
	}
	for skipped := 0; ; {
		if d.r == len(d.buf) {
			if err := d.fill(w); err != nil {
				return err
			}
			continue
		}
		c := d.buf[d.r]
		d.r++
		if to.bytes++; to.bytes > maxSearch {
			return beyond("a list of UIDs without end", "%d MB of UIDs in one answer", maxSearch>>20)
		}
		switch {
		case skipped < skip:
			skipped++
			continue
		case list != nil && !list.failed:
			if c == '(' && list.separator == ' ' && list.digits == 0 {
				list = nil // "(MODSEQ 7)" ends a SEARCH
				break
			}
			if list.feed(c) && list.separator == ',' {
				list = nil
			}
			if list != nil && list.failed {
				return errResponse
			}
			if len(to.runs) > maxRanges {
				return beyond("a list of UIDs that is too long", "%d runs of UIDs in one answer", maxRanges)
			}
		case c == ' ' || c == '\n':
			if bytes.EqualFold(word, []byte("ALL")) && c == ' ' {
				list = &numberList{to: to, separator: ','}
			}
			word = word[:0]
		case len(word) < maxWord:
			word = append(word, c)
		}
		if c == '\n' {
			return nil
		}
	}
}

// startSearch begins to keep the UIDs that SEARCH and ESEARCH tell.
func (w *wire) startSearch() {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.found = &searched{}
}

// stopSearch returns the UIDs that came since startSearch.
func (w *wire) stopSearch() mailbox.UIDSet {
	w.smu.Lock()
	defer w.smu.Unlock()
	found := w.found
	w.found = nil
	return slices.Clip(found.set())
}
