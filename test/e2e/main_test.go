//go:build integration && matrix

package e2e

import (
	"os"
	"testing"

	"mailmirror/internal/pgstore/pgtest"
)

// TestMain has a PostgreSQL ready for the tests that run the copy engine in
// their own process. Those of the whole system start their own.
func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
