package meter

import (
	"context"
	"net"
	"testing"
)

func TestCountConnections(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:C002 0100007F:1F90 06 00000000:00000000 03:00000F00 00000000     0        0 0 3 0
   4: 0100007F:C003 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
`
	if n := countConnections([]byte(table), 0x1F90); n != 1 {
		t.Errorf("%d connections instead of 1: the server's end, closed ones and those to other ports do not count", n)
	}
}

func TestConnections(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address := l.Addr().String()
	for want := 1; want <= 3; want++ {
		c, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if n, err := Connections(address); err != nil || n != want {
			t.Errorf("%d connections, error %v, instead of %d", n, err, want)
		}
	}
}
