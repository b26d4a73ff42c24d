package dirsync_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// What starts the servers of integration tests lives as long as the process.
		goleak.IgnoreAnyFunction("mailmirror/test/servers.startAll"))
}
