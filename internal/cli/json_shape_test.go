package cli

import (
	"reflect"
	"testing"

	"mailmirror/internal/audit"
	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/test/shape"
)

// TestJSONShape pins what -o json prints.
func TestJSONShape(t *testing.T) {
	of := func(types ...reflect.Type) []reflect.Type { return types }
	shape.Check(t, "testdata/json.txt", "Programs read it by -o json: what is there may neither go nor be renamed; a field may be added.",
		map[string][]reflect.Type{
			"audit":             of(reflect.TypeFor[audit.Entry]()),
			"compare":           of(reflect.TypeFor[control.CompareStart](), reflect.TypeFor[site.CompareRun]()),
			"config":            of(reflect.TypeFor[config.Setting]()),
			"directory changes": of(reflect.TypeFor[dirsync.Change]()),
			"directory history": of(reflect.TypeFor[dirsync.Run]()),
			"directory show":    of(reflect.TypeFor[control.DirectoryEntryView]()),
			"directory sync":    of(reflect.TypeFor[control.DirectoryStart]()),
			"error":             of(reflect.TypeFor[ErrorObject]()),
			"errors":            of(reflect.TypeFor[site.ErrorEntry]()),
			"events":            of(reflect.TypeFor[event]()),
			"guard list":        of(reflect.TypeFor[guard.Hold](), reflect.TypeFor[guard.DirectoryHold]()),
			"guard show":        of(reflect.TypeFor[control.GuardView]()),
			"history":           of(reflect.TypeFor[site.HistoryEntry]()),
			"link list":         of(reflect.TypeFor[site.Link]()),
			"link show":         of(reflect.TypeFor[linkShown]()),
			"mailbox add":       of(reflect.TypeFor[mailboxAdded]()),
			"mailbox list":      of(reflect.TypeFor[site.Mailbox]()),
			"schedule list":     of(reflect.TypeFor[site.ScheduleInfo]()),
			"status":            of(reflect.TypeFor[control.LinkOverview]()),
			"store list":        of(reflect.TypeFor[site.Store]()),
			"store show":        of(reflect.TypeFor[storeShown]()),
			"suspend":           of(reflect.TypeFor[suspension.Suspension]()),
			"up":                of(reflect.TypeFor[ready]()),
			"version":           of(reflect.TypeFor[versionInfo]()),
		})
}
