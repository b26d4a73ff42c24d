//go:build integration

package engine

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"mailmirror/internal/pgstore/pgtest"
)

// TestMain has a PostgreSQL ready. Twice as many parallel tests run at once as
// there are processors: they wait for servers.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Main(m))
}
