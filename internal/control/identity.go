package control

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"mailmirror/internal/site"
)

// resolveWithin bounds the resolution of a store's address: an operator waits.
const resolveWithin = 5 * time.Second

// addresses are the site.ServerAddresses of an address as it resolves now. If it does not
// resolve, they are the host's name alone.
func (c *Control) addresses(ctx context.Context, address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || c.ports.Resolver == nil {
		return site.ServerAddresses(address, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	resolved, err := c.ports.Resolver.Resolve(ctx, host)
	if err != nil {
		resolved = nil
	}
	return site.ServerAddresses(address, resolved)
}

// checkServerID rejects an id that could not be shown on one line.
func checkServerID(id string) error {
	if len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("server id %q: must be at most 128 printable characters", id)
	}
	return nil
}

// Undetermined says what is not known of whether the two stores of a link are two
// servers; "" where it is known.
func (c *Control) Undetermined(ctx context.Context, l site.Link) (string, error) {
	source, err := c.ports.Stores.Store(ctx, l.Source)
	if err != nil {
		return "", err
	}
	target, err := c.ports.Stores.Store(ctx, l.Target)
	return site.Undetermined(source, target), err
}
