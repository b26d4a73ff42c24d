package storecheck

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// tryRights adds to a report what may be written of what links mirror. What is the
// source of links alone receives nothing but reads. It is tried as runs write, under
// the lease of the target's directory, and so not while the mirror is suspended.
func (c *Checker) tryRights(ctx context.Context, d site.Directory, r *verdict.Directory) error {
	const untried = ": whether it may be written was not tried"
	links, err := c.Records.Links(ctx)
	if err != nil {
		return err
	}
	columns, link, err := c.mirroredInto(ctx, d, links)
	switch {
	case err != nil:
		return err
	case link == "" && !slices.ContainsFunc(links, func(l site.Link) bool { return l.Source == d.Store }):
		r.Advice = append(r.Advice, "it is no link's target yet whose source has a directory"+untried)
		return nil
	case link == "":
		return nil
	}
	// The lease begins when the connection is made: a slow login does not use it up. It
	// is not renewed.
	var held lease.Lease
	var leaseErr error
	cancel, leased := context.CancelFunc(func() {}), false
	found, err := c.Servers.TryRights(ctx, d, columns, func(ctx context.Context) (context.Context, error) {
		if held, leaseErr = c.Records.TakeLease(ctx, lease.OfDirectory(link), c.Lease.WithDefaults()); leaseErr != nil {
			return nil, leaseErr
		}
		leased = true
		ctx, cancel = context.WithDeadline(ctx, held.Deadline) //nolint:gosec // called below
		return ctx, nil
	})
	cancel()
	r.Writable, r.TriedOn = found.Writable, found.TriedOn
	r.Faults, r.Advice = append(r.Faults, found.Faults...), append(r.Advice, found.Advice...)
	suspension, suspended := errors.AsType[*lease.SuspendedError](err)
	_, busy := errors.AsType[*lease.HeldError](err)
	switch {
	case suspended:
		r.Advice = append(r.Advice, suspension.Error()+untried)
		return nil
	case busy:
		r.Advice = append(r.Advice, "it is being written to at this moment"+untried)
		return nil
	case fault.Is(leaseErr, fault.Config):
		r.Advice = append(r.Advice, leaseErr.Error()+untried)
		return nil
	case leaseErr != nil:
		return leaseErr
	case !leased && fault.Is(err, fault.Transient) && ctx.Err() == nil:
		r.Advice = append(r.Advice, "whether it may be written could not be tried to the end: "+err.Error())
		return nil
	case !leased:
		return err
	}
	// Whoever comes next waits for what may still be on its way.
	ending, cancelEnding := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelEnding()
	endErr := c.Records.Release(ending, held, err == nil)
	if fault.Is(err, fault.Transient) && ctx.Err() == nil {
		r.Advice = append(r.Advice, "whether it may be written could not be tried to the end: "+err.Error())
		err = nil
	}
	if err == nil && !fault.Is(endErr, fault.Conflict) {
		err = endErr
	}
	return err
}

// mirroredInto returns the columns that links write into a directory, and one of
// these links; "" where there is none.
func (c *Checker) mirroredInto(ctx context.Context, d site.Directory, links []site.Link) (columns []directory.Column, link string, err error) {
	for _, l := range links {
		if l.Target != d.Store || l.Directory == site.LinkDirectoryOff {
			continue
		}
		source, has, err := c.Records.DirectoryStore(ctx, l.Source)
		if err != nil {
			return nil, "", err
		}
		if !has {
			continue
		}
		link = l.Name
		for _, a := range d.Mapping.Mirrored(source.Mapping) {
			if !slices.Contains(columns, a.Column) {
				columns = append(columns, a.Column)
			}
		}
	}
	return columns, link, nil
}
