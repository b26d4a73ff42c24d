package pgstore

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/audit"
	"mailmirror/internal/pgstore/sqlcgen"
)

// Record implements control.AuditLog. The time is the database's.
func (s *Store) Record(ctx context.Context, e *audit.Entry) (err error) {
	e.ID, err = insertAudit(ctx, s.q, e)
	return classify("record "+e.Command, err)
}

// brief bounds a text, in bytes. A command that is denied is recorded before anybody looked
// at its arguments.
func brief(text string) string {
	const most = 1000
	if len(text) > most {
		text = text[:most] + "…" // plain replaces a character that is split
	}
	return plain(text)
}

func insertAudit(ctx context.Context, q *sqlcgen.Queries, e *audit.Entry) (int64, error) {
	return q.InsertAudit(ctx, sqlcgen.InsertAuditParams{Actor: brief(e.Actor), Way: string(e.Way), Command: e.Command, Link: brief(e.Link),
		Store: brief(e.Store), Subject: brief(e.Subject), Detail: brief(e.Detail), Outcome: string(cmp.Or(e.Outcome, audit.Done))})
}

// inAuditedTx runs fn in a transaction, and in it writes the row of the command that ctx
// belongs to: after fn, and unless an earlier change of the command wrote it.
func (s *Store) inAuditedTx(ctx context.Context, fn func(*sqlcgen.Queries) error) error {
	e := audit.From(ctx)
	var id int64
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		q := s.q.WithTx(tx)
		if err = fn(q); err == nil && e != nil && e.ID == 0 {
			id, err = insertAudit(ctx, q, e)
		}
		return err
	})
	if err == nil && id != 0 {
		e.ID = id
	}
	return err
}

// audited is inAuditedTx for a change that is one statement: without a command it needs
// no transaction. Its error is not classified.
func (s *Store) audited(ctx context.Context, statement func(*sqlcgen.Queries) error) error {
	if audit.From(ctx) == nil {
		return statement(s.q)
	}
	return s.inAuditedTx(ctx, statement)
}

// SetOutcome implements control.AuditLog.
func (s *Store) SetOutcome(ctx context.Context, id int64, o audit.Outcome) error {
	return classify("record how a command ended", s.q.SetAuditOutcome(ctx, sqlcgen.SetAuditOutcomeParams{ID: id, Outcome: string(o)}))
}

// Audit implements control.AuditLog.
func (s *Store) Audit(ctx context.Context, link string, limit int) ([]audit.Entry, error) {
	rows, err := s.q.ListAudit(ctx, sqlcgen.ListAuditParams{ForLink: link, MaxRows: int64(limit)})
	return listOf(rows, func(row sqlcgen.Audit) audit.Entry {
		return audit.Entry{ID: row.ID, At: row.At, Actor: row.Actor, Way: audit.Way(row.Way), Command: row.Command, Link: row.Link,
			Store: row.Store, Subject: row.Subject, Detail: row.Detail, Outcome: audit.Outcome(row.Outcome)}
	}, "list what actors changed", err)
}
