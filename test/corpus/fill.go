package corpus

import (
	"context"
	"fmt"
	"sync"

	"mailmirror/test/reader"
)

// Fill deposits generated mail in mailboxes, several at a time. done, if not
// nil, is called after each mailbox, from any goroutine, with the number of
// messages and of their bytes.
func Fill(ctx context.Context, s reader.Store, numbers []string, o Options, parallel int, done func(messages int, bytes int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan string)
	var wg sync.WaitGroup
	for range max(1, parallel) {
		wg.Go(func() {
			for number := range next {
				if ctx.Err() != nil {
					continue
				}
				folders, deposits := Mailbox(number, o)
				if err := fillOne(ctx, s, number, folders, deposits); err != nil {
					cancel(fmt.Errorf("fill mailbox %s: %w", number, err))
					continue
				}
				if done != nil {
					var bytes int64
					for _, d := range deposits {
						bytes += d.Size
					}
					done(len(deposits), bytes)
				}
			}
		})
	}
	for _, n := range numbers {
		next <- n
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func fillOne(ctx context.Context, s reader.Store, number string, folders []string, deposits []reader.Deposit) error {
	c, err := s.Open(ctx, number)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.EnsureFolders(folders...); err != nil {
		return err
	}
	ns, err := c.Namespace()
	if err != nil {
		return err
	}
	for _, f := range folders {
		if _, err := c.Command("SUBSCRIBE " + reader.Quote(ns.Wire(f))); err != nil {
			return err
		}
	}
	results, err := c.AppendAll(deposits)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil {
			return fmt.Errorf("message %d: %w", i, r.Err)
		}
	}
	return c.Logout()
}
