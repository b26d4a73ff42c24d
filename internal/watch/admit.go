package watch

import (
	"context"
	"sync"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Admit waits until a connection may be opened. leave is to be called when it is
// closed.
type Admit func(context.Context) (leave func(), err error)

// Admitted returns a source that opens a connection to listen to one mailbox only if
// one lets it, and another connection that listens or asks only if many lets it; nil
// lets everything through. Reading in turn is admitted by the source.
func Admitted(s Source, one, many Admit) Source {
	if one == nil || many == nil {
		return s
	}
	return admitted{s, one, many}
}

type admitted struct {
	source    Source
	one, many Admit
}

// Offer implements Source.
func (a admitted) Offer(ctx context.Context, sample mailbox.Number) (site.ListenMode, string, error) {
	leave, err := a.many(ctx)
	if err != nil {
		return "", "", err
	}
	defer leave()
	return a.source.Offer(ctx, sample)
}

// Notify implements Source.
func (a admitted) Notify(ctx context.Context, numbers []mailbox.Number) (Conn, error) {
	return open(ctx, a.many, func() (Conn, error) { return a.source.Notify(ctx, numbers) })
}

// Idle implements Source.
func (a admitted) Idle(ctx context.Context, number mailbox.Number, review time.Duration) (Conn, error) {
	return open(ctx, a.one, func() (Conn, error) { return a.source.Idle(ctx, number, review) })
}

// Poll implements Source.
func (a admitted) Poll(ctx context.Context, numbers, heard []mailbox.Number, report func(Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	return a.source.Poll(ctx, numbers, heard, report, failed, spent)
}

// PollEach implements Source.
func (a admitted) PollEach(ctx context.Context, numbers []mailbox.Number, report func(Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	return a.source.PollEach(ctx, numbers, report, failed, spent)
}

func open(ctx context.Context, admit Admit, connect func() (Conn, error)) (Conn, error) {
	leave, err := admit(ctx)
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
