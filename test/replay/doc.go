// Package replay holds every released workflow to the histories of the ones
// before: histories/ keeps what was recorded on a real Temporal server, and the
// test replays it with the code as it is now.
//
// A history is never changed. A workflow that issues other commands than before
// does so behind workflow.GetVersion, and gets new histories beside the old:
//
//	go run ./test/replay/record --prefix v2-
package replay
