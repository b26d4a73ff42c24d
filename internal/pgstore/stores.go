package pgstore

import (
	"cmp"
	"context"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// AddStore implements control.Stores; the database sets the times.
func (s *Store) AddStore(ctx context.Context, store site.Store) error {
	op := "add store " + store.Name
	return s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := insertStore(ctx, q, op, store); err != nil {
			return err
		}
		return setAddresses(ctx, q, store)
	})
}

func insertStore(ctx context.Context, q *sqlcgen.Queries, op string, store site.Store) error {
	err := q.InsertStore(ctx, sqlcgen.InsertStoreParams(storeParams(store)))
	if violates(err, uniqueViolation, "") {
		return fault.New(fault.Conflict, op+": a store of this name exists", nil,
			"choose another name, or change the store with store edit")
	}
	return storeValues(op, err)
}

// UpdateStore implements control.Stores.
func (s *Store) UpdateStore(ctx context.Context, store site.Store) error {
	op := "change store " + store.Name
	return s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		return s.withoutNewConflicts(ctx, q, op, func() error {
			if err := updateStore(ctx, q, op, store); err != nil {
				return err
			}
			return setAddresses(ctx, q, store)
		})
	})
}

func updateStore(ctx context.Context, q *sqlcgen.Queries, op string, store site.Store) error {
	n, err := q.UpdateStore(ctx, storeParams(store))
	return storeValues(op, hits(n, err, unknownStore(store.Name)))
}

func storeParams(store site.Store) sqlcgen.UpdateStoreParams {
	return sqlcgen.UpdateStoreParams{
		Name: store.Name, ImapAddress: store.IMAPAddress, ImapSecurity: string(store.Security), CaFile: store.CAFile,
		Login: string(store.Login), Separator: store.Separator, TrustedName: store.TrustedName,
		SealedPassword: bytesOrEmpty(store.SealedPassword), Greetings: listOrEmpty(store.Greetings),
		MinimumRelease: store.MinimumRelease, MaxConnections: int64(store.MaxConnections),
		MaxSessions: int64(store.MaxSessions), MaxListings: int64(store.MaxListings), MaxLogins: int64(store.MaxLogins),
		Events: string(cmp.Or(store.Events, site.ListenAuto)), IdleLimit: int64(store.IdleLimit), PollEvery: store.PollEvery,
		ServerID: store.ServerID, LoginCase: string(cmp.Or(store.LoginCase, site.LoginFold)),
	}
}

// storeValues classifies a value that the schema does not know as the
// configuration's fault and not the data's.
func storeValues(op string, err error) error {
	if violates(err, checkViolation, "") {
		return fault.New(fault.Config, op+": unknown kind of security, login, login case or events", nil,
			"security is none, starttls or tls; login is authzid or separator; login case is fold or exact; events is auto, notify, idle or poll")
	}
	return classify(op, err)
}

// Store implements control.Stores.
func (s *Store) Store(ctx context.Context, name string) (site.Store, error) {
	op := "read store " + name
	row, err := s.q.GetStore(ctx, name)
	if err != nil {
		return site.Store{}, unlessMissing(op, err, unknownStore(name))
	}
	store := storeOf(row)
	store.Addresses, err = s.q.StoreAddresses(ctx, name)
	return store, classify(op, err)
}

// Stores implements control.Stores; they come by name.
func (s *Store) Stores(ctx context.Context) ([]site.Store, error) {
	op := "list stores"
	rows, err := s.q.ListStores(ctx)
	if err != nil {
		return nil, classify(op, err)
	}
	addresses, err := s.q.AllAddresses(ctx)
	if err != nil {
		return nil, classify(op, err)
	}
	of := map[string][]string{}
	for _, a := range addresses {
		of[a.Store] = append(of[a.Store], a.Address)
	}
	stores := make([]site.Store, len(rows))
	for i, row := range rows {
		stores[i] = storeOf(row)
		stores[i].Addresses = of[row.Name]
	}
	return stores, nil
}

// RemoveStore implements control.Stores.
func (s *Store) RemoveStore(ctx context.Context, name string) error {
	op := "remove store " + name
	err := s.inAuditedTx(ctx, func(q *sqlcgen.Queries) error {
		n, err := q.DeleteStore(ctx, name)
		return hits(n, err, unknownStore(name))
	})
	if violates(err, foreignKeyViolation, "") {
		links, err := s.q.LinksOfStore(ctx, name)
		if err != nil {
			return classify(op, err)
		}
		return fault.New(fault.Conflict, op+": in use by link "+strings.Join(links, ", "), nil, "remove the link first")
	}
	return classify(op, err)
}

// AddLink implements control.Links.
func (s *Store) AddLink(ctx context.Context, link site.Link) error {
	op := "add link " + link.Name
	return s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error { return insertLink(ctx, q, op, link) })
}

func insertLink(ctx context.Context, q *sqlcgen.Queries, op string, link site.Link) error {
	err := q.InsertLink(ctx, sqlcgen.InsertLinkParams{
		Name: link.Name, Source: link.Source, Target: link.Target, Exclude: listOrEmpty(link.Exclude),
		Bandwidth: int64(link.Bandwidth), BandwidthWindows: listOrEmpty(link.BandwidthWindows), BandwidthTimezone: link.BandwidthTimezone,
		Directory: string(link.Directory),
	})
	switch {
	case violates(err, uniqueViolation, ""):
		return fault.New(fault.Conflict, op+": a link of this name exists", nil, "choose another name")
	case violates(err, foreignKeyViolation, "links_source"):
		return unknownStore(link.Source)
	case violates(err, foreignKeyViolation, "links_target"):
		return unknownStore(link.Target)
	case violates(err, checkViolation, "links_two_stores"):
		return fault.New(fault.Config, op+": source and target are the same store", nil, "")
	}
	return classify(op, err)
}

// SetLinkDirectory implements control.Links.
func (s *Store) SetLinkDirectory(ctx context.Context, link string, d site.LinkDirectory) error {
	return s.inLinksTx(ctx, "set directory of link "+link, func(q *sqlcgen.Queries) error {
		n, err := q.SetLinkDirectory(ctx, sqlcgen.SetLinkDirectoryParams{Name: link, Directory: string(d)})
		return hits(n, err, unknownLink(link))
	})
}

// SetBandwidth implements control.Links.
func (s *Store) SetBandwidth(ctx context.Context, link site.Link) error {
	return s.inTx(ctx, "change bandwidth of link "+link.Name, func(q *sqlcgen.Queries) error {
		n, err := q.SetBandwidth(ctx, sqlcgen.SetBandwidthParams{
			Name: link.Name, Bandwidth: int64(link.Bandwidth), BandwidthWindows: listOrEmpty(link.BandwidthWindows),
			BandwidthTimezone: link.BandwidthTimezone,
		})
		return hits(n, err, unknownLink(link.Name))
	})
}

// Link implements control.Links.
func (s *Store) Link(ctx context.Context, name string) (site.Link, error) {
	row, err := s.q.GetLink(ctx, name)
	return linkOf(row), unlessMissing("read link "+name, err, unknownLink(name))
}

// Links implements control.Links; they come by name.
func (s *Store) Links(ctx context.Context) ([]site.Link, error) {
	rows, err := s.q.ListLinks(ctx)
	return listOf(rows, linkOf, "list links", err)
}

// RemoveLink implements control.Links.
func (s *Store) RemoveLink(ctx context.Context, name string) error {
	op := "remove link " + name
	return s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := refuseLive(ctx, q, op, sqlcgen.LiveLeasesParams{Link: name, EveryNumber: true}); err != nil {
			return err
		}
		n, err := q.DeleteLink(ctx, name)
		return hits(n, err, unknownLink(name))
	})
}

func storeOf(row sqlcgen.Store) site.Store {
	return site.Store{
		Name: row.Name, IMAPAddress: row.ImapAddress, Security: site.Security(row.ImapSecurity), CAFile: row.CaFile,
		Login: site.Login(row.Login), Separator: row.Separator, TrustedName: row.TrustedName,
		SealedPassword: row.SealedPassword, Greetings: orNil(row.Greetings), MinimumRelease: row.MinimumRelease,
		MaxConnections: int(row.MaxConnections), MaxSessions: int(row.MaxSessions), MaxListings: int(row.MaxListings), MaxLogins: int(row.MaxLogins),
		Events: site.ListenMode(row.Events), IdleLimit: int(row.IdleLimit), PollEvery: row.PollEvery,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, LoginsVersion: row.LoginsVersion,
		ServerID: row.ServerID, ReportedID: row.ReportedID, LoginCase: site.LoginCase(row.LoginCase),
	}
}

func linkOf(row sqlcgen.Link) site.Link {
	return site.Link{
		Name: row.Name, Source: row.Source, Target: row.Target, Exclude: orNil(row.Exclude), CreatedAt: row.CreatedAt,
		Bandwidth: quota.Rate(row.Bandwidth), BandwidthWindows: orNil(row.BandwidthWindows), BandwidthTimezone: row.BandwidthTimezone,
		Directory: site.LinkDirectory(row.Directory),
	}
}

// orNil gives back nil for a list that was stored empty.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// listOrEmpty and bytesOrEmpty keep nil out of columns that are never NULL.
func listOrEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func bytesOrEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func unknownStore(name string) error {
	return fault.New(fault.NotFound, "there is no store "+name, nil, "store list shows those that there are")
}

func unknownLink(name string) error {
	return fault.New(fault.NotFound, "there is no link "+name, nil, "link list shows those that there are")
}
