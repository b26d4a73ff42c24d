package ldapdir

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"mailmirror/internal/endpoint"
)

// Why a link died, where it was not the network's own error.
var (
	errServerClosed = errors.New("the server closed the connection")
	errReadTimeout  = endpoint.Sentence("the server owes an answer and is silent", os.ErrDeadlineExceeded)
	errWriteTimeout = endpoint.Sentence("the server takes no more data", os.ErrDeadlineExceeded)
	errTooLate      = errors.New("the time for writing is over")
	errClosed       = errors.New("the session is closed")
	errUnasked      = fmt.Errorf("%w: it answers what was not asked", errMalformed)
	errSlow         = endpoint.Sentence("the server sends its answer too slowly", os.ErrDeadlineExceeded)
)

// slowest is how many bytes of a message a server has to send in a second, beside
// the time for reading.
const slowest = 16 << 10

// link is a network connection with what neither net.Conn nor go-ldap gives:
// every read that waits for an answer, and every write, has a deadline of its
// own; nothing is sent after the end of the time for writing; the first failure is
// final: it resets the connection, so that what the kernel still holds is dropped;
// and nothing that the server sends reaches the library as it is. Each message is
// bounded and checked first. Entries go to whoever asked, and the library receives
// only the message that ends an answer, made anew.
type link struct {
	raw      net.Conn // the TCP connection, for the reset
	nc       net.Conn // raw or TLS over it
	timeouts Timeouts

	// Of the reading goroutine alone: what came and is no whole message yet, when
	// that message began, and what the library is to receive.
	split splitter
	began time.Time
	chunk []byte
	ready []byte

	mu    sync.Mutex
	err   error
	owed  bool      // the server owes an answer
	until time.Time // nothing is sent at or after it; zero means no end is set
	// asked is the number of the request that is open, 0 for none, ends the tag of
	// the message that ends its answer, and expect what may come before that.
	asked  int64
	ends   byte
	whole  bool // the request was sent whole
	expect *expected
}

func newLink(raw, nc net.Conn, timeouts Timeouts) *link {
	return &link{raw: raw, nc: nc, timeouts: timeouts}
}

// begin says that the server owes an answer from now on, what may come before the
// message that ends it, and that nothing may be sent at or after until.
func (l *link) begin(until time.Time, expect *expected) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed, l.until, l.whole, l.expect = true, until, false, expect
	l.armRead()
	return l.err
}

// end says that the answer came.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed, l.asked, l.whole, l.expect = false, 0, false, nil
	l.armRead()
}

// armRead sets the deadline of the read under way or about to start. Called
// with mu held. Errors are those of a closed connection, which the read sees.
func (l *link) armRead() {
	if l.owed {
		_ = l.nc.SetReadDeadline(time.Now().Add(l.timeouts.Read))
	} else {
		_ = l.nc.SetReadDeadline(time.Time{})
	}
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
	l.mu.Lock()
	dead := l.err
	if l.owed {
		l.armRead()
	}
	l.mu.Unlock()
	if dead != nil {
		return dead
	}
	if l.chunk == nil {
		l.chunk = make([]byte, 32<<10)
	}
	n, err := l.nc.Read(l.chunk)
	switch {
	case n > 0:
		// An error that came with data comes again with the next read.
		if !l.split.inside {
			l.began = time.Now()
		}
		if err := l.split.feed(l.chunk[:n], l.take); err != nil {
			return l.fail(err)
		}
		if l.split.inside && time.Since(l.began) > l.timeouts.Read+time.Duration(l.split.length/slowest)*time.Second {
			return l.fail(errSlow)
		}
		return nil
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.mu.Lock()
		owed := l.owed
		l.mu.Unlock()
		if !owed {
			return nil // the answer arrived while this read timed out
		}
		return l.fail(errReadTimeout)
	case errors.Is(err, io.EOF):
		return l.fail(errServerClosed)
	default:
		return l.fail(err)
	}
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
		return fmt.Errorf("%w: %s", errServerClosed, codeName(uint16(r.code)))
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

// Write writes all of p or kills the link.
func (l *link) Write(p []byte) (int, error) {
	l.mu.Lock()
	dead, until := l.err, l.until
	l.mu.Unlock()
	now := time.Now()
	if dead != nil {
		return 0, dead
	}
	deadline := now.Add(l.timeouts.Write)
	if !until.IsZero() {
		// The clock is asked, too: a deadline is a timer, and the process may have
		// stood still.
		if !now.Before(until) {
			return 0, l.fail(errTooLate)
		}
		if until.Before(deadline) {
			deadline = until
		}
	}
	if err := l.ask(p); err != nil {
		return 0, l.fail(err)
	}
	_ = l.nc.SetWriteDeadline(deadline)
	n, err := l.nc.Write(p)
	switch {
	case err == nil:
		l.mu.Lock()
		l.whole = true
		l.mu.Unlock()
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, l.fail(errWriteTimeout)
	default:
		return n, l.fail(err)
	}
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

// fail kills the link, if it is alive, and returns why it died.
func (l *link) fail(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.err = why
	if tcp, ok := l.raw.(*net.TCPConn); ok && !errors.Is(why, errClosed) {
		_ = tcp.SetLinger(0)
	}
	_ = l.raw.Close()
	return why
}

// sent reports whether a request was sent whole and waits for its answer.
func (l *link) sent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole
}

// cause is why the link died, nil while it lives.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close implements net.Conn.
func (l *link) Close() error {
	_ = l.fail(errClosed)
	return nil
}

// LocalAddr implements net.Conn.
func (l *link) LocalAddr() net.Addr { return l.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (l *link) RemoteAddr() net.Addr { return l.raw.RemoteAddr() }

// SetDeadline implements net.Conn, and does nothing: the link sets its own.
func (l *link) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn, and does nothing.
func (l *link) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn, and does nothing.
func (l *link) SetWriteDeadline(time.Time) error { return nil }
