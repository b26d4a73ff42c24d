package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/pgstore/sqlcgen"
)

// StageDirectory implements dirsync.RunRecords.
func (s *Store) StageDirectory(ctx context.Context, runID string, side dirsync.Side, next func() (directory.Record, error)) error {
	op := "stage directory of the " + string(side)
	var broken error
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, inBulk); err != nil {
			return err
		}
		q := s.q.WithTx(tx)
		run, err := q.GetDirectoryRun(ctx, runID)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return unknownRun("directory run", runID)
		case err != nil:
			return err
		case run.State != string(dirsync.Running):
			return ended(runID)
		}
		if err := q.DropStagedSide(ctx, sqlcgen.DropStagedSideParams{RunID: runID, Side: string(side)}); err != nil {
			return err
		}
		columns, protected := columnsOf(run), directory.ProtectedNumbers(run.Protected)
		var n int64
		source := pgx.CopyFromFunc(func() ([]any, error) {
			r, err := next()
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if err != nil {
				broken = err
				return nil, err
			}
			n++
			number := plain(r.Number)
			return []any{runID, string(side), n, plain(r.ID), []byte(r.DN), plain(r.Version), number, r.Protected || protected.Has(number), cells(r, columns), stagedLogin(r.Login)}, nil
		})
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"directory_staged"},
			[]string{"run_id", "side", "n", "id", "dn", "version", "number", "protected", "cells", "login"}, source)
		if broken != nil {
			return broken
		}
		if err != nil {
			return err
		}
		if err := q.DropSeenTwice(ctx, sqlcgen.DropSeenTwiceParams{RunID: runID, Side: string(side)}); err != nil {
			return err
		}
		// Whoever ended the run meanwhile has dropped what was staged before.
		_, err = running(ctx, q, runID)
		return err
	})
	if broken != nil {
		return broken
	}
	return classify(op, err)
}

// columnsOf says of each of directory.Attributes whether a run compares it.
func columnsOf(run sqlcgen.DirectoryRun) []bool {
	attributes := directory.Attributes()
	out := make([]bool, len(attributes))
	for i, a := range attributes {
		out[i] = slices.Contains(run.Columns, string(a.Column))
	}
	return out
}

// columnNames are those of directory.Attributes, in their order.
func columnNames() []string {
	attributes := directory.Attributes()
	names := make([]string, len(attributes))
	for i, a := range attributes {
		names[i] = string(a.Column)
	}
	return names
}

// cells gives each column of a record in a form that is equal where the values
// are, nil where it has none or is not to be compared. A record that could not be read
// has no cells.
func cells(r directory.Record, columns []bool) [][]byte {
	attributes := directory.Attributes()
	out := make([][]byte, len(attributes))
	if r.Unread {
		return out[:0]
	}
	for i, a := range attributes {
		if !columns[i] {
			continue
		}
		if a.Nature == directory.Text {
			out[i] = textCell(r.Texts[a.Column])
		} else if digest := r.Digests[a.Column]; len(digest) > 0 {
			out[i] = append([]byte{digestCell}, digest...)
		}
		if tags := r.Tags[a.Column]; len(tags) > 0 {
			sum := sha256.Sum256(slices.Concat(tags, out[i]))
			out[i] = append([]byte{taggedCell}, sum[:]...)
		}
	}
	return out
}

// The first byte of a cell.
const (
	wholeCell  = 't' // the values, each behind its length
	hashedCell = 'h' // the SHA-256 of that
	digestCell = 'd' // a digest that the record had
	taggedCell = 'o' // the SHA-256 of the values with options, and of the cell without them
)

// maxWhole is how long a cell may be that is kept whole.
const maxWhole = 40

// textCell is the cell of a set of values; nil where there is none.
func textCell(values []string) []byte {
	if len(values) == 0 {
		return nil
	}
	if !slices.IsSorted(values) {
		values = slices.Sorted(slices.Values(values))
	}
	cell := []byte{wholeCell}
	for i, v := range values {
		if i > 0 && v == values[i-1] {
			continue // a set
		}
		cell = binary.AppendUvarint(cell, uint64(len(v)))
		cell = append(cell, v...)
	}
	if len(cell) <= maxWhole {
		return cell
	}
	sum := sha256.Sum256(cell)
	return append([]byte{hashedCell}, sum[:]...)
}
