package watch

import (
	"context"
	"sync"
	"time"

	"mailmirror/internal/mailbox"
)

// Admitted returns a source that opens a connection only once admit lets it, and
// says when it is closed: listening counts among the connections that a store
// allows, like everything else. A nil admit lets everything through.
func Admitted(s Source, admit func(context.Context) (leave func(), err error)) Source {
	if admit == nil {
		return s
	}
	return admitted{s, admit}
}

type admitted struct {
	source Source
	admit  func(context.Context) (func(), error)
}

// Offer implements Source.
func (a admitted) Offer(ctx context.Context, sample mailbox.Number) (Mode, string, error) {
	leave, err := a.admit(ctx)
	if err != nil {
		return "", "", err
	}
	defer leave()
	return a.source.Offer(ctx, sample)
}

// Notify implements Source.
func (a admitted) Notify(ctx context.Context, numbers []mailbox.Number) (Conn, error) {
	return a.open(ctx, func() (Conn, error) { return a.source.Notify(ctx, numbers) })
}

// Idle implements Source.
func (a admitted) Idle(ctx context.Context, number mailbox.Number, review time.Duration) (Conn, error) {
	return a.open(ctx, func() (Conn, error) { return a.source.Idle(ctx, number, review) })
}

// Poll implements Source. It has one connection open at a time.
func (a admitted) Poll(ctx context.Context, numbers []mailbox.Number, report func(Report), failed func(mailbox.Number, error)) error {
	leave, err := a.admit(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return a.source.Poll(ctx, numbers, report, failed)
}

func (a admitted) open(ctx context.Context, connect func() (Conn, error)) (Conn, error) {
	leave, err := a.admit(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := connect()
	if err != nil {
		leave()
		return nil, err
	}
	return &admittedConn{Conn: conn, leave: sync.OnceFunc(leave)}, nil
}

type admittedConn struct {
	Conn

	leave func()
}

// Close implements Conn.
func (c *admittedConn) Close() {
	c.Conn.Close()
	c.leave()
}
