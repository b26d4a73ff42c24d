//go:build integration

package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// TestDirectoryInBulk: what is asked of all changes of a run goes by all columns
// at once, though the server has no figures of the tables yet. By the kind alone
// every held change was compared with every other.
func TestDirectoryInBulk(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	source, target := paired(t, s)
	compared(t, s, "held", "operator", dirsync.DefaultSettings(), source[:1], target)
	hold(t, s, "held", directory.Remove)
	for name, statement := range map[string]string{"HeldOver": sqlcgen.HeldOver, "HeldSettled": sqlcgen.HeldSettled} {
		plan, err := pgstore.PlanInBulk(t.Context(), s, statement, link, "held")
		must(t, err)
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, "Hash Anti Join") || !strings.Contains(text, "(h.columns = c.columns))") || strings.Contains(text, "Join Filter") {
			t.Errorf("%s is planned as\n%s", name, text)
		}
	}
}

// BenchmarkDirectory is a run's work in the database over so many entries on
// both sides; its metrics are the parts, in milliseconds each. The first run
// finds all of them new to it, "changed" is one with 1 % changed, "shifted" one
// in which everybody has the number of the next.
func BenchmarkDirectory(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := mirrored(b)
			run := 0
			for b.Loop() {
				run++
				b.StopTimer()
				must(b, s.RemoveLink(b.Context(), link))
				must(b, s.AddLink(b.Context(), site.Link{Name: link, Source: "prod", Target: "dr"}))
				b.StartTimer()
				for _, kind := range []string{"first", "equal", "changed", "shifted", "removed"} {
					var parts [5]time.Duration
					timed := func(part int, fn func() error) {
						start := time.Now()
						must(b, fn())
						parts[part] += time.Since(start)
					}
					runID := fmt.Sprintf("%s %d", kind, run)
					ctx := b.Context()
					must(b, s.BeginDirectoryRun(ctx, runID, link, "operator"))
					target := n
					if kind == "first" {
						target = n / 2
					}
					source := n
					if kind == "removed" {
						source = n / 2
					}
					timed(0, func() error { return s.StageDirectory(ctx, runID, dirsync.SourceSide, many("s", source, kind)) })
					timed(0, func() error { return s.StageDirectory(ctx, runID, dirsync.TargetSide, many("t", target, "")) })
					var tally directory.Tally
					timed(1, func() (err error) {
						tally, err = s.CompareDirectory(ctx, runID, dirsync.DefaultSettings())
						return err
					})
					timed(2, func() (err error) {
						if kind == "removed" || kind == "shifted" {
							_, err = pgstore.HoldDirectoryChanges(ctx, s, runID, []directory.ChangeKind{directory.Remove, directory.Renumber}, []string{"many"})
						}
						return err
					})
					timed(3, func() error { return decideAll(ctx, s, guard.HoldApproved) })
					timed(4, func() error { return s.FinishDirectoryRun(ctx, runID, dirsync.Done, nil, "") })
					b.Logf("%d entries, %s: stage %v, compare %v, hold %v, approve %v, finish %v; %v", n, kind, parts[0].Round(time.Millisecond),
						parts[1].Round(time.Millisecond), parts[2].Round(time.Millisecond), parts[3].Round(time.Millisecond), parts[4].Round(time.Millisecond), tally.Kinds)
				}
			}
		})
	}
}

// decideAll decides on what waits.
func decideAll(ctx context.Context, s *pgstore.Store, decision guard.HoldState) error {
	holds, err := s.DirectoryHolds(ctx, link)
	var ids []int64
	for _, h := range holds {
		if h.State == guard.HoldWaiting {
			ids = append(ids, h.ID)
		}
	}
	if err == nil && len(ids) > 0 {
		_, err = s.DecideDirectoryHolds(ctx, ids, decision, "anna")
	}
	return err
}

// many yields n entries with sixteen columns each.
func many(side string, n int, kind string) func() (directory.Record, error) {
	return each(func() []directory.Record {
		records := make([]directory.Record, n)
		for i := range records {
			number := i
			if kind == "shifted" {
				number++
			}
			r := entry(side, fmt.Sprintf("%s-6ba7b810-9dad-11d1-80b4-%012d", side, i), fmt.Sprint(100_000+number), fmt.Sprintf("cn=Subscriber %d of many", i))
			for _, a := range directory.Attributes()[2:] {
				switch {
				case a.Nature == directory.Binary:
					r.Digests[a.Column] = fmt.Appendf(nil, "%032d", i)
				case a.Column != directory.CommonName:
					r.Texts[a.Column] = []string{fmt.Sprintf("%s %d", a.Column, i%1000)}
				}
			}
			r.Digests[directory.Password] = fmt.Appendf(nil, "%032d", i%5000)
			if kind == "changed" && i%100 == 0 {
				r.Texts[directory.Misc1] = []string{"changed"}
			}
			records[i] = r
		}
		return records
	}())
}
