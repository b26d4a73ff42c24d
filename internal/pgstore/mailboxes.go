package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// AddMailboxes implements control.Mailboxes. A trigger decides who may write to whom.
func (s *Store) AddMailboxes(ctx context.Context, link string, list []mailbox.Number) (int, error) {
	return s.addMailboxes(ctx, link, list, false)
}

// ReverseMailboxes implements control.Mailboxes.
func (s *Store) ReverseMailboxes(ctx context.Context, link string, list []mailbox.Number) (int, error) {
	return s.addMailboxes(ctx, link, list, true)
}

func (s *Store) addMailboxes(ctx context.Context, link string, list []mailbox.Number, reverse bool) (int, error) {
	op := "add mailboxes to link " + link
	accounts := make([]string, len(list))
	for i, n := range list {
		accounts[i] = mailbox.FoldLogin(string(n))
	}
	var added int64
	err := s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		if _, err := q.GetLink(ctx, link); err != nil {
			return unlessMissing(op, err, unknownLink(link))
		}
		if reverse {
			if err := q.ForgetFormer(ctx, accounts); err != nil {
				return err
			}
		}
		var err error
		added, err = q.InsertMailboxes(ctx, sqlcgen.InsertMailboxesParams{Link: link, Numbers: strs(list), Accounts: accounts})
		return err
	})
	return int(added), err
}

// RemoveMailboxes implements control.Mailboxes.
func (s *Store) RemoveMailboxes(ctx context.Context, link string, list []mailbox.Number) (int, error) {
	op := "remove mailboxes from link " + link
	var removed int64
	err := s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := refuseLive(ctx, q, op, sqlcgen.LiveLeasesParams{Link: link, Numbers: strs(list)}); err != nil {
			return err
		}
		var err error
		removed, err = q.DeleteMailboxes(ctx, sqlcgen.DeleteMailboxesParams{Link: link, Numbers: strs(list)})
		return err
	})
	if err == nil && removed == 0 {
		return 0, s.requireLink(ctx, link)
	}
	return int(removed), err
}

// Mailbox implements control.Mailboxes.
func (s *Store) Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error) {
	row, err := s.q.GetMailbox(ctx, sqlcgen.GetMailboxParams{Link: key.Link, Number: string(key.Number)})
	if errors.Is(err, pgx.ErrNoRows) {
		return site.Mailbox{}, s.unknownMailbox(ctx, key)
	}
	return mailboxOf(row), classify("read mailbox "+string(key.Number), err)
}

// Mailboxes implements control.Mailboxes.
func (s *Store) Mailboxes(ctx context.Context, link string, after mailbox.Number, limit int) ([]site.Mailbox, error) {
	rows, err := s.q.ListMailboxes(ctx, sqlcgen.ListMailboxesParams{Link: link, After: string(after), MaxRows: int64(limit)})
	if err != nil {
		return nil, classify("list mailboxes of link "+link, err)
	}
	if len(rows) == 0 {
		return nil, s.requireLink(ctx, link)
	}
	return listOf(rows, mailboxOf, "", nil)
}

// MarkDirty implements control.Mailboxes.
func (s *Store) MarkDirty(ctx context.Context, key mailbox.Key) (int64, error) {
	var generation int64
	err := s.audited(ctx, func(q *sqlcgen.Queries) (err error) {
		generation, err = q.MarkDirty(ctx, sqlcgen.MarkDirtyParams{Link: key.Link, Number: string(key.Number)})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, s.unknownMailbox(ctx, key)
	}
	return generation, classify("mark mailbox "+string(key.Number)+" dirty", err)
}

// NumbersPage implements activities.ReviewRecords.
func (s *Store) NumbersPage(ctx context.Context, link string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	rows, err := s.q.NumbersPage(ctx, sqlcgen.NumbersPageParams{Link: link, After: string(after), MaxRows: int64(limit)})
	return numbers(rows), classify("list mailboxes of link "+link, err)
}

// PageEnd implements activities.CompareRecords.
func (s *Store) PageEnd(ctx context.Context, link string, after mailbox.Number, size, perDue int) (mailbox.Number, error) {
	last, err := s.q.PageEnd(ctx, sqlcgen.PageEndParams{Link: link, After: string(after), DueCost: int64(perDue), Budget: int64(size) * int64(perDue)})
	return mailbox.Number(last), classify("plan page of link "+link, err)
}

// CountMailboxes implements activities.Members.
func (s *Store) CountMailboxes(ctx context.Context, link string) (int, error) {
	n, err := s.q.CountMailboxes(ctx, link)
	return int(n), classify("count mailboxes of link "+link, err)
}

// compareSilence is how long a compare that is recorded as running may go
// without progress until it counts as dead. Only a mailbox of many gigabytes
// without a message confirmed takes longer.
const compareSilence = 10 * time.Minute

// DueMailboxes implements activities.DueRecords. New mailboxes that a running compare is
// about to copy are left to it. After an outage of a store, parked ones are due once the
// store works for another mailbox, or its settings are changed.
func (s *Store) DueMailboxes(ctx context.Context, limit int) ([]mailbox.Key, error) {
	rows, err := s.q.DueMailboxes(ctx, sqlcgen.DueMailboxesParams{MaxSilence: compareSilence, MaxRows: int64(limit)})
	return listOf(rows, func(row sqlcgen.DueMailboxesRow) mailbox.Key {
		return mailbox.Key{Link: row.Link, Number: mailbox.Number(row.Number)}
	}, "list due mailboxes", err)
}

func mailboxOf(row sqlcgen.Mailbox) site.Mailbox {
	m := site.Mailbox{
		Link: row.Link, Number: mailbox.Number(row.Number), State: site.MailboxState(row.State),
		DirtyGeneration: row.DirtyGeneration, CleanGeneration: row.CleanGeneration,
		LastEqualAt: orZero(row.LastEqualAt), LastReviewAt: orZero(row.LastReviewAt),
		Failures: int(row.Failures), ErrorKind: row.ErrorKind, Error: row.Error, Hint: row.Hint,
		ErrorAt: orZero(row.ErrorAt), Messages: int(row.Messages), Greetings: int(row.Greetings),
		Differences: int(row.Differences), Held: int(row.Held), CreatedAt: row.CreatedAt,
	}
	// A mailbox for which nothing is due has no next attempt, whatever the
	// column still holds of the last one.
	if row.DirtyGeneration > row.CleanGeneration {
		m.DirtySince, m.NextAttemptAt = orZero(row.DirtySince), row.NextAttemptAt
	}
	return m
}

// requireLink is the NotFound fault for a link that does not exist, or nil.
func (s *Store) requireLink(ctx context.Context, name string) error {
	_, err := s.Link(ctx, name)
	return err
}

// unknownMailbox says what of a key does not exist: the link or the mailbox.
func (s *Store) unknownMailbox(ctx context.Context, key mailbox.Key) error {
	if err := s.requireLink(ctx, key.Link); err != nil {
		return err
	}
	return fault.New(fault.NotFound, "link "+key.Link+" has no mailbox "+string(key.Number), nil,
		"mailbox list shows those that it has; mailbox add adds one")
}
