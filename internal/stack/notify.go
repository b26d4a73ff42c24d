package stack

import (
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"
)

// notifyListener receives the sd_notify(3) messages of one run of a child.
type notifyListener struct {
	conn *net.UnixConn
	// ready is closed at the first READY=1.
	ready chan struct{}
	done  chan struct{}
}

// listenNotify opens a socket in the abstract namespace, where paths have no
// length limit, need no cleaning and vanish with their owner. Its name is
// random, so that no earlier run of the child can speak for a later one.
func listenNotify() (*notifyListener, error) {
	addr := &net.UnixAddr{Name: "@mailmirror-" + rand.Text(), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for readiness: %w", err)
	}
	l := &notifyListener{conn: conn, ready: make(chan struct{}), done: make(chan struct{})}
	go l.read()
	return l, nil
}

func (l *notifyListener) read() {
	defer close(l.done)
	var once bool
	buf := make([]byte, 4096)
	for {
		n, err := l.conn.Read(buf)
		if err != nil {
			return // closed
		}
		if !once && slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
			once = true
			close(l.ready)
		}
	}
}

func (l *notifyListener) address() string { return l.conn.LocalAddr().String() }

func (l *notifyListener) close() {
	_ = l.conn.Close()
	<-l.done
}
