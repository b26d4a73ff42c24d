package dirsync

import (
	"context"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Members counts mailboxes that joined and left a link by a run.
type Members struct {
	Joined int `json:"joined"`
	Left   int `json:"left"`
	// Refused could not join, mostly since another link mirrors them.
	Refused int `json:"refused,omitempty"`
}

const (
	// joinChunk is how many mailboxes join at a time.
	joinChunk = 500
	// wakeAtMost bounds the syncs that a run starts itself; the sweep starts the
	// others within its interval.
	wakeAtMost = 100
)

// Wake starts the sync of a mailbox that joined. If that fails, the sweep starts the sync.
type Wake func(ctx context.Context, key mailbox.Key) error

// Join makes the mailboxes of a run's pairs join and leave the link, by the link's rule.
// Those that join are due at once. done is what an attempt before this one did; progress
// is called with what was done since.
func (e *Engine) Join(ctx context.Context, job Job, done Members, wake Wake, progress func(Members)) (_ Members, err error) {
	defer func() { err = fault.Wrap(err, "let mailboxes join and leave") }()
	done.Refused = 0
	if err := e.ports.Runs.SaveDirectoryPhase(ctx, job.RunID, "members"); err != nil {
		return done, err
	}
	settings, err := e.ports.Settings.DirectorySettings(ctx, job.Link)
	if err != nil {
		return done, err
	}
	join, leave, err := e.ports.Members.DirectoryMembers(ctx, job.RunID, settings)
	if err != nil {
		return done, err
	}
	left, err := e.ports.Members.LeaveLink(ctx, job.RunID, job.Link, leave)
	if err != nil {
		return done, err
	}
	done.Left += left
	progress(done)
	woken := 0
	var rejected []Rejection
	for len(join) > 0 {
		chunk := join[:min(joinChunk, len(join))]
		join = join[len(chunk):]
		refused, err := e.add(ctx, job.Link, chunk)
		if err != nil {
			return done, err
		}
		for _, number := range chunk {
			if why, ok := refused[number]; ok {
				_, text, hint := fault.Describe(why)
				rejected = append(rejected, Rejection{Number: number, Error: text, Hint: hint})
			}
		}
		done.Joined += len(chunk) - len(refused)
		done.Refused += len(refused)
		progress(done)
		for _, number := range chunk {
			if refused[number] != nil || woken >= wakeAtMost {
				continue
			}
			woken++
			if fault.Is(wake(ctx, mailbox.Key{Link: job.Link, Number: number}), fault.Transient) {
				woken = wakeAtMost // the others would wait in vain, too
			}
		}
	}
	return done, e.ports.Members.SaveDirectoryMembers(ctx, job.RunID, done.Joined, done.Left, rejected)
}

// add adds mailboxes and returns those that may not join, with the reason. One of
// them must not keep the others out.
func (e *Engine) add(ctx context.Context, link string, numbers []mailbox.Number) (refused map[mailbox.Number]error, err error) {
	_, err = e.ports.Members.AddMailboxes(ctx, link, numbers)
	if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Permanent) {
		return nil, err
	}
	refused = map[mailbox.Number]error{}
	for _, n := range numbers {
		_, err := e.ports.Members.AddMailboxes(ctx, link, []mailbox.Number{n})
		switch {
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.Permanent):
			refused[n] = err
			e.log.WarnContext(ctx, "mailbox cannot join the link", "link", link, "mailbox_id", string(n), "error_kind", string(fault.KindOf(err)))
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}
