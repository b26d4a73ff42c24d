package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"mailmirror/test/bench/bare"
	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// The work is always the same for the same numbers.
const workSeed = 20260105

// fillers is how many mailboxes are filled at a time; it is not measured.
const fillers = 4

// amount is how much mail a case is about.
type amount struct {
	mailboxes, messages int
	bytes               int64
}

// greetings is how many of a mailbox's messages are greetings.
const greetings = 3

// mailboxNumbers are four-digit numbers, as subscribers have.
func mailboxNumbers(n int) []string {
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("%04d", 1000+i)
	}
	return numbers
}

// work is what a mailbox holds: recordings of 5 to 250 kB.
func (o options) work() corpus.Options {
	return corpus.Options{
		Seed: workSeed, Messages: o.messages - greetings, Greetings: greetings,
		MinSize: 5_000, MaxSize: 250_000,
	}
}

// smallWork is what a mailbox holds that is only looked at.
func smallWork() corpus.Options {
	return corpus.Options{Seed: workSeed, Messages: 3, Greetings: 1, MinSize: 2_000, MaxSize: 8_000}
}

// fill stores the work on a server and returns how much it is.
func fill(ctx context.Context, d *servers.Dovecot, numbers []string, work corpus.Options) (amount, error) {
	var mu sync.Mutex
	a := amount{mailboxes: len(numbers)}
	err := corpus.Fill(ctx, store(d), numbers, work, fillers, func(m int, b int64) {
		mu.Lock()
		defer mu.Unlock()
		a.messages += m
		a.bytes += b
	})
	return a, err
}

// fillLarge stores one message of so many megabytes and returns its exact size.
func fillLarge(ctx context.Context, d *servers.Dovecot, number string, megabytes int) (amount, error) {
	c, err := store(d).Open(ctx, number)
	if err != nil {
		return amount{}, err
	}
	defer c.Close()
	message := corpus.Huge(workSeed, int64(megabytes)*1_000_000)
	stored, err := c.Append(message)
	return amount{mailboxes: 1, messages: 1, bytes: message.Size}, errors.Join(err, stored.Err)
}

// smallChange alters the source as a quiet morning would: in every tenth
// mailbox one new message, in every twentieth two messages with other flags,
// in every twentieth one message less. It returns what it did, for the bare
// protocol, which has no means to find out.
func smallChange(ctx context.Context, d *servers.Dovecot, numbers []string) (map[string]bare.Changed, error) {
	changes := map[string]bare.Changed{}
	for i, number := range numbers {
		if i%20 > 2 && i%10 != 0 {
			continue
		}
		ch, err := changeOne(ctx, d, number, i)
		if err != nil {
			return nil, fmt.Errorf("mailbox %s: %w", number, err)
		}
		changes[number] = ch
	}
	return changes, nil
}

func changeOne(ctx context.Context, d *servers.Dovecot, number string, i int) (bare.Changed, error) {
	c, err := store(d).Open(ctx, number)
	if err != nil {
		return bare.Changed{}, err
	}
	defer c.Close()
	switch {
	case i%10 == 0:
		// A message that no mailbox holds yet: the first of another seed.
		_, fresh := corpus.Mailbox(number, corpus.Options{Seed: workSeed + 1, Messages: 1})
		fresh[0].Folder = "INBOX"
		stored, err := c.Append(fresh[0])
		return bare.Changed{New: []uint32{stored.UID}}, errors.Join(err, stored.Err)
	case i%20 == 1:
		ch := bare.Changed{Flags: map[uint32]string{1: `\Seen`, 2: `\Seen \Flagged Urgent`}}
		commands := []string{"SELECT INBOX"}
		for uid, flags := range ch.Flags {
			commands = append(commands, fmt.Sprintf("UID STORE %d FLAGS.SILENT (%s)", uid, flags))
		}
		return ch, commandAll(c, commands...)
	default:
		return bare.Changed{Removed: []uint32{2}},
			commandAll(c, "SELECT INBOX", `UID STORE 2 +FLAGS.SILENT (\Deleted)`, "UID EXPUNGE 2")
	}
}

func commandAll(c *reader.Conn, commands ...string) error {
	for _, line := range commands {
		if _, err := c.Command(line); err != nil {
			return err
		}
	}
	return nil
}
