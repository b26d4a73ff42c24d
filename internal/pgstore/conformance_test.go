//go:build integration

package pgstore_test

import (
	"testing"

	"mailmirror/activities"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/copier"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/test/conformance"
)

// TestConformance holds the database to what the records in memory are held to.
func TestConformance(t *testing.T) {
	t.Parallel()
	conformance.Run(t, func(t *testing.T) conformance.Records {
		s := pgtest.Open(t)
		return conformance.Records{
			Ports: controltest.Ports(s, s, nil),
			Work:  activities.Ports{Mailboxes: s, Compares: s, Reviews: s, Members: s, Due: s, Keeper: s, Watch: s, Signs: s, Suspension: s, Checks: s},
			Hold: func(t *testing.T, key mailbox.Key, messages int) {
				lease, _ := begin(t, s, key)
				_, err := s.Judge(t.Context(), lease, mirror.DefaultLimits(), dueIn(messages, messages+1))
				must(t, err)
				must(t, s.Release(t.Context(), lease, true))
			},
			HoldDirectory: func(t *testing.T, runID string) {
				one, two := entry("s", "a", "1"), entry("t", "t2", "2")
				paired := []directory.Record{entry("s", "b", "2")}
				compared(t, s, "before "+runID, dirsync.TriggerOperator, dirsync.DefaultSettings(), paired, []directory.Record{two})
				finished(t, s, "before "+runID)
				compared(t, s, runID, dirsync.TriggerOperator, dirsync.DefaultSettings(), []directory.Record{one}, []directory.Record{two})
				hold(t, s, runID, directory.Remove)
				must(t, s.FinishDirectoryRun(t.Context(), runID, dirsync.Held, []string{"too many"}, ""))
			},
			Write: func(t *testing.T, key mailbox.Key) func() {
				lease, _ := begin(t, s, key)
				return func() { must(t, s.Release(t.Context(), lease, true)) }
			},
		}
	})
}

// TestLedgerConformance holds the ledger to what that of the simulator is held to.
func TestLedgerConformance(t *testing.T) {
	t.Parallel()
	conformance.RunLedger(t, func(t *testing.T) (copier.Ledger, mailbox.Key) { return seeded(t, "4711"), keyOf("4711") })
}

// TestDirectoryConformance holds the records of runs over directories to what those in
// memory are held to.
func TestDirectoryConformance(t *testing.T) {
	t.Parallel()
	conformance.RunDirectories(t, func(t *testing.T) conformance.DirectoryRecords {
		s := mirrored(t)
		return conformance.DirectoryRecords{Runs: s, Changes: s, Members: s, Leases: s}
	})
}
