package app

import (
	"context"

	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/verdict"
)

// checker looks at a store and its directory by their adapters.
type checker struct {
	stores *stores
	*directories
}

var _ storecheck.Servers = checker{}

// Look implements storecheck.Servers.
func (c checker) Look(ctx context.Context, s site.Store, number mailbox.Number) (verdict.Store, error) {
	store, err := c.stores.imap(ctx, s)
	if err != nil {
		return verdict.Store{}, err
	}
	found, err := store.Check(ctx, number)
	if err == nil {
		err = c.stores.foundServer(ctx, s, found.ServerID)
	}
	r := storeReport(s, found)
	if err != nil {
		return r, err
	}
	mode, why, err := store.Offer(ctx, number)
	if err == nil && s.Events != site.ListenAuto {
		mode, why = s.Events, "as configured; auto would choose "+string(mode)+": "+why
	}
	r.Events, r.EventsWhy = mode, why
	return r, err
}

func storeReport(s site.Store, found imapstore.CheckReport) verdict.Store {
	r := found.Store
	r.Folders = len(found.Held)
	for _, f := range found.Held {
		if s.Greetings.Role(f.Name) == mailbox.RoleGreetings {
			r.Greetings += int64(f.Counters.Messages)
		} else {
			r.Messages += int64(f.Counters.Messages)
		}
	}
	return r
}
