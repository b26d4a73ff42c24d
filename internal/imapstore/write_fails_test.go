package imapstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mailmirror/internal/mailbox"
	"mailmirror/test/repeat"
)

// lateFailure is a connection whose write of a FETCH fails after the server got it.
type lateFailure struct{ net.Conn }

func (c lateFailure) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if bytes.Contains(p, []byte(" UID FETCH ")) {
		return n, errors.New("the write failed late")
	}
	return n, err
}

// TestWriteFailsWhileTheServerAnswers: if a command cannot be written, go-imap closes
// what its reader may be sending to.
func TestWriteFailsWhileTheServerAnswers(t *testing.T) {
	var answer strings.Builder
	for uid := 1; uid <= 100; uid++ {
		fmt.Fprintf(&answer, "* %d FETCH (UID %d FLAGS () INTERNALDATE \" 1-Jan-2025 00:00:00 +0000\" RFC822.SIZE 1)\r\n", uid, uid)
	}
	for range repeat.Times(300, 1000) {
		store := serve(t, func(s *script) {
			s.login(standard)
			s.examine(100)
			s.command("UID FETCH")
			_, _ = io.WriteString(s, answer.String())
			s.rest()
		})
		dial := store.opts.Dial
		store.opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return lateFailure{c}, err
		}
		s := openScripted(t, store)
		if _, _, err := s.Select(t.Context(), mailbox.Inbox); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Messages(t.Context(), mailbox.UIDSet{{First: 1, Last: 100}}, 0); err == nil {
			t.Fatal("the failure was not noticed")
		}
		_ = s.Close()
		if err := s.client.Close(); err != nil && strings.Contains(err.Error(), "panic") {
			t.Fatal(err)
		}
	}
}
