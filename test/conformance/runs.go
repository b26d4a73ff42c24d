package conformance

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// DirectoryRecords are the records of the runs over the directories of prod-dr, whose
// stores both have one. There were no runs, and no mailbox takes part.
type DirectoryRecords struct {
	Runs    dirsync.RunRecords
	Changes dirsync.ChangeRecords
	Members dirsync.MemberRecords
	Leases  lease.Taker
}

// RunDirectories runs the part of the suite that is about runs over directories. open
// returns records that are empty.
func RunDirectories(t *testing.T, open func(t *testing.T) DirectoryRecords) {
	t.Helper()
	for name, test := range map[string]func(*runs){
		"life": (*runs).life, "staged": (*runs).staged, "changes": (*runs).changes, "what fails": (*runs).failing, "holds": (*runs).holds,
		"members": (*runs).members, "extracts": (*runs).extracts, "lease": (*runs).lease,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&runs{T: t, DirectoryRecords: open(t)})
		})
	}
}

type runs struct {
	*testing.T
	DirectoryRecords
}

func (r *runs) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *runs) fails(what string, err error, kind fault.Kind) {
	r.Helper()
	if !fault.Is(err, kind) {
		r.Errorf("%s: error %v, want one of kind %s", what, err, kind)
	}
}

// entries are those of numbers: on each side an entry has an id of its own. The name is
// what differs where it does.
func entries(side dirsync.Side, name string, numbers ...string) []directory.Record {
	var all []directory.Record
	for _, n := range numbers {
		all = append(all, directory.Record{Ref: directory.Ref{ID: string(side) + n, DN: "cn=" + n + ",o=" + string(side), Version: "1"}, Number: n,
			Texts: map[directory.Column][]string{directory.MailboxNumber: {n}, directory.CommonName: {name}}})
	}
	return all
}

func each(records []directory.Record, last error) func() (directory.Record, error) {
	return func() (directory.Record, error) {
		if len(records) == 0 {
			return directory.Record{}, last
		}
		record := records[0]
		records = records[1:]
		return record, nil
	}
}

// compare begins a run and compares the sides.
func (r *runs) compare(runID, trigger string, source, target []directory.Record) directory.Tally {
	r.Helper()
	ctx := r.Context()
	r.must(r.Runs.BeginDirectoryRun(ctx, runID, link, trigger))
	r.must(r.Runs.StageDirectory(ctx, runID, dirsync.SourceSide, each(source, io.EOF)))
	r.must(r.Runs.StageDirectory(ctx, runID, dirsync.TargetSide, each(target, io.EOF)))
	r.must(r.Runs.SaveExtracts(ctx, runID, directory.Extracted{Entries: len(source)}, directory.Extracted{Entries: len(target)}))
	tally, err := r.Runs.CompareDirectory(ctx, runID, dirsync.DefaultSettings())
	r.must(err)
	return tally
}

// save records what became of changes, under a lease. What lost its lease records nothing.
func (r *runs) save(runID string, changes []dirsync.Change) {
	r.Helper()
	ctx := r.Context()
	held, err := r.Leases.TakeLease(ctx, lease.OfDirectory(link), lease.Times{}.WithDefaults())
	r.must(err)
	r.must(r.Changes.SaveDirectoryChanges(ctx, held, runID, changes))
	r.must(r.Leases.Release(ctx, held, true))
	r.fails("changes under a lease that is over", r.Changes.SaveDirectoryChanges(ctx, held, runID, changes), fault.Conflict)
}

func (r *runs) finish(runID string) {
	r.Helper()
	r.must(r.Runs.FinishDirectoryRun(r.Context(), runID, dirsync.Done, nil, ""))
}

func (r *runs) list(runID string, states ...dirsync.ChangeState) []dirsync.Change {
	r.Helper()
	list, err := r.Changes.DirectoryChanges(r.Context(), runID, 0, 1000, states...)
	r.must(err)
	return list
}

// want checks the changes of a run, each as "kind number state".
func (r *runs) want(runID string, want ...string) {
	r.Helper()
	var got []string
	for _, c := range r.list(runID) {
		got = append(got, fmt.Sprintf("%s %s %s", c.Kind, c.Number, c.State))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.Errorf("the changes of %s are %q, want %q", runID, got, want)
	}
}

// paired has these numbers be the same on both sides, in a run that ends.
func (r *runs) paired(numbers ...string) {
	r.Helper()
	r.compare("paired", dirsync.TriggerOperator, entries(dirsync.SourceSide, "a", numbers...), entries(dirsync.TargetSide, "a", numbers...))
	r.want("paired")
	r.finish("paired")
}

func (r *runs) life() {
	ctx := r.Context()
	_, err := r.Runs.DirectoryRun(ctx, "none")
	r.fails("a run that is not recorded", err, fault.NotFound)
	r.fails("the end of one", r.Runs.FinishDirectoryRun(ctx, "none", dirsync.Done, nil, ""), fault.NotFound)
	for range 2 {
		r.must(r.Runs.BeginDirectoryRun(ctx, "run-1", link, dirsync.TriggerOperator))
	}
	r.must(r.Runs.SaveDirectoryPhase(ctx, "run-1", "extract"))
	run, err := r.Runs.DirectoryRun(ctx, "run-1")
	if err != nil || run.State != dirsync.Running || run.Link != link || run.Trigger != dirsync.TriggerOperator || run.Phase != "extract" || run.StartedAt.IsZero() {
		r.Errorf("the run is %+v, %v", run, err)
	}
	// One of the link that is recorded as running still was broken off.
	r.must(r.Runs.BeginDirectoryRun(ctx, "run-2", link, dirsync.TriggerOperator))
	if broken, err := r.Runs.DirectoryRun(ctx, "run-1"); err != nil || broken.State != dirsync.Failed || broken.FinishedAt.IsZero() {
		r.Errorf("the run before is %+v, %v", broken, err)
	}
	r.must(r.Runs.FinishDirectoryRun(ctx, "run-2", dirsync.Held, []string{"too many"}, "look"))
	r.must(r.Runs.FinishDirectoryRun(ctx, "run-2", dirsync.Done, nil, "")) // the first end counts
	run, err = r.Runs.DirectoryRun(ctx, "run-2")
	if err != nil || run.State != dirsync.Held || !slices.Equal(run.Reasons, []string{"too many"}) || run.Hint != "look" || run.FinishedAt.IsZero() {
		r.Errorf("the run is %+v, %v", run, err)
	}
	held, err := r.Leases.TakeLease(ctx, lease.OfDirectory(link), lease.Times{}.WithDefaults())
	r.must(err)
	for what, err := range map[string]error{
		"a phase":       r.Runs.SaveDirectoryPhase(ctx, "run-2", "apply"),
		"staged":        r.Runs.StageDirectory(ctx, "run-2", dirsync.SourceSide, each(nil, io.EOF)),
		"a compare":     second(r.Runs.CompareDirectory(ctx, "run-2", dirsync.DefaultSettings())),
		"saved changes": r.Changes.SaveDirectoryChanges(ctx, held, "run-2", []dirsync.Change{{Seq: 1, State: dirsync.ChangeDone}}),
	} {
		r.fails(what+" of a run that has ended", err, fault.Conflict)
	}
}

func second[T any](_ T, err error) error { return err }

func (r *runs) staged() {
	ctx := r.Context()
	r.must(r.Runs.BeginDirectoryRun(ctx, "run-1", link, dirsync.TriggerOperator))
	r.must(r.Runs.StageDirectory(ctx, "run-1", dirsync.SourceSide, each(entries(dirsync.SourceSide, "a", "1", "2"), io.EOF)))
	broken := errors.New("connection lost")
	if err := r.Runs.StageDirectory(ctx, "run-1", dirsync.SourceSide, each(entries(dirsync.SourceSide, "a", "3"), broken)); !errors.Is(err, broken) {
		r.Errorf("staging that breaks off: %v", err)
	}
	r.must(r.Runs.StageDirectory(ctx, "run-1", dirsync.TargetSide, each(nil, io.EOF)))
	tally, err := r.Runs.CompareDirectory(ctx, "run-1", dirsync.DefaultSettings())
	if err != nil || tally.Source != 2 || tally.Target != 0 || tally.Kinds[directory.Create] != 2 || tally.Planned[directory.Create] != 2 {
		r.Errorf("the tally is %+v, %v", tally, err)
	}
	r.must(r.Runs.StageDirectory(ctx, "run-1", dirsync.SourceSide, each(entries(dirsync.SourceSide, "a", "3"), io.EOF)))
	if tally, err = r.Runs.CompareDirectory(ctx, "run-1", dirsync.DefaultSettings()); err != nil || tally.Source != 1 {
		r.Errorf("what is staged again replaces what was: %+v, %v", tally, err)
	}
	r.want("run-1", "create 3 planned")
	// More was read than is staged: the database lost it.
	r.must(r.Runs.StageDirectory(ctx, "run-1", dirsync.SourceSide, each(nil, io.EOF)))
	r.must(r.Runs.SaveExtracts(ctx, "run-1", directory.Extracted{Entries: 3}, directory.Extracted{}))
	if _, err := r.Runs.CompareDirectory(ctx, "run-1", dirsync.DefaultSettings()); !errors.Is(err, dirsync.ErrStagedLost) || !fault.Is(err, fault.Permanent) {
		r.Errorf("a compare of what was lost: %v", err)
	}
}

func (r *runs) changes() {
	ctx := r.Context()
	r.paired("1", "2")
	// 1 is gone from the source, 2 differs, 3 is new, and nobody made 4 of the target.
	source := append(entries(dirsync.SourceSide, "b", "2"), entries(dirsync.SourceSide, "a", "3")...)
	target := entries(dirsync.TargetSide, "a", "1", "2", "4")
	tally := r.compare("run-1", dirsync.TriggerOperator, source, target)
	r.want("run-1", "alter 2 planned", "create 3 planned", "remove 1 planned", "unknown 4 told")
	if want := map[directory.ChangeKind]int{directory.Alter: 1, directory.Create: 1, directory.Remove: 1, directory.Unknown: 1}; !maps.Equal(tally.Kinds, want) {
		r.Errorf("the tally is %+v", tally)
	}
	all := r.list("run-1")
	for i := range all[1:] {
		if all[i].Seq >= all[i+1].Seq {
			r.Errorf("changes %d and %d are out of order", all[i].Seq, all[i+1].Seq)
		}
	}
	if rest, err := r.Changes.DirectoryChanges(ctx, "run-1", all[0].Seq, 2); err != nil || len(rest) != 2 || rest[0].Seq != all[1].Seq {
		r.Errorf("two behind the first are %+v, %v", rest, err)
	}
	sample, err := r.Changes.SampleDirectoryChanges(ctx, "run-1", 0, 2, dirsync.ChangePlanned)
	if err != nil || len(sample) != 2 || sample[0].State != dirsync.ChangePlanned || sample[1].State != dirsync.ChangePlanned || sample[0].Seq == sample[1].Seq {
		r.Errorf("a sample is %+v, %v", sample, err)
	}
	planned := r.list("run-1", dirsync.ChangePlanned)
	for i := range planned {
		planned[i].State = dirsync.ChangeDone
		if planned[i].Kind == directory.Create {
			planned[i].Target = entries(dirsync.TargetSide, "a", "3")[0].Ref
		}
	}
	for range 2 {
		r.save("run-1", planned)
	}
	r.fails("a compare of a run whose changes are made", second(r.Runs.CompareDirectory(ctx, "run-1", dirsync.DefaultSettings())), fault.Conflict)
	r.finish("run-1")
	run, err := r.Runs.DirectoryRun(ctx, "run-1")
	if err != nil || run.Created != 1 || run.Altered != 1 || run.Removed != 1 || run.Source != 2 || run.Target != 3 {
		r.Errorf("the run is %+v, %v", run, err)
	}
	// What was created is the mirror's: once the source lacks it, it is removed.
	r.compare("run-2", dirsync.TriggerOperator, entries(dirsync.SourceSide, "b", "2"), entries(dirsync.TargetSide, "b", "2", "3"))
	r.want("run-2", "remove 3 planned")
}

func (r *runs) failing() {
	ctx := r.Context()
	source := entries(dirsync.SourceSide, "a", "1", "2", "3")
	for i, runID := range []string{"run-1", "run-2"} {
		r.compare(runID, dirsync.TriggerOperator, source, nil)
		planned := r.list(runID, dirsync.ChangePlanned)
		for n := range planned {
			planned[n].State, planned[n].Error = dirsync.ChangeFailed, map[bool]string{true: "no such class", false: "read-only"}[planned[n].Number == "1"]
			planned[n].OfServer = planned[n].Number == "2"
		}
		for range 2 { // the same failure twice is one
			r.save(runID, planned)
		}
		for _, c := range r.list(runID) {
			if want := map[bool]int{true: 1, false: i + 1}[c.Number == "2"]; c.State != dirsync.ChangeFailed || c.Failures != want {
				r.Errorf("in %s change %s is %+v, want %d failures", runID, c.Number, c, want)
			}
		}
		refusals, err := r.Runs.DirectoryRefusals(ctx, runID, 5)
		if err != nil || len(refusals) != 2 || refusals[0].Error != "read-only" || refusals[0].Changes != 2 || refusals[1].Changes != 1 {
			r.Errorf("the rejections are %+v, %v", refusals, err)
		}
		if refusals, err = r.Runs.DirectoryRefusals(ctx, runID, 1); err != nil || len(refusals) != 1 {
			r.Errorf("one rejection is %+v, %v", refusals, err)
		}
		r.finish(runID)
		if run, err := r.Runs.DirectoryRun(ctx, runID); err != nil || run.Failed != 3 {
			r.Errorf("the run is %+v, %v", run, err)
		}
	}
}

func (r *runs) holds() {
	ctx := r.Context()
	r.paired("1", "2")
	for range 2 {
		tally := r.compare("run-1", dirsync.TriggerOperator, entries(dirsync.SourceSide, "a", "3"), entries(dirsync.TargetSide, "a", "1", "2"))
		if tally.Held != 2 || tally.Planned[directory.Remove] != 2 {
			r.Errorf("the tally is %+v", tally)
		}
	}
	r.want("run-1", "create 3 planned", "remove 1 held", "remove 2 held")
	if run, err := r.Runs.DirectoryRun(ctx, "run-1"); err != nil || run.Held != 2 || len(run.Reasons) == 0 {
		r.Errorf("the run is %+v, %v", run, err)
	}
}

func (r *runs) extracts() {
	ctx := r.Context()
	if _, _, known, err := r.Runs.LastExtracts(ctx, link); known || err != nil {
		r.Errorf("extracts of no run: %v, %v", known, err)
	}
	last := func(source int) {
		r.Helper()
		got, _, known, err := r.Runs.LastExtracts(ctx, link)
		if err != nil || known != (source > 0) || got.Entries != source {
			r.Errorf("the last extracts are of %d entries, %v, %v, want %d", got.Entries, known, err, source)
		}
	}
	r.compare("run-1", dirsync.TriggerOperator, entries(dirsync.SourceSide, "a", "1"), nil)
	last(0) // the run has not ended
	r.finish("run-1")
	last(1)
	r.compare("dry", dirsync.TriggerDryRun, entries(dirsync.SourceSide, "a", "1", "2"), nil)
	r.finish("dry")
	last(1)
}

func (r *runs) members() {
	ctx := r.Context()
	settings := dirsync.DefaultSettings()
	r.paired("1", "2")
	join, leave, err := r.Members.DirectoryMembers(ctx, "paired", settings)
	if err != nil || !slices.Equal(join, []mailbox.Number{"1", "2"}) || len(leave) != 0 {
		r.Errorf("the members are %v, %v, %v", join, leave, err)
	}
	if n, err := r.Members.AddMailboxes(ctx, link, join); err != nil || n != 2 {
		r.Errorf("AddMailboxes = %d, %v", n, err)
	}
	settings.Participate = dirsync.ParticipateManual
	if join, _, err = r.Members.DirectoryMembers(ctx, "paired", settings); err != nil || len(join) != 0 {
		r.Errorf("by hand %v join, %v", join, err)
	}
	r.compare("run-1", dirsync.TriggerOperator, entries(dirsync.SourceSide, "a", "2"), entries(dirsync.TargetSide, "a", "1", "2"))
	r.want("run-1", "remove 1 planned")
	if _, leave, err = r.Members.DirectoryMembers(ctx, "run-1", settings); err != nil || len(leave) != 0 {
		r.Errorf("before its entry is removed, %v leave, %v", leave, err)
	}
	planned := r.list("run-1")
	planned[0].State = dirsync.ChangeDone
	r.save("run-1", planned)
	if _, leave, err = r.Members.DirectoryMembers(ctx, "run-1", settings); err != nil || !slices.Equal(leave, []mailbox.Number{"1"}) {
		r.Errorf("%v leave, %v", leave, err)
	}
	for range 2 { // repeated, it counts the same
		if n, err := r.Members.LeaveLink(ctx, "run-1", link, []mailbox.Number{"1", "9"}); err != nil || n != 1 {
			r.Errorf("LeaveLink = %d, %v", n, err)
		}
	}
	r.must(r.Members.SaveDirectoryMembers(ctx, "run-1", 3, 1, []dirsync.Rejection{{Number: "7", Error: "mirrored by another link"}}))
	if run, err := r.Runs.DirectoryRun(ctx, "run-1"); err != nil || run.Joined != 3 || run.Left != 1 {
		r.Errorf("the run is %+v, %v", run, err)
	}
}

func (r *runs) lease() {
	ctx := r.Context()
	times := lease.Times{}.WithDefaults()
	held, err := r.Leases.TakeLease(ctx, lease.OfDirectory(link), times)
	r.must(err)
	_, err = r.Leases.TakeLease(ctx, lease.OfDirectory(link), times)
	if other, ok := errors.AsType[*lease.HeldError](err); !ok || other.Wait <= 0 || !fault.Is(err, fault.Conflict) {
		r.Errorf("a second lease: %v", err)
	}
	renewed, err := r.Leases.Renew(ctx, held, times.TTL)
	if err != nil || renewed.Epoch != held.Epoch || renewed.Deadline.Before(held.Deadline) {
		r.Errorf("renewed is %+v, %v, before %+v", renewed, err, held)
	}
	r.must(r.Leases.Release(ctx, renewed, true))
	again, err := r.Leases.TakeLease(ctx, lease.OfDirectory(link), times)
	if err != nil || again.Epoch <= held.Epoch {
		r.Errorf("the next lease is %+v, %v", again, err)
	}
	_, err = r.Leases.Renew(ctx, held, times.TTL)
	r.fails("the renewal of a lease that is over", err, fault.Conflict)
	r.fails("the release of a lease that is over", r.Leases.Release(ctx, held, true), fault.Conflict)
}
