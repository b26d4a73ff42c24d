package app

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// resolver implements control.Resolver by the system's own.
type resolver struct{}

// Resolve implements control.Resolver.
func (resolver) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// mostAddresses bounds the addresses that are recorded of one server. A name that
// leads to more of them in turn is known by the last ones.
const mostAddresses = 64

// server watches where the connections of one store lead to, and records it: a name
// may come to mean another server, which may be one that must not be written to.
type server struct {
	repo  *pgstore.Store
	store site.Store
	log   *slog.Logger

	mu        sync.Mutex
	addresses []string
	reportsID string
}

func newServer(repo *pgstore.Store, store site.Store, log *slog.Logger) *server {
	return &server{repo: repo, store: store, log: log, addresses: slices.Clone(store.Addresses), reportsID: store.ReportedID}
}

// dial connects, and records the address if it is a new one. If that makes two stores
// one server, or two servers of one, the connection is not used: what was checked
// before it is to be checked anew.
func (s *server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := s.connected(ctx, conn.RemoteAddr()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s *server) connected(ctx context.Context, remote net.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := slices.DeleteFunc(site.ServerAddresses(remote.String(), nil), func(a string) bool { return slices.Contains(s.addresses, a) })
	if len(news) == 0 {
		return nil
	}
	addresses := append(slices.Clone(s.addresses), news...)
	if len(addresses) > mostAddresses {
		addresses = addresses[len(addresses)-mostAddresses:]
	}
	return s.record(ctx, addresses, s.reportsID)
}

// reported records the id that the server reports about itself.
func (s *server) reported(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.reportsID {
		return nil
	}
	return s.record(ctx, s.addresses, id)
}

// record is called with the lock held.
func (s *server) record(ctx context.Context, addresses []string, id string) error {
	changed, err := s.repo.ServerFound(ctx, s.store.Name, addresses, id)
	switch {
	case fault.Is(err, fault.Transient):
		// Nobody gets a write lease without the database. What only listens goes on,
		// and the next connection tries again.
		s.log.WarnContext(ctx, "server of store not recorded", "store", s.store.Name, "error", err)
		return nil
	case err != nil:
		return err
	}
	s.addresses, s.reportsID = addresses, id
	if changed {
		s.log.WarnContext(ctx, "another store is the same server now, or no longer", "store", s.store.Name)
		return fault.New(fault.Transient, "connect to store "+s.store.Name+": its name leads to another server than before", nil,
			"Mailmirror checks again who may write to whom, and tries again")
	}
	return nil
}

// foundServer records where the server of a store is now, and what it reports.
func (s *stores) foundServer(ctx context.Context, c site.Store, reported string) error {
	host, _, err := net.SplitHostPort(c.IMAPAddress)
	if err != nil {
		return err
	}
	found, err := (resolver{}).Resolve(ctx, host)
	if err != nil {
		// What is known of it stays.
		_, err = s.repo.ServerFound(ctx, c.Name, nil, reported)
		return err
	}
	_, err = s.repo.ServerFound(ctx, c.Name, site.ServerAddresses(c.IMAPAddress, found), reported)
	return err
}

// foundDirectory records where the directory of a store is now; a store may have none.
// If the host does not resolve, what is known of it stays.
func (s *stores) foundDirectory(ctx context.Context, store string) error {
	d, has, err := s.repo.DirectoryStore(ctx, store)
	if err != nil || !has {
		return err
	}
	host, _, err := net.SplitHostPort(d.Address)
	if err != nil {
		return err
	}
	found, err := (resolver{}).Resolve(ctx, host)
	if err != nil {
		return nil //nolint:nilerr // a connection finds it
	}
	_, err = s.repo.DirectoryFound(ctx, store, site.ServerAddresses(d.Address, found))
	return err
}

// findServers looks for the servers of every store and of its directory, by names alone.
// What cannot be found out now stays as it is recorded.
func (s *stores) findServers(ctx context.Context) {
	all, err := s.repo.Stores(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "servers of stores not looked for", "error", err)
		return
	}
	var each sync.WaitGroup
	for _, c := range all {
		each.Go(func() {
			if err := s.foundServer(ctx, c, c.ReportedID); err != nil {
				s.log.WarnContext(ctx, "server of store not looked for", "store", c.Name, "error", err)
			}
			if err := s.foundDirectory(ctx, c.Name); err != nil {
				s.log.WarnContext(ctx, "directory server of store not looked for", "store", c.Name, "error", err)
			}
		})
	}
	each.Wait()
}
