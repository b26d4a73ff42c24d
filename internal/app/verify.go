package app

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// verifier compares mailboxes of two stores in this process, some at a time.
type verifier struct {
	stores *stores
	atOnce int
}

// Verify implements control.Verifier.
func (v *verifier) Verify(ctx context.Context, r control.VerifyRequest, each func(control.VerifyResult)) error {
	both, err := v.stores.linkStores(ctx, r.Link, r.Source, r.Target)
	if err != nil {
		return err
	}
	if err := v.stores.guarded(ctx, r.Link.Name, &both); err != nil {
		return err
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(v.atOnce)
	for _, number := range r.Numbers {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if both.Admit != nil {
				leave, err := both.Admit(ctx)
				if err != nil {
					return err
				}
				defer leave()
			}
			job := copier.Job{Key: mailbox.Key{Link: r.Link.Name, Number: number},
				Source: both.Source, Target: both.Target, Exclude: both.Exclude, Greetings: both.Greetings, Keep: both.Keep}
			verdicts, err := copier.Verify(ctx, job, r.Deep)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			each(verifyResult(number, verdicts, err))
			return nil
		})
	}
	return group.Wait()
}

func verifyResult(number mailbox.Number, verdicts []copier.FolderVerdict, err error) control.VerifyResult {
	result := control.VerifyResult{Number: number}
	for _, f := range verdicts {
		result.Bytes += f.Bytes
		result.Folders = append(result.Folders, control.VerifyFolder{
			Folder: f.Folder, Role: f.Role, Trouble: folderTrouble(f),
			VerifyCounts: control.VerifyCounts{Compared: f.Source, Missing: f.Missing, Extra: f.Extra,
				Flags: f.Flags, Dates: f.Date, Content: f.Content},
		})
	}
	if err != nil {
		result.ErrorKind, result.Error, result.Hint = string(fault.KindOf(err)), err.Error(), fault.HintOf(err)
	}
	return result
}

func folderTrouble(f copier.FolderVerdict) string {
	switch {
	case f.MissingFolder:
		return "missing"
	case f.ExtraFolder:
		return "extra"
	case f.Subscription:
		return "subscription"
	default:
		return ""
	}
}
