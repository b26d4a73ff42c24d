package endpoint

import (
	"net"
	"syscall"
)

// quickAck makes the kernel acknowledge at once what it receives next. Cyrus
// writes the answers to pipelined commands in small pieces and leaves Nagle's
// algorithm on, so that each piece waits for the acknowledgement of the one
// before it, which Linux holds back for 40 ms. The option lasts until the kernel
// changes its mind, so that it is set with every short read (tcp(7)).
func quickAck(raw net.Conn) {
	tcp, ok := raw.(syscall.Conn)
	if !ok {
		return
	}
	if c, err := tcp.SyscallConn(); err == nil {
		// Without it the answers come later, and nothing else.
		_ = c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}
