//go:build integration

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// counter is a door to a server that counts how many clients it has at once, at
// every moment at which one more comes. It asks the kernel: what a client has
// closed is not open, even where nobody has read its end yet.
type counter struct {
	t        *testing.T
	listener *net.TCPListener
	target   string
	wg       sync.WaitGroup

	mu   sync.Mutex
	most int
}

func newCounter(t *testing.T, target string) *counter {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, listener: l, target: target}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.wg.Wait()
	})
	return c
}

func (c *counter) addr() string { return c.listener.Addr().String() }

// seen is the most clients at once so far.
func (c *counter) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func (c *counter) accept() {
	for {
		client, err := c.listener.AcceptTCP()
		if err != nil {
			return
		}
		n := c.open()
		c.mu.Lock()
		c.most = max(c.most, n)
		c.mu.Unlock()
		c.wg.Go(func() { c.serve(client) })
	}
}

func (c *counter) serve(client *net.TCPConn) {
	defer client.Close()
	raw, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	server := raw.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.CloseWrite() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	both.Wait()
}

// open counts the connections whose other end is this door and that are
// established, from the clients' side.
func (c *counter) open() int {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		c.t.Error(err)
		return 0
	}
	defer f.Close()
	const established = "01"
	remote := fmt.Sprintf("0100007F:%04X", c.listener.Addr().(*net.TCPAddr).Port)
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 3 && w[2] == remote && w[3] == established {
			n++
		}
	}
	return n
}
