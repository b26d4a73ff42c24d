package replay_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"mailmirror/workflows"
)

func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("histories/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no histories; record them: go run ./test/replay/record")
	}
	return files
}

// newReplayer waits for a busy machine, however long a workflow's code takes.
func newReplayer(t *testing.T) worker.WorkflowReplayer {
	t.Helper()
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
	if err != nil {
		t.Fatal(err)
	}
	return replayer
}

// TestReplay runs each history against the workflows as they are.
func TestReplay(t *testing.T) {
	for _, file := range histories(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := newReplayer(t)
			workflows.Register(replayer)
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReplayNoticesAChange proves that the histories hold the workflows to
// something: each of them fails on a workflow that only returns.
func TestReplayNoticesAChange(t *testing.T) {
	for _, file := range histories(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := newReplayer(t)
			for _, name := range workflowTypes() {
				replayer.RegisterWorkflowWithOptions(func(workflow.Context, any) (any, error) { return nil, nil },
					workflow.RegisterOptions{Name: name})
			}
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err == nil {
				t.Error("a workflow that does nothing replays without complaint")
			}
		})
	}
}

// workflowTypes are the types that the product registers.
func workflowTypes() []string {
	var r recorder
	workflows.Register(&r)
	return r.types
}

// recorder notes what is registered.
type recorder struct {
	worker.WorkflowRegistry
	types []string
}

func (r *recorder) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	r.types = append(r.types, o.Name)
}

// TestEveryWorkflowHasAHistory keeps a new workflow from being forgotten here. A history
// of another workflow that starts it is none of its own.
func TestEveryWorkflowHasAHistory(t *testing.T) {
	var recorded []string
	for _, file := range histories(t) {
		recorded = append(recorded, readHistory(t, file).Events[0].Started.Type.Name)
	}
	for _, name := range workflowTypes() {
		if !slices.Contains(recorded, name) {
			t.Errorf("no history of %s", name)
		}
	}
}

// history is what the tests read of one.
type history struct {
	Events []struct {
		Type    string `json:"eventType"`
		Started struct {
			Type struct {
				Name string `json:"name"`
			} `json:"workflowType"`
			Input struct {
				Payloads []struct {
					Data []byte `json:"data"`
				} `json:"payloads"`
			} `json:"input"`
		} `json:"workflowExecutionStartedEventAttributes"`
	} `json:"events"`
}

func readHistory(t *testing.T, file string) history {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var h history
	if err := json.Unmarshal(text, &h); err != nil {
		t.Fatal(err)
	}
	if len(h.Events) == 0 {
		t.Fatalf("%s has no event", file)
	}
	return h
}

// TestBothVersionsOfMailboxSync keeps histories of either version of that
// workflow, which its input tells apart: recorded inputs never change, so that
// a run goes on as the version with which it began.
func TestBothVersionsOfMailboxSync(t *testing.T) {
	for version, atOnce := range map[string]bool{"v1": false, "v3": true} {
		file := "histories/" + version + "-mailbox-sync-equal.json"
		history := readHistory(t, file)
		var in workflows.MailboxSyncInput
		if err := json.Unmarshal(history.Events[0].Started.Input.Payloads[0].Data, &in); err != nil {
			t.Fatal(err)
		}
		waited := false
		for _, e := range history.Events {
			if strings.Contains(e.Type, "ACTIVITY_TASK_SCHEDULED") || strings.Contains(e.Type, "ActivityTaskScheduled") {
				break
			}
			waited = waited || strings.Contains(e.Type, "TIMER_STARTED") || strings.Contains(e.Type, "TimerStarted")
		}
		if in.AtOnce != atOnce || waited == atOnce {
			t.Errorf("%s: at_once is %v, and the first sync waited: %v", file, in.AtOnce, waited)
		}
	}
}
