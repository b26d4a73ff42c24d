package controltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/verdict"
)

// StartCheck implements control.CheckRunner.
func (r *Runner) StartCheck(_ context.Context, store string, number mailbox.Number) (verdict.Start, error) {
	return r.OnCheck(store, number)
}

// StartVerify implements control.CheckRunner.
func (r *Runner) StartVerify(_ context.Context, request verdict.VerifyRequest) (verdict.Start, error) {
	return r.OnVerify(request)
}

// WaitRun implements control.Runner.
func (r *Runner) WaitRun(ctx context.Context, run site.Run) error {
	if r.OnWaitRun == nil {
		return nil
	}
	return r.OnWaitRun(ctx, run)
}

// StopVerify implements control.CheckRunner.
func (r *Runner) StopVerify(_ context.Context, link string) error {
	if r.OnStopVerify == nil {
		return nil
	}
	return r.OnStopVerify(link)
}

// AwaitsWorker implements control.Runner.
func (r *Runner) AwaitsWorker(_ context.Context, run site.Run) (time.Time, error) {
	if r.OnAwaitsWorker == nil {
		return time.Time{}, nil
	}
	return r.OnAwaitsWorker(run), nil
}

// Verifier answers a verification with the results that it holds; a mailbox without
// one is equal.
type Verifier struct {
	Results map[mailbox.Number]verdict.Mailbox
	// Forget leaves this number out of the answers.
	Forget mailbox.Number
	// Unended leaves the end of the run out of its record.
	Unended bool
}

// Work has the runner do at once, over m, what workers do to check and verify.
func Work(r *Runner, m *Memory, checker *storecheck.Checker, v *Verifier) {
	runs := 0
	r.OnCheck = func(store string, number mailbox.Number) (verdict.Start, error) {
		runs++
		run := verdict.StoreRun{RunID: fmt.Sprint("check-", runs), Store: store, Mailbox: number}
		var err error
		if run.Report, err = checker.Check(context.Background(), store, number); err != nil {
			run.Failure = verdict.Failure{ErrorKind: string(fault.KindOf(err)), Error: err.Error(), Hint: fault.HintOf(err)}
		}
		m.PutStoreCheck(run)
		return verdict.Start{RunID: run.RunID, Started: true, Same: true}, nil
	}
	r.OnVerify = func(request verdict.VerifyRequest) (verdict.Start, error) {
		runs++
		run := verdict.VerifyRun{RunID: fmt.Sprint("verify-", runs), Verification: verdict.Verification{Link: request.Link, Deep: request.Deep}}
		numbers := request.Numbers
		if len(numbers) == 0 {
			all, err := m.Mailboxes(context.Background(), request.Link, "", 0)
			if err != nil {
				return verdict.Start{}, err
			}
			for _, b := range all {
				numbers = append(numbers, b.Number)
			}
		}
		run.Planned = len(numbers)
		for _, n := range numbers {
			if n == v.Forget {
				continue
			}
			result, ok := v.Results[n]
			if !ok {
				result.Folders = []verdict.Folder{{Folder: mailbox.Inbox, Role: mailbox.RoleMessages, Counts: verdict.Counts{Compared: 3}}}
			}
			if request.Deep {
				result.Bytes = 1500
			}
			run.Add(verdict.OfMailbox(n, result.Folders, result.Bytes, result.Failure))
		}
		if run.FinishedAt = time.Now(); v.Unended {
			run.FinishedAt = time.Time{}
		}
		m.PutVerification(run)
		return verdict.Start{RunID: run.RunID, Started: true, Same: true}, nil
	}
}

// Servers answers a storecheck.Checker by store name.
type Servers struct {
	Reports map[string]verdict.Store
	Faults  map[string]error
	// Directories and Rights are what is found of directories.
	Directories map[string]verdict.Directory
	Rights      map[string]verdict.Rights
	// OnRights is called before TryRights answers, with its error.
	OnRights func(ctx context.Context, store string, columns []directory.Column) error
}

// Look implements storecheck.Servers.
func (s *Servers) Look(_ context.Context, of site.Store, number mailbox.Number) (verdict.Store, error) {
	if err := s.Faults[of.Name]; err != nil {
		return verdict.Store{}, err
	}
	r, ok := s.Reports[of.Name]
	if !ok {
		return r, errors.New("check store " + of.Name + ": no report is prepared")
	}
	r.Mailbox = number
	return r, nil
}

// LookAtDirectory implements storecheck.Servers.
func (s *Servers) LookAtDirectory(_ context.Context, d site.Directory) (verdict.Directory, error) {
	return s.Directories[d.Store], nil
}

// TryRights implements storecheck.Servers.
func (s *Servers) TryRights(ctx context.Context, d site.Directory, columns []directory.Column, lease func(context.Context) (context.Context, error)) (verdict.Rights, error) {
	ctx, err := lease(ctx)
	if err != nil {
		return verdict.Rights{}, err
	}
	if s.OnRights != nil {
		err = s.OnRights(ctx, d.Store, columns)
	}
	return s.Rights[d.Store], err
}

// CheckRecords are both records in memory, as a storecheck.Checker needs them.
type CheckRecords struct {
	*Memory
	*Directory
}

// PutStoreCheck records a check of a store.
func (m *Memory) PutStoreCheck(r verdict.StoreRun) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checks[r.RunID] = r
}

// StoreCheck implements control.CheckRecords.
func (m *Memory) StoreCheck(_ context.Context, runID string) (verdict.StoreRun, error) {
	return recorded(m, m.checks, "check", runID)
}

// PutVerification records a verification with its results.
func (m *Memory) PutVerification(r verdict.VerifyRun) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verified[r.RunID] = r
}

// Verification implements control.CheckRecords.
func (m *Memory) Verification(_ context.Context, runID string) (verdict.VerifyRun, error) {
	r, err := recorded(m, m.verified, "verification", runID)
	r.Results = nil
	return r, err
}

// VerifyResults implements control.CheckRecords.
func (m *Memory) VerifyResults(_ context.Context, runID string) ([]verdict.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := slices.Clone(m.verified[runID].Results)
	slices.SortFunc(results, func(a, b verdict.Mailbox) int { return cmp.Compare(a.Number, b.Number) })
	return results, nil
}
