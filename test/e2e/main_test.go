//go:build integration

package e2e

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"mailmirror/internal/pgstore/pgtest"
)

// TestMain has a PostgreSQL ready for the tests that run the copy engine in
// their own process, and ends what the lanes run.
//
// All parallel tests start at once: they wait for their lanes, and newRigOn
// bounds how many of them run.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(16*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	code := pgtest.Main(m)
	endLanes()
	os.Exit(code)
}
