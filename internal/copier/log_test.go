package copier

import (
	"context"
	"testing"

	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/test/logged"
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
		times int
	}{
		"at first": {mirror.Decision{Hold: uids, Asked: uids}, 1},
		"still":    {mirror.Decision{Hold: uids}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			said := &logged.Log{}
			r := &run{job: Job{Key: mailbox.Key{Link: "dr", Number: "1001"}, RunID: "run"}, left: map[mailbox.FolderName]mirror.Decision{},
				Engine: &Engine{ledger: judging{holds: c.holds}, log: said.Logger()}}
			if _, _, err := r.permit(t.Context(), mirror.Due{Folder: "canary", UIDs: uids, Target: 4}, stays{}); err != nil {
				t.Fatal(err)
			}
			said.Want(t, "deletions held", c.times, "canary")
		})
	}
}
