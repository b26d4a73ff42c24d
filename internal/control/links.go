package control

import (
	"cmp"
	"context"
	"fmt"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// AddLink records a link between two stores that exist and are two servers, and
// creates its schedules. Where the schedules cannot be created the link is not added.
func (c *Control) AddLink(ctx context.Context, l site.Link) (_ site.Link, err error) {
	op := "add link " + l.Name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "link add", Link: l.Name, Detail: "from " + l.Source + " to " + l.Target})
	if err != nil {
		return site.Link{}, err
	}
	defer end(&err)
	var faults []error
	if err := checkName("link", l.Name); err != nil {
		faults = append(faults, err)
	}
	if l.Source == l.Target {
		faults = append(faults, fmt.Errorf("source and target are the same store %q", l.Source))
	}
	if err := l.Exclude.Validate(); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, bandwidthFaults(l)...)
	if err := checkLinkDirectory(l.Directory); err != nil {
		faults = append(faults, err)
	}
	if err := malformed(op, faults); err != nil {
		return site.Link{}, err
	}
	if err := c.ports.Links.AddLink(ctx, l); err != nil {
		return site.Link{}, err
	}
	if err := c.ports.Scheduler.EnsureSchedules(ctx, l.Name); err != nil {
		undoing, cancel := ending(ctx)
		defer cancel()
		if undo := c.ports.Links.RemoveLink(undoing, l.Name); undo != nil {
			return site.Link{}, fmt.Errorf("%s: create schedules: %w (and the link stays without them: %w)", op, err, undo)
		}
		return site.Link{}, fmt.Errorf("%s: create schedules: %w", op, err)
	}
	return c.ports.Links.Link(ctx, l.Name)
}

// Link returns one link.
func (c *Control) Link(ctx context.Context, name string) (site.Link, error) {
	return c.ports.Links.Link(ctx, name)
}

// Links lists the links by name.
func (c *Control) Links(ctx context.Context) ([]site.Link, error) {
	return c.ports.Links.Links(ctx)
}

// RemoveLink ends the mirroring of a link and forgets its mailboxes and
// ledger. What is on the target stays there. It rejects a link that is suspended by
// itself: the suspension would be gone with the link, and a link that is added under its
// name would be mirrored.
func (c *Control) RemoveLink(ctx context.Context, name string) (err error) {
	op := "remove link " + name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "link remove", Link: name})
	if err != nil {
		return err
	}
	defer end(&err)
	switch s, err := c.ownSuspension(ctx, name); {
	case err != nil:
		return err
	case s.Suspended():
		return c.rejected(op, s, "its suspension would end with it. If nothing may be written meanwhile: mailmirror suspend --reason TEXT --wait, "+
			s.ResumeCommand()+", mailmirror link remove "+name+", mailmirror resume")
	}
	// Schedules go first: one that outlives its link would start workflows
	// that fail for ever, while a link without schedules is quiet.
	if err := c.ports.Scheduler.RemoveSchedules(ctx, name); err != nil {
		return fmt.Errorf("%s: remove schedules: %w", op, err)
	}
	err = c.ports.Links.RemoveLink(ctx, name)
	if err == nil {
		return nil
	}
	// If only the answer of the database was lost, the link is gone.
	undoing, cancel := ending(ctx)
	defer cancel()
	_, undo := c.ports.Links.Link(undoing, name)
	switch {
	case fault.Is(undo, fault.NotFound) && fault.Is(err, fault.Transient):
		return nil
	case fault.Is(undo, fault.NotFound):
		return err
	case undo == nil:
		undo = c.ports.Scheduler.EnsureSchedules(undoing, name)
	}
	if undo != nil {
		return fmt.Errorf("%w (and its schedules are gone: %w)", err, undo)
	}
	return err
}

// SetLinkDirectory says whether a link mirrors the directories of its stores, and returns
// the link as it is then. It rejects, as a Conflict, what would mirror a directory back
// to where it comes from.
func (c *Control) SetLinkDirectory(ctx context.Context, name string, d site.LinkDirectory) (_ site.Link, err error) {
	op := "edit link " + name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "link edit", Link: name, Detail: "directory " + cmp.Or(string(d), "on")})
	if err != nil {
		return site.Link{}, err
	}
	defer end(&err)
	if err := checkLinkDirectory(d); err != nil {
		return site.Link{}, malformed(op, []error{err})
	}
	if err := c.ports.Links.SetLinkDirectory(ctx, name, d); err != nil {
		return site.Link{}, fault.Wrap(err, op)
	}
	made(ctx)
	if err := c.ports.Scheduler.EnsureSchedules(ctx, name); err != nil {
		return site.Link{}, fault.New(fault.KindOf(err), op+": it is recorded; update the schedules", err, "a worker that starts updates them too")
	}
	return c.ports.Links.Link(ctx, name)
}

func checkLinkDirectory(d site.LinkDirectory) error {
	switch d {
	case site.LinkDirectoryOn, site.LinkDirectoryOff, site.LinkDirectoryReverse:
		return nil
	}
	return fmt.Errorf("directory %q: must be on, off or reverse", d)
}
