package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
)

// usageError is a mistake in the command line itself.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// outcome ends a command with an exit code after it has shown everything
// there is to say.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit %d", int(o)) }

// waitingEnded says that only the waiting was interrupted.
type waitingEnded struct{ what, hint string }

func (e *waitingEnded) Error() string { return "stopped waiting; the " + e.what + " goes on" }

// interrupted is the error of a wait that the operator ended, if err says that;
// otherwise it is err.
func interrupted(ctx context.Context, err error, what, hint string) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return &waitingEnded{what, hint}
	}
	return err
}

// showOutcome is show for a command that then ends with exit code 1 if something failed,
// and with 3 if something differs.
func (c *cli) showOutcome(value any, table func(io.Writer), failed, differs bool) error {
	switch err := c.show(value, table); {
	case err != nil:
		return err
	case failed:
		return outcome(exitFailed)
	case differs:
		return outcome(exitDifferences)
	}
	return nil
}

// showStart says whether a run of what was started, or runs already, and by which command
// to wait for it.
func (c *cli) showStart(value any, started bool, what, command string) error {
	return c.show(value, func(io.Writer) {
		if started {
			c.say("%s started; watch it with: mailmirror %s --wait", what, command)
		} else {
			c.say("a %s is running already; watch it with: mailmirror %s --wait", what, command)
		}
	})
}

// ErrorObject is what a failed command writes to standard error with -o json.
type ErrorObject struct {
	Message  string `json:"message"`
	Kind     string `json:"kind"`
	Hint     string `json:"hint,omitempty"`
	ExitCode int    `json:"exit_code"`
}

// finish shows err and returns the exit code.
func (c *cli) finish(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	if o, ok := errors.AsType[outcome](err); ok {
		return int(o)
	}
	object := c.describe(ctx, err)
	if c.output == outputJSON {
		b, _ := json.Marshal(map[string]ErrorObject{"error": object})
		fmt.Fprintf(c.env.Stderr, "%s\n", b)
		return object.ExitCode
	}
	// The faults of one request stand on lines of their own.
	message := strings.ReplaceAll(object.Message, "\n", "\n  ")
	fmt.Fprintf(c.env.Stderr, "mailmirror: %s\n", clean(message))
	if object.Hint != "" {
		fmt.Fprintf(c.env.Stderr, "hint: %s\n", clean(object.Hint))
	}
	return object.ExitCode
}

func (c *cli) describe(ctx context.Context, err error) ErrorObject {
	o := ErrorObject{Message: err.Error(), Kind: string(fault.KindOf(err)), Hint: fault.HintOf(err), ExitCode: exitFailed}
	if usage, ok := errors.AsType[*usageError](err); ok {
		return ErrorObject{
			Message: usage.Error(), Kind: "usage", ExitCode: exitUsage,
			Hint: usageHint(usage.cmd),
		}
	}
	if c.last == nil {
		// Cobra's own findings, such as a required flag that is missing.
		return ErrorObject{Message: err.Error(), Kind: "usage", ExitCode: exitUsage, Hint: helpHint(c.ran)}
	}
	if _, ok := errors.AsType[*control.InputError](err); ok {
		o.Kind, o.ExitCode = "usage", exitUsage
		if o.Hint == "" {
			o.Hint = usageHint(c.last)
		}
		return o
	}
	if w, ok := errors.AsType[*waitingEnded](err); ok {
		return ErrorObject{Message: w.Error(), Kind: "interrupted", Hint: w.hint, ExitCode: exitFailed}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ErrorObject{Message: "interrupted", Kind: "interrupted", ExitCode: exitFailed}
	}
	return o
}

// helpHint says where the flags of a command, or the commands, are explained.
func helpHint(cmd *cobra.Command) string {
	if cmd == nil || cmd.HasSubCommands() {
		return "mailmirror --help shows the commands"
	}
	return cmd.CommandPath() + " --help shows the flags"
}

func usageHint(cmd *cobra.Command) string {
	line := cmd.UseLine()
	if cmd.HasSubCommands() {
		line += " COMMAND"
	}
	return "usage: " + line + "; more with --help"
}

// clean makes control characters harmless: some texts come from servers, and
// a terminal would obey them.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == 0x2028 || r == 0x2029 || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\uFFFD'
		}
		return r
	}, s)
}
