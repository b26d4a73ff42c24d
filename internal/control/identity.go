package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// ServerAddresses are the addresses that distinguish one server from another: the
// host of address (HOST:PORT) in lower case, and the IP addresses that it resolves
// to, each with the port. IMAP's two ports, 143 and 993, are one server's: both read
// "imap". LDAP's two, 389 and 636, read "ldap". Other ports of one host may be other
// servers'.
func ServerAddresses(address string, resolved []netip.Addr) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	switch port {
	case "143", "993":
		port = "imap"
	case "389", "636":
		port = "ldap"
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		resolved, host = append(slices.Clone(resolved), ip), ""
	}
	var list []string
	if host != "" {
		list = append(list, host+" "+port)
	}
	for _, ip := range resolved {
		list = append(list, ip.Unmap().WithZone("").String()+" "+port)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Undetermined says what is not known of whether two stores are two servers; "" where
// it is known.
func Undetermined(a, b Store) string {
	if (a.ServerID != "" && b.ServerID != "") || (a.ReportedID != "" && b.ReportedID != "") {
		return ""
	}
	host := func(address string) string { h, _, _ := strings.Cut(address, " "); return h }
	for _, x := range a.Addresses {
		for _, y := range b.Addresses {
			if host(x) == host(y) && x != y {
				return fmt.Sprintf("not determined whether stores %s and %s are one server: both are at %s, on different ports", a.Name, b.Name, host(x))
			}
		}
	}
	for _, s := range []Store{a, b} {
		if !slices.ContainsFunc(s.Addresses, func(x string) bool { _, err := netip.ParseAddr(host(x)); return err == nil }) {
			return fmt.Sprintf("not determined whether stores %s and %s are one server: the host of %s could not be resolved", a.Name, b.Name, s.IMAPAddress)
		}
	}
	return ""
}

// resolveWithin bounds the resolution of a store's address: an operator waits.
const resolveWithin = 5 * time.Second

// addresses are the ServerAddresses of an address as it resolves now. If it does not
// resolve, they are the host's name alone.
func (c *Control) addresses(ctx context.Context, address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || c.resolver == nil {
		return ServerAddresses(address, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	resolved, err := c.resolver.Resolve(ctx, host)
	if err != nil {
		resolved = nil
	}
	return ServerAddresses(address, resolved)
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
func (c *Control) Undetermined(ctx context.Context, l Link) (string, error) {
	source, err := c.repo.Store(ctx, l.Source)
	if err != nil {
		return "", err
	}
	target, err := c.repo.Store(ctx, l.Target)
	return Undetermined(source, target), err
}

// undetermined does the same for a store and all others that it has a link with.
func (c *Control) undetermined(ctx context.Context, store string) ([]string, error) {
	s, err := c.repo.Store(ctx, store)
	if err != nil {
		return nil, err
	}
	var list []string
	err = c.eachOtherEnd(ctx, store, func(_, other string) error {
		o, err := c.repo.Store(ctx, other)
		if unsure := Undetermined(s, o); err == nil && unsure != "" && !slices.Contains(list, unsure) {
			list = append(list, unsure)
		}
		return err
	})
	return list, err
}
