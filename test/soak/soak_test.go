package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestReadFailures(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		want   []failure
	}{
		"all passed": {"=== RUN   TestA\n    a_test.go:3: a word\n--- PASS: TestA (0.00s)\nPASS\n", nil},
		"one of two, side by side": {"=== RUN   TestA\n=== RUN   TestB\n=== NAME  TestA\n    a_test.go:3: first\n    a_test.go:4: second\n" +
			"=== NAME  TestB\n    b_test.go:9: other\n--- FAIL: TestA (0.00s)\n--- PASS: TestB (0.00s)\nFAIL\n", []failure{{"TestA", "a_test.go:3: first"}}},
		"in a part": {"=== RUN   TestA\n=== RUN   TestA/part\n    a_test.go:3: first\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/part (0.00s)\n",
			[]failure{{"TestA", "a_test.go:3: first"}}},
		"a crash": {"=== RUN   TestA\npanic: oh no\n\ngoroutine 1 [running]:\n", []failure{{"TestA", "panic: oh no"}}},
		"a race":  {"=== RUN   TestA\nWARNING: DATA RACE\n    testing.go:1: race detected\n--- FAIL: TestA (0.00s)\n", []failure{{"TestA", "WARNING: DATA RACE testing.go:1: race detected"}}},
	} {
		got := readFailures(bytes.NewBufferString(c.output))
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	results := newTally()
	results.add("a", nil)
	results.add("a", []failure{{"TestX", "first"}})
	results.add("a", []failure{{"TestX", "second"}, {"TestY", "why"}})
	results.add("b TestZ", []failure{{"TestZ", "broken"}})
	var b strings.Builder
	results.print(&b)
	want := `test       runs  failures  first failure
a             3         3
  TestX       3         2  first
  TestY       3         1  why
b TestZ       1         1  broken
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if n := results.failures(); n != 4 {
		t.Errorf("%d failures, want 4", n)
	}
}
