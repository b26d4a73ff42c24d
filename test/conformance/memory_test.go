package conformance_test

import (
	"testing"

	"mailmirror/activities/activitytest"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/test/conformance"
)

// TestMemory holds the records in memory to what those in PostgreSQL are held to.
func TestMemory(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.Records {
		world := activitytest.New()
		records := controltest.NewDirectory(world.Memory)
		holds := int64(0)
		work := world.Ports(nil)
		work.Checks, work.Signs = world, world
		return conformance.Records{
			Ports: controltest.Ports(world.Memory, records, nil), Work: work,
			Hold: func(_ *testing.T, key mailbox.Key, messages int) {
				holds++
				world.PutHolds(guard.Hold{ID: holds, State: guard.HoldWaiting, Link: key.Link, Number: key.Number, Folder: mailbox.Inbox, Messages: messages})
			},
			HoldDirectory: func(_ *testing.T, runID string) {
				records.Runs = []dirsync.Run{{RunID: runID, Link: "prod-dr", State: dirsync.Held}}
				records.Changes[runID] = []dirsync.Change{
					{Seq: 1, State: dirsync.ChangePlanned, Change: directory.Change{Kind: directory.Create, Number: "1"}},
					{Seq: 2, State: dirsync.ChangeHeld, Change: directory.Change{Kind: directory.Remove, Number: "2"}},
				}
				records.Holds = []guard.DirectoryHold{{ID: 7, State: guard.HoldWaiting, Link: "prod-dr", RunID: runID, Kind: directory.Remove, Changes: 1}}
			},
			Write: func(_ *testing.T, key mailbox.Key) func() { return world.Hold(key) },
		}
	})
}
