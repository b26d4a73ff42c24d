package app

import (
	"context"
	"net"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// digestPurpose is what the key is derived for under which secrets of directories
// are compared.
const digestPurpose = "directory digest"

// directories makes LDAP adapters of the directories that the database holds.
type directories struct {
	repo *pgstore.Store
	keys *seal.Ring
}

// Directories implements dirsync.Directories.
func (d *directories) Directories(ctx context.Context, link string) (dirsync.LinkDirectories, error) {
	l, err := d.repo.Link(ctx, link)
	if err != nil {
		return dirsync.LinkDirectories{}, err
	}
	digester := directory.NewDigester(d.keys.Derive(digestPurpose))
	open := func(store string) (dirsync.Directory, error) {
		c, has, err := d.repo.DirectoryStore(ctx, store)
		switch {
		case err != nil:
			return dirsync.Directory{}, err
		case !has:
			return dirsync.Directory{}, fault.New(fault.Config, "store "+store+" has no directory", nil,
				"give it one with: mailmirror store edit "+store+" --ldap HOST:PORT ...")
		}
		adapter, err := d.ldap(c)
		if err != nil {
			return dirsync.Directory{}, err
		}
		return dirsync.Directory{Store: store, Mapping: c.Mapping, Digest: digester.Digest,
			Open: func(ctx context.Context) (dirsync.Session, error) {
				session, err := adapter.Open(ctx)
				if err != nil {
					return nil, err // and not a session that is not nil and holds none
				}
				return session, nil
			}}, nil
	}
	var both dirsync.LinkDirectories
	if both.Source, err = open(l.Source); err != nil {
		return both, err
	}
	both.Target, err = open(l.Target)
	return both, err
}

// ldap returns the adapter of a directory.
func (d *directories) ldap(c site.Directory) (*ldapdir.Store, error) {
	password, err := sealedPassword{store: c.Store, directory: true, sealed: c.SealedPassword}.open(d.keys)
	if err != nil {
		return nil, err
	}
	return ldapdir.New(ldapdir.Options{Name: c.Store, Address: c.Address, Security: c.Security, CAFile: c.CAFile,
		BindDN: c.BindDN, Password: password, Mapping: c.Mapping,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.dial(ctx, c.Store, network, address)
		}})
}

// dial connects to the directory of a store, and records the address. If that changes
// which links may write to directories, the connection is not used: what was checked
// before it has to be checked again.
func (d *directories) dial(ctx context.Context, store, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	changed, err := d.repo.DirectoryFound(ctx, store, site.ServerAddresses(conn.RemoteAddr().String(), nil))
	if err == nil && changed {
		err = fault.New(fault.Transient, "connect to the directory of store "+store+": its name leads to another server than before", nil,
			"Mailmirror checks again which directory may be written to, and tries again")
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// TryRights implements storecheck.Servers.
func (d *directories) TryRights(ctx context.Context, c site.Directory, columns []directory.Column, lease func(context.Context) (context.Context, error)) (verdict.Rights, error) {
	adapter, err := d.ldap(c)
	if err != nil {
		return verdict.Rights{}, err
	}
	return adapter.CheckRights(ctx, columns, lease)
}

// LookAtDirectory implements storecheck.Servers.
func (d *directories) LookAtDirectory(ctx context.Context, c site.Directory) (verdict.Directory, error) {
	adapter, err := d.ldap(c)
	if err != nil {
		return verdict.Directory{}, err
	}
	found, err := adapter.Check(ctx)
	r := found.Directory
	if r.Faults == nil {
		r.Faults = []string{}
	}
	if r.Advice == nil {
		r.Advice = []string{}
	}
	return r, err
}
