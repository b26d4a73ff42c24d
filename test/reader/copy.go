package reader

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Message is what must be the same on both stores. It can be a map key.
type Message struct {
	Digest [sha256.Size]byte // of the whole message as the server hands it out
	Size   int64             // in bytes
	Flags  string            // sorted, keywords in lower case, without \Recent
	Date   int64             // INTERNALDATE in seconds since 1970
}

func (m Message) String() string {
	return fmt.Sprintf("%d bytes, sha256 %x, flags [%s], date %s", m.Size, m.Digest[:6], m.Flags,
		time.Unix(m.Date, 0).UTC().Format(time.RFC3339))
}

// Folder is one folder's content.
type Folder struct {
	Messages   map[Message]int // how many times each is there
	Subscribed bool
	NoSelect   bool // a level of the hierarchy that holds no messages
}

// Count is the number of messages, twins counted.
func (f Folder) Count() int {
	n := 0
	for _, k := range f.Messages {
		n += k
	}
	return n
}

// Copy is one mailbox: canonical folder name to content.
type Copy map[string]Folder

// Counts returns the number of messages and of their bytes.
func (c Copy) Counts() (messages int, bytes int64) {
	for _, f := range c {
		for m, k := range f.Messages {
			messages += k
			bytes += m.Size * int64(k)
		}
	}
	return messages, bytes
}

// Read reads all of a mailbox, without changing anything: EXAMINE and
// BODY.PEEK only.
func (s Store) Read(ctx context.Context, mailbox string) (Copy, error) {
	c, err := s.Open(ctx, mailbox)
	if err != nil {
		return nil, fmt.Errorf("read mailbox %s: %w", mailbox, err)
	}
	defer c.Close()
	mailboxCopy, err := c.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read mailbox %s: %w", mailbox, err)
	}
	return mailboxCopy, c.Logout()
}

// ReadAll reads all folders of the mailbox that the connection is logged in for.
func (c *Conn) ReadAll() (Copy, error) {
	folders, err := c.Folders()
	if err != nil {
		return nil, err
	}
	for name, f := range folders {
		if f.NoSelect {
			continue
		}
		f.Messages, err = c.ReadFolder(name)
		if no, ok := errors.AsType[*StatusError](err); ok && no.Status == "NO" && strings.Contains(no.Text, "Mailbox doesn't exist") {
			// Dovecot lists with maildir what was deleted above other folders.
			f.NoSelect = true
		} else if err != nil {
			return nil, fmt.Errorf("folder %s: %w", name, err)
		}
		folders[name] = f
	}
	return folders, nil
}

// Folders lists the mailbox's own folders by canonical name, still without
// their messages.
func (c *Conn) Folders() (Copy, error) {
	ns, err := c.Namespace()
	if err != nil {
		return nil, err
	}
	folders := Copy{}
	for _, verb := range []string{"LIST", "LSUB"} {
		reply, err := c.Command(verb + ` "" "*"`)
		if err != nil {
			return nil, err
		}
		for _, r := range reply.Untagged {
			if r.Name != verb || len(r.Values) < 3 {
				continue
			}
			name, foreign := ns.Canonical(r.Values[2].Text)
			attr := func(want string) bool {
				return slices.ContainsFunc(r.Values[0].List, func(v Value) bool { return strings.EqualFold(v.Text, want) })
			}
			if foreign || attr(`\NonExistent`) {
				continue
			}
			f, listed := folders[name]
			switch {
			case verb == "LIST":
				f.NoSelect = attr(`\Noselect`)
			case !listed || attr(`\Noselect`): // subscribed but gone, or only a parent of a subscribed one
				continue
			default:
				f.Subscribed = true
			}
			folders[name] = f
		}
	}
	return folders, nil
}

// ReadFolder reads the messages of one folder, by canonical name.
func (c *Conn) ReadFolder(name string) (map[Message]int, error) {
	ns, err := c.Namespace()
	if err != nil {
		return nil, err
	}
	reply, err := c.Command("EXAMINE " + Quote(ns.Wire(name)))
	if err != nil {
		return nil, err
	}
	exists := uint32(0)
	for _, r := range reply.Untagged {
		if r.Name == "EXISTS" {
			exists = r.Number
		}
	}
	messages := map[Message]int{}
	if exists == 0 {
		return messages, nil
	}
	seen := map[uint32]bool{}
	_, err = c.commandEach("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])", func(r Response) error {
		if r.Name != "FETCH" || len(r.Values) != 1 {
			return nil
		}
		m, complete, err := parseMessage(r.Values[0].List)
		if err != nil {
			return fmt.Errorf("message %d: %w", r.Number, err)
		}
		if complete && !seen[r.Number] { // others are unsolicited flag changes
			seen[r.Number] = true
			messages[m]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(seen) < int(exists) {
		return nil, fmt.Errorf("fetch: %d of %d messages came", len(seen), exists)
	}
	return messages, nil
}

func parseMessage(items []Value) (m Message, complete bool, err error) {
	got := 0
	for i := 0; i+1 < len(items); i += 2 {
		value := items[i+1]
		switch strings.ToUpper(items[i].Text) {
		case "FLAGS":
			var flags []string
			for _, f := range value.List {
				if f := strings.ToLower(f.Text); f != `\recent` {
					flags = append(flags, f)
				}
			}
			slices.Sort(flags)
			m.Flags = strings.Join(flags, " ")
		case "INTERNALDATE":
			date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", value.Text)
			if err != nil {
				return m, false, fmt.Errorf("parse date: %w", err)
			}
			m.Date = date.Unix()
			got++
		case "BODY[]":
			if value.Nil() {
				value = newString(nil)
			}
			m.Digest, m.Size = value.Digest, value.Size
			got++
		}
	}
	return m, got == 2, nil
}

// Diff lists how two mailboxes differ, one line each and without content.
// Nothing is returned for equal ones.
func Diff(a, b Copy) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(union(a, b))) {
		fa, inA := a[name]
		fb, inB := b[name]
		switch {
		case !inA:
			out = append(out, fmt.Sprintf("folder %q: only on the second (%d messages)", name, fb.Count()))
			continue
		case !inB:
			out = append(out, fmt.Sprintf("folder %q: only on the first (%d messages)", name, fa.Count()))
			continue
		case fa.NoSelect != fb.NoSelect:
			out = append(out, fmt.Sprintf("folder %q: can hold messages: %t / %t", name, !fa.NoSelect, !fb.NoSelect))
		case fa.Subscribed != fb.Subscribed:
			out = append(out, fmt.Sprintf("folder %q: subscribed: %t / %t", name, fa.Subscribed, fb.Subscribed))
		}
		for _, m := range slices.SortedFunc(maps.Keys(union(fa.Messages, fb.Messages)), compareMessages) {
			if na, nb := fa.Messages[m], fb.Messages[m]; na != nb {
				out = append(out, fmt.Sprintf("folder %q: %d / %d times: %s", name, na, nb, m))
			}
		}
	}
	return out
}

func union[K comparable, V any](a, b map[K]V) map[K]bool {
	keys := map[K]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	return keys
}

func compareMessages(a, b Message) int {
	return cmp.Or(cmp.Compare(a.Size, b.Size), slices.Compare(a.Digest[:], b.Digest[:]),
		strings.Compare(a.Flags, b.Flags), cmp.Compare(a.Date, b.Date))
}

// Compare reads mailboxes from both stores, several at a time, and returns
// all differences, each with its mailbox number in front.
func Compare(ctx context.Context, a, b Store, mailboxes []string, parallel int) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([][]string, len(mailboxes))
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, parallel) {
		wg.Go(func() {
			for i := range next {
				ca, err := a.Read(ctx, mailboxes[i])
				if err != nil {
					cancel(fmt.Errorf("first store: %w", err))
					continue
				}
				cb, err := b.Read(ctx, mailboxes[i])
				if err != nil {
					cancel(fmt.Errorf("second store: %w", err))
					continue
				}
				for _, d := range Diff(ca, cb) {
					results[i] = append(results[i], mailboxes[i]+" "+d)
				}
			}
		})
	}
	for i := range mailboxes {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}

// APPENDUID's arguments are two numbers (RFC 4315).
func parseTwo(args string) (a, b uint32) {
	first, second, _ := strings.Cut(args, " ")
	x, _ := strconv.ParseUint(first, 10, 32)  // a wrong number shows as 0
	y, _ := strconv.ParseUint(second, 10, 32) // likewise
	return uint32(x), uint32(y)
}
