package copier

import (
	"flag"
	"os"
	"testing"
)

// TestMain asks for more than the usual hundred cases: what comes and goes in
// the middle of a look comes up in thousands.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "5000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
