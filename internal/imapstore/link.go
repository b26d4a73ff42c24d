package imapstore

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Why a link died, where it was not the network's own error.
var (
	// ErrLeaseOver means that the write deadline passed: the caller may no
	// longer write to the mailbox.
	ErrLeaseOver = errors.New("the write lease is over")

	errServerClosed = errors.New("the server closed the connection")
	errReadTimeout  = errors.New("the server owes an answer and is silent")
	errWriteTimeout = errors.New("the server takes no more data")
	errClosed       = errors.New("the session is closed")
	errAborted      = errors.New("the session was given up")
	errBadCommand   = errors.New("the server did not understand a command (BAD)")
)

// link is a network connection with three guarantees that neither net.Conn nor
// go-imap gives:
//
//   - every read that waits for an owed answer, and every write, has a deadline
//     of its own; a server may think as long as nothing is owed;
//   - nothing is written at or after the end of the write lease;
//   - the first failure is final: it resets the connection, so that what the
//     kernel still holds is dropped and not delivered, and every later call
//     gets the same error.
//
// One goroutine reads, one writes; the other methods may be called by anyone.
type link struct {
	raw      net.Conn // the TCP connection, for the reset
	nc       net.Conn // raw or TLS over it
	timeouts Timeouts

	mu      sync.Mutex
	err     error
	owed    bool        // the server owes an answer
	lease   time.Time   // no write at or after it; zero means no lease is set
	writing time.Time   // start of the write under way; zero where none is
	ending  *time.Timer // kills the link at the end of the lease
	dead    chan struct{}
	closed  func() // called once when the link ends; nil before the login
}

// shortRead is up to how many bytes a read is the end of an answer rather than
// a part of a message, whose stream acknowledges itself.
const shortRead = 2048

func newLink(raw, nc net.Conn, timeouts Timeouts) *link {
	return &link{raw: raw, nc: nc, timeouts: timeouts, dead: make(chan struct{})}
}

// Read reads what the server sent.
func (l *link) Read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		dead := l.err
		l.armRead()
		l.mu.Unlock()
		if dead != nil {
			return 0, dead
		}
		n, err := l.nc.Read(p)
		if n < shortRead {
			quickAck(l.raw)
		}
		switch {
		case n > 0 || err == nil:
			// An error that came with data comes again with the next read.
			return n, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.mu.Lock()
			owed := l.owed
			l.mu.Unlock()
			if !owed {
				// The answer arrived while this read timed out.
				continue
			}
			return 0, l.fail(errReadTimeout)
		case errors.Is(err, io.EOF):
			return 0, l.fail(errServerClosed)
		default:
			return 0, l.fail(err)
		}
	}
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

// await says whether the server owes an answer from now on.
func (l *link) await(owed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed != owed && l.err == nil {
		l.owed = owed
		l.armRead()
	}
}

// Write writes all of p, which should not exceed 64 kB, or kills the link.
func (l *link) Write(p []byte) (int, error) {
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return 0, l.err
	}
	now := time.Now()
	if !l.lease.IsZero() && !now.Before(l.lease) {
		l.mu.Unlock()
		return 0, l.fail(ErrLeaseOver)
	}
	l.writing = now
	l.armWrite()
	l.mu.Unlock()

	n, err := l.nc.Write(p)

	l.mu.Lock()
	l.writing = time.Time{}
	leaseOver := !l.lease.IsZero() && !time.Now().Before(l.lease)
	l.mu.Unlock()
	switch {
	case err == nil:
		return n, nil
	case leaseOver:
		return n, l.fail(ErrLeaseOver)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, l.fail(errWriteTimeout)
	default:
		return n, l.fail(err)
	}
}

// armWrite sets the deadline of the write under way. Called with mu held.
func (l *link) armWrite() {
	deadline := l.writing.Add(l.timeouts.Write)
	if !l.lease.IsZero() && l.lease.Before(deadline) {
		deadline = l.lease
	}
	_ = l.nc.SetWriteDeadline(deadline)
}

// setLease sets the instant at which writing ends, also for a write that is
// under way; the zero time takes the limit away.
func (l *link) setLease(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = t
	if l.ending != nil {
		l.ending.Stop()
		l.ending = nil
	}
	if !t.IsZero() && l.err == nil {
		l.ending = time.AfterFunc(time.Until(t), l.endLease)
	}
	if !l.writing.IsZero() && l.err == nil {
		l.armWrite()
	}
}

// hurry makes a write that cannot go out at once fail.
func (l *link) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timeouts.Write = 50 * time.Millisecond
}

// patient sets how long the server may be silent that owes an answer.
func (l *link) patient(silence time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timeouts.Read = silence
	if l.err == nil {
		l.armRead()
	}
}

// onEnd has closed called once when the link ends.
func (l *link) onEnd(closed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		closed()
		return
	}
	l.closed = closed
}

// fail kills the link with err, unless it is dead already, and returns the
// error that it died of. The reset makes the kernel drop what it still holds:
// neither the rest of a literal nor its end may reach the server any more.
// The TCP connection is closed, not the TLS one, whose Close would write.
func (l *link) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.err = err
	if l.ending != nil {
		l.ending.Stop()
	}
	if tcp, ok := l.raw.(interface{ SetLinger(int) error }); ok && !errors.Is(err, errClosed) {
		_ = tcp.SetLinger(0)
	}
	_ = l.raw.Close()
	close(l.dead)
	if l.closed != nil {
		l.closed()
	}
	return err
}

// cause returns what the link died of, nil while it lives.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// bind kills the link when ctx ends; the function returned unbinds it.
func (l *link) bind(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { _ = l.fail(context.Cause(ctx)) })
}

// The rest of net.Conn, for go-imap. Its own deadlines are ignored: it sets
// them where an answer begins and clears them where it should not.

func (l *link) Close() error                     { _ = l.fail(errClosed); return nil }
func (l *link) LocalAddr() net.Addr              { return l.nc.LocalAddr() }
func (l *link) RemoteAddr() net.Addr             { return l.nc.RemoteAddr() }
func (l *link) SetDeadline(time.Time) error      { return nil }
func (l *link) SetReadDeadline(time.Time) error  { return nil }
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// endLease kills a link whose lease has not been renewed: what the kernel still
// holds must not reach the server any more.
func (l *link) endLease() {
	l.mu.Lock()
	over := !l.lease.IsZero() && !time.Now().Before(l.lease)
	l.mu.Unlock()
	if over {
		_ = l.fail(ErrLeaseOver)
	}
}
