package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"mailmirror/test/bench/bare"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// The work is always the same for the same numbers: every value comes from
// generators with a fixed seed.
const workSeed = 20260105

// Sizes of the voice messages in bytes: most are short, few are long; the mean
// is 75 kB.
const (
	smallest, largest = 5_000, 250_000
	sizeSkew          = 2.5
)

// greetings per mailbox; every fifth message is a saved one.
const greetings = 3

// mailboxNumbers are four-digit numbers, as subscribers have.
func mailboxNumbers(n int) []string {
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("%04d", 1000+i)
	}
	return numbers
}

// mailboxWork makes the messages of one mailbox.
func mailboxWork(index, messages int) []reader.Deposit {
	rng := rand.New(rand.NewPCG(workSeed, uint64(index))) //nolint:gosec // test data, the same in every run
	out := make([]reader.Deposit, 0, messages)
	for i := range messages {
		folder, flags := "INBOX", []string{}
		switch {
		case i < greetings:
			folder = "Greetings"
		case i%5 == 4:
			folder, flags = "Saved", []string{`\Seen`}
		default:
			for _, f := range []string{`\Seen`, `\Flagged`, `$Urgent`, `$Private`} {
				if rng.IntN(4) == 0 {
					flags = append(flags, f)
				}
			}
		}
		size := smallest + int(float64(largest-smallest)*math.Pow(rng.Float64(), sizeSkew))
		date := time.Date(2026, 1, 1, 0, 0, rng.IntN(300*86400), 0, time.FixedZone("", 3600*(rng.IntN(5)-2)))
		out = append(out, deposit(folder, flags, date, voiceMessage(rng, index, i, size)))
	}
	return out
}

func deposit(folder string, flags []string, date time.Time, body []byte) reader.Deposit {
	d := reader.Deposit{Folder: folder, Flags: flags, Date: date}
	d.Size, d.Body = reader.Bytes(body)
	return d
}

// voiceMessage is a message of about size bytes: a header, a line of text and
// a recording in base64.
func voiceMessage(rng *rand.Rand, mailbox, n, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%04d@voice.example>\r\nTo: <%04d@voice.example>\r\n", rng.IntN(9000)+1000, 1000+mailbox)
	fmt.Fprintf(&b, "Message-ID: <%d.%d.%x@voice.example>\r\nSubject: Voice message (%d s)\r\n", mailbox, n, rng.Uint64(), size/1600)
	b.WriteString("Date: Mon, 05 Jan 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/voice-message; boundary=part\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\n" +
		"You have a new voice message.\r\n--part\r\nContent-Type: audio/wav; name=message.wav\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n")
	line := make([]byte, 57)
	for b.Len() < size {
		for i := range line {
			line[i] = byte(rng.Uint32())
		}
		b.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
	}
	b.WriteString("--part--\r\n")
	return b.Bytes()
}

// fill stores the work on a server, several mailboxes at a time.
func fill(ctx context.Context, d *servers.Dovecot, numbers []string, messages int) error {
	return each(ctx, numbers, func(ctx context.Context, i int) error {
		return store1(ctx, d, numbers[i], mailboxWork(i, messages))
	})
}

// each runs do for every mailbox, a few at a time, and stops at an error.
func each(ctx context.Context, numbers []string, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, i); err != nil {
					cancel(fmt.Errorf("mailbox %s: %w", numbers[i], err))
				}
			}
		})
	}
	for i := range numbers {
		queue <- i
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func store1(ctx context.Context, d *servers.Dovecot, number string, deposits []reader.Deposit) error {
	c, err := store(d).Open(ctx, number)
	if err != nil {
		return err
	}
	defer c.Close()
	folders := map[string]bool{}
	for _, dep := range deposits {
		folders[dep.Folder] = true
	}
	for folder := range folders {
		if err := c.EnsureFolders(folder); err != nil {
			return err
		}
	}
	stored, err := c.AppendAll(deposits)
	for _, s := range stored {
		err = errors.Join(err, s.Err)
	}
	return err
}

// largeMessage is one message of so many megabytes.
func largeMessage(megabytes int) reader.Deposit {
	rng := rand.New(rand.NewPCG(workSeed, 1<<32)) //nolint:gosec // test data
	return deposit("INBOX", nil, time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), voiceMessage(rng, 0, 0, megabytes*1_000_000))
}

// smallChange alters the source as a quiet morning would: in every tenth
// mailbox one new message, in every twentieth two messages with other flags,
// in every twentieth one message less. It returns what it did, for the bare
// protocol, which has no means to find out.
func smallChange(ctx context.Context, d *servers.Dovecot, numbers []string) (map[string]bare.Changed, error) {
	var mu sync.Mutex
	changes := map[string]bare.Changed{}
	err := each(ctx, numbers, func(ctx context.Context, i int) error {
		if i%20 > 2 && i%10 != 0 {
			return nil
		}
		ch, err := changeOne(ctx, d, numbers[i], i)
		mu.Lock()
		defer mu.Unlock()
		changes[numbers[i]] = ch
		return err
	})
	return changes, err
}

func changeOne(ctx context.Context, d *servers.Dovecot, number string, i int) (bare.Changed, error) {
	var ch bare.Changed
	c, err := store(d).Open(ctx, number)
	if err != nil {
		return ch, err
	}
	defer c.Close()
	command := func(line string) {
		if err == nil {
			_, err = c.Command(line)
		}
	}
	switch {
	case i%10 == 0:
		rng := rand.New(rand.NewPCG(workSeed, uint64(i)<<33)) //nolint:gosec // test data
		date := time.Date(2026, 11, 5, 8, 30, i%60, 0, time.UTC)
		stored, err := c.Append(deposit("INBOX", nil, date, voiceMessage(rng, i, 1000, 60_000)))
		if err := errors.Join(err, stored.Err); err != nil {
			return ch, err
		}
		ch.New = []uint32{stored.UID}
	case i%20 == 1:
		ch.Flags = map[uint32]string{1: `\Seen`, 2: `\Seen \Flagged $Private`}
		command("SELECT INBOX")
		for uid, flags := range ch.Flags {
			command(fmt.Sprintf("UID STORE %d FLAGS.SILENT (%s)", uid, flags))
		}
	case i%20 == 2:
		ch.Removed = []uint32{2}
		command("SELECT INBOX")
		command(`UID STORE 2 +FLAGS.SILENT (\Deleted)`)
		command("UID EXPUNGE 2")
	}
	return ch, err
}
