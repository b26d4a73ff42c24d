package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// setAddresses makes the recorded addresses of a store those that it has; nil leaves
// what is recorded as it is.
func setAddresses(ctx context.Context, q *sqlcgen.Queries, store site.Store) error {
	if store.Addresses == nil {
		return nil
	}
	if _, err := q.DropAddresses(ctx, sqlcgen.DropAddressesParams{Store: store.Name, Addresses: store.Addresses}); err != nil {
		return err
	}
	_, err := q.AddAddresses(ctx, sqlcgen.AddAddressesParams{Store: store.Name, Addresses: store.Addresses})
	return err
}

// ServerFound records at which addresses the server of a store was found, and what id
// it reports about itself ("" for none). It returns whether that made another store
// the same server, or no longer the same. Nothing is rejected here: a mailbox that
// must no longer be written to gets no lease.
func (s *Store) ServerFound(ctx context.Context, store string, addresses []string, reported string) (changed bool, err error) {
	op := "record the server of store " + store
	err = s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		before, err := q.ServersOfStores(ctx)
		if err != nil {
			return err
		}
		err = setAddresses(ctx, q, site.Store{Name: store, Addresses: addresses})
		if violates(err, foreignKeyViolation, "") {
			return unknownStore(store)
		}
		if err != nil {
			return err
		}
		if err := q.ReportServer(ctx, sqlcgen.ReportServerParams{Name: store, ReportedID: reported}); err != nil {
			return err
		}
		after, err := q.ServersOfStores(ctx)
		changed = !slices.Equal(before, after)
		return err
	})
	return changed, err
}

// withoutNewConflicts carries out a change of a store and fails if a link or a mailbox
// that was right before is not afterwards. What was wrong before may stay wrong: a
// change may be one of several that correct it.
func (s *Store) withoutNewConflicts(ctx context.Context, q *sqlcgen.Queries, op string, change func() error) error {
	servers, err := q.ServersOfStores(ctx)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	changed, err := q.ServersOfStores(ctx)
	if err != nil || slices.Equal(servers, changed) {
		return err
	}
	return s.rejectNewConflicts(ctx, q, op)
}

// rejectNewConflicts fails if the changes of q's transaction made a link or a mailbox
// wrong that was right before.
func (s *Store) rejectNewConflicts(ctx context.Context, q *sqlcgen.Queries, op string) error {
	// Another connection does not see the change.
	before, err := conflicts(ctx, s.q)
	if err != nil {
		return err
	}
	after, err := conflicts(ctx, q)
	if err != nil {
		return err
	}
	var list []string
	hint := circleHint
	for _, c := range after {
		if !slices.ContainsFunc(before, func(b conflict) bool { return b.key == c.key && b.directory == c.directory }) {
			list = append(list, c.text)
			if !c.directory {
				hint = "nothing was changed; " + serverHint
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	const few = 5
	if len(list) > few {
		list = append(list[:few], fmt.Sprintf("and %d more", len(list)-few))
	}
	return fault.New(fault.Conflict, op, errors.New(strings.Join(list, "\n")), hint)
}

type conflict struct {
	key       mailbox.Key // without a number for the link itself
	directory bool        // of the link
	text      string
}

func conflicts(ctx context.Context, q *sqlcgen.Queries) ([]conflict, error) {
	links, err := q.LinkConflicts(ctx)
	if err != nil {
		return nil, err
	}
	var list []conflict
	for _, l := range links {
		list = append(list, conflict{mailbox.Key{Link: l.Name}, false, "link " + l.Name + ": " + l.Conflict})
	}
	directories, err := q.DirectoryConflicts(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range directories {
		list = append(list, conflict{mailbox.Key{Link: d.Name}, true, "link " + d.Name + ": " + d.Conflict})
	}
	if len(links) > 0 {
		// The link says it for all of its mailboxes.
		return list, nil
	}
	mailboxes, err := q.WriterConflicts(ctx)
	for _, m := range mailboxes {
		list = append(list, conflict{mailbox.Key{Link: m.Link, Number: mailbox.Number(m.Number)}, false, "link " + m.Link + ": " + m.Conflict})
	}
	return list, err
}

// ClaimAccounts records the ids of the accounts that a sync opened on both stores, ""
// for one that the server does not tell. Where the target's account must not be
// written to, since another mailbox writes to it or it is the source's own, nothing is
// recorded and the error is a Config fault that names the other.
func (s *Store) ClaimAccounts(ctx context.Context, key mailbox.Key, source, target string) error {
	if source == "" && target == "" {
		return nil
	}
	_, err := s.q.ClaimAccounts(ctx, sqlcgen.ClaimAccountsParams{
		Link: key.Link, Number: string(key.Number), Source: plain(source), Target: plain(target),
	})
	return classify("write to mailbox "+string(key.Number), err)
}
