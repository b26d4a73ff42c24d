package control

import (
	"cmp"
	"context"
	"slices"

	"mailmirror/internal/audit"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
)

// GuardView is all there is to tell of a link's guard.
type GuardView struct {
	Link      string           `json:"link"`
	Settings  guard.Settings   `json:"settings"`
	Figures   guard.Counts     `json:"figures"`
	Holds     []guard.Hold     `json:"holds"`
	Decisions []guard.Decision `json:"decisions"`
	// Directory are the settings of the link's directory, and DirectoryHolds what
	// waits of it; nil where the link has none.
	Directory      *dirsync.Settings     `json:"directory,omitempty"`
	DirectoryHolds []guard.DirectoryHold `json:"directory_holds,omitempty"`
}

// triggerApproval is what history names as the cause of a sync that follows a
// decision on a hold.
const triggerApproval = "approval"

// signalAtMost bounds the syncs that a decision starts itself; the sweep starts
// the others within its interval.
const signalAtMost = 50

// Holds lists what the guard keeps; "" means every link.
func (c *Control) Holds(ctx context.Context, link string) ([]guard.Hold, error) {
	if link != "" {
		if _, err := c.ports.Links.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	return c.ports.Guard.Holds(ctx, link)
}

// Hold returns one hold by its id, with the settings of its link.
func (c *Control) Hold(ctx context.Context, id int64) (guard.Hold, guard.Settings, error) {
	holds, err := c.ports.Guard.Holds(ctx, "")
	if err != nil {
		return guard.Hold{}, guard.Settings{}, err
	}
	i := slices.IndexFunc(holds, func(h guard.Hold) bool { return h.ID == id })
	if i < 0 {
		return guard.Hold{}, guard.Settings{}, guard.NoHold(id)
	}
	settings, err := c.ports.Guard.GuardSettings(ctx, holds[i].Link)
	return holds[i], settings, err
}

// Guard returns all there is to tell of a link's guard.
func (c *Control) Guard(ctx context.Context, link string) (GuardView, error) {
	v := GuardView{Link: link}
	var err error
	if _, err = c.ports.Links.Link(ctx, link); err != nil {
		return v, err
	}
	if v.Settings, err = c.ports.Guard.GuardSettings(ctx, link); err != nil {
		return v, err
	}
	if v.Figures, err = c.ports.Guard.GuardFigures(ctx, link); err != nil {
		return v, err
	}
	if v.Holds, err = c.ports.Guard.Holds(ctx, link); err != nil {
		return v, err
	}
	if v.Decisions, err = c.ports.Guard.GuardDecisions(ctx, link, 20); err != nil {
		return v, err
	}
	return v, c.guardOfDirectory(ctx, &v)
}

// syncDecided starts the syncs of the mailboxes of holds that were decided. They are due
// by now, whatever becomes of the signals.
func (c *Control) syncDecided(ctx context.Context, decided []guard.Hold) error {
	started := map[mailbox.Key]bool{}
	for _, h := range decided {
		key := mailbox.Key{Link: h.Link, Number: h.Number}
		if started[key] || len(started) >= signalAtMost {
			continue
		}
		started[key] = true
		if err := c.ports.Runner.Sync(ctx, key, triggerApproval); err != nil {
			return fault.New(fault.KindOf(err), "decided; start sync of mailbox "+string(h.Number), err,
				"the decision is recorded, and the sweep starts the sync")
		}
	}
	return nil
}

// EditGuard changes a link's settings. change gets those in force.
func (c *Control) EditGuard(ctx context.Context, link string, change func(*guard.Settings)) (_ guard.Settings, err error) {
	op := "set guard of link " + link
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "guard set", Link: link})
	if err != nil {
		return guard.Settings{}, err
	}
	defer end(&err)
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return guard.Settings{}, err
	}
	s, err := c.ports.Guard.GuardSettings(ctx, link)
	if err != nil {
		return s, err
	}
	before := s
	change(&s)
	if s.KeepDeleted > 0 {
		s.DeletedFolder = cmp.Or(s.DeletedFolder, guard.DefaultDeletedFolder)
	}
	if err := malformed(op, s.Faults()); err != nil {
		return s, err
	}
	detail(ctx, changes(before, s))
	s.SetBy = c.actor.Name
	if err := c.ports.Guard.SetGuardSettings(ctx, link, s); err != nil {
		return s, err
	}
	return c.ports.Guard.GuardSettings(ctx, link)
}
