//go:build integration

package ldapdir_test

import (
	"testing"

	"go.uber.org/goleak"

	"mailmirror/internal/ldapdir/ldapdirtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// What starts the servers lives as long as the process.
		goleak.IgnoreAnyFunction("mailmirror/test/servers.startAll"))
}

func TestSlapd(t *testing.T) { ldapdirtest.Run(t, ldapdirtest.Slapd()) }

func Test389(t *testing.T) { ldapdirtest.Run(t, ldapdirtest.DS389()) }
