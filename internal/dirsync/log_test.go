package dirsync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/mailbox"
	"mailmirror/test/logged"
)

// What waits is one line, without the names that are recorded in a directory. A mailbox
// that cannot join is one, too, without the words of the error.
func TestHeldChangesAreLogged(t *testing.T) {
	said := &logged.Log{}
	m := newMirrorerOf(t, nil, nil, said.Logger().Handler())
	m.fill()
	for _, d := range []*dirsynctest.Directory{m.runs.Source, m.runs.Target} {
		d.Put("100", map[directory.Column]string{directory.CommonName: "Canary " + fmt.Sprint(d == m.runs.Source)})
	}
	m.runs.Settings.ChangeCount = 1
	if plan := m.compare(dirsync.TriggerSchedule); plan.Held == 0 {
		t.Fatalf("the plan is %+v, want changes that wait", plan)
	}
	said.Want(t, "directory changes held", 1, "Canary", "name 101")
	m.runs.Refuse["104"] = true
	m.join(func(context.Context, mailbox.Key) error { return nil })
	if text := said.String(); !strings.Contains(text, "cannot join") || strings.Contains(text, "mirrored by another link") {
		t.Errorf("logged %s", text)
	}
}
