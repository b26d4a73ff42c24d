package ldapdir

import (
	"errors"
	"fmt"
	"io"
)

// What a server may send. An entry with a recorded name has some kilobytes, the
// schema of 389 Directory Server half a megabyte. Mailmirror holds a message a few
// times while it reads it.
const (
	maxMessage    = 4 << 20   // bytes of a message that holds an entry
	maxOther      = 256 << 10 // bytes of any other message
	maxItems      = 50_000    // attributes and values of an entry
	maxAttributes = 1000      // attributes of an entry
	maxName       = 16 << 10  // bytes of a distinguished name, or of an attribute's
	maxCookie     = 16 << 10  // bytes of the cookie of a page
	maxSaid       = 2 << 10   // bytes that are kept of the server's own words
)

var (
	errNotLDAP   = errors.New("the port does not speak LDAP")
	errMalformed = errors.New("the server's answer is malformed")
	errTooLarge  = errors.New("the server sends more than Mailmirror accepts")
)

// messageLength reads the header of a message: how many bytes follow it, and
// whether it is complete.
func messageLength(header []byte) (length int64, complete bool, err error) {
	if header[0] != 0x30 {
		return 0, false, errNotLDAP
	}
	if len(header) == 1 {
		return 0, false, nil
	}
	first := header[1]
	if first < 0x80 {
		return int64(first), true, nil
	}
	n := int(first &^ 0x80)
	if n == 0 || n > 8 {
		return 0, false, errNotLDAP // indefinite, or no length at all
	}
	for _, b := range header[2:] {
		length = length<<8 | int64(b)
		if length > maxMessage {
			return 0, false, fmt.Errorf("%w: a message of more than %d MB", errTooLarge, maxMessage>>20)
		}
	}
	return length, len(header) == 2+n, nil
}

// readMessage reads one message from r byte by byte where that matters, so that
// nothing behind it is taken, and returns what its header announces. It may
// have 64 kB.
func readMessage(r io.Reader) ([]byte, error) {
	var header []byte
	var one [1]byte
	for {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return nil, err
		}
		header = append(header, one[0])
		length, complete, err := messageLength(header)
		switch {
		case err != nil:
			return nil, err
		case !complete:
			continue
		case length > 64<<10:
			return nil, errTooLarge
		}
		body := make([]byte, length)
		_, err = io.ReadFull(r, body)
		return body, err
	}
}

// element splits the first element off b: its tag, its content and the rest.
func element(b []byte) (tag byte, content, rest []byte, err error) {
	tag, length, at, ok := elementHeader(b)
	if !ok || length > int64(len(b)-at) {
		return 0, nil, nil, errMalformed
	}
	end := at + int(length)
	return tag, b[at:end], b[end:], nil
}

// elementHeader reads the tag and the length that b begins with, and where the
// content begins.
func elementHeader(b []byte) (tag byte, length int64, at int, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, 0, 0, false
	}
	length, at = int64(b[1]), 2
	if b[1] >= 0x80 {
		n := int(b[1] &^ 0x80)
		if n == 0 || n > 4 || len(b) < 2+n {
			return 0, 0, 0, false
		}
		length, at = 0, 2+n
		for _, d := range b[2:at] {
			length = length<<8 | int64(d)
		}
	}
	return b[0], length, at, true
}

// entryOf reads the name of an entry from the beginning of the body of its
// message; "" if that does not hold one.
func entryOf(body []byte) string {
	_, _, rest, err := element(body) // the number of the message
	if err != nil {
		return ""
	}
	tag, _, at, ok := elementHeader(rest)
	if !ok || tag != tagEntry {
		return ""
	}
	tag, name, _, err := element(rest[at:])
	if err != nil || tag != 0x04 {
		return ""
	}
	return printable(string(name))
}

// startTLSRequest is the extended request 1.3.6.1.4.1.1466.20037 (RFC 4511,
// 4.14.1) as the first message of a connection.
func startTLSRequest() []byte {
	return encode(0x30, encode(0x02, []byte{1}), encode(0x77, encode(0x80, []byte("1.3.6.1.4.1.1466.20037"))))
}

// extendedResult reads the body of the answer to it: the result code.
func extendedResult(body []byte) (code int, err error) {
	m, err := parseMessage(body)
	if err == nil && (m.id != 1 || m.tag != tagExtended) {
		err = fmt.Errorf("%w: another message than the answer", errMalformed)
	}
	if err != nil {
		return 0, err
	}
	r, err := parseResult(m.content)
	return r.code, err
}
