package copier

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// judging is a ledger that holds what it says.
type judging struct {
	Ledger
	holds mirror.Decision
}

func (j judging) Judge(context.Context, lease.Lease, mirror.Limits, mirror.Due) (mirror.Decision, error) {
	return j.holds, nil
}

// What nobody was asked about yet is one line, without the folder's name.
func TestHoldingIsLogged(t *testing.T) {
	uids := mailbox.UIDSet{{First: 1, Last: 3}}
	for name, c := range map[string]struct {
		holds mirror.Decision
		want  string
	}{
		"at first": {mirror.Decision{Hold: uids, Asked: uids},
			"level=INFO msg=\"deletions held\" link=dr run_id=run mailbox_id=1001 messages=3 target_messages=4\n"},
		"still": {mirror.Decision{Hold: uids}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			r := &run{job: Job{Key: mailbox.Key{Link: "dr", Number: "1001"}, RunID: "run"}, left: map[mailbox.FolderName]mirror.Decision{},
				Engine: &Engine{ledger: judging{holds: c.holds}, log: slog.New(slog.NewTextHandler(&said, nil))}}
			if _, _, err := r.permit(t.Context(), mirror.Due{Folder: "canary", UIDs: uids, Target: 4}, stays{}); err != nil {
				t.Fatal(err)
			}
			if _, line, _ := strings.Cut(said.String(), " "); line != c.want {
				t.Errorf("logged %q, want %q", line, c.want)
			}
		})
	}
}
