package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"mailmirror/internal/mailbox"
)

// TaskQueue is where the workers of an installation take their work from.
const TaskQueue = "mailmirror"

// The workflow types, as they stand in histories and schedules.
const (
	TypeMailboxSync      = "MailboxSync"
	TypeFullCompare      = "FullCompare"
	TypeScheduledCompare = "ScheduledCompare"
	TypeSweep            = "Sweep"
	TypeLedgerRebuild    = "LedgerRebuild"
	TypeScheduledRebuild = "ScheduledRebuild"
	TypeRetention        = "Retention"
	TypeWatchEvents      = "WatchEvents"
	TypeMirrorControl    = "MirrorControl"
	TypeLinkControl      = "LinkControl"

	TypeDirectorySync      = "DirectorySync"
	TypeScheduledDirectory = "ScheduledDirectory"

	TypeVerify     = "Verify"
	TypeCheckStore = "CheckStore"
)

const (
	// SignalWork tells a MailboxSync that work is due, and a DirectorySync that
	// another run has to follow it; its argument is Work.
	SignalWork = "work"
	// SignalRoster tells a WatchEvents to see at once into how many shards the
	// link is to be cut; it has no argument.
	SignalRoster = "roster"
	// QueryProgress asks a MailboxSync for SyncView, a FullCompare for
	// CompareView, a WatchEvents for WatchView, a DirectorySync for DirectoryView.
	QueryProgress = "progress"
	// SignalSuspend tells MirrorControl or LinkControl what to do, and is the name of an
	// update too. The argument is a suspension.Request; a bare signal will do.
	SignalSuspend = "suspend"
	// SignalResume is its opposite.
	SignalResume = "resume"
	// QuerySuspension asks MirrorControl for ControlView.
	QuerySuspension = "suspension"
)

// Search attributes, all of type Keyword. They are few and change seldom: each
// change is an event.
var (
	LinkAttribute    = temporal.NewSearchAttributeKeyKeyword("MailmirrorLink")
	MailboxAttribute = temporal.NewSearchAttributeKeyKeyword("MailmirrorMailbox")
	PhaseAttribute   = temporal.NewSearchAttributeKeyKeyword("MailmirrorPhase")
)

// Phases, as PhaseAttribute shows them. A closed workflow keeps its last one:
// for a MailboxSync that is how the mailbox was left (activities.SyncState).
// MirrorControl and LinkControl show how the mirror or the link stands (suspension.State).
const (
	PhaseSyncing   = "syncing"
	PhaseReviewing = "reviewing"
	PhaseListening = "listening"
	PhaseDone      = "done"
	PhaseFailed    = "failed"
	PhaseCancelled = "cancelled"
)

// DirectoryAttributes are the search attributes that a DirectorySync starts with.
func DirectoryAttributes(link string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(LinkAttribute.ValueSet(link), PhaseAttribute.ValueSet(PhaseExtracting))
}

// DirectorySummary is the line that the Web UI shows for a DirectorySync.
func DirectorySummary(link string) string { return "Mirror the directory of link " + link }

// WatchAttributes are the search attributes that a WatchEvents starts with.
func WatchAttributes(link string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(LinkAttribute.ValueSet(link), PhaseAttribute.ValueSet(PhaseListening))
}

// WatchSummary is the line that the Web UI shows for a WatchEvents.
func WatchSummary(link string) string { return "Listen for changes on the source of link " + link }

// SyncAttributes are the search attributes that a MailboxSync starts with.
func SyncAttributes(key mailbox.Key) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(LinkAttribute.ValueSet(key.Link),
		MailboxAttribute.ValueSet(string(key.Number)), PhaseAttribute.ValueSet(PhaseSyncing))
}

// CompareAttributes are the search attributes that a FullCompare starts with.
func CompareAttributes(link string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(LinkAttribute.ValueSet(link), PhaseAttribute.ValueSet(PhaseReviewing))
}

// VerifyAttributes are the search attributes that a Verify starts with.
func VerifyAttributes(link string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(LinkAttribute.ValueSet(link), PhaseAttribute.ValueSet(PhaseVerifying))
}

// SyncSummary and CompareSummary are the lines that the Web UI shows.
func SyncSummary(key mailbox.Key) string {
	return "Keep mailbox " + shown(key.Number) + " of link " + key.Link + " in step"
}

// CompareSummary is the line that the Web UI shows for a FullCompare.
func CompareSummary(link string) string { return "Compare every mailbox of link " + link }

// VerifySummary is the line that the Web UI shows for a Verify.
func VerifySummary(link string) string { return "Verify the mailboxes of link " + link }

// CheckSummary is the line that the Web UI shows for a CheckStore.
func CheckSummary(store string) string { return "Check store " + store }

// RebuildSummary is the line that the Web UI shows for a LedgerRebuild.
func RebuildSummary(link string) string { return "Rebuild the ledger of link " + link }

// Register makes the workflows known to a worker.
//
// The versioning behaviour takes effect only where the worker is given
// worker.DeploymentOptions, which the one-machine stack leaves out: there is
// one worker, and a deployment of which nobody set the current version runs
// nothing. All workflows follow a new release at once (AutoUpgrade) since the
// replay tests hold every release to the histories of the ones before, and a
// compare that were pinned to an old release would keep that worker alive for
// hours.
func Register(r worker.WorkflowRegistry) {
	for name, w := range map[string]any{
		TypeMailboxSync:      MailboxSync,
		TypeFullCompare:      FullCompare,
		TypeScheduledCompare: ScheduledCompare,
		TypeSweep:            Sweep,
		TypeLedgerRebuild:    LedgerRebuild,
		TypeScheduledRebuild: ScheduledRebuild,
		TypeRetention:        Retention,
		TypeWatchEvents:      WatchEvents,
		TypeMirrorControl:    MirrorControl,
		TypeLinkControl:      LinkControl,

		TypeDirectorySync:      DirectorySync,
		TypeScheduledDirectory: ScheduledDirectory,

		TypeVerify:     Verify,
		TypeCheckStore: CheckStore,
	} {
		r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{
			Name: name, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		})
	}
}
