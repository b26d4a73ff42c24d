package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// GuardSettings implements control.Guard.
func (s *Store) GuardSettings(ctx context.Context, link string) (guard.Settings, error) {
	row, err := s.q.GetGuardSettings(ctx, link)
	if errors.Is(err, pgx.ErrNoRows) {
		return guard.DefaultSettings(), nil
	}
	return guard.Settings{
		Limits: mirror.Limits{
			FolderShare: int(row.FolderShare), FolderMinimum: int(row.FolderMinimum), FolderCount: int(row.FolderCount),
			Gone: int(row.Gone), Window: row.Span, LinkShare: int(row.LinkShare), LinkMinimum: int(row.LinkMinimum),
			InboxShare: int(row.InboxShare), InboxMinimum: int(row.InboxMinimum),
		},
		KeepDeleted: row.KeepDeleted, DeletedFolder: mailbox.FolderName(row.DeletedFolder), SetBy: row.SetBy, SetAt: row.SetAt,
	}, classify("read guard of link "+link, err)
}

// SetGuardSettings implements control.Guard.
func (s *Store) SetGuardSettings(ctx context.Context, link string, g guard.Settings) error {
	p := sqlcgen.SetGuardSettingsParams{
		Link: link, FolderShare: int64(g.FolderShare), FolderMinimum: int64(g.FolderMinimum), FolderCount: int64(g.FolderCount),
		Gone: int64(g.Gone), Span: g.Window, LinkShare: int64(g.LinkShare), LinkMinimum: int64(g.LinkMinimum),
		InboxShare: int64(g.InboxShare), InboxMinimum: int64(g.InboxMinimum),
		KeepDeleted: g.KeepDeleted, DeletedFolder: string(g.DeletedFolder), SetBy: plain(g.SetBy),
	}
	err := s.inAuditedTx(ctx, func(q *sqlcgen.Queries) error { return q.SetGuardSettings(ctx, p) })
	if violates(err, foreignKeyViolation, "guard_settings_link") {
		return unknownLink(link)
	}
	return classify("set guard of link "+link, err)
}

// Holds implements control.Guard.
func (s *Store) Holds(ctx context.Context, link string) ([]guard.Hold, error) {
	rows, err := s.q.ListHolds(ctx, link)
	return listOf(rows, holdOf, "list holds", err)
}

// GuardFigures implements control.Guard.
func (s *Store) GuardFigures(ctx context.Context, link string) (guard.Counts, error) {
	op := "read guard of link " + link
	settings, err := s.GuardSettings(ctx, link)
	if err != nil {
		return guard.Counts{}, err
	}
	past, err := s.q.LinkPast(ctx, sqlcgen.LinkPastParams{Link: link, Span: settings.Window})
	if err != nil {
		return guard.Counts{}, classify(op, err)
	}
	size, err := s.q.LinkSize(ctx, link)
	return guard.Counts{Deleted: int(past.Deleted), Emptied: int(past.Emptied),
		Messages: int(size.Messages), Mailboxes: int(size.Mailboxes)}, classify(op, err)
}

// GuardDecisions implements control.Guard.
func (s *Store) GuardDecisions(ctx context.Context, link string, limit int) ([]guard.Decision, error) {
	rows, err := s.q.ListGuardDecisions(ctx, sqlcgen.ListGuardDecisionsParams{Link: link, MaxRows: int64(limit)})
	return listOf(rows, func(row sqlcgen.GuardDecision) guard.Decision {
		return guard.Decision{At: row.At, Who: row.Who, Decision: guard.HoldState(row.Decision), Link: row.Link,
			Number: mailbox.Number(row.Number), Folder: mailbox.FolderName(row.Folder), HoldID: row.HoldID, Messages: int(row.Messages)}
	}, "read the guard's log of link "+link, err)
}

// DecideHolds implements control.Guard, in one transaction. A sync that
// judges a folder at this moment ends that first: it writes what it read of the
// folder's holds, and would undo the decision.
func (s *Store) DecideHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.Hold, error) {
	var decided []guard.Hold
	err := s.inTx(ctx, "decide on holds", func(q *sqlcgen.Queries) error {
		links, err := q.LinksOfHolds(ctx, ids)
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := q.LockGuard(ctx, link); err != nil {
				return err
			}
		}
		rows, err := q.LockHolds(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(rows, func(h sqlcgen.GuardHold) bool { return h.ID == id }) {
				return guard.NoHold(id)
			}
		}
		decided = nil
		for _, h := range rows {
			if err := decide(ctx, q, h, decision, who); err != nil {
				return err
			}
			hold := holdOf(h)
			hold.State, hold.DecidedBy, hold.DecidedAt = decision, who, time.Now()
			decided = append(decided, hold)
		}
		for _, key := range mailboxesOf(decided) {
			if err := q.CountHeld(ctx, sqlcgen.CountHeldParams{Link: key.Link, Number: string(key.Number)}); err != nil {
				return err
			}
			if _, err := q.MarkDirty(ctx, sqlcgen.MarkDirtyParams{Link: key.Link, Number: string(key.Number)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return decided, nil
}

// decide makes a hold one of another state, together with what is of that state
// in its folder already.
func decide(ctx context.Context, q *sqlcgen.Queries, h sqlcgen.GuardHold, decision guard.HoldState, who string) error {
	if h.State == string(decision) {
		return nil
	}
	uids, err := mailbox.ParseUIDSet(h.Uids)
	if err != nil {
		return fmt.Errorf("hold %d: %w", h.ID, err)
	}
	there, err := q.FindHold(ctx, sqlcgen.FindHoldParams{Link: h.Link, Number: h.Number, Folder: h.Folder, State: string(decision)})
	if err != nil {
		return err
	}
	targetOnly := h.TargetOnly
	for _, other := range there {
		if more, err := mailbox.ParseUIDSet(other.Uids); err == nil && other.TargetValidity == h.TargetValidity {
			uids = uids.Union(more)
			targetOnly += other.TargetOnly
		}
	}
	if err := q.DropHold(ctx, sqlcgen.DropHoldParams{Link: h.Link, Number: h.Number, Folder: h.Folder, State: h.State}); err != nil {
		return err
	}
	now := time.Now()
	err = q.PutHold(ctx, sqlcgen.PutHoldParams{Link: h.Link, Number: h.Number, Folder: h.Folder, State: string(decision),
		TargetValidity: h.TargetValidity, Uids: uids.String(), Messages: int64(uids.Len()), TargetMessages: h.TargetMessages,
		SourceMessages: h.SourceMessages, Vanished: h.Vanished, Empties: h.Empties, Rules: h.Rules, Reasons: h.Reasons,
		DecidedBy: plain(who), DecidedAt: &now, Fresh: true, TargetOnly: targetOnly})
	if err != nil {
		return err
	}
	return q.InsertGuardDecision(ctx, sqlcgen.InsertGuardDecisionParams{Who: plain(who), Decision: string(decision), Link: h.Link,
		Number: h.Number, Folder: h.Folder, HoldID: h.ID, Messages: h.Messages, Reasons: h.Reasons})
}

// mailboxesOf lists each mailbox once, in the order of the holds.
func mailboxesOf(holds []guard.Hold) []mailbox.Key {
	var keys []mailbox.Key
	for _, h := range holds {
		key := mailbox.Key{Link: h.Link, Number: h.Number}
		if len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	return keys
}

func holdOf(row sqlcgen.GuardHold) guard.Hold {
	h := guard.Hold{ID: row.ID, State: guard.HoldState(row.State), Link: row.Link, Number: mailbox.Number(row.Number),
		Folder: mailbox.FolderName(row.Folder), Messages: int(row.Messages), Target: int(row.TargetMessages),
		Source: int(row.SourceMessages), TargetOnly: int(row.TargetOnly), Vanished: row.Vanished, Since: row.Since, AskedAt: row.AskedAt, UpdatedAt: row.UpdatedAt,
		DecidedBy: row.DecidedBy, DecidedAt: orZero(row.DecidedAt)}
	for i, rule := range row.Rules {
		if i < len(row.Reasons) {
			h.Reasons = append(h.Reasons, mirror.Reason{Rule: mirror.Rule(rule), Text: row.Reasons[i]})
		}
	}
	return h
}

// heldEntries tells of holds as of what is not as it should be.
func heldEntries(holds []guard.Hold) []site.ErrorEntry {
	var out []site.ErrorEntry
	for _, h := range holds {
		e := site.ErrorEntry{Link: h.Link, Number: h.Number, Folder: h.Folder, Since: h.Since}
		switch h.State {
		case guard.HoldWaiting:
			e.Kind = "held"
			e.Text = mirror.Messages(h.Messages, "wait") + " to be deleted from the target"
			for i, r := range h.Reasons {
				e.Text += [2]string{": ", "; "}[min(i, 1)] + r.Text
			}
			e.Hint = "see whether production is as it should be, then: mailmirror guard list, and guard approve or refuse"
			if h.TargetOnly == h.Messages {
				e.Hint = "held messages stay on the target until you decide: mailmirror guard list, and guard approve to delete them or guard refuse to keep them"
			}
		case guard.HoldRefused:
			e.Kind = "kept"
			e.Text = mirror.Messages(h.Messages, "stay") + " on the target that the source does not have: deletion was refused by " + h.DecidedBy
		default:
			continue
		}
		out = append(out, e)
	}
	return out
}

// HeldTotals returns how many messages the guard holds, by link and by what was
// decided on them. Links without any are absent.
func (s *Store) HeldTotals(ctx context.Context) (map[string]map[guard.HoldState]int64, error) {
	rows, err := s.q.HeldTotals(ctx)
	totals := map[string]map[guard.HoldState]int64{}
	for _, row := range rows {
		if totals[row.Link] == nil {
			totals[row.Link] = map[guard.HoldState]int64{}
		}
		totals[row.Link][guard.HoldState(row.State)] = row.Messages
	}
	return totals, classify("sum up holds", err)
}
