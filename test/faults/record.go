package faults

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxLine is how much of one command is kept, in bytes.
const maxLine = 64 << 10

// scanner follows the client's side of one IMAP connection. It is fed every
// byte that passes and tells commands from literals (RFC 9051 section 4.3).
type scanner struct {
	line    []byte // of the command so far, literals left out
	start   int    // where in line the current text line begins
	literal int64  // bytes of the literal still to come
	size    int64  // of that literal
	sync    bool   // the literal waits for the server's "+"
	sasl    bool   // the next line answers a SASL challenge
	auth    bool   // an AUTHENTICATE is under way
	blind   bool   // what follows is encrypted or compressed
}

// step is what a piece of the stream ended with.
type step int

const (
	within     step = iota // nothing ended
	lineEnd                // a line ended and announced a literal
	literalEnd             // the last byte of a literal
	commandEnd             // the last line of a command
)

// next consumes bytes up to the next boundary and tells how many and which.
func (s *scanner) next(b []byte) (n int, what step) {
	if s.blind {
		return len(b), within
	}
	if s.literal > 0 {
		n = int(min(s.literal, int64(len(b))))
		s.literal -= int64(n)
		if s.literal == 0 {
			s.start = len(s.line)
			return n, literalEnd
		}
		return n, within
	}
	i := slices.Index(b, '\n')
	if i < 0 {
		s.keep(b)
		return len(b), within
	}
	s.keep(b[:i+1])
	text := strings.TrimRight(string(s.line[s.start:]), "\r\n")
	if size, sync, ok := literalHead(text); ok {
		s.literal, s.size, s.sync = size, size, sync
		s.line = append(s.line[:s.start], text...)
		s.start = len(s.line)
		return i + 1, lineEnd // one of no bytes is followed by the rest of the line at once
	}
	return i + 1, commandEnd
}

func (s *scanner) keep(b []byte) {
	s.line = append(s.line, b[:min(len(b), maxLine-min(maxLine, len(s.line)))]...)
}

// take returns the finished command without its tag and starts the next.
func (s *scanner) take() (tag, command string) {
	text := strings.TrimRight(string(s.line), "\r\n")
	s.line, s.start = s.line[:0], 0
	if s.sasl {
		s.sasl = false
		return "", ""
	}
	if strings.EqualFold(text, "DONE") { // ends an IDLE and has no tag
		return "", "DONE"
	}
	tag, command, _ = strings.Cut(text, " ")
	words := strings.Fields(command)
	if len(words) == 0 {
		return tag, command
	}
	switch strings.ToUpper(words[0]) {
	case "LOGIN":
		command = "LOGIN"
	case "AUTHENTICATE":
		s.auth = true
		command = strings.Join(words[:min(2, len(words))], " ")
	case "STARTTLS", "COMPRESS":
		s.blind = true
	}
	return tag, command
}

// message reports whether the literal under way is a message to be appended,
// rather than a folder name or a search string.
func (s *scanner) message() bool {
	words := strings.Fields(string(s.line))
	return len(words) >= 4 && strings.EqualFold(words[1], "APPEND")
}

// tag is that of the command under way.
func (s *scanner) tag() string {
	tag, _, _ := strings.Cut(string(s.line), " ")
	return tag
}

// answered looks at what the server sent. A refused synchronising literal is
// never sent, so the next line is a command again; a challenge during a log-in
// makes the next line a secret.
func (s *scanner) answered(b []byte) {
	if !s.sync && !s.auth {
		return
	}
	for line := range strings.SplitSeq(string(b), "\r\n") {
		switch {
		case strings.HasPrefix(line, "+"):
			s.sync = false
			s.sasl = s.auth
		case s.sync && s.literal == s.size && strings.HasPrefix(line, s.tag()+" "):
			s.literal, s.sync = 0, false
			s.line, s.start = s.line[:0], 0
		case s.auth && line != "" && !strings.HasPrefix(line, "*"):
			s.auth = false
		}
	}
}

// literalHead parses "{12}", "{12+}" or "{12-}" at the end of a line.
func literalHead(line string) (size int64, sync, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	digits := line[open+1 : len(line)-1]
	plain := strings.TrimRight(digits, "+-")
	size, err := strconv.ParseInt(plain, 10, 64)
	return size, plain == digits, err == nil && size >= 0
}

// harmless are the commands that change nothing on a server, whatever their
// arguments (RFC 9051 section 6 and the extensions that the mirror may use).
var harmless = regexp.MustCompile(`^(LOGIN|AUTHENTICATE|CAPABILITY|NAMESPACE|ID|ENABLE|LIST|LSUB|STATUS|EXAMINE|` +
	`SEARCH|UID SEARCH|NOOP|IDLE|DONE|LOGOUT|UNSELECT|NOTIFY|GETQUOTA|GETQUOTAROOT|MYRIGHTS)( |$)`)

// Writes returns the commands that could have changed something, whenever they
// were sent: all that are not known to be harmless, SELECT and CLOSE included.
func Writes(commands []string) []string {
	var offending []string
	for _, c := range commands {
		upper := strings.ToUpper(c)
		fetch := strings.HasPrefix(upper, "FETCH ") || strings.HasPrefix(upper, "UID FETCH ")
		if fetch && marksSeen.MatchString(upper) || !fetch && !harmless.MatchString(upper) {
			offending = append(offending, c)
		}
	}
	return offending
}

// marksSeen finds FETCH items that set \Seen (RFC 9051 section 6.4.5).
var marksSeen = regexp.MustCompile(`(\bBODY\[|\bBINARY\[|\bRFC822( |\)|$)|\bRFC822\.TEXT\b)`)

// OnlyReads returns the commands that could have changed something: an empty
// result proves that a store was only read. STARTTLS and COMPRESS are among
// them, because what follows them cannot be seen. CLOSE is harmless as long as
// no folder was opened for writing.
func OnlyReads(commands []string) []string {
	var offending []string
	selected := false
	for _, c := range commands {
		upper := strings.ToUpper(c)
		switch {
		case harmless.MatchString(upper):
		case strings.HasPrefix(upper, "FETCH ") || strings.HasPrefix(upper, "UID FETCH "):
			if marksSeen.MatchString(upper) {
				offending = append(offending, c)
			}
		case upper == "CLOSE" && !selected:
		default:
			selected = selected || strings.HasPrefix(upper, "SELECT")
			offending = append(offending, c)
		}
	}
	return offending
}

// Changes leaves out of OnlyReads' list what opens a folder for writing and
// writes nothing.
func Changes(commands []string) []string {
	var out []string
	for _, c := range OnlyReads(commands) {
		if !strings.HasPrefix(c, "SELECT ") && c != "CLOSE" {
			out = append(out, c)
		}
	}
	return out
}
