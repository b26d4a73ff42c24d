package pgstore

import (
	"context"
	"slices"

	"mailmirror/internal/guard"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/internal/pgstore/sqlcgen"
)

// Judge implements copier.Ledger, in one transaction that holds the mailbox's
// lease and lets no other mailbox of the link be judged meanwhile. What makes
// it harmless when repeated: UIDs are reserved once, and a hold is known by its
// mailbox, folder and state.
func (s *Store) Judge(ctx context.Context, lease lease.Lease, limits mirror.Limits, due mirror.Due) (d mirror.Decision, err error) {
	link, number := lease.Key.Link, string(lease.Key.Number)
	err = s.inTx(ctx, "judge deletions in mailbox "+number, func(q *sqlcgen.Queries) error {
		if err := q.HoldLease(ctx, sqlcgen.HoldLeaseParams{Link: link, Number: number, Epoch: lease.Epoch, Durable: true}); err != nil {
			return err
		}
		if err := q.LockGuard(ctx, link); err != nil {
			return err
		}
		j := judge{q: q, link: link, number: number, due: due, limits: limits}
		if err := j.read(ctx); err != nil {
			return err
		}
		past, err := j.past(ctx)
		if err != nil {
			return err
		}
		d = limits.Decide(due, j.standing, past)
		return j.write(ctx, d)
	})
	return d, err
}

// judge is one judgement.
type judge struct {
	q            *sqlcgen.Queries
	link, number string
	due          mirror.Due
	limits       mirror.Limits
	standing     mirror.Standing
	holds        map[guard.HoldState]sqlcgen.GuardHold
}

// read finds out what was decided on the folder before.
func (j *judge) read(ctx context.Context) error {
	rows, err := j.q.FolderHolds(ctx, sqlcgen.FolderHoldsParams{Link: j.link, Number: j.number, Folder: string(j.due.Folder)})
	if err != nil {
		return err
	}
	j.holds = map[guard.HoldState]sqlcgen.GuardHold{}
	for _, h := range rows {
		uids, err := mailbox.ParseUIDSet(h.Uids)
		if err != nil || h.TargetValidity != int64(j.due.TargetValidity) {
			// Of a folder that is another one now, or altered by hand: it says
			// nothing about these messages.
			if err := j.drop(ctx, h.State); err != nil {
				return err
			}
			continue
		}
		state := guard.HoldState(h.State)
		j.holds[state] = h
		switch state {
		case guard.HoldWaiting:
			j.standing.Waiting = uids
		case guard.HoldApproved:
			j.standing.Approved = uids
		case guard.HoldRefused:
			j.standing.Refused = uids
		}
	}
	reserved, err := j.q.FolderReserved(ctx, sqlcgen.FolderReservedParams{Link: j.link, Number: j.number, Folder: string(j.due.Folder),
		TargetValidity: int64(j.due.TargetValidity), Span: j.limits.Window})
	for _, text := range reserved {
		if uids, err := mailbox.ParseUIDSet(text); err == nil {
			j.standing.Reserved = j.standing.Reserved.Union(uids)
		}
	}
	return err
}

// past finds out what happened in the whole link, as far as a rule may need it.
func (j *judge) past(ctx context.Context) (mirror.Past, error) {
	row, err := j.q.LinkPast(ctx, sqlcgen.LinkPastParams{Link: j.link, Number: j.number, Span: j.limits.Window})
	past := mirror.Past{Deleted: int(row.Deleted), Emptied: int(row.Emptied)}
	if err != nil || !j.limits.Far(past, j.due) {
		return past, err
	}
	size, err := j.q.LinkSize(ctx, j.link)
	past.Mailboxes, past.Messages = int(size.Mailboxes), int(size.Messages)+past.Deleted
	return past, err
}

func (j *judge) write(ctx context.Context, d mirror.Decision) error {
	if err := j.put(ctx, guard.HoldWaiting, d.Hold, d); err != nil {
		return err
	}
	if err := j.put(ctx, guard.HoldRefused, d.Keep, d); err != nil {
		return err
	}
	if err := j.put(ctx, guard.HoldApproved, d.Allow.Minus(d.Fresh), d); err != nil {
		return err
	}
	if fresh := d.Fresh.Minus(j.standing.Reserved); len(fresh) > 0 {
		err := j.q.Reserve(ctx, sqlcgen.ReserveParams{Link: j.link, Number: j.number, Folder: string(j.due.Folder),
			TargetValidity: int64(j.due.TargetValidity), Uids: fresh.String(), Messages: int64(fresh.Len()), Empties: j.due.Empties()})
		if err != nil {
			return err
		}
		if err := j.q.ForgetReserved(ctx, sqlcgen.ForgetReservedParams{Link: j.link, Span: j.limits.Window}); err != nil {
			return err
		}
	}
	if len(j.holds)+len(d.Hold) == 0 {
		return nil
	}
	return j.q.CountHeld(ctx, sqlcgen.CountHeldParams{Link: j.link, Number: j.number})
}

// put makes the hold of one state what was decided.
func (j *judge) put(ctx context.Context, state guard.HoldState, uids mailbox.UIDSet, d mirror.Decision) error {
	old, was := j.holds[state]
	if len(uids) == 0 {
		if !was {
			return nil
		}
		return j.drop(ctx, string(state))
	}
	p := sqlcgen.PutHoldParams{Link: j.link, Number: j.number, Folder: string(j.due.Folder), State: string(state),
		TargetValidity: int64(j.due.TargetValidity), Uids: uids.String(), Messages: int64(uids.Len()),
		TargetMessages: int64(j.due.Target), SourceMessages: int64(j.due.Source),
		Vanished: j.due.Vanished, Empties: j.due.Empties(), Rules: listOrEmpty(old.Rules), Reasons: listOrEmpty(old.Reasons),
		DecidedBy: old.DecidedBy, DecidedAt: old.DecidedAt}
	p.TargetOnly = int64(uids.Minus(j.due.Own).Len())
	if state == guard.HoldWaiting {
		p.Fresh = was && len(d.Asked) > 0
		p.Rules, p.Reasons = reasoned(p.Rules, p.Reasons, d)
	}
	return j.q.PutHold(ctx, p)
}

// reasoned brings the reasons of a hold up to date. A rule that tripped again has
// other numbers by now, and the messages that only the target has may have left
// the hold.
func reasoned(rules, reasons []string, d mirror.Decision) (nextRules, nextReasons []string) {
	for i, rule := range rules {
		if rule != string(mirror.RuleTargetOnly) || len(d.TargetOnly) > 0 {
			nextRules, nextReasons = append(nextRules, rule), append(nextReasons, reasons[i])
		}
	}
	for _, r := range d.Reasons {
		if i := slices.Index(nextRules, string(r.Rule)); i >= 0 {
			nextReasons[i] = r.Text
			continue
		}
		nextRules, nextReasons = append(nextRules, string(r.Rule)), append(nextReasons, r.Text)
	}
	return listOrEmpty(nextRules), listOrEmpty(nextReasons)
}

func (j *judge) drop(ctx context.Context, state string) error {
	return j.q.DropHold(ctx, sqlcgen.DropHoldParams{Link: j.link, Number: j.number, Folder: string(j.due.Folder), State: state})
}
