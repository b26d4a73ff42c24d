package replay_test

import (
	"context"
	"reflect"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/suspension"
	"mailmirror/test/shape"
	"mailmirror/workflows"
)

// TestPayloads pins what stands in histories: the inputs and results of all workflows
// and activities, and what signals, queries and updates carry.
func TestPayloads(t *testing.T) {
	r := &payloads{types: map[string][]reflect.Type{
		"query of MailboxSync":     {reflect.TypeFor[workflows.SyncView]()},
		"query of FullCompare":     {reflect.TypeFor[workflows.CompareView]()},
		"query of WatchEvents":     {reflect.TypeFor[workflows.WatchView]()},
		"query of DirectorySync":   {reflect.TypeFor[workflows.DirectoryView]()},
		"query of MirrorControl":   {reflect.TypeFor[workflows.ControlView]()},
		"signal work":              {reflect.TypeFor[workflows.Work]()},
		"signal suspend, resume":   {reflect.TypeFor[suspension.Request]()},
		"update suspend, resume =": {reflect.TypeFor[suspension.Suspension]()},
	}}
	workflows.Register(r)
	activities.Register(r, activities.New(activities.Ports{}, activities.Settings{}))
	if len(r.types) < 40 {
		t.Fatalf("only %d payloads were found", len(r.types))
	}
	shape.Check(t, "payloads.txt", "Workflows of the release before are running with it, and their histories hold it: "+
		"a field may be added, with omitempty, but neither removed, renamed nor given another type.", r.types)
}

// payloads collects what is registered.
type payloads struct {
	worker.Registry
	types map[string][]reflect.Type
}

func (p *payloads) RegisterWorkflowWithOptions(w any, o workflow.RegisterOptions) {
	p.add("workflow "+o.Name, reflect.TypeOf(w))
}

func (p *payloads) RegisterActivity(a any) {
	t := reflect.TypeOf(a)
	for m := range t.Methods() {
		p.add("activity "+m.Name, m.Type)
	}
}

func (p *payloads) RegisterActivityWithOptions(any, activity.RegisterOptions) {}

func (p *payloads) add(name string, f reflect.Type) {
	for in := range f.Ins() {
		if in != reflect.TypeFor[context.Context]() && in != reflect.TypeFor[workflow.Context]() && !isReceiver(in) {
			p.types[name] = append(p.types[name], in)
		}
	}
	for out := range f.Outs() {
		if out != reflect.TypeFor[error]() {
			p.types[name+" ="] = append(p.types[name+" ="], out)
		}
	}
}

func isReceiver(t reflect.Type) bool { return t.Kind() == reflect.Pointer && t.NumMethod() > 0 }
