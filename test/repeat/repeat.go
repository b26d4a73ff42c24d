// Package repeat says how often a test repeats what it does: a few times in
// `make test`, many times in `make soak`. It must not know what is tested.
package repeat

import (
	"os"
	"strconv"
	"testing"
)

// Variable is the number of the run in `make soak`, from 1 on.
const Variable = "MAILMIRROR_SOAK"

// Run is the number of the run in `make soak`, 0 elsewhere. A test of random
// scenes begins at other ones in each run.
func Run() int {
	n, _ := strconv.Atoi(os.Getenv(Variable))
	return n
}

// Times returns few, and many in `make soak`.
func Times(few, many int) int {
	if Run() > 0 {
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
	if Run() == 0 {
		t.Skip("only in make soak")
	}
}
