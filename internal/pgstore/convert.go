package pgstore

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// plain makes a text that comes from elsewhere (a server's answer, an error)
// fit for a column: PostgreSQL refuses NUL and invalid UTF-8, and an error
// must never fail to be recorded because of its own wording.
func plain(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// orZero is the value of a nullable time; the zero time stands for NULL.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// strs and numbers convert between lists of text and of names.
func strs[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func numbers(in []string) []mailbox.Number {
	out := make([]mailbox.Number, len(in))
	for i, s := range in {
		out[i] = mailbox.Number(s)
	}
	return out
}

// listOf turns rows into a list, and classifies the error that came with them.
func listOf[R, T any](rows []R, of func(R) T, op string, err error) ([]T, error) {
	list := make([]T, len(rows))
	for i, row := range rows {
		list[i] = of(row)
	}
	return list, classify(op, err)
}

// unlessMissing is the error of a read of one row: missing if there is no such row.
func unlessMissing(op string, err, missing error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return missing
	}
	return classify(op, err)
}

// hits is the error of a change of one row: missing if it changed none.
func hits(n int64, err, missing error) error {
	if err == nil && n == 0 {
		return missing
	}
	return err
}

// workOf puts stored columns together.
func workOf(appended, bytes, flagsChanged, expunged int64) copier.Work {
	return copier.Work{Appended: int(appended), Bytes: bytes, FlagsChanged: int(flagsChanged), Expunged: int(expunged)}
}

// counters puts stored columns together. A mod-sequence is stored by its bits,
// so that all 64 of them survive in a signed column.
func counters(validity, uidNext, messages, modSeq int64) mailbox.Counters {
	return mailbox.Counters{
		UIDValidity: uint32(validity), UIDNext: mailbox.UID(uidNext), Messages: uint32(messages),
		HighestModSeq: uint64(modSeq),
	}
}
