package ldapdir

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

// The tags of what is asked and answered (RFC 4511, 4.2 to 4.12).
const (
	tagSearch       = 0x63
	tagEntry        = 0x64
	tagSearchDone   = 0x65
	tagReference    = 0x73
	tagExtended     = 0x78
	tagIntermediate = 0x79
)

// answerTag is the tag by which a request's answer ends; false for a request that
// has none.
func answerTag(request byte) (byte, bool) {
	switch request {
	case 0x60, 0x66, 0x68, 0x6c: // bind, modify, add, rename
		return request + 1, true
	case tagSearch:
		return tagSearchDone, true
	case 0x4a: // delete
		return 0x6b, true
	}
	return 0, false
}

// expected is what a request lets the server send. Its methods may be called by
// two goroutines.
type expected struct {
	// most is how many messages may come before the one that ends the answer.
	most int
	// entry receives each entry. It is not called any more once stop has returned.
	entry func(*ldap.Entry)

	mu         sync.Mutex
	stopped    bool
	references int // to other servers
}

func (e *expected) deliver(found *ldap.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped && e.entry != nil {
		e.entry(found)
	}
}

func (e *expected) refer() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.references++
}

// stop waits for the delivery that is under way, and returns how often the server
// referred to others.
func (e *expected) stop() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	return e.references
}

// splitter finds the messages in a stream of bytes (RFC 4511, 5.1: BER, definite
// lengths only). It keeps no more than one message.
type splitter struct {
	header []byte // of the message that begins, as far as it has come
	length int    // of its body; valid while inside
	inside bool
	body   []byte
}

// feed reads the next bytes of the stream and hands the body of each complete
// message to each, which must not keep it. An error is final.
func (s *splitter) feed(b []byte, each func(body []byte) error) error {
	for len(b) > 0 {
		if !s.inside {
			s.header, b = append(s.header, b[0]), b[1:]
			length, complete, err := messageLength(s.header)
			if errors.Is(err, errTooLarge) {
				if name := entryOf(b); name != "" {
					err = fmt.Errorf("%w: the entry %s", err, name)
				}
			}
			if err != nil {
				return err
			}
			if !complete {
				continue
			}
			s.inside, s.length, s.header = true, int(length), s.header[:0]
		}
		n := min(s.length-len(s.body), len(b))
		s.body, b = append(s.body, b[:n]...), b[n:]
		if len(s.body) < s.length {
			return nil
		}
		if err := each(s.body); err != nil {
			return err
		}
		s.inside = false
		s.body = s.body[:0]
	}
	return nil
}

// message is one message of the server, in parts.
type message struct {
	id       int64
	tag      byte
	content  []byte
	controls []byte // empty if there are none
}

func parseMessage(body []byte) (message, error) {
	var m message
	tag, id, rest, err := element(body)
	if err != nil || tag != 0x02 || len(id) == 0 || len(id) > 5 {
		return m, fmt.Errorf("%w: a message without a number", errMalformed)
	}
	for _, b := range id {
		m.id = m.id<<8 | int64(b)
	}
	if m.tag, m.content, rest, err = element(rest); err != nil {
		return m, fmt.Errorf("%w: a message without a content", errMalformed)
	}
	if len(rest) == 0 {
		return m, nil
	}
	tag, m.controls, rest, err = element(rest)
	if err != nil || tag != 0xa0 || len(rest) > 0 {
		return m, fmt.Errorf("%w: more than controls follows an answer", errMalformed)
	}
	return m, nil
}

// withTexts adds to an entry of parseEntry the values as texts.
func withTexts(e *ldap.Entry) *ldap.Entry {
	for _, a := range e.Attributes {
		a.Values = texts(a.ByteValues)
	}
	return e
}

// parseEntry reads the content of a SearchResultEntry (RFC 4511, 4.5.2) and keeps
// nothing of it but one copy: the values have no texts, see withTexts.
func parseEntry(content []byte) (*ldap.Entry, error) {
	tag, name, rest, err := element(content)
	if err != nil || tag != 0x04 {
		return nil, fmt.Errorf("%w: an entry without a name", errMalformed)
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("%w: the name of an entry has %d bytes", errTooLarge, len(name))
	}
	tag, list, rest, err := element(rest)
	if err != nil || tag != 0x30 || len(rest) > 0 {
		return nil, fmt.Errorf("%w: an entry without attributes", errMalformed)
	}
	e, items := &ldap.Entry{DN: string(name)}, 0
	count := func() error {
		if items++; items > maxItems {
			return fmt.Errorf("%w: an entry with more than %d values", errTooLarge, maxItems)
		}
		return nil
	}
	for len(list) > 0 {
		var one []byte
		if tag, one, list, err = element(list); err != nil || tag != 0x30 {
			return nil, fmt.Errorf("%w: no attribute where one belongs", errMalformed)
		}
		if err := count(); err != nil {
			return nil, err
		}
		a, err := parseAttribute(one, count)
		if err != nil {
			return nil, err
		}
		if e.Attributes = append(e.Attributes, a); len(e.Attributes) > maxAttributes {
			return nil, fmt.Errorf("%w: an entry with more than %d attributes", errTooLarge, maxAttributes)
		}
	}
	return e, nil
}

func parseAttribute(one []byte, count func() error) (*ldap.EntryAttribute, error) {
	tag, name, rest, err := element(one)
	if err != nil || tag != 0x04 || len(name) > maxName {
		return nil, fmt.Errorf("%w: an attribute without a name", errMalformed)
	}
	tag, set, rest, err := element(rest)
	if err != nil || tag != 0x31 || len(rest) > 0 {
		return nil, fmt.Errorf("%w: an attribute without a set of values", errMalformed)
	}
	a := &ldap.EntryAttribute{Name: string(name)}
	for len(set) > 0 {
		var value []byte
		if tag, value, set, err = element(set); err != nil || tag != 0x04 {
			return nil, fmt.Errorf("%w: no value where one belongs", errMalformed)
		}
		if err := count(); err != nil {
			return nil, err
		}
		a.ByteValues = append(a.ByteValues, bytes.Clone(value))
	}
	return a, nil
}

// result is an LDAPResult (RFC 4511, 4.1.9), without what nobody asks for.
type result struct {
	code int
	said string // the server's own words, cut
}

// parseResult reads the content of a message that ends an answer. What follows the
// server's words (referrals, credentials, names) is left out.
func parseResult(content []byte) (result, error) {
	tag, code, rest, err := element(content)
	if err != nil || tag != 0x0a || len(code) == 0 || len(code) > 2 || code[0] > 0x7f {
		return result{}, fmt.Errorf("%w: no result code", errMalformed)
	}
	var r result
	for _, b := range code {
		r.code = r.code<<8 | int(b)
	}
	tag, _, rest, err = element(rest)
	if err != nil || tag != 0x04 {
		return result{}, fmt.Errorf("%w: a result without a name", errMalformed)
	}
	tag, said, _, err := element(rest)
	if err != nil || tag != 0x04 {
		return result{}, fmt.Errorf("%w: a result without a text", errMalformed)
	}
	r.said = string(said[:min(len(said), maxSaid)])
	return r, nil
}

// parseCookie finds the control of pages (RFC 2696) among others, which are left
// out, and returns its cookie.
func parseCookie(controls []byte) (cookie []byte, found bool, err error) {
	for items := 0; len(controls) > 0; items++ {
		var tag byte
		var one []byte
		if tag, one, controls, err = element(controls); err != nil || tag != 0x30 || items > 20 {
			return nil, false, fmt.Errorf("%w: no control where one belongs", errMalformed)
		}
		tag, name, rest, err := element(one)
		if err != nil || tag != 0x04 {
			return nil, false, fmt.Errorf("%w: a control without a name", errMalformed)
		}
		if string(name) != controlPaged {
			continue
		}
		if tag, value, after, err := element(rest); err == nil && tag == 0x01 && len(value) == 1 {
			rest = after // whether it is critical
		}
		if cookie, err = pageCookie(rest); err != nil {
			return nil, false, err
		}
		found = true
	}
	return cookie, found, nil
}

// pageCookie reads the value of a control of pages.
func pageCookie(value []byte) ([]byte, error) {
	bad := fmt.Errorf("%w: the control of a page", errMalformed)
	tag, inner, rest, err := element(value)
	if err != nil || tag != 0x04 || len(rest) > 0 {
		return nil, bad
	}
	tag, inner, rest, err = element(inner)
	if err != nil || tag != 0x30 || len(rest) > 0 {
		return nil, bad
	}
	tag, size, rest, err := element(inner)
	if err != nil || tag != 0x02 || len(size) > 4 {
		return nil, bad
	}
	tag, cookie, rest, err := element(rest)
	if err != nil || tag != 0x04 || len(rest) > 0 {
		return nil, bad
	}
	if len(cookie) > maxCookie {
		return nil, fmt.Errorf("%w: the cookie of a page has %d bytes", errTooLarge, len(cookie))
	}
	return cookie, nil
}

// encode writes one element.
func encode(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n+6)
	switch {
	case n < 0x80:
		out = append(out, tag, byte(n))
	case n < 1<<16:
		out = append(out, tag, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// rewritten is a message that ends an answer as the library receives it: made
// anew of the parts that were checked, and of nothing else.
func rewritten(m message, r result, cookie []byte, paged bool) []byte {
	id := []byte{byte(m.id >> 24), byte(m.id >> 16), byte(m.id >> 8), byte(m.id)}
	parts := [][]byte{
		encode(0x02, id),
		encode(m.tag, encode(0x0a, []byte{byte(r.code >> 8), byte(r.code)}), encode(0x04), encode(0x04, []byte(r.said))),
	}
	if paged {
		value := encode(0x30, encode(0x02, []byte{0}), encode(0x04, cookie))
		parts = append(parts, encode(0xa0, encode(0x30, encode(0x04, []byte(controlPaged)), encode(0x04, value))))
	}
	return encode(0x30, parts...)
}
