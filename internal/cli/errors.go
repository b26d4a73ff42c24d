package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

func (c *cli) errorsCommand() *cobra.Command {
	return c.onLink(0, 1, &cobra.Command{
		Use:   "errors [LINK]",
		Short: "What is not as it should be now, and what to do about it",
		Long: `Lists the work in the background that fails or has ended, the stores that answer
slowly, the mailboxes whose last sync failed, with the next attempt, the messages
that cannot be mirrored as they are, with the reason, and what the last run over
the directory left wrong.`,
		RunE: lists(c, func(ctx context.Context, ctl *control.Control, args []string) ([]site.ErrorEntry, error) {
			return ctl.Errors(ctx, first(args))
		}, c.writeErrors),
	})
}

func (c *cli) writeErrors(w io.Writer, entries []site.ErrorEntry) {
	if len(entries) == 0 {
		c.say("nothing is wrong")
		return
	}
	t := c.newTable("LINK", "MAILBOX", "WHERE", "KIND", "SINCE", ">FAILURES", "NEXT ATTEMPT", "WHAT")
	var hints hints
	kinds := map[string]int{}
	for _, e := range entries {
		where := string(e.Folder)
		if e.SourceUID != 0 {
			where += fmt.Sprintf(" uid %d", e.SourceUID)
		}
		failures := ""
		if e.Failures > 0 {
			failures = fmt.Sprint(e.Failures)
		}
		t.row(e.Link, e.Number, where, e.Kind, c.moment(e.Since), failures, c.attempt(e.NextAttemptAt), e.Text)
		hints.add(e.Hint)
		kinds[e.Kind]++
	}
	t.write(w)
	// A long list has scrolled away: what it amounts to stands last.
	var sums []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		sums = append(sums, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	fmt.Fprintf(w, "%s: %s\n", counted(len(entries), "error"), clean(strings.Join(sums, ", ")))
	hints.write(w)
}

// hints are shown once each, since most of the errors of a bad night share one.
type hints []string

func (h *hints) add(hint string) {
	if hint != "" && !slices.Contains(*h, hint) {
		*h = append(*h, hint)
	}
}

func (h hints) write(w io.Writer) {
	for _, hint := range h {
		fmt.Fprintf(w, "hint: %s\n", clean(hint))
	}
}
