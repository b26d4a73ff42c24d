package bare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Kind names what a job does.
type Kind string

// The kinds of work that a mirror has, at the least that each can cost.
const (
	// Copy copies every folder of every mailbox into an empty one.
	Copy Kind = "copy"
	// Status logs in to each mailbox on both sides and asks LIST-STATUS.
	Status Kind = "status"
	// Change does Status and then what it was told has changed.
	Change Kind = "change"
	// Shared asks LIST-STATUS once per side for all mailboxes.
	Shared Kind = "shared"
)

// statusItems is what tells an unchanged folder from a changed one.
const statusItems = "RETURN (STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))"

// Changed is what happened to one mailbox's inbox since the copy. The UIDs are
// the same on both sides, as both were filled in the same order.
type Changed struct {
	New     []uint32          `json:"new,omitempty"`
	Flags   map[uint32]string `json:"flags,omitempty"` // all flags of a message, as on the wire
	Removed []uint32          `json:"removed,omitempty"`
}

// Job is one piece of work. It travels on standard input, so that the password
// is in no process list.
type Job struct {
	Kind      Kind               `json:"kind"`
	Source    Endpoint           `json:"source"`
	Target    Endpoint           `json:"target"`
	Mailboxes []string           `json:"mailboxes"`
	Parallel  int                `json:"parallel"` // mailboxes at a time
	Changes   map[string]Changed `json:"changes,omitempty"`
	Separator string             `json:"separator,omitempty"` // of the shared namespace
	// Admit, where not nil, waits until the next mailbox may be logged in to.
	Admit func(context.Context) error `json:"-"`
}

// Main reads a Job from in, does it and writes what it Moved to out.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	var j Job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	moved, err := Run(ctx, j)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(moved)
}

// Run does the job and stops at the first error.
func Run(ctx context.Context, j Job) (Moved, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var one func(ctx context.Context, j Job, mailbox string) (Moved, error)
	switch j.Kind {
	case Copy:
		one = copyMailbox
	case Status, Change:
		one = reviewMailbox
	case Shared:
		return Moved{}, reviewShared(ctx, j)
	default:
		return Moved{}, fmt.Errorf("unknown kind of job %q", j.Kind)
	}
	var (
		mu    sync.Mutex
		total Moved
		errs  []error
		wg    sync.WaitGroup
		queue = make(chan string)
	)
	for range max(1, j.Parallel) {
		wg.Go(func() {
			for number := range queue {
				moved, err := one(ctx, j, number)
				mu.Lock()
				total.add(moved)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s mailbox %s: %w", j.Kind, number, err))
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for _, number := range j.Mailboxes {
		queue <- number
	}
	close(queue)
	wg.Wait()
	return total, errors.Join(errs...)
}

// dialBoth logs in on both sides at the same time.
func dialBoth(ctx context.Context, j Job, mailbox string) (from, to *Conn, err error) {
	if j.Admit != nil {
		if err := j.Admit(ctx); err != nil {
			return nil, nil, err
		}
	}
	var fromErr, toErr error
	var wg sync.WaitGroup
	wg.Go(func() { from, fromErr = Dial(ctx, j.Source, mailbox) })
	wg.Go(func() { to, toErr = Dial(ctx, j.Target, mailbox) })
	wg.Wait()
	if err := errors.Join(fromErr, toErr); err != nil {
		for _, c := range []*Conn{from, to} {
			if c != nil {
				c.Close()
			}
		}
		return nil, nil, err
	}
	return from, to, nil
}

func copyMailbox(ctx context.Context, j Job, mailbox string) (Moved, error) {
	var total Moved
	from, to, err := dialBoth(ctx, j, mailbox)
	if err != nil {
		return total, err
	}
	defer from.Close()
	defer to.Close()
	folders, err := from.Folders()
	if err != nil {
		return total, err
	}
	subscribed, err := from.Subscribed()
	if err != nil {
		return total, err
	}
	for _, folder := range folders {
		if !strings.EqualFold(folder, "INBOX") {
			if err := to.Do(nil, "CREATE %s", quote(folder)); err != nil {
				return total, fmt.Errorf("create folder: %w", err)
			}
		}
		if slices.Contains(subscribed, folder) {
			if err := to.Do(nil, "SUBSCRIBE %s", quote(folder)); err != nil {
				return total, fmt.Errorf("subscribe: %w", err)
			}
		}
		moved, err := copyFolder(from, to, folder, "1:*")
		total.add(moved)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// reviewMailbox asks both sides for their counters and, for a Change job,
// carries the changes over.
func reviewMailbox(ctx context.Context, j Job, mailbox string) (Moved, error) {
	from, to, err := dialBoth(ctx, j, mailbox)
	if err != nil {
		return Moved{}, err
	}
	defer from.Close()
	defer to.Close()
	if err := both(from, to, `LIST "" "*" `+statusItems); err != nil {
		return Moved{}, err
	}
	ch, ok := j.Changes[mailbox]
	if !ok {
		return Moved{}, nil
	}
	return applyChange(from, to, ch)
}

func reviewShared(ctx context.Context, j Job) error {
	from, to, err := dialBoth(ctx, j, "")
	if err != nil {
		return err
	}
	defer from.Close()
	defer to.Close()
	return both(from, to, `LIST "" "users`+j.Separator+`*" `+statusItems)
}

// both sends the same command to both sides at the same time and requires a
// status response from each.
func both(from, to *Conn, command string) error {
	ask := func(c *Conn) error {
		seen := false
		err := c.Do(func(line string) error {
			seen = seen || strings.HasPrefix(line, "STATUS ")
			return nil
		}, "%s", command)
		if err == nil && !seen {
			err = errors.New("no folder was reported")
		}
		return err
	}
	var fromErr, toErr error
	var wg sync.WaitGroup
	wg.Go(func() { fromErr = ask(from) })
	wg.Go(func() { toErr = ask(to) })
	wg.Wait()
	return errors.Join(fromErr, toErr)
}

func applyChange(from, to *Conn, ch Changed) (Moved, error) {
	var moved Moved
	if len(ch.New) > 0 {
		var err error
		if moved, err = copyFolder(from, to, "INBOX", joinUIDs(ch.New)); err != nil {
			return moved, err
		}
	}
	if len(ch.Flags) == 0 && len(ch.Removed) == 0 {
		return moved, nil
	}
	if err := to.Do(nil, `SELECT INBOX`); err != nil {
		return moved, fmt.Errorf("select: %w", err)
	}
	for uid, flags := range ch.Flags {
		if err := to.Do(nil, "UID STORE %d FLAGS.SILENT (%s)", uid, flags); err != nil {
			return moved, fmt.Errorf("store flags: %w", err)
		}
	}
	if len(ch.Removed) > 0 {
		set := joinUIDs(ch.Removed)
		if err := to.Do(nil, `UID STORE %s +FLAGS.SILENT (\Deleted)`, set); err != nil {
			return moved, fmt.Errorf("mark deleted: %w", err)
		}
		if err := to.Do(nil, "UID EXPUNGE %s", set); err != nil {
			return moved, fmt.Errorf("expunge: %w", err)
		}
	}
	return moved, nil
}

func joinUIDs(uids []uint32) string {
	var b strings.Builder
	for i, uid := range uids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, uid)
	}
	return b.String()
}
