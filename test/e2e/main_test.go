//go:build integration

package e2e

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// TestMain ends what the lanes run.
//
// All parallel tests start at once: they wait for their lanes, and newRigOn
// bounds how many of them run.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(16*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	code := m.Run()
	endLanes()
	os.Exit(code)
}
