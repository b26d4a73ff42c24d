//go:build integration

package ldapdir_test

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"mailmirror/internal/ldapdir/ldapdirtest"
)

// TestMain lets more tests run at a time than there are processors: they wait for
// their servers more than they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// What starts the servers lives as long as the process.
		goleak.IgnoreAnyFunction("mailmirror/test/servers.startAll"))
}

func TestSlapd(t *testing.T) { ldapdirtest.Run(t, ldapdirtest.Slapd()) }

func Test389(t *testing.T) { ldapdirtest.Run(t, ldapdirtest.DS389()) }
