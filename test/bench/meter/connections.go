package meter

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Connections is how many open TCP connections of this machine lead to address,
// host:port of IPv4, seen from the client's end. A connection that either end has
// closed does not count.
func Connections(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("count connections: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("count connections: %w", err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, fmt.Errorf("count connections: %w", err)
	}
	return countConnections(table, uint16(number)), nil
}

// countConnections reads /proc/net/tcp (proc(5)): number, local address, remote
// address and state, all in hexadecimal; 01 is established.
func countConnections(table []byte, port uint16) (n int) {
	end := fmt.Appendf(nil, ":%04X", port)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) > 3 && bytes.HasSuffix(f[2], end) && string(f[3]) == "01" {
			n++
		}
	}
	return n
}
