package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

// loadFlags bound the load on a store.
type loadFlags struct {
	maxConnections, maxSessions, maxListings, maxLogins int
}

func (f *loadFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.IntVar(&f.maxSessions, "max-sessions", 0,
		"`number` of sessions that all workers together hold at most, besides those that listen; 0 for the default (20 on a source, 40 on a target)")
	s.IntVar(&f.maxListings, "max-listings", 0, "`number` of lists of all mailboxes at a time, over all workers; 0 for the default (1)")
	s.IntVar(&f.maxLogins, "max-logins", 0, "`number` of logins per second, over all workers; 0 for the default (100 on a source, 200 on a target)")
	s.IntVar(&f.maxConnections, "max-connections", 0,
		"`number` of connections that all workers together hold at most, those that listen included; 0 for no such bound")
}

// loadPairs are the names and values of the bounds of the load on a store, and of
// what was learned of it.
func (c *cli) loadPairs(s site.Store, load control.StoreLoad) []any {
	bound := func(set, value int, unit string) string {
		text := strconv.Itoa(value) + unit
		if set == 0 {
			text += " (default)"
		}
		return text
	}
	total, listing := "", ""
	if s.MaxConnections > 0 {
		total = strconv.Itoa(s.MaxConnections)
	}
	if l := load.Learned; !l.ListedAt.IsZero() {
		listing = fmt.Sprintf("%s in %s (%s)", counted(l.Listed, "mailbox"), span(l.Listing), c.ago(l.ListedAt))
	}
	return []any{
		"max sessions", bound(s.MaxSessions, load.Sessions, ""),
		"max listings", bound(s.MaxListings, load.Listings, ""),
		"max logins", bound(s.MaxLogins, load.Logins, " per second"),
		"max connections", total,
		"last listing", listing, "now", strings.Join(load.Learned.Lines(c.env.Now()), "; "),
	}
}
