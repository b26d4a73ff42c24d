//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	sdk "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"mailmirror/activities"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// page is what Temporal's Web UI shows of a workflow.
type page struct {
	summary, details string
	// attributes are the search attributes, by name.
	attributes map[string]string
	// activities are the summaries of all that were started.
	activities []string
	// health is what the first pending activity told last.
	health site.Health
}

// page reads what the Web UI shows of a workflow, as that does.
func (s *suspender) page(id string) (p page, err error) {
	p.attributes = map[string]string{}
	described, err := s.client.DescribeWorkflow(s.t.Context(), id, "")
	if err != nil {
		return p, err
	}
	if p.summary, err = described.GetStaticSummary(); err != nil {
		return p, err
	}
	raw, err := s.client.DescribeWorkflowExecution(s.t.Context(), id, "")
	if err != nil {
		return p, err
	}
	payloads := converter.GetDefaultDataConverter()
	for name, value := range raw.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields() {
		p.attributes[name] = strings.Trim(payloads.ToString(value), `"`)
	}
	if pending := raw.GetPendingActivities(); len(pending) > 0 && pending[0].GetHeartbeatDetails() != nil {
		if err := payloads.FromPayloads(pending[0].GetHeartbeatDetails(), &p.health); err != nil {
			return p, err
		}
	}
	answer, err := s.client.QueryWorkflow(s.t.Context(), id, "", "__temporal_workflow_metadata")
	if err != nil {
		return p, err
	}
	var metadata sdk.WorkflowMetadata
	if err := answer.Get(&metadata); err != nil {
		return p, err
	}
	p.details = metadata.GetCurrentDetails()
	history := s.client.GetWorkflowHistory(s.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return p, err
		}
		if event.GetEventType() == enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			p.activities = append(p.activities, strings.Trim(payloads.ToString(event.GetUserMetadata().GetSummary()), `"`))
		}
	}
	return p, nil
}

// showsUp waits until the Web UI shows a workflow as it should. Temporal may have
// been started a moment ago.
func (s *suspender) showsUp(id string, lacks func(page) string) {
	s.t.Helper()
	for deadline := time.Now().Add(longest); ; time.Sleep(50 * time.Millisecond) {
		p, err := s.page(id)
		missing := fmt.Sprint(err)
		if err == nil {
			if missing = lacks(p); missing == "" {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the Web UI does not show %s of %s: %+v", missing, id, p)
		}
	}
}

// without returns the first of some texts that is not there, "" for none.
func without(text string, wanted ...string) string {
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			return fmt.Sprintf("%q", w)
		}
	}
	return ""
}

// controlShows checks that who opens MirrorControl in the Web UI reads how the mirror
// stands, since when, by whom and why, and finds it by how it stands.
func (s *suspender) controlShows(state suspension.State, reason string) {
	s.t.Helper()
	row, err := standing(s.t.Context(), s.store)
	s.must(err)
	if row.State != state || row.Reason != reason || row.Who == "" {
		s.t.Fatalf("the mirror stands %+v, want %s for %q", row, state, reason)
	}
	s.showsUp(workflows.ControlID, func(p page) string {
		told := "The mirror is **" + string(state) + "** since " + row.Since.UTC().Format(time.RFC3339) + ", by " + row.Who
		if reason != "" {
			told += ": " + reason
		}
		did := "let the schedules go on, start what is due"
		if state == suspension.Suspended {
			did = "pause the schedules, wait for the last write"
		}
		switch {
		case p.attributes[workflows.PhaseAttribute.GetName()] != string(state):
			return "the phase"
		case !strings.Contains(p.summary, "Suspend and resume"):
			return "the summary"
		}
		return without(p.details+strings.Join(p.activities, "\n"), told+".\n", "`mailmirror resume`", did)
	})
	query := fmt.Sprintf("%s = '%s' AND WorkflowType = '%s'", workflows.PhaseAttribute.GetName(), state, workflows.TypeMirrorControl)
	for deadline := time.Now().Add(longest); ; time.Sleep(50 * time.Millisecond) {
		found, err := s.client.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if list := found.GetExecutions(); err == nil && len(list) == 1 && list[0].GetExecution().GetWorkflowId() == workflows.ControlID {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s finds %+v (%v)", query, found.GetExecutions(), err)
		}
	}
}

// listeningShows checks that who opens WatchEvents reads how listening does.
func (s *suspender) listeningShows() {
	s.t.Helper()
	n := len(s.loaded) + len(s.probes)
	s.showsUp(workflows.WatchID(s.r.link), func(p page) string {
		h := p.health
		switch {
		case p.attributes[workflows.LinkAttribute.GetName()] != s.r.link, p.attributes[workflows.PhaseAttribute.GetName()] != workflows.PhaseListening:
			return "link and phase"
		case p.summary != workflows.WatchSummary(s.r.link):
			return "the summary"
		case h.Mode != site.ListenIdle || h.Listened != n || h.Connections != n || h.Wanted != n || h.ConnectedSince.IsZero() || h.Trouble != "":
			return "good health"
		}
		return without(p.details+strings.Join(p.activities, "\n"), "Listening since ", fmt.Sprintf(": %d mailboxes in 1 shards", n), "mailmirror status "+s.r.link, "shard 0")
	})
}

// syncShows checks that who opens the MailboxSync of a mailbox that is equal reads
// that. If a late signal came after the sync, its last round found nothing due: the
// mailbox is clean.
func (s *suspender) syncShows(number string) {
	s.t.Helper()
	key := mailbox.Key{Link: s.r.link, Number: mailbox.Number(number)}
	s.showsUp(workflows.SyncID(key), func(p page) string {
		switch {
		case p.attributes[workflows.LinkAttribute.GetName()] != s.r.link, p.attributes[workflows.MailboxAttribute.GetName()] != number:
			return "link and mailbox"
		case p.summary != workflows.SyncSummary(key):
			return "the summary"
		}
		phase := p.attributes[workflows.PhaseAttribute.GetName()]
		if phase != string(activities.SyncEqual) && phase != string(activities.SyncClean) {
			return "the phase"
		}
		return without(p.details, "Mailbox is "+phase+".")
	})
}
