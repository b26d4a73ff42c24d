package imapstore

import (
	"bytes"
	"time"
)

// mendFetch makes a metadata FETCH response digestible for go-imap: bytes in
// keywords that IMAP does not allow but servers store, and dates that cannot
// be. It returns the line itself where there is nothing to mend.
func mendFetch(line []byte) []byte {
	if i := indexFold(line, "FLAGS ("); i >= 0 {
		open := i + len("FLAGS (")
		if n := bytes.IndexByte(line[open:], ')'); n >= 0 {
			flags := escapeFlags(line[open : open+n])
			line = bytes.Join([][]byte{line[:open], flags, line[open+n:]}, nil)
		}
	}
	if i := indexFold(line, `INTERNALDATE "`); i >= 0 {
		open := i + len(`INTERNALDATE "`)
		if n := bytes.IndexByte(line[open:], '"'); n >= 0 {
			if _, err := time.Parse(dateTimeLayout, string(line[open:open+n])); err != nil {
				line = bytes.Join([][]byte{line[:open], []byte(impossibleDate), line[open+n:]}, nil)
			}
		}
	}
	return line
}

// indexFold is bytes.Index without regard to the case of ASCII letters; mark is
// in upper case. bytes.ToUpper would move everything behind a byte that is not
// UTF-8.
func indexFold(line []byte, mark string) int {
	for i := 0; i+len(mark) <= len(line); i++ {
		j := 0
		for j < len(mark) {
			c := line[i+j]
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			if c != mark[j] {
				break
			}
			j++
		}
		if j == len(mark) {
			return i
		}
	}
	return -1
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
