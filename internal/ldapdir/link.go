package ldapdir

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Why a link died, where it was not the network's own error.
var (
	errServerClosed = errors.New("the server closed the connection")
	errReadTimeout  = errors.New("the server owes an answer and is silent")
	errWriteTimeout = errors.New("the server takes no more data")
	errTooLate      = errors.New("the time for writing is over")
	errClosed       = errors.New("the session is closed")
)

// link is a network connection with what neither net.Conn nor go-ldap gives:
// every read that waits for an answer, and every write, has a deadline of its
// own; nothing is sent after the end of the time for writing; other protocols
// and absurd lengths do not get through; and the first failure is final: it
// resets the connection, so that what the kernel still holds is dropped.
type link struct {
	raw      net.Conn // the TCP connection, for the reset
	nc       net.Conn // raw or TLS over it
	timeouts Timeouts
	frames   framer // of the reading goroutine alone

	mu    sync.Mutex
	err   error
	owed  bool      // the server owes an answer
	until time.Time // nothing is sent at or after it; zero means no end is set
}

func newLink(raw, nc net.Conn, timeouts Timeouts) *link {
	return &link{raw: raw, nc: nc, timeouts: timeouts}
}

// begin says that the server owes an answer from now on, and that nothing may
// be sent at or after until.
func (l *link) begin(until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed, l.until = true, until
	l.armRead()
	return l.err
}

// end says that the answer came.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed = false
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

// Read reads what the server sent.
func (l *link) Read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		dead := l.err
		if l.owed {
			l.armRead()
		}
		l.mu.Unlock()
		if dead != nil {
			return 0, dead
		}
		n, err := l.nc.Read(p)
		switch {
		case n > 0:
			// An error that came with data comes again with the next read.
			if err := l.frames.feed(p[:n]); err != nil {
				return 0, l.fail(err)
			}
			return n, nil
		case err == nil:
			return 0, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.mu.Lock()
			owed := l.owed
			l.mu.Unlock()
			if !owed {
				continue // the answer arrived while this read timed out
			}
			return 0, l.fail(errReadTimeout)
		case errors.Is(err, io.EOF):
			return 0, l.fail(errServerClosed)
		default:
			return 0, l.fail(err)
		}
	}
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
	_ = l.nc.SetWriteDeadline(deadline)
	n, err := l.nc.Write(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, l.fail(errWriteTimeout)
	default:
		return n, l.fail(err)
	}
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
