package control

import (
	"context"
	"slices"

	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// StoreLoad is the load that a store may bear, and what was learned of it.
type StoreLoad struct {
	quota.Bounds
	// Source is whether a link has the store as its source: its defaults are lower.
	Source  bool       `json:"source"`
	Learned quota.Load `json:"learned"`
}

// StoreLoad returns the bounds of the load on a store, with the defaults in place
// of what the operator did not set.
func (c *Control) StoreLoad(ctx context.Context, s site.Store) (StoreLoad, error) {
	links, err := c.ports.Links.Links(ctx)
	if err != nil {
		return StoreLoad{}, err
	}
	source := slices.ContainsFunc(links, func(l site.Link) bool { return l.Source == s.Name })
	learned, err := c.ports.Stores.StoreLoad(ctx, s.Name)
	return StoreLoad{Bounds: s.Bounds(source), Source: source, Learned: learned}, err
}

// loadLines say what bounds the load on the stores of a link below its settings.
func (c *Control) loadLines(ctx context.Context, l site.Link) ([]string, error) {
	var lines []string
	for _, name := range []string{l.Source, l.Target} {
		learned, err := c.ports.Stores.StoreLoad(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, line := range learned.Lines(c.options.Now()) {
			lines = append(lines, "store "+name+": "+line)
		}
	}
	return lines, nil
}

// ErrorSlowStore is a store whose server answers slowly.
const ErrorSlowStore = "slow_store"

// loadErrors lists the slow stores of some links, each once. Link is that of the first
// link that has the store.
func (c *Control) loadErrors(ctx context.Context, links []site.Link) ([]site.ErrorEntry, error) {
	var entries []site.ErrorEntry
	seen := map[string]bool{}
	for _, l := range links {
		for _, name := range []string{l.Source, l.Target} {
			if seen[name] {
				continue
			}
			seen[name] = true
			learned, err := c.ports.Stores.StoreLoad(ctx, name)
			if err != nil {
				return nil, err
			}
			if text, hint := learned.Slow(); text != "" {
				entries = append(entries, site.ErrorEntry{Link: l.Name, Kind: ErrorSlowStore, Text: "store " + name + ": " + text, Hint: hint})
			}
		}
	}
	return entries, nil
}
