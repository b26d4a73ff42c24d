package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailmirror/internal/audit"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// DirectoryEdit says what to change of a store's directory; nil leaves a field
// as it is.
type DirectoryEdit struct {
	Address  *string
	Security *site.Security
	CAFile   *string
	BindDN   *string
	Password *seal.Secret
	// Mapping comes first; what the others say holds over it.
	Mapping     *directory.Mapping
	BaseDN      *string
	ObjectClass *string
	Filter      *string
}

// Empty reports whether nothing is to be changed.
func (e DirectoryEdit) Empty() bool { return e == DirectoryEdit{} }

// Directory returns a store's directory; false where it has none.
func (c *Control) Directory(ctx context.Context, store string) (site.Directory, bool, error) {
	if _, err := c.ports.Stores.Store(ctx, store); err != nil || c.ports.DirectoryConfig == nil {
		return site.Directory{}, false, err
	}
	return c.ports.DirectoryConfig.DirectoryStore(ctx, store)
}

// CheckDirectoryEdit tells, as far as that can be told without the store, what
// is wrong with an edit of a new store, so that nothing is added where that is.
func CheckDirectoryEdit(store string, e DirectoryEdit) error {
	_, err := e.apply(newDirectoryStore(store))
	return err
}

func newDirectoryStore(store string) site.Directory {
	return site.Directory{Store: store, Mapping: directory.DefaultMapping()}
}

// EditDirectory gives a store a directory, or changes it, and returns it as it is
// now. Nothing is connected to. Links of which both stores have one then are
// mirrored by their directories too. A change by which a link would mirror a directory
// back to where it comes from is rejected.
func (c *Control) EditDirectory(ctx context.Context, store string, e DirectoryEdit) (_ site.Directory, err error) {
	op := "set directory of store " + store
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "store edit", Store: store, Detail: "directory: " + changes(DirectoryEdit{}, e)})
	if err != nil {
		return site.Directory{}, err
	}
	defer end(&err)
	d, has, err := c.Directory(ctx, store)
	if err != nil {
		return site.Directory{}, err
	}
	if !has {
		d = newDirectoryStore(store)
	}
	if d, err = e.apply(d); err != nil {
		return site.Directory{}, err
	}
	if err := c.checkDirectoryEnds(ctx, d); err != nil {
		return site.Directory{}, fault.Wrap(err, op)
	}
	d.Addresses = c.addresses(ctx, d.Address)
	if e.Password != nil {
		if d.SealedPassword, err = c.ports.Sealer.Seal(*e.Password, site.DirectoryPasswordIdentity(store)); err != nil {
			return site.Directory{}, fault.Wrap(err, op)
		}
	}
	if err := c.ports.DirectoryConfig.PutDirectoryStore(ctx, d); err != nil {
		return site.Directory{}, fault.Wrap(err, op)
	}
	if err := c.scheduleLinksOf(ctx, store); err != nil {
		return site.Directory{}, fault.Wrap(err, op)
	}
	d, _, err = c.ports.DirectoryConfig.DirectoryStore(ctx, store)
	return d, err
}

// RemoveDirectory forgets a store's directory. Its links go on without. While one
// uses the store, a directory that tells log-ins is kept: without it mailboxes would
// be opened by their numbers, which may be other people's.
func (c *Control) RemoveDirectory(ctx context.Context, store string) (err error) {
	op := "forget directory of store " + store
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "store edit", Store: store, Detail: "directory removed"})
	if err != nil {
		return err
	}
	defer end(&err)
	d, has, err := c.Directory(ctx, store)
	switch {
	case err != nil:
		return err
	case !has:
		return fault.New(fault.Config, op+": it has none", nil, "")
	}
	links, err := c.ports.Links.Links(ctx)
	if err != nil {
		return err
	}
	used := slices.ContainsFunc(links, func(l site.Link) bool { return l.Source == store || l.Target == store })
	if used && !d.Mapping.LoginIsNumber() {
		return fault.New(fault.Conflict, op+": its mailboxes are opened by the log-ins that it tells", nil,
			fmt.Sprintf("if the store knows them by their numbers, say so first: login = \"{%s}\" in the file of store edit %s --ldap-mapping",
				d.Mapping.Names[directory.MailboxNumber], store))
	}
	if err := c.ports.DirectoryConfig.RemoveDirectoryStore(ctx, store); err != nil {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(c.scheduleLinksOf(ctx, store), op)
}

// scheduleLinksOf brings the schedules of a store's links to what it has.
func (c *Control) scheduleLinksOf(ctx context.Context, store string) error {
	made(ctx)
	links, err := c.ports.Links.Links(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Source != store && l.Target != store {
			continue
		}
		if err := c.ports.Scheduler.EnsureSchedules(ctx, l.Name); err != nil {
			return fault.New(fault.KindOf(err), "it is recorded; bring the schedules of link "+l.Name+" to it", err,
				"a worker that starts does so too")
		}
	}
	return nil
}

func (e DirectoryEdit) apply(d site.Directory) (site.Directory, error) {
	set(&d.Address, e.Address)
	set(&d.Security, e.Security)
	set(&d.CAFile, e.CAFile)
	set(&d.BindDN, e.BindDN)
	set(&d.Mapping, e.Mapping)
	set(&d.Mapping.BaseDN, e.BaseDN)
	set(&d.Mapping.ObjectClass, e.ObjectClass)
	set(&d.Mapping.Filter, e.Filter)
	faults := directoryFaults(d)
	if e.Password != nil && e.Password.Empty() {
		faults = append(faults, errors.New("ldap password: must not be empty"))
	}
	if e.Password == nil && len(d.SealedPassword) == 0 {
		faults = append(faults, errors.New("ldap password: is missing"))
	}
	return d, malformed("set directory of store "+d.Store, faults)
}

// directoryFaults lists everything that cannot be right about a directory.
func directoryFaults(d site.Directory) []error {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	note(checkHostPort("ldap", d.Address))
	switch d.Security {
	case site.SecurityNone, site.SecurityStartTLS, site.SecurityTLS:
	default:
		note(fmt.Errorf("ldap security %q: want none, starttls or tls", d.Security))
	}
	if d.Security == site.SecurityNone && d.CAFile != "" {
		note(errors.New("ldap ca file: has no meaning with ldap security none"))
	}
	// An empty name with a password is no bind but an unauthenticated one
	// (RFC 4513, 5.1.2), which servers take for anonymous.
	if strings.TrimSpace(d.BindDN) == "" {
		note(errors.New("ldap bind dn: must not be empty"))
	}
	note(d.Mapping.Validate())
	return faults
}

// checkDirectoryEnds refuses a directory that the other end of one of the
// store's links has already: it would be mirrored onto itself.
func (c *Control) checkDirectoryEnds(ctx context.Context, d site.Directory) error {
	return c.eachOtherEnd(ctx, d.Store, func(link, other string) error {
		o, has, err := c.ports.DirectoryConfig.DirectoryStore(ctx, other)
		if err != nil {
			return err
		}
		if has && strings.EqualFold(o.Address, d.Address) && strings.EqualFold(o.Mapping.BaseDN, d.Mapping.BaseDN) {
			return fault.New(fault.Config, fmt.Sprintf("link %s: the directories of stores %s and %s are the same (%s)", link, d.Store, other, d.Address), nil,
				"source and target must be two directories")
		}
		return nil
	})
}
