package pgstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// monthsAhead is how many months of history have their partition before they
// begin: so long may nobody be there to make one.
const monthsAhead = 3

// lockWait bounds how long a step waits for the lock of history, and with it
// those that come after it to record something.
const lockWait = "5s"

// Retain implements activities.Keeper. Each step is a transaction of its own and
// does nothing where it was done before: it may end after any of them. A step, or
// a month, that fails keeps no other from its turn.
func (s *Store) Retain(ctx context.Context, now time.Time, keep site.Retention) (site.Retained, error) {
	var done site.Retained
	var failed []error
	for _, step := range []func(context.Context, time.Time, site.Retention, *site.Retained) error{
		s.makeMonths, s.archiveMonths, s.dropMonths, s.dropCompares,
	} {
		if ctx.Err() == nil {
			failed = append(failed, step(ctx, now, keep, &done))
		}
	}
	return done, errors.Join(append(failed, ctx.Err())...)
}

func (s *Store) makeMonths(ctx context.Context, now time.Time, _ site.Retention, done *site.Retained) error {
	const op = "make partitions of history"
	months, err := s.q.HistoryRestMonths(ctx)
	if err != nil {
		return classify(op, err)
	}
	var failed []error
	for i := range monthsAhead + 1 {
		months = append(months, monthOf(now).AddDate(0, i, 0))
	}
	for _, month := range months {
		err := s.changeHistory(ctx, op, func(q *sqlcgen.Queries, _ pgx.Tx) error {
			made, err := q.MakeHistoryMonth(ctx, month)
			if made {
				done.Made++
			}
			return err
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// archiveMonths moves the months to the archive of which all is older than what
// stays live.
func (s *Store) archiveMonths(ctx context.Context, now time.Time, keep site.Retention, done *site.Retained) error {
	return s.eachOldMonth(ctx, "move history to the archive", "history", now.Add(-keep.History), func(tx pgx.Tx, live partition) error {
		done.Archived++
		return archiveMonth(ctx, tx, live, partition{"history_archive", live.month})
	})
}

// archiveMonth moves the partition itself, unless the archive has one of that
// month, as when rows of a month came late: then its rows.
func archiveMonth(ctx context.Context, tx pgx.Tx, live, archive partition) error {
	statements := []string{
		"ALTER TABLE history DETACH PARTITION " + live.name(),
		"ALTER TABLE " + live.name() + " RENAME TO " + archive.name(),
		"ALTER TABLE history_archive ATTACH PARTITION " + archive.name() + archive.bounds(),
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", archive.name()).Scan(&there); err != nil {
		return err
	}
	if there {
		statements = []string{
			"ALTER TABLE history DETACH PARTITION " + live.name(),
			"INSERT INTO history_archive SELECT * FROM " + live.name() + " ON CONFLICT DO NOTHING",
			"DROP TABLE " + live.name(),
		}
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// dropMonths drops the months of the archive of which all is older than what is
// kept there.
func (s *Store) dropMonths(ctx context.Context, now time.Time, keep site.Retention, done *site.Retained) error {
	return s.eachOldMonth(ctx, "drop old history", "history_archive", now.Add(-keep.Archive), func(tx pgx.Tx, old partition) error {
		_, err := tx.Exec(ctx, "DROP TABLE "+old.name())
		done.Dropped++
		return err
	})
}

// eachOldMonth does something to each partition of a table that ends before a time. One
// for which that fails keeps no other from its turn.
func (s *Store) eachOldMonth(ctx context.Context, op, parent string, before time.Time, do func(pgx.Tx, partition) error) error {
	months, err := s.months(ctx, parent)
	if err != nil {
		return classify(op, err)
	}
	var failed []error
	for _, month := range months {
		if !month.AddDate(0, 1, 0).After(before) {
			failed = append(failed, s.changeHistory(ctx, op, func(_ *sqlcgen.Queries, tx pgx.Tx) error { return do(tx, partition{parent, month}) }))
		}
	}
	return errors.Join(failed...)
}

func (s *Store) dropCompares(ctx context.Context, now time.Time, keep site.Retention, done *site.Retained) error {
	before := now.Add(-keep.History)
	n, err := s.q.DropOldCompares(ctx, before)
	if err == nil {
		done.Compares = int(n)
		_, err = s.q.DropOldVerifies(ctx, before)
	}
	if err == nil {
		_, err = s.q.DropOldChecks(ctx, before)
	}
	if err == nil {
		_, err = s.q.DropStaleShares(ctx, now.Add(-24*time.Hour))
	}
	return classify("drop old compares, verifications and checks", err)
}

// changeHistory runs a step in a transaction that does not wait long for its
// locks: meanwhile nobody could record anything.
func (s *Store) changeHistory(ctx context.Context, op string, step func(*sqlcgen.Queries, pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockWait+"'"); err != nil {
			return err
		}
		return step(s.q.WithTx(tx), tx)
	})
	return classify(op, err)
}

// partition is one month of history or of its archive.
type partition struct {
	parent string
	month  time.Time // its first moment, UTC
}

// monthForm is how a month stands in a partition's name.
const monthForm = "200601"

func (p partition) name() string { return p.parent + "_" + p.month.Format(monthForm) }

func (p partition) bounds() string {
	const form = "2006-01-02 15:04:05Z07:00"
	return " FOR VALUES FROM ('" + p.month.Format(form) + "') TO ('" + p.month.AddDate(0, 1, 0).Format(form) + "')"
}

// partitionsOf is not among the queries since sqlc does not know the catalog.
const partitionsOf = `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1)`

// months lists the months of which a table has a partition, the oldest first.
func (s *Store) months(ctx context.Context, parent string) ([]time.Time, error) {
	rows, err := s.pool.Query(ctx, partitionsOf, parent)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var months []time.Time
	for _, name := range names {
		if month, err := time.Parse(monthForm, strings.TrimPrefix(name, parent+"_")); err == nil {
			months = append(months, month)
		}
	}
	slices.SortFunc(months, time.Time.Compare)
	return months, err
}

// monthOf is the first moment of the month, in UTC, that t lies in.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
