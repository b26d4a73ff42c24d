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
// their own process. Those of the whole system start their own.
//
// Twice as many of the parallel ones run at once as there are processors: they
// wait for servers, and those for the disk.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Main(m))
}
