package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"mailmirror/internal/cli"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Ctrl-C while waiting ends the waiting and says that the work goes on.
func TestInterruptedWaiting(t *testing.T) {
	for what, args := range map[string][]string{
		"compare": {"compare", "dr", "--wait"}, "sync": {"sync", "dr", "1001", "--wait"},
		"verification": {"verify", "dr"}, "check": {"store", "check", "prod"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSystem()
			s.seed()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wait := func(ctx context.Context) error {
				cancel()
				<-ctx.Done()
				return ctx.Err()
			}
			s.runner.OnWaitRun = func(ctx context.Context, _ site.Run) error { return wait(ctx) }
			s.runner.OnWaitSync = waitSync(wait)
			var stdout, stderr bytes.Buffer
			code := cli.Main(ctx, append(args, "--data", "x"), cli.Environment{
				Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: now, Open: s.open,
				LookupEnv: func(string) (string, bool) { return "", false },
			})
			if want := "mailmirror: stopped waiting; the " + what + " goes on\n"; code != 1 || !strings.HasPrefix(stderr.String(), want) {
				t.Errorf("code %d, stderr %q", code, stderr.String())
			}
			if s.closed != 1 {
				t.Errorf("closed %d times", s.closed)
			}
		})
	}
}

func waitSync(wait func(context.Context) error) func(context.Context, mailbox.Key) error {
	return func(ctx context.Context, _ mailbox.Key) error { return wait(ctx) }
}
