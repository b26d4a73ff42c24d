// Package sdnotify tells whoever started this process how it is doing, by the
// protocol of sd_notify(3): both `mailmirror up` and systemd (Type=notify)
// listen. It must not know who that is, nor what the process does.
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Ready says that the process serves. It does nothing when nobody asked, which
// is when NOTIFY_SOCKET is not set.
func Ready() error { return send("READY=1") }

func send(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A leading @ names an abstract socket, to the protocol and to Go alike.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	_, err = conn.Write([]byte(state))
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	return nil
}
