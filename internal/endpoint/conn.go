package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Why a connection died, if it was not the network's own error.
var (
	// ErrLeaseOver means that the time for writing passed.
	ErrLeaseOver    = errors.New("the write lease is over")
	ErrServerClosed = errors.New("the server closed the connection")
	ErrReadTimeout  = errors.New("the server owes an answer and is silent")
	ErrWriteTimeout = errors.New("the server takes no more data")
	ErrClosed       = errors.New("the session is closed")
)

// Conn is a network connection with three guarantees that neither net.Conn nor the
// libraries of the protocols give:
//
//   - every read that waits for an owed answer, and every write, has a deadline
//     of its own; a server may think as long as nothing is owed;
//   - nothing is written at or after the end of the time for writing;
//   - the first failure is final: it resets the connection, so that what the
//     kernel still holds is dropped and not delivered, and every later call
//     gets the same error.
//
// One goroutine reads, one writes; the other methods may be called by anyone.
type Conn struct {
	raw net.Conn // the TCP connection, for the reset
	nc  net.Conn // raw or TLS over it

	mu       sync.Mutex
	silence  time.Duration // how long the server may owe an answer
	patience time.Duration // how long a write may take
	err      error
	owed     bool        // the server owes an answer
	until    time.Time   // no write at or after it; zero means that there is no such time
	writing  time.Time   // start of the write under way; zero where none is
	ending   *time.Timer // kills the connection at the end of the lease
	dead     chan struct{}
	closed   func() // called once when the connection ends; nil before the login
}

// shortRead is up to how many bytes a read is the end of an answer rather than
// a part of a message, whose stream acknowledges itself.
const shortRead = 2048

// NewConn returns the connection nc, which is raw or TLS over it. The server may owe an
// answer for the time of silence, and a write may take that of patience.
func NewConn(raw, nc net.Conn, silence, patience time.Duration) *Conn {
	return &Conn{raw: raw, nc: nc, silence: silence, patience: patience, dead: make(chan struct{})}
}

// Read reads what the server sent.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		dead := c.err
		c.armRead()
		c.mu.Unlock()
		if dead != nil {
			return 0, dead
		}
		n, err := c.nc.Read(p)
		if n < shortRead {
			quickAck(c.raw)
		}
		switch {
		case n > 0 || err == nil:
			// An error that came with data comes again with the next read.
			return n, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.mu.Lock()
			owed := c.owed
			c.mu.Unlock()
			if !owed {
				// The answer arrived while this read timed out.
				continue
			}
			return 0, c.Fail(ErrReadTimeout)
		case errors.Is(err, io.EOF):
			return 0, c.Fail(ErrServerClosed)
		default:
			return 0, c.Fail(err)
		}
	}
}

// armRead sets the deadline of the read under way or about to start. Called
// with mu held. Errors are those of a closed connection, which the read sees.
func (c *Conn) armRead() {
	if c.owed {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.silence))
	} else {
		_ = c.nc.SetReadDeadline(time.Time{})
	}
}

// Await says whether the server owes an answer from now on.
func (c *Conn) Await(owed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed != owed && c.err == nil {
		c.owed = owed
		c.armRead()
	}
}

// Write writes all of p, which should not exceed 64 kB, or kills the connection.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return 0, c.err
	}
	now := time.Now()
	if !c.until.IsZero() && !now.Before(c.until) {
		c.mu.Unlock()
		return 0, c.Fail(ErrLeaseOver)
	}
	c.writing = now
	c.armWrite()
	c.mu.Unlock()

	n, err := c.nc.Write(p)

	c.mu.Lock()
	c.writing = time.Time{}
	leaseOver := !c.until.IsZero() && !time.Now().Before(c.until)
	c.mu.Unlock()
	switch {
	case err == nil:
		return n, nil
	case leaseOver:
		return n, c.Fail(ErrLeaseOver)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, c.Fail(ErrWriteTimeout)
	default:
		return n, c.Fail(err)
	}
}

// armWrite sets the deadline of the write under way. Called with mu held.
func (c *Conn) armWrite() {
	deadline := c.writing.Add(c.patience)
	if !c.until.IsZero() && c.until.Before(deadline) {
		deadline = c.until
	}
	_ = c.nc.SetWriteDeadline(deadline)
}

// Until sets the instant at which writing ends, also for a write that is under way; the
// zero time takes the limit away.
func (c *Conn) Until(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setUntil(t)
}

func (c *Conn) setUntil(t time.Time) {
	c.until = t
	if !c.writing.IsZero() && c.err == nil {
		c.armWrite()
	}
}

// SetLease is Until, and has the connection killed at that instant.
func (c *Conn) SetLease(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setUntil(t)
	if c.ending != nil {
		c.ending.Stop()
		c.ending = nil
	}
	if !t.IsZero() && c.err == nil {
		c.ending = time.AfterFunc(time.Until(t), c.endLease)
	}
}

// Hurry makes a write fail that takes longer than patience.
func (c *Conn) Hurry(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patience = patience
}

// Patient sets how long the server may be silent that owes an answer.
func (c *Conn) Patient(silence time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence = silence
	if c.err == nil {
		c.armRead()
	}
}

// OnEnd has closed called once when the connection ends.
func (c *Conn) OnEnd(closed func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		closed()
		return
	}
	c.closed = closed
}

// Fail kills the connection with err, unless it is dead already, and returns the
// error that it died of. The reset makes the kernel drop what it still holds:
// neither the rest of a literal nor its end may reach the server any more.
// The TCP connection is closed, not the TLS one, whose Close would write.
func (c *Conn) Fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.err = err
	if c.ending != nil {
		c.ending.Stop()
	}
	if tcp, ok := c.raw.(interface{ SetLinger(int) error }); ok && !errors.Is(err, ErrClosed) {
		_ = tcp.SetLinger(0)
	}
	_ = c.raw.Close()
	close(c.dead)
	if c.closed != nil {
		c.closed()
	}
	return err
}

// Dead is closed when the connection ends.
func (c *Conn) Dead() <-chan struct{} { return c.dead }

// Cause returns what the connection died of, nil while it lives.
func (c *Conn) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Bind kills the connection when ctx ends; the function returned unbinds it.
func (c *Conn) Bind(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { _ = c.Fail(context.Cause(ctx)) })
}

// endLease kills a connection whose lease has not been renewed: what the kernel still
// holds must not reach the server any more.
func (c *Conn) endLease() {
	c.mu.Lock()
	over := !c.until.IsZero() && !time.Now().Before(c.until)
	c.mu.Unlock()
	if over {
		_ = c.Fail(ErrLeaseOver)
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error { _ = c.Fail(ErrClosed); return nil }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline implements net.Conn, and does nothing: the libraries set deadlines where
// an answer begins, and clear them where they should not.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn, and does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn, and does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
