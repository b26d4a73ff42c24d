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

// Admitted returns a source that opens a connection to listen only if admit lets
// it; nil lets everything through. Reading in turn is admitted by the source.
func Admitted(s Source, admit Admit) Source {
	if admit == nil {
		return s
	}
	return admitted{s, admit}
}

type admitted struct {
	source Source
	admit  Admit
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

// Poll implements Source.
func (a admitted) Poll(ctx context.Context, numbers []mailbox.Number, report func(Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	return a.source.Poll(ctx, numbers, report, failed, spent)
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
