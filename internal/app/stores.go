package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/quota"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// stores makes IMAP adapters of the stores that the database holds. An adapter
// is kept as long as its configuration is the same, since it remembers what it
// learned about its server.
type stores struct {
	repo   *pgstore.Store
	keys   *seal.Ring
	shares *shares
	log    *slog.Logger

	memory *imapstore.Memory

	mu     sync.Mutex
	open   map[string]openStore
	logins map[string]*logins
}

type openStore struct {
	updated time.Time
	store   *imapstore.Store
}

func newStores(repo *pgstore.Store, keys *seal.Ring, shares *shares, log *slog.Logger) *stores {
	return &stores{repo: repo, keys: keys, shares: shares, log: log, memory: imapstore.NewMemory(), open: map[string]openStore{}, logins: map[string]*logins{}}
}

// Stores implements activities.Links.
func (s *stores) Stores(ctx context.Context, link string) (activities.LinkStores, error) {
	l, err := s.repo.Link(ctx, link)
	if err != nil {
		return activities.LinkStores{}, err
	}
	source, err := s.repo.Store(ctx, l.Source)
	if err != nil {
		return activities.LinkStores{}, err
	}
	target, err := s.repo.Store(ctx, l.Target)
	if err != nil {
		return activities.LinkStores{}, err
	}
	g, err := s.repo.GuardSettings(ctx, link)
	if err != nil {
		return activities.LinkStores{}, err
	}
	from, err := s.imap(ctx, source)
	if err != nil {
		return activities.LinkStores{}, err
	}
	to, err := s.imap(ctx, target)
	if err != nil {
		return activities.LinkStores{}, err
	}
	pace, err := s.shares.pace(l)
	if err != nil {
		return activities.LinkStores{}, err
	}
	return activities.LinkStores{Source: from, Target: to, Exclude: l.Exclude, Greetings: source.Greetings,
		Claim:         s.repo.ClaimAccounts,
		Admit:         s.shares.admit(quota.Sessions, source, target),
		AdmitListener: s.shares.admitListener(quota.Listeners, source), AdmitTrunk: s.shares.admitListener(quota.Trunks, source),
		Pace: pace, Limits: g.Limits, Keep: copier.Keep{For: g.KeepDeleted, Folder: g.DeletedFolder}}, nil
}

// imap returns the adapter of a store as it is configured now, with the log-ins of
// its mailboxes as they are now.
func (s *stores) imap(ctx context.Context, c site.Store) (*imapstore.Store, error) {
	logins := s.loginsOf(c.Name)
	if err := logins.refresh(ctx, c.LoginsVersion); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.open[c.Name]; ok && o.updated.Equal(c.UpdatedAt) {
		return o.store, nil
	}
	source, err := s.repo.IsSource(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	password, err := sealedPassword{store: c.Name, sealed: c.SealedPassword}.open(s.keys)
	if err != nil {
		return nil, err
	}
	server := newServer(s.repo, c, s.log)
	store, err := imapstore.New(imapstore.Options{
		Name: c.Name, Address: c.IMAPAddress,
		Security: c.Security, CAFile: c.CAFile,
		Login: c.Login, Separator: c.Separator,
		TrustedName: c.TrustedName, Password: password, Logins: logins, Logger: s.log, Gate: newGate(s.shares, c, source), Memory: s.memory,
		Dial: server.dial, Reported: server.reported,
	})
	if err != nil {
		return nil, err
	}
	s.open[c.Name] = openStore{updated: c.UpdatedAt, store: store}
	return store, nil
}

// loginsOf are those of a store, the same for every adapter that is made for it.
func (s *stores) loginsOf(store string) *logins {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logins[store] == nil {
		s.logins[store] = &logins{repo: s.repo, store: store}
	}
	return s.logins[store]
}
