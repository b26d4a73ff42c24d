package workflows_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/converter"
	"pgregory.net/rapid"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/verdict"
	"mailmirror/workflows"
)

// What one run carries over to the next has to arrive there whole. A field
// that is added and not set here fails the test, so that none is forgotten.
func TestStateSurvivesContinueAsNew(t *testing.T) {
	moment := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	work := copier.Work{Appended: 1, Bytes: 2, FlagsChanged: 3, Expunged: 4}
	states := []any{
		workflows.MailboxSyncInput{Link: "dr", Number: "1001", Trigger: "event", Debounce: time.Second, AtOnce: true, Continued: true, Syncs: 7,
			Messages: work, Greetings: work},
		workflows.WatchState{Link: "dr", Since: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)},
		workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 250, Window: 4, Begun: true, Mailboxes: 1000,
			Planned: []activities.Page{{After: "1001", Last: "1250"}}, After: "1250", Complete: true, Started: 3, Ended: 2,
			Progress: site.CompareProgress{Reviewed: 1, Unchanged: 2, Synced: 3, Differing: 4, Failed: 5, Busy: 6,
				Messages: work, Greetings: work, DueMessages: 7, DueBytes: 8}},
		workflows.ControlState{Link: "dr", Served: 3, Suspension: suspension.Suspension{Link: "dr", State: suspension.Suspending, Epoch: 4, Reason: "storage",
			Who: "alice", Since: moment, SuspendedAt: moment, Waiting: 2, Remaining: time.Second,
			Unconfirmed: true}},
	}
	states = append(states, workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: "dr", Deep: true, Numbers: []mailbox.Number{"1001"}},
		PageSize: 250, Begun: true, After: "1000"})
	states = append(states, workflows.DirectoryState{Link: "dr", Trigger: dirsync.TriggerSchedule, PageSize: 500, RunID: "run",
		Plan:  &dirsync.Plan{Believed: true, Kinds: map[directory.ChangeKind]int{directory.Alter: 3}, Due: 2, Held: 1},
		Phase: workflows.PhaseApplying, After: 7, Done: 1, Failed: 2, Moot: 3, Stopped: "read-only", Hint: "mend it", Again: dirsync.TriggerApproval})
	data := converter.GetDefaultDataConverter()
	for _, state := range states {
		value := reflect.ValueOf(state)
		t.Run(value.Type().Name(), func(t *testing.T) {
			requireSet(t, value.Type().Name(), value)
			payload, err := data.ToPayload(state)
			if err != nil {
				t.Fatal(err)
			}
			back := reflect.New(value.Type())
			if err := data.FromPayload(payload, back.Interface()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(state, back.Elem().Interface()); diff != "" {
				t.Errorf("after the round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func requireSet(t *testing.T, path string, value reflect.Value) {
	t.Helper()
	if moment, ok := reflect.TypeAssert[time.Time](value); ok {
		if moment.IsZero() {
			t.Errorf("%s is zero in this test", path)
		}
		return
	}
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			requireSet(t, path+"."+value.Type().Field(i).Name, value.Field(i))
		}
	case reflect.Slice:
		if value.Len() == 0 {
			t.Errorf("%s is empty in this test", path)
		}
		for i := range value.Len() {
			requireSet(t, path, value.Index(i))
		}
	default:
		if value.IsZero() {
			t.Errorf("%s is zero in this test", path)
		}
	}
}

func TestIDsTellLinkAndMailbox(t *testing.T) {
	if id := workflows.SyncID(mailbox.Key{Link: "dr", Number: "1001"}); id != "mailbox-sync/dr/1001" {
		t.Error(id)
	}
	if id := workflows.DirectoryID("dr"); id != "directory-sync/dr" {
		t.Error(id)
	}
	if id := workflows.CompareID("dr"); id != "full-compare/dr" {
		t.Error(id)
	}
}

// TestIDsFitTemporal: an id is a header, which holds printable ASCII, and no two
// mailboxes share one.
func TestIDsFitTemporal(t *testing.T) {
	for _, c := range []struct {
		number mailbox.Number
		want   string
	}{
		{"1001", "mailbox-sync/dr/1001"},
		{"a.b-c_d+e@f~g", "mailbox-sync/dr/a.b-c_d+e@f~g"},
		{"Zoë", "mailbox-sync/dr/Zo%C3%AB"},
		{"Zo%C3%AB", "mailbox-sync/dr/Zo%25C3%25AB"},
		{"a/b", "mailbox-sync/dr/a%2Fb"},
		{"a b", "mailbox-sync/dr/a%20b"},
		{"\xff", "mailbox-sync/dr/%FF"},
	} {
		if got := workflows.SyncID(mailbox.Key{Link: "dr", Number: c.number}); got != c.want {
			t.Errorf("%q: got %s, want %s", c.number, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringN(60, 200, -1), rapid.StringOf(rapid.SampledFrom([]rune("a/%~é"))))
		link := rapid.StringMatching(`[a-z/]{1,63}`)
		a := mailbox.Key{Link: link.Draw(t, "link"), Number: mailbox.Number(name.Draw(t, "number"))}
		b := mailbox.Key{Link: link.Draw(t, "other link"), Number: mailbox.Number(name.Draw(t, "other number"))}
		id := workflows.SyncID(a)
		if len(workflows.SyncID(mailbox.Key{Link: strings.Repeat("l", 63), Number: a.Number})) > 240 {
			t.Errorf("%d bytes", len(id))
		}
		for _, c := range []byte(id) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("%q holds byte %#x", id, c)
			}
		}
		if a != b && id == workflows.SyncID(b) {
			t.Errorf("%q and %q are both %s", a, b, id)
		}
		if summary := workflows.SyncSummary(mailbox.Key{Link: "dr", Number: a.Number}); len(summary) > 300 {
			t.Errorf("a summary of %d bytes", len(summary))
		}
	})
}
