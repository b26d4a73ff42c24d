//go:build integration

package olddata

import (
	"os"
	"testing"

	"mailmirror/internal/pgstore/pgtest"
)

// TestMain has a PostgreSQL ready.
func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
