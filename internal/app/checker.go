package app

import (
	"context"

	"mailmirror/internal/control"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// checker looks at a store by its IMAP adapter.
type checker struct{ stores *stores }

// CheckStore implements control.Checker.
func (c *checker) CheckStore(ctx context.Context, s site.Store, number mailbox.Number) (control.StoreReport, error) {
	store, err := c.stores.imap(ctx, s)
	if err != nil {
		return control.StoreReport{}, err
	}
	found, err := store.Check(ctx, number)
	if err == nil {
		err = c.stores.foundServer(ctx, s, found.ServerID)
	}
	r := storeReport(s, found)
	if err != nil {
		return r, err
	}
	r.Events, r.EventsWhy, err = store.Offer(ctx, number)
	if err == nil && s.Events != site.ListenAuto {
		r.EventsWhy = "as configured; auto would take " + string(r.Events) + ": " + r.EventsWhy
		r.Events = s.Events
	}
	return r, err
}

func storeReport(s site.Store, found imapstore.CheckReport) control.StoreReport {
	r := control.StoreReport{
		Server: found.ServerName, Release: found.Release, Capabilities: found.Capabilities,
		Connect: found.Connect, LoginTime: found.LoginTime, RoundTrip: found.RoundTrip,
		Prefix: found.Prefix, Separator: found.Separator, Overview: found.Overview,
		Mailbox: found.Mailbox, Folders: len(found.Folders),
	}
	if found.TLS != nil {
		r.TLS, r.CertificateExpires = found.TLS.Version+", "+found.TLS.CipherSuite, found.TLS.Expires
	}
	for _, f := range found.Folders {
		if s.Greetings.Role(f.Name) == mailbox.RoleGreetings {
			r.Greetings += int64(f.Counters.Messages)
		} else {
			r.Messages += int64(f.Counters.Messages)
		}
	}
	for _, a := range found.Advice {
		r.Advice = append(r.Advice, control.Advice{Missing: a.Missing, Effect: a.Effect})
	}
	return r
}
