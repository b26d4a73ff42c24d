package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/suspension"
)

// LookAtSuspension makes sure that no suspension is lost with the database. The row of
// the suspension is believed if it proves that it is the last one. If it does not, since
// the database was started again or restored, or since a standby took over, MirrorControl
// says what Temporal knows. If either side says that the mirror is suspended, it stays
// suspended. Nothing is written before this is decided.
func (s *Supervisor) LookAtSuspension(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*viewPatience)
	defer cancel()
	proof, err := s.suspensions.SuspensionProof(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.lookAtLinks(ctx, proof), s.lookAtEverything(ctx, proof))
}

// lookAtLinks is LookAtSuspension for the links that are suspended by themselves.
func (s *Supervisor) lookAtLinks(ctx context.Context, proof suspension.Proof) error {
	if proof.LinksConfirmed {
		return nil
	}
	for _, row := range proof.Rows {
		if row.Link == "" {
			continue
		}
		known, err := s.view(ctx, row.Link)
		if err == nil && known.State == "" {
			err = fault.Newf(fault.Transient, "LinkControl has not read the row yet")
		}
		if err != nil {
			return s.end(ctx, undecided(row.Link), cannotAsk(row, err))
		}
		if lost(row, known) {
			if err := s.suspendAgain(ctx, known); err != nil {
				return err
			}
		}
	}
	return s.suspensions.ConfirmLinks(ctx, proof)
}

// lost reports whether the database lacks a suspension that Temporal knows.
func lost(row, known suspension.Suspension) bool {
	return !row.Suspended() && known.Suspended() && known.State != "" && !known.Unconfirmed && known.Epoch > row.Epoch
}

func (s *Supervisor) lookAtEverything(ctx context.Context, proof suspension.Proof) error {
	if proof.Confirmed && proof.LeaseTime >= s.opts.Lease {
		return nil
	}
	if proof.Confirmed {
		return s.suspensions.ConfirmSuspension(ctx, proof, s.opts.Lease)
	}
	known, err := s.view(ctx, "")
	unknown := err != nil || known.State == "" || known.Unconfirmed
	row := proof.Rows.Own("")
	switch {
	case row.Suspended():
		// The row says suspended, so nothing is written whatever Temporal knows.
		if !unknown && !known.Still() {
			s.opts.Log.WarnContext(ctx, "only the database knows that the mirror is suspended")
			if err := s.end(ctx, disagree(""), fault.New(fault.Conflict, "the database says that the mirror is suspended ("+when(row)+
				"), Temporal does not: the mirror stays suspended", nil, resumeHint)); err != nil {
				return err
			}
		}
		return s.confirm(ctx, proof)
	case err != nil:
		return s.end(ctx, undecided(""), cannotAsk(row, err))
	case unknown && proof.Used:
		return s.end(ctx, undecided(""), fault.New(fault.Conflict, notWritten+"Temporal does not know either whether the mirror was suspended", nil, "if it may write: mailmirror resume"))
	case !unknown && known.Still():
		return s.suspendAgain(ctx, known)
	default:
		return s.confirm(ctx, proof)
	}
}

const notWritten = "NOTHING IS WRITTEN: the database was started again or restored, or a standby took over, and "

// cannotAsk is the trouble while Temporal does not answer.
func cannotAsk(row suspension.Suspension, err error) error {
	return fault.New(fault.KindOf(err), notWritten+"Temporal cannot be asked whether "+row.Scope()+" is suspended", err,
		"Mailmirror asks again by itself; check that Temporal runs")
}

// disagree is the sign of a suspension that only one side knew of. It is over with that
// suspension.
func disagree(link string) background.Sign { return signOf("", link) }

// undecided is the sign of a row that nobody could confirm. It is over once somebody did,
// also if the mirror or the link is suspended then.
func undecided(link string) background.Sign { return signOf("undecided", link) }

func signOf(item, link string) background.Sign {
	if link != "" {
		item = strings.TrimSpace(item + " link " + link)
	}
	return background.Sign{Loop: background.LoopSuspension, Item: item, Link: link}
}

// view is what MirrorControl knows. No worker may be there to answer for it.
func (s *Supervisor) view(ctx context.Context, link string) (suspension.Suspension, error) {
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	return s.runner.ControlView(ctx, link)
}

const viewPatience = 10 * time.Second

const resumeHint = "the mirror writes again after mailmirror resume; if the database was restored, run mailmirror ledger rebuild for each link after that"

func (s *Supervisor) confirm(ctx context.Context, proof suspension.Proof) error {
	err := s.suspensions.ConfirmSuspension(ctx, proof, s.opts.Lease)
	if err == nil {
		s.opts.Log.InfoContext(ctx, "the database was started again or restored, and lacks no suspension", "state", string(proof.Rows.Own("").State))
	}
	return err
}

// suspendAgain writes the suspension to a database that lacks it.
func (s *Supervisor) suspendAgain(ctx context.Context, known suspension.Suspension) error {
	now, err := s.suspensions.Suspend(ctx, suspension.Request{Link: known.Link, Who: known.Who, Reason: known.Reason, Way: audit.Itself})
	if err != nil {
		return err
	}
	trouble := fault.New(fault.Conflict, "the database did not know of the suspension that Temporal holds ("+when(known)+
		"): it was written again, and "+known.Scope()+" stays suspended", nil, strings.Replace(resumeHint, "mailmirror resume", known.ResumeCommand(), 1))
	sign := disagree(known.Link)
	s.opts.Log.WarnContext(ctx, "the database lacked the suspension; it was written again", "who", known.Who)
	if err := s.records.Record(ctx, &audit.Entry{Command: "suspension restored", Link: known.Link, Actor: s.opts.Worker, Way: audit.Itself,
		Detail: "the database did not know of it"}); err != nil {
		return err
	}
	// It began now, whatever was said of an earlier suspension.
	if err := errors.Join(s.end(ctx, sign, nil), s.end(ctx, sign, trouble)); err != nil {
		return err
	}
	return s.runner.AskSuspend(ctx, suspension.Request{Link: known.Link, Who: known.Who, Reason: known.Reason, Epoch: now.Epoch})
}

func when(s suspension.Suspension) string {
	text := "since " + s.Since.UTC().Format(time.RFC3339)
	if s.Who != "" {
		text += " by " + s.Who
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// follow lets MirrorControl know what the row says, if Temporal was restored or a signal
// was lost, and ends what was shown of a suspension that is over.
func (s *Supervisor) follow(ctx context.Context) error {
	proof, err := s.suspensions.SuspensionProof(ctx)
	if err != nil || !proof.Confirmed || !proof.LinksConfirmed {
		return err // LookAtSuspension decides
	}
	for _, row := range proof.Rows {
		if err := s.end(ctx, undecided(row.Link), nil); err != nil {
			return err
		}
		if err := s.followOne(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (s *Supervisor) followOne(ctx context.Context, row suspension.Suspension) error {
	if row.Link != "" && row.Suspended() {
		if err := s.reviveControl(ctx, row.Link); err != nil {
			return err
		}
	}
	known, err := s.view(ctx, row.Link)
	if err != nil {
		return nil //nolint:nilerr // Temporal is asked again; what starts workflows says that it is away
	}
	if !row.Still() {
		// An operator changed the row by hand, or put an old one in its place.
		if lost(row, known) {
			return s.suspendAgain(ctx, known)
		}
		if err := s.end(ctx, disagree(row.Link), nil); err != nil {
			return err
		}
	}
	if known.State == "" || known.Epoch == row.Epoch && !known.Unconfirmed || row.Link != "" && !row.Still() && !known.Still() {
		return nil
	}
	request := suspension.Request{Link: row.Link, Who: s.opts.Worker, Reason: fmt.Sprintf("the database is at epoch %d", row.Epoch), Epoch: row.Epoch}
	if row.Still() {
		return s.runner.AskSuspend(ctx, request)
	}
	return s.runner.AskResume(ctx, request)
}
