package copiersim

import (
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/test/conformance"
)

// TestConformance holds the ledger of the simulator to what the database is held to.
func TestConformance(t *testing.T) {
	conformance.RunLedger(t, func(*testing.T) (copier.Ledger, mailbox.Key) {
		w := newWorld(1)
		w.chaos = false
		return &workerLedger{&worker{w: w, name: "worker"}}, mailbox.Key{Link: "dr", Number: "4711"}
	})
}
