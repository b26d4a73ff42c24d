package site

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
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

// serverIDs says how an operator answers the question.
const serverIDs = "say it with: mailmirror store edit NAME --server-id ID, for both (different ids: two servers, the same id: one)"

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
				return fmt.Sprintf("not determined whether stores %s and %s are one server: both are at %s, on different ports; "+serverIDs, a.Name, b.Name, host(x))
			}
		}
	}
	for _, s := range []Store{a, b} {
		if !slices.ContainsFunc(s.Addresses, func(x string) bool { _, err := netip.ParseAddr(host(x)); return err == nil }) {
			return fmt.Sprintf("not determined whether stores %s and %s are one server: the host of %s could not be resolved; "+serverIDs, a.Name, b.Name, s.IMAPAddress)
		}
	}
	return ""
}
