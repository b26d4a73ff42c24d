package imapstore

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"mailmirror/internal/mailbox"
)

// scanner reads the few kinds of response that go-imap does not get: LIST,
// LSUB, STATUS, NAMESPACE and ID. Its methods return false at the first thing
// that does not fit, and from then on.
type scanner struct {
	rest  []byte
	bad   bool
	depth int
	deep  bool // the lists are nested too deeply
	// unfinished is true where the text ends with the announcement of a literal.
	unfinished bool
}

// kind reads "* LIST " and returns "LIST".
func (s *scanner) kind() string {
	s.skip("* ")
	word, rest, _ := bytes.Cut(s.rest, []byte(" "))
	s.rest = rest
	return strings.ToUpper(string(bytes.TrimRight(word, "\r\n")))
}

func (s *scanner) fail() bool {
	s.bad = true
	return false
}

// fault says what is wrong with what was read; nil where nothing is.
func (s *scanner) fault() error {
	switch {
	case s.deep:
		return beyond("lists within lists without end", "%d levels of lists", maxNesting)
	case s.bad:
		return errResponse
	default:
		return nil
	}
}

func (s *scanner) peek() byte {
	if s.bad || len(s.rest) == 0 {
		return 0
	}
	return s.rest[0]
}

func (s *scanner) skip(text string) bool {
	if s.bad || !bytes.HasPrefix(s.rest, []byte(text)) {
		return s.fail()
	}
	s.rest = s.rest[len(text):]
	return true
}

// blanks skips any number of blanks: some servers send two, some none.
func (s *scanner) blanks() { s.rest = bytes.TrimLeft(s.rest, " ") }

// word reads up to a blank, a parenthesis or the line end: an atom, or
// whatever a server sends in its place.
func (s *scanner) word() string {
	n := bytes.IndexAny(s.rest, " ()\r\n")
	if n < 0 {
		n = len(s.rest)
	}
	if n == 0 {
		s.fail()
	}
	w := string(s.rest[:n])
	s.rest = s.rest[n:]
	return w
}

// text reads a quoted string, a literal or a word. quoted is false for a word,
// which may be NIL.
func (s *scanner) text() (text string, quoted bool) {
	switch s.peek() {
	case '"':
		return s.quoted(), true
	case '{':
		return s.literal(), true
	default:
		return s.word(), false
	}
}

func (s *scanner) quoted() string {
	var out []byte
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return string(out)
		case c == '\\' && i+1 < len(s.rest):
			i++
			out = append(out, s.rest[i])
		case c == '\r' || c == '\n':
			s.fail()
			return ""
		default:
			out = append(out, c)
		}
	}
	s.fail()
	return ""
}

func (s *scanner) literal() string {
	head, rest, found := bytes.Cut(s.rest, []byte("\n"))
	size, ok := literalSize(bytes.TrimRight(head, "\r"))
	if !found || !ok || size > int64(len(rest)) {
		s.unfinished = found && ok && len(rest) == 0
		s.fail()
		return ""
	}
	s.rest = rest[size:]
	return string(rest[:size])
}

// list reads a parenthesised list; each is called before every item.
func (s *scanner) list(each func() bool) bool {
	if !s.skip("(") {
		return false
	}
	if s.depth++; s.depth > maxNesting {
		s.deep = true
		return s.fail()
	}
	defer func() { s.depth-- }()
	for {
		s.blanks()
		switch s.peek() {
		case ')':
			return s.skip(")")
		case 0, '\r', '\n':
			return s.fail()
		}
		if !each() {
			return s.fail()
		}
	}
}

// value skips anything.
func (s *scanner) value() bool {
	if s.peek() == '(' {
		return s.list(s.value)
	}
	s.text()
	return !s.bad
}

func (s *scanner) number() uint64 {
	n, err := strconv.ParseUint(s.word(), 10, 64)
	if err != nil {
		s.fail()
	}
	return n
}

func (s *scanner) isDigit() bool {
	c := s.peek()
	return c >= '0' && c <= '9'
}

// numberOrValue reads a number of so many bits; 0 stands for anything else.
func (s *scanner) numberOrValue(bits int) uint64 {
	if !s.isDigit() {
		s.value()
		return 0
	}
	n, err := strconv.ParseUint(s.word(), 10, bits)
	if err != nil {
		return 0
	}
	return n
}

// itemName reads the name of a FETCH item, such as "BODY[HEADER.FIELDS (TO)]<0>".
func (s *scanner) itemName() string {
	for i, c := range s.rest {
		switch c {
		case '[':
			end := bytes.IndexByte(s.rest[i:], ']')
			if end < 0 {
				s.fail()
				return ""
			}
			name := s.rest[:i+end+1]
			s.rest = s.rest[len(name):]
			if s.peek() == '<' {
				return string(name) + s.word()
			}
			return string(name)
		case ' ', '(', ')', '\r', '\n':
			return s.word()
		}
	}
	s.fail()
	return ""
}

// listed is a LIST or LSUB response.
type listed struct {
	attributes []string
	separator  rune   // 0 for NIL
	name       string // as it came, in modified UTF-7
}

// maxAttributes bounds the attributes of a folder that are looked at.
const maxAttributes = 50

// scanList reads what follows "* LIST ".
func scanList(s *scanner) (listed, bool) {
	var l listed
	s.list(func() bool {
		if word := s.word(); len(l.attributes) < maxAttributes {
			l.attributes = append(l.attributes, word)
		}
		return !s.bad
	})
	s.blanks()
	separator, quoted := s.text()
	if quoted {
		for i, r := range separator {
			if i > 0 {
				s.fail()
			}
			l.separator = r
		}
	}
	s.blanks()
	l.name, _ = s.text()
	return l, !s.bad
}

func (l listed) has(attribute string) bool {
	for _, a := range l.attributes {
		if strings.EqualFold(a, attribute) {
			return true
		}
	}
	return false
}

// statusItems are the items of a STATUS response that anybody looks at.
var statusItems = []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"}

// scanStatus reads what follows "* STATUS ". Items that are not numbers, such
// as NIL, and those that nobody looks at are left out.
func scanStatus(s *scanner) (name string, items map[string]uint64, ok bool) {
	name, _ = s.text()
	s.blanks()
	items = map[string]uint64{}
	s.list(func() bool {
		key := strings.ToUpper(s.word())
		s.blanks()
		if s.isDigit() && slices.Contains(statusItems, key) {
			items[key] = s.number()
			return !s.bad
		}
		return s.value()
	})
	return name, items, !s.bad
}

// hasPrefixFold is bytes.HasPrefix without regard to the case of ASCII letters.
func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// scanUIDs reads a uid-set (RFC 4315, section 4) in its order. One of more UIDs
// than an APPEND of ours has messages is none.
func scanUIDs(set []byte) ([]mailbox.UID, bool) {
	var uids []mailbox.UID
	for part := range bytes.SplitSeq(set, []byte(",")) {
		from, to, isRange := bytes.Cut(part, []byte(":"))
		first, err := strconv.ParseUint(string(from), 10, 32)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(string(to), 10, 32)
		}
		if err != nil || first == 0 || last == 0 {
			return nil, false
		}
		first, last = min(first, last), max(first, last)
		if last-first >= maxBatchMessages || len(uids) >= maxBatchMessages {
			return nil, false
		}
		for uid := first; uid <= last; uid++ {
			uids = append(uids, mailbox.UID(uid))
		}
	}
	return uids, true
}

// indexFold is bytes.Index without regard to the case of ASCII letters; mark is
// in upper case. bytes.ToUpper would move everything behind a byte that is not
// UTF-8.
func indexFold(line []byte, mark string) int {
	for i := 0; i+len(mark) <= len(line); i++ {
		if bytes.EqualFold(line[i:i+len(mark)], []byte(mark)) {
			return i
		}
	}
	return -1
}
