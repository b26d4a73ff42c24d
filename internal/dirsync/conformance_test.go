package dirsync_test

import (
	"testing"

	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/test/conformance"
)

// TestConformance holds the records of runs in memory to what the database is held to.
func TestConformance(t *testing.T) {
	conformance.RunDirectories(t, func(*testing.T) conformance.DirectoryRecords {
		r := dirsynctest.NewRuns()
		return conformance.DirectoryRecords{Runs: r, Changes: r, Members: r, Leases: r}
	})
}
