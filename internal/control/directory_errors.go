package control

import (
	"context"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Kinds of errors of a directory, beside those of mailboxes.
const (
	// ErrorDirectoryRun is a run that failed: nothing, or not all, was mirrored.
	ErrorDirectoryRun = "directory"
	// ErrorDirectoryEntry is an entry that could not be mirrored, ErrorGivenUp one
	// that is not tried any more, ErrorDuplicate one whose number is not its own.
	ErrorDirectoryEntry = "directory_entry"
	ErrorGivenUp        = "directory_given_up"
	ErrorDuplicate      = "directory_duplicate"
	// ErrorUnread is an entry that one of the directories does not hand over.
	ErrorUnread = "directory_unread"
	// ErrorDirectoryJoin is a mailbox that may not join the link.
	ErrorDirectoryJoin = "directory_join"
)

// directoryErrors lists what the last run over a link's directory left wrong.
func (c *Control) directoryErrors(ctx context.Context, l site.Link) ([]site.ErrorEntry, error) {
	o, err := c.directoryOverview(ctx, l)
	if err != nil || o == nil || o.LastRun == nil || o.LastRun.State == dirsync.Running {
		return nil, err
	}
	run := *o.LastRun
	var entries []site.ErrorEntry
	if run.State == dirsync.Failed {
		for _, reason := range run.Reasons {
			entries = append(entries, site.ErrorEntry{Link: l.Name, Kind: ErrorDirectoryRun, Text: reason, Hint: run.Hint, Since: run.FinishedAt})
		}
	}
	rejected, err := c.ports.DirectoryRuns.DirectoryRejections(ctx, run.RunID)
	if err != nil {
		return nil, err
	}
	for _, r := range rejected {
		entries = append(entries, site.ErrorEntry{Link: l.Name, Number: r.Number, Kind: ErrorDirectoryJoin,
			Text: "the mailbox cannot join the link and is not mirrored: " + r.Error, Hint: r.Hint, Since: run.FinishedAt})
	}
	if run.Failed+run.GivenUp+run.Duplicate+run.Unread == 0 {
		return entries, nil
	}
	changes, err := c.DirectoryRunChanges(ctx, run.RunID, dirsync.ChangeFailed, dirsync.ChangeGivenUp, dirsync.ChangeTold)
	for _, change := range changes {
		e := site.ErrorEntry{Link: l.Name, Number: mailbox.Number(change.Number), Text: change.Error, Hint: change.Hint, Since: run.FinishedAt, Failures: change.Failures}
		switch {
		case change.State == dirsync.ChangeFailed:
			e.Kind = ErrorDirectoryEntry
		case change.State == dirsync.ChangeGivenUp:
			e.Kind = ErrorGivenUp
			if e.Hint == "" {
				e.Hint = "mend it"
			}
			e.Hint += "; then: mailmirror directory retry " + l.Name
		case change.Kind == directory.Duplicate:
			e.Kind = ErrorDuplicate
		case change.Kind == directory.Unreadable:
			e.Kind = ErrorUnread
		default:
			continue
		}
		entries = append(entries, e)
	}
	return entries, err
}
