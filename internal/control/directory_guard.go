package control

import (
	"context"
	"errors"
	"slices"

	"mailmirror/internal/audit"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
)

// guardOfDirectory adds what is to be told of the link's directory.
func (c *Control) guardOfDirectory(ctx context.Context, v *GuardView) error {
	if c.ports.DirectoryConfig == nil {
		return nil
	}
	l, err := c.ports.Links.Link(ctx, v.Link)
	if err != nil {
		return err
	}
	has, err := c.hasDirectory(ctx, l)
	if err != nil || !has {
		return err
	}
	s, err := c.ports.DirectoryConfig.DirectorySettings(ctx, v.Link)
	if err != nil {
		return err
	}
	v.Directory = &s
	v.DirectoryHolds, err = c.ports.DirectoryHolds.DirectoryHolds(ctx, v.Link)
	return err
}

// AllHolds lists what the guards keep, of messages and of directories; "" means
// every link.
func (c *Control) AllHolds(ctx context.Context, link string) ([]guard.Hold, []guard.DirectoryHold, error) {
	messages, err := c.Holds(ctx, link)
	if err != nil || c.ports.DirectoryConfig == nil {
		return messages, nil, err
	}
	entries, err := c.ports.DirectoryHolds.DirectoryHolds(ctx, link)
	return messages, entries, err
}

// DirectoryHold returns one by its id, false where no directory has it, with the
// settings of its link.
func (c *Control) DirectoryHold(ctx context.Context, id int64) (guard.DirectoryHold, dirsync.Settings, bool, error) {
	if c.ports.DirectoryConfig == nil {
		return guard.DirectoryHold{}, dirsync.Settings{}, false, nil
	}
	holds, err := c.ports.DirectoryHolds.DirectoryHolds(ctx, "")
	if err != nil {
		return guard.DirectoryHold{}, dirsync.Settings{}, false, err
	}
	i := slices.IndexFunc(holds, func(h guard.DirectoryHold) bool { return h.ID == id })
	if i < 0 {
		return guard.DirectoryHold{}, dirsync.Settings{}, false, nil
	}
	s, err := c.ports.DirectoryConfig.DirectorySettings(ctx, holds[i].Link)
	return holds[i], s, err == nil, err
}

// DecideAllHolds approves or refuses holds of either kind: none where one of them
// is no more. What waits of messages is decided first. Syncs and directory runs
// that carry it out are started; what is approved is looked at anew by them.
func (c *Control) DecideAllHolds(ctx context.Context, ids []int64, decision guard.HoldState) ([]guard.Hold, []guard.DirectoryHold, error) {
	messages, entries, err := c.AllHolds(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	var ofMessages, ofEntries []int64
	var links []string
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if i := slices.IndexFunc(entries, func(h guard.DirectoryHold) bool { return h.ID == id }); i >= 0 {
			ofEntries, links = append(ofEntries, id), append(links, entries[i].Link)
		} else if i := slices.IndexFunc(messages, func(h guard.Hold) bool { return h.ID == id }); i >= 0 {
			ofMessages, links = append(ofMessages, id), append(links, messages[i].Link)
		} else {
			return nil, nil, guard.NoHold(id)
		}
	}
	link := ""
	if slices.Sort(links); len(slices.Compact(links)) == 1 {
		link = links[0]
	}
	return c.decide(ctx, link, ofMessages, ofEntries, decision)
}

// ApproveAllWaiting approves all that waits in a link at this moment.
func (c *Control) ApproveAllWaiting(ctx context.Context, link string) ([]guard.Hold, []guard.DirectoryHold, error) {
	messages, entries, err := c.AllHolds(ctx, link)
	if err != nil {
		return nil, nil, err
	}
	var ofMessages, ofEntries []int64
	for _, h := range messages {
		if h.State == guard.HoldWaiting {
			ofMessages = append(ofMessages, h.ID)
		}
	}
	for _, h := range entries {
		if h.State == guard.HoldWaiting {
			ofEntries = append(ofEntries, h.ID)
		}
	}
	return c.decide(ctx, link, ofMessages, ofEntries, guard.HoldApproved)
}

// decide carries a decision out; link is "" if the holds are of several.
func (c *Control) decide(ctx context.Context, link string, ofMessages, ofEntries []int64, decision guard.HoldState) (messages []guard.Hold, entries []guard.DirectoryHold, err error) {
	command := "guard approve"
	if decision == guard.HoldRefused {
		command = "guard refuse"
	}
	ctx, end, err := c.begin(ctx, audit.Entry{Command: command, Link: link, Subject: "hold " + named(slices.Concat(ofMessages, ofEntries))})
	if err != nil {
		return nil, nil, err
	}
	defer end(&err)
	if len(ofMessages) > 0 {
		if messages, err = c.ports.Guard.DecideHolds(ctx, ofMessages, decision, c.actor.Name); err != nil {
			return nil, nil, err
		}
	}
	if len(ofEntries) > 0 {
		if entries, err = c.ports.DirectoryHolds.DecideDirectoryHolds(ctx, ofEntries, decision, c.actor.Name); err != nil {
			return messages, nil, err
		}
	}
	made(ctx)
	return messages, entries, errors.Join(c.syncDecided(ctx, messages), c.runDecided(ctx, entries, decision))
}

// runDecided starts a run for each link of which holds were approved.
func (c *Control) runDecided(ctx context.Context, entries []guard.DirectoryHold, decision guard.HoldState) error {
	var links []string
	for _, h := range entries {
		if decision == guard.HoldApproved && !slices.Contains(links, h.Link) {
			links = append(links, h.Link)
		}
	}
	if len(links) == 0 {
		return nil
	}
	suspensions, err := c.ports.Suspension.Suspensions(ctx)
	if err != nil {
		return err
	}
	for _, link := range links {
		if suspensions.Of(link).Still() {
			continue // the sweep after the resumption starts it
		}
		if err := c.ports.DirectoryRunner.AskDirectory(ctx, link, dirsync.TriggerApproval); err != nil {
			return fault.New(fault.KindOf(err), "decided; start a run over the directory of link "+link, err,
				"the decision is recorded, and the next run carries it out")
		}
	}
	return nil
}
