// Package storecheck looks at one store as it is now, with its directory: whether
// Mailmirror can reach it, log in and do what mirroring needs, and what the store lacks.
// It writes nothing, but for the lease under which it tries what may be written to a
// directory.
package storecheck

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// Records is what a check needs of the database.
type Records interface {
	// Store returns a store; a NotFound fault if there is none of that name.
	Store(ctx context.Context, name string) (site.Store, error)
	// Links returns all links, by name.
	Links(ctx context.Context) ([]site.Link, error)
	// StoreLoad is what the processes learned of the load on a store.
	StoreLoad(ctx context.Context, name string) (quota.Load, error)
	// DirectoryStore returns a store's directory; false where it has none.
	DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error)
	// TakeLease and Release are lease.Records'.
	TakeLease(ctx context.Context, of lease.Resource, times lease.Times) (lease.Lease, error)
	Release(ctx context.Context, l lease.Lease, clean bool) error
}

// Servers are the store's servers. Each usual mistake of an operator is a Config fault
// with a sentence of its own.
type Servers interface {
	// Look connects to the message store and logs in as the trusted server, acting for
	// number if that is not empty.
	Look(ctx context.Context, s site.Store, number mailbox.Number) (verdict.Store, error)
	// LookAtDirectory connects, binds, reads the schema and says what it found.
	LookAtDirectory(ctx context.Context, d site.Directory) (verdict.Directory, error)
	// TryRights finds out which attributes of the columns the trusted server may
	// write, without a change. It connects first, which may take its time, and calls
	// lease before it sends the first try: none is sent at or after the deadline of
	// the context that lease returns, and an error of lease is returned. With its error
	// it returns what was found before.
	TryRights(ctx context.Context, d site.Directory, columns []directory.Column,
		lease func(context.Context) (context.Context, error)) (verdict.Rights, error)
}

// Checker checks stores. It is safe for concurrent use.
type Checker struct {
	Records Records
	Servers Servers
	// Lease are the times of the lease under which rights are tried.
	Lease lease.Times
}

// Check looks at a store, acting for number if that is not empty, and at its directory
// if it has one. With an error the report holds what was found before.
func (c *Checker) Check(ctx context.Context, name string, number mailbox.Number) (verdict.Store, error) {
	s, err := c.Records.Store(ctx, name)
	if err != nil {
		return verdict.Store{}, err
	}
	dir, directoryErr := c.directory(ctx, name)
	report, err := c.Servers.Look(ctx, s, number)
	report.Store, report.Address, report.MinimumRelease, report.Directory = s.Name, s.IMAPAddress, s.MinimumRelease, dir
	if err := errors.Join(err, directoryErr); err != nil {
		return report, err
	}
	if report.Undetermined, err = c.undetermined(ctx, name); err != nil {
		return report, err
	}
	learned, err := c.Records.StoreLoad(ctx, name)
	if err != nil {
		return report, err
	}
	report.Load = append(learned.Lines(time.Now()), learned.Cost()...)
	if s.MinimumRelease != "" {
		return report, fault.Wrap(report.CheckMinimum(s.MinimumRelease), "check store "+name)
	}
	return report, nil
}

// directory looks at a store's directory; nil if it has none. Of a link's target it is
// tried, too, whether it may be written.
func (c *Checker) directory(ctx context.Context, store string) (*verdict.Directory, error) {
	d, has, err := c.Records.DirectoryStore(ctx, store)
	if err != nil || !has {
		return nil, err
	}
	r, err := c.Servers.LookAtDirectory(ctx, d)
	r.Address = d.Address
	if err != nil || len(r.Faults) > 0 {
		return &r, err
	}
	return &r, fault.Wrap(c.tryRights(ctx, d, &r), "try the rights to write")
}

// undetermined says of the other stores of a store's links what is not known of whether
// they are the same server. The store is read again: the look recorded its addresses.
func (c *Checker) undetermined(ctx context.Context, store string) ([]string, error) {
	s, err := c.Records.Store(ctx, store)
	if err != nil {
		return nil, err
	}
	links, err := c.Records.Links(ctx)
	var list []string
	for _, l := range links {
		other := l.Target
		switch store {
		case l.Source:
		case l.Target:
			other = l.Source
		default:
			continue
		}
		o, err := c.Records.Store(ctx, other)
		if err != nil {
			return nil, err
		}
		if unsure := site.Undetermined(s, o); unsure != "" && !slices.Contains(list, unsure) {
			list = append(list, unsure)
		}
	}
	return list, err
}
