package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 800 * time.Microsecond: "800µs", 12345 * time.Microsecond: "12ms",
		time.Second: "1s", 2300 * time.Millisecond: "2.3s", 59 * time.Second: "59s", time.Minute: "1m",
		312 * time.Second: "5m12s", 4 * time.Hour: "4h", 25*time.Hour + time.Minute: "25h1m", 76 * time.Hour: "3d4h",
	} {
		if got := span(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 23_481_000: "23.5 MB",
		5_000_000_000_000: "5.0 TB", 1 << 62: "4611.7 PB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestTableIsAlignedWithAndWithoutColours(t *testing.T) {
	build := func(colour bool) string {
		tb := &table{header: []string{"NAME", "STATE", "COUNT"}, right: []bool{false, false, true}, colour: colour}
		tb.row("Käte", site.StateEqual, 5)
		tb.row("", site.StateParked, 1234)
		var out bytes.Buffer
		tb.write(&out)
		return out.String()
	}
	want := "NAME  STATE   COUNT\nKäte  equal       5\n-     parked   1234\n"
	if got := build(false); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	coloured := build(true)
	if !strings.Contains(coloured, "\x1b[32mequal\x1b[0m ") || !strings.Contains(coloured, "\x1b[31mparked\x1b[0m") {
		t.Errorf("not coloured: %q", coloured)
	}
	if got := strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(coloured); got != want {
		t.Errorf("colours move the columns:\n%s", got)
	}
}

func TestLostAnswerIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"--help"}} {
		var stderr bytes.Buffer
		code := Main(t.Context(), args, Environment{Stdout: full, Stderr: &stderr})
		if code != exitFailed && args[0] != "--help" || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: code %d, %q", args, code, stderr.String())
		}
	}
}

// A terminal is needed for colours; what must hold everywhere is that none
// come where they were refused or where nobody looks.
func TestColoursOnlyOnATerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &cli{env: withSystem(Environment{Stdout: f, LookupEnv: func(string) (string, bool) { return "", false }})}
	if c.colours() {
		t.Error("colours into a file")
	}
}

func TestExitCodes(t *testing.T) {
	usage := &usageError{&cobra.Command{Use: "x"}, errors.New("odd")}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		text string
	}{
		{"done", t.Context(), nil, 0, ""},
		{"usage", t.Context(), usage, 2, "mailmirror: odd\nhint: usage: x; more with --help\n"},
		{"differences", t.Context(), fmt.Errorf("wrapped: %w", outcome(exitDifferences)), 3, ""},
		{"fault", t.Context(), fault.New(fault.Config, "log in", errors.New("refused"), "try again"), 1, "mailmirror: log in: refused\nhint: try again\n"},
		{"several lines", t.Context(), errors.Join(errors.New("one"), errors.New("two")), 1, "mailmirror: one\n  two\n"},
		{"hostile", t.Context(), errors.New("a\x1b]0;b\x07\u202ec"), 1, "mailmirror: a\uFFFD]0;b\uFFFD\uFFFDc\n"},
		{"interrupted", cancelled, fmt.Errorf("list: %w", context.Canceled), 1, "mailmirror: interrupted\n"},
		{"waiting interrupted", cancelled, &waitingEnded{"compare", "look"}, 1, "mailmirror: stopped waiting; the compare goes on\nhint: look\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			c := &cli{env: Environment{Stderr: &stderr}, last: &cobra.Command{Use: "y"}}
			if got := c.finish(test.ctx, test.err); got != test.code || stderr.String() != test.text {
				t.Errorf("code %d, want %d; got:\n%s\nwant:\n%s", got, test.code, stderr.String(), test.text)
			}
		})
	}
}
