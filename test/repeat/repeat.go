// Package repeat says how often a test repeats what it does: a few times in
// `make test`, many times in `make soak`. It must not know what is tested.
package repeat

import (
	"os"
	"testing"
)

// Variable is set to anything by `make soak`.
const Variable = "MAILMIRROR_SOAK"

// Times returns few, and many in `make soak`.
func Times(few, many int) int {
	if os.Getenv(Variable) != "" {
		return many
	}
	return few
}

// Some returns the first few elements, and all of them in `make soak`.
func Some[T any](few int, all []T) []T {
	return all[:Times(few, len(all))]
}

// OnlyInSoak skips a test that takes too long for what it can find.
func OnlyInSoak(t *testing.T) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skip("only in make soak")
	}
}
