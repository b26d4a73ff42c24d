package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// TestBelievable: runs are believed exactly where they pair every message with
// one other, which a map of the pairs finds out for itself.
func TestBelievable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "runs")
		uid := rapid.Int64Range(-1, 20)
		stored := make([]storedRun, n)
		source := int64(0)
		for i := range stored {
			// Ascending, as the statement sorts them; sometimes overlapping.
			source = max(source+rapid.Int64Range(0, 5).Draw(t, "step"), -1)
			stored[i] = storedRun{source, uid.Draw(t, "target"), rapid.Int64Range(-1, 4).Draw(t, "length")}
		}
		want := true
		sources, targets := map[int64]bool{}, map[int64]bool{}
		for _, r := range stored {
			want = want && r.length > 0 && r.source > 0 && r.target > 0
			for i := range r.length {
				want = want && !sources[r.source+i] && !targets[r.target+i]
				sources[r.source+i], targets[r.target+i] = true, true
			}
		}
		runs, ok := believable(stored)
		if ok != want {
			t.Fatalf("believable(%v) = %v, want %v", stored, ok, want)
		}
		if ok && mailbox.NewUIDMap(runs).Len() != len(sources) {
			t.Fatalf("%v: a map of the runs %v has %d pairs, want %d", stored, runs, mailbox.NewUIDMap(runs).Len(), len(sources))
		}
	})
}

func TestBelievableBounds(t *testing.T) {
	t.Parallel()
	const last = 1<<32 - 1
	for name, c := range map[string]struct {
		run  storedRun
		want bool
	}{
		"the last uid":         {storedRun{last, last, 1}, true},
		"past the last source": {storedRun{last, 1, 2}, false},
		"past the last target": {storedRun{1, last, 2}, false},
		"the longest":          {storedRun{1, 1, maxPairs}, true},
		"too long":             {storedRun{1, 1, maxPairs + 1}, false},
		"overflow":             {storedRun{1<<63 - 1, 1<<63 - 1, 1<<63 - 1}, false},
	} {
		if _, ok := believable([]storedRun{c.run}); ok != c.want {
			t.Errorf("%s: %v, want %v", name, ok, c.want)
		}
	}
	if _, ok := believable([]storedRun{{1, 1, maxPairs}, {maxPairs + 1, maxPairs + 1, 1}}); ok {
		t.Error("too many pairs in all were believed")
	}
}

func TestWaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"a", "a"}, {"abc", "abc"}, {"aa", "a|a"}, {"abab", "ab|ab"}, {"abbca", "ab|bca"},
	} {
		var in []copier.FolderUpdate
		for _, name := range c.in {
			in = append(in, copier.FolderUpdate{Name: mailbox.FolderName(name)})
		}
		got := ""
		for i, wave := range waves(in) {
			if i > 0 {
				got += "|"
			}
			for _, f := range wave {
				got += string(f.Name)
			}
		}
		if got != c.want {
			t.Errorf("waves of %s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want fault.Kind
		hint bool
	}{
		{io.ErrUnexpectedEOF, fault.Transient, false},
		{context.Canceled, fault.Transient, false},
		{fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: "40001"}), fault.Transient, false},
		{&pgconn.PgError{Code: "40P01"}, fault.Transient, false},
		{&pgconn.PgError{Code: "57P01"}, fault.Transient, false},
		{&pgconn.PgError{Code: "53300"}, fault.Transient, false},
		{&pgconn.PgError{Code: "08006"}, fault.Transient, false},
		{&pgconn.PgError{Code: "25006"}, fault.Transient, true},
		{&pgconn.PgError{Code: uniqueViolation}, fault.Conflict, false},
		{&pgconn.PgError{Code: leaseLost}, fault.Conflict, false},
		{&pgconn.PgError{Code: foreignKeyViolation}, fault.NotFound, false},
		{&pgconn.PgError{Code: "28P01"}, fault.Config, true},
		{&pgconn.PgError{Code: "3D000"}, fault.Config, true},
		{&pgconn.PgError{Code: "42501"}, fault.Config, true},
		{&pgconn.PgError{Code: "42P01"}, fault.Config, true},
		{&pgconn.PgError{Code: "22021"}, fault.Permanent, false},
		{&pgconn.PgError{Code: checkViolation}, fault.Permanent, false},
		{fault.Newf(fault.Config, "said already"), fault.Config, false},
	} {
		got := classify("do it", c.err)
		if fault.KindOf(got) != c.want || (fault.HintOf(got) != "") != c.hint {
			t.Errorf("%v: kind %s, hint %q; want %s, hint %v", c.err, fault.KindOf(got), fault.HintOf(got), c.want, c.hint)
		}
	}
	if classify("do it", nil) != nil {
		t.Error("nil was classified")
	}
	if !errors.Is(classify("do it", context.Canceled), context.Canceled) {
		t.Error("a cancelled context can no longer be told")
	}
	secret := &pgconn.PgError{Code: uniqueViolation, Message: "duplicate key", Detail: "Key (name)=(swordfish) exists"}
	if diff := cmp.Diff("do it: database: duplicate key (SQLSTATE 23505)", classify("do it", secret).Error()); diff != "" {
		t.Error(diff)
	}
}

// TestQueue: only statements without an answer may be queued.
func TestQueue(t *testing.T) {
	t.Parallel()
	var b pgx.Batch
	q := queue{&b}
	if _, err := q.Exec(t.Context(), "SELECT 1"); err != nil || b.Len() != 1 {
		t.Errorf("%d queued, %v", b.Len(), err)
	}
	if rows, err := q.Query(t.Context(), "SELECT 1"); err == nil {
		rows.Close()
		t.Error("a query was queued")
	}
	if err := q.QueryRow(t.Context(), "SELECT 1").Scan(); err == nil {
		t.Error("a row was queued")
	}
}
