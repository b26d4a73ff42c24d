package ldapdir

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"mailmirror/internal/endpoint"
)

// Why a link died, beside what endpoint.Conn tells.
var (
	errUnasked = fmt.Errorf("%w: it answers what was not asked", errMalformed)
	errSlow    = errors.New("the server sends its answer too slowly")
)

// slowest is how many bytes of a message a server has to send in a second, beside
// the time for reading.
const slowest = 16 << 10

// link is a connection from which nothing that the server sends reaches the library as it
// is. Each message is bounded and checked first. Entries go to whoever asked, and the
// library receives only the message that ends an answer, made anew.
type link struct {
	*endpoint.Conn
	silence time.Duration // how long the server may owe an answer

	// Of the reading goroutine alone: what came and is no whole message yet, when
	// that message began, and what the library is to receive.
	split splitter
	began time.Time
	chunk []byte
	ready []byte

	mu sync.Mutex
	// asked is the number of the request that is open, 0 for none, ends the tag of
	// the message that ends its answer, and expect what may come before that.
	asked  int64
	ends   byte
	whole  bool // the request was sent whole
	expect *expected
}

func newLink(raw, nc net.Conn, timeouts Timeouts) *link {
	return &link{Conn: endpoint.NewConn(raw, nc, timeouts.Read, timeouts.Write), silence: timeouts.Read}
}

// begin says that the server owes an answer from now on, what may come before the
// message that ends it, and that nothing may be sent at or after until.
func (l *link) begin(until time.Time, expect *expected) error {
	l.mu.Lock()
	l.whole, l.expect = false, expect
	l.mu.Unlock()
	l.Until(until)
	l.Await(true)
	return l.Cause()
}

// end says that the answer came.
func (l *link) end() {
	l.mu.Lock()
	l.asked, l.whole, l.expect = 0, false, nil
	l.mu.Unlock()
	l.Await(false)
}

// Read hands the library what ends the next answer.
func (l *link) Read(p []byte) (int, error) {
	for len(l.ready) == 0 {
		if err := l.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.ready)
	l.ready = l.ready[n:]
	return n, nil
}

// receive reads what the server sent next.
func (l *link) receive() error {
	if l.chunk == nil {
		l.chunk = make([]byte, 32<<10)
	}
	n, err := l.Conn.Read(l.chunk)
	if n == 0 {
		return err
	}
	if !l.split.inside {
		l.began = time.Now()
	}
	if err := l.split.feed(l.chunk[:n], l.take); err != nil {
		return l.Fail(err)
	}
	if l.split.inside && time.Since(l.began) > l.silence+time.Duration(l.split.length/slowest)*time.Second {
		return l.Fail(errSlow)
	}
	return nil
}

// take checks one message of the server.
func (l *link) take(body []byte) error {
	l.began = time.Now() // the next one begins, if any
	m, err := parseMessage(body)
	if err != nil {
		return err
	}
	if m.tag != tagEntry && len(body) > maxOther {
		return fmt.Errorf("%w: an answer of %d bytes that is no entry", errTooLarge, len(body))
	}
	if m.id == 0 && m.tag == tagExtended {
		// RFC 4511, 4.4.1: the notice of disconnection.
		r, err := parseResult(m.content)
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", endpoint.ErrServerClosed, codeName(uint16(r.code)))
	}
	l.mu.Lock()
	asked, ends, expect := l.asked, l.ends, l.expect
	l.mu.Unlock()
	if m.id == 0 || m.id != asked {
		return errUnasked
	}
	if m.tag != ends {
		return l.partial(m, ends, expect)
	}
	r, err := parseResult(m.content)
	if err != nil {
		return err
	}
	cookie, paged, err := parseCookie(m.controls)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.asked = 0
	l.mu.Unlock()
	l.ready = append(l.ready, rewritten(m, r, cookie, paged && ends == tagSearchDone)...)
	return nil
}

// partial takes a message that comes before the one that ends the answer to a
// search.
func (l *link) partial(m message, ends byte, expect *expected) error {
	if ends != tagSearchDone || expect == nil {
		return errUnasked
	}
	if expect.most--; expect.most < 0 {
		return fmt.Errorf("%w: more entries than were asked for", errTooLarge)
	}
	switch m.tag {
	case tagEntry:
		e, err := parseEntry(m.content)
		if err != nil {
			return err
		}
		expect.deliver(e)
	case tagReference:
		expect.refer()
	case tagIntermediate:
	default:
		return errUnasked
	}
	return nil
}

// Write sends a request, or kills the link.
func (l *link) Write(p []byte) (int, error) {
	if err := l.ask(p); err != nil {
		return 0, l.Fail(err)
	}
	n, err := l.Conn.Write(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = err == nil
	return n, err
}

// ask notes which request is being sent. The library writes each by one call.
func (l *link) ask(p []byte) error {
	_, body, rest, err := element(p)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("send a request: %w", errMalformed)
	}
	m, err := parseMessage(body)
	if err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	ends, has := answerTag(m.tag)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.ends, l.whole = 0, 0, false
	if has {
		l.asked, l.ends = m.id, ends
	}
	return nil
}

// sent reports whether a request was sent whole and waits for its answer.
func (l *link) sent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole
}
