package watch

import (
	"context"
	"sync"
	"time"

	"mailmirror/internal/mailbox"
)

// Admit waits until a connection may be opened. leave is to be called when it is
// closed.
type Admit func(context.Context) (leave func(), err error)

// Admitted returns a source that opens a connection only if it may: listen admits
// those that stay open, read those that read mailboxes in turn. nil lets
// everything through.
func Admitted(s Source, listen, read Admit) Source {
	return admitted{s, listen.orOpen(), read.orOpen()}
}

func (a Admit) orOpen() Admit {
	if a == nil {
		return func(context.Context) (func(), error) { return func() {}, nil }
	}
	return a
}

type admitted struct {
	source Source
	admit  Admit
	read   Admit
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
	leave, err := a.read(ctx)
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
