// Package workflows orchestrates: the order of steps, timers, signals, and what
// is going on, readable in Temporal's Web UI.
//
// It must not know any adapter or the configuration, and it does no I/O, reads
// no clock and draws no random number but through the workflow's context, since
// every line of it is executed again when a history is replayed. What a
// workflow needs to be told comes with its input.
//
// Changing the commands that a workflow issues needs workflow.GetVersion: the
// histories in test/replay are those that are out there.
package workflows
