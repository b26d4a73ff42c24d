package mirror_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain asks for more than the usual hundred cases: the rare ones, such as
// a folder that moves below another that moves too, come up in thousands.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
