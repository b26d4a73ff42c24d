package mailbox_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain asks for more than the usual hundred cases. The rare ones, such as
// runs that meet at the last UID, come up in thousands.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
