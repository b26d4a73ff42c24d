package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// MailboxSyncInput starts a MailboxSync, and is what it carries over.
type MailboxSyncInput struct {
	Link   string         `json:"link"`
	Number mailbox.Number `json:"number"`
	// Trigger names who started it, where no signal does.
	Trigger string `json:"trigger,omitempty"`
	// Debounce is how long to wait for more signals before the stores are
	// looked at, so that a burst of changes is a few syncs. An operator's sync
	// does not wait.
	Debounce time.Duration `json:"debounce_ns,omitempty"`
	// AtOnce lets the first sync not wait either: what changes after a quiet
	// time is mirrored at once, and what follows is waited for. It is the
	// version of this workflow, too: what was started by an earlier release
	// has it not, and waits as it did. The marker of workflow.GetVersion would
	// cost every one of these short executions a search attribute and an event.
	AtOnce bool `json:"at_once,omitempty"`
	// Continued is true where an earlier run of this execution came before;
	// Syncs and the counts are what it did.
	Continued bool        `json:"continued,omitempty"`
	Syncs     int         `json:"syncs,omitempty"`
	Messages  copier.Work `json:"messages,omitzero"`
	Greetings copier.Work `json:"greetings,omitzero"`
}

// Work is the argument of SignalWork; a bare signal will do.
type Work struct {
	Trigger string `json:"trigger,omitempty"`
}

// SyncView answers QueryProgress of a MailboxSync.
type SyncView struct {
	Phase       string      `json:"phase"`
	Trigger     string      `json:"trigger"`
	Syncs       int         `json:"syncs"` // that ended
	Messages    copier.Work `json:"messages"`
	Greetings   copier.Work `json:"greetings"`
	Differences int         `json:"differences"`
	ErrorKind   string      `json:"error_kind,omitempty"`
	// Retry is how long after its end a parked mailbox is due again.
	Retry time.Duration `json:"retry_ns,omitempty"`
}

// MailboxSync keeps one mailbox in step: it waits out the burst of signals that
// woke it, syncs, and goes on while work is due; then it ends, and the next
// signal starts it again. Its id makes it the only one of its mailbox. The row
// in the database says what is due, so that a signal is no more than a hint;
// still none that arrives is left unanswered.
func MailboxSync(ctx workflow.Context, in MailboxSyncInput) error {
	s := &mailboxSync{in: in, work: workflow.GetSignalChannel(ctx, SignalWork)}
	if s.in.Trigger == "" {
		s.in.Trigger = activities.TriggerEvent
	}
	s.view = SyncView{Phase: PhaseSyncing, Trigger: s.in.Trigger, Syncs: in.Syncs, Messages: in.Messages, Greetings: in.Greetings}
	err := workflow.SetQueryHandler(ctx, QueryProgress, func() (SyncView, error) { return s.view, nil })
	if err != nil {
		return err
	}
	for {
		again, err := s.round(ctx)
		if err != nil {
			s.say(ctx, err)
			return err
		}
		if !again {
			return s.end(ctx)
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, MailboxSync, s.carried())
		}
	}
}

type mailboxSync struct {
	in   MailboxSyncInput
	work workflow.ReceiveChannel
	view SyncView
}

// round does one sync and reports whether another one is due.
func (s *mailboxSync) round(ctx workflow.Context) (bool, error) {
	s.drain()
	atOnce := s.in.AtOnce && s.view.Syncs == s.in.Syncs && !s.in.Continued
	if s.in.Debounce > 0 && s.view.Trigger != activities.TriggerOperator && !atOnce {
		if err := workflow.Sleep(ctx, s.in.Debounce); err != nil {
			return false, err
		}
		s.drain()
	}
	s.tell(ctx, "Syncing.")
	var a *activities.Sync
	var result activities.SyncResult
	input := activities.SyncInput{Link: s.in.Link, Number: s.in.Number, Trigger: s.view.Trigger}
	if err := workflow.ExecuteActivity(storeWork(ctx, ""), a.SyncMailbox, input).Get(ctx, &result); err != nil {
		return false, err
	}
	s.view.Phase = string(result.State)
	s.view.Syncs++
	s.view.Messages = s.view.Messages.Add(result.Messages)
	s.view.Greetings = s.view.Greetings.Add(result.Greetings)
	s.view.Differences, s.view.ErrorKind, s.view.Retry = result.Differences, result.ErrorKind, result.Retry
	s.tell(ctx, "")
	// What changed while the sync ran, or was signalled meanwhile, is due at
	// once. A signal may be late news of what this sync has done: the next
	// round finds nothing due then, at the price of one look at our database.
	s.view.Trigger = activities.TriggerEvent
	return s.drain() > 0 || result.Dirty, nil
}

// drain takes in all signals that have arrived and returns their number. Of
// several triggers the operator's wins, since it asks for the closest look.
func (s *mailboxSync) drain() int {
	n := 0
	for {
		var w Work
		if !s.work.ReceiveAsync(&w) {
			return n
		}
		n++
		if w.Trigger != "" && s.view.Trigger != activities.TriggerOperator {
			s.view.Trigger = w.Trigger
		}
	}
}

// carried is the state with which the next run of this execution starts.
func (s *mailboxSync) carried() MailboxSyncInput {
	in := s.in
	in.Trigger, in.Continued = s.view.Trigger, s.in.AtOnce
	in.Syncs, in.Messages, in.Greetings = s.view.Syncs, s.view.Messages, s.view.Greetings
	return in
}

// end leaves the last phase to be found by. No signal can be lost here: one
// that arrives before Temporal takes note of the end makes it refuse the end,
// and the round before is decided again with that signal in sight.
func (s *mailboxSync) end(ctx workflow.Context) error {
	if s.view.Messages.Add(s.view.Greetings) != (copier.Work{}) {
		s.say(ctx, nil)
	}
	return workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(s.view.Phase))
}

// say logs the end. Most find nothing to do, and have no line.
func (s *mailboxSync) say(ctx workflow.Context, err error) {
	work := s.view.Messages.Add(s.view.Greetings)
	sayEnded(ctx, "mailbox sync finished", s.in.Link, workflow.GetInfo(ctx).WorkflowExecution.RunID, err, "mailbox_id", string(s.in.Number), "state", s.view.Phase,
		"syncs", s.view.Syncs, "copied", work.Appended, "bytes", work.Bytes, "flagged", work.FlagsChanged, "expunged", work.Expunged, "differences", s.view.Differences)
}

// sayEnded logs the end of a workflow: what ended, how, and counts. A replay logs
// nothing.
func sayEnded(ctx workflow.Context, what, link, runID string, err error, counts ...any) {
	workflow.GetLogger(ctx).Info(what, append([]any{"link", link, "run_id", runID, "outcome", phaseOf(err)}, counts...)...)
}

// sayLeftOut logs that a schedule starts nothing: the run before is not over.
func sayLeftOut(ctx workflow.Context, link, id string) {
	workflow.GetLogger(ctx).Info("left out, one is running", "link", link, "run_id", workflow.GetInfo(ctx).WorkflowExecution.RunID, "workflow_id", id)
}

// tell writes what is going on for the Web UI.
func (s *mailboxSync) tell(ctx workflow.Context, now string) {
	v := s.view
	if now == "" {
		now = "Mailbox is " + v.Phase + "."
	}
	text := fmt.Sprintf("%s %d syncs so far: %s; greetings: %s.", now, v.Syncs, workText(v.Messages), workText(v.Greetings))
	if v.Differences > 0 {
		text += fmt.Sprintf(" %d lasting differences.", v.Differences)
	}
	if v.Retry > 0 {
		text += fmt.Sprintf(" Failed (%s), due again after %s; see `mailmirror errors %s`.", v.ErrorKind, v.Retry.Round(time.Second), s.in.Link)
	}
	workflow.SetCurrentDetails(ctx, text)
}

func workText(w copier.Work) string {
	return fmt.Sprintf("%d messages (%d bytes) copied, %d flags changed, %d expunged", w.Appended, w.Bytes, w.FlagsChanged, w.Expunged)
}

// phaseOf names how a workflow ended.
func phaseOf(err error) string {
	switch {
	case err == nil:
		return PhaseDone
	case temporal.IsCanceledError(err):
		return PhaseCancelled
	default:
		return PhaseFailed
	}
}
