package imapstore

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// The end of the lease in mid-message: what the server has got until then is
// all that it ever gets.
func TestNothingIsWrittenAfterTheLease(t *testing.T) {
	received := make(chan string, 1)
	store := serve(t, func(s *script) {
		s.login(standard)
		s.command("APPEND INBOX {1000000+}")
		received <- s.rest()
	})
	session := openScripted(t, store)
	session.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	in := copier.Incoming{Folder: "INBOX", Size: 1_000_000, Body: &slow{io.LimitReader(&trickle{}, 1_000_000)}}
	err := session.Append(t.Context(), in, func(copier.AppendResult) {})
	if !errors.Is(err, endpoint.ErrLeaseOver) || !fault.Is(err, fault.Conflict) {
		t.Errorf("append: %v", err)
	}
	_ = session.Close()
	if got := <-received; len(got) >= 1_000_000 || strings.Contains(got, "LOGOUT") {
		t.Errorf("the server got %d bytes", len(got))
	}
}

// trickle gives 1,000 bytes at a time.
type trickle struct{}

func (*trickle) Read(p []byte) (int, error) {
	n := min(len(p), 1000)
	copy(p[:n], bytes.Repeat([]byte("x"), n))
	return n, nil
}

// A lease that ends while the server takes no data closes the connection at
// that instant, not after the write timeout.
func TestLeaseEndsAStuckWrite(t *testing.T) {
	stuck, release := make(chan struct{}), make(chan struct{})
	store := piped(t, func(s *script) {
		s.login(standard)
		s.command("APPEND INBOX {900000+}")
		close(stuck)
		<-release
	})
	defer close(release)
	session := openScripted(t, store)
	session.SetWriteDeadline(time.Now().Add(time.Hour))
	go func() {
		<-stuck
		session.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	}()
	start := time.Now()
	in := copier.Incoming{Folder: "INBOX", Size: 900_000, Body: io.LimitReader(&trickle{}, 900_000)}
	if err := session.Append(t.Context(), in, func(copier.AppendResult) {}); !errors.Is(err, endpoint.ErrLeaseOver) {
		t.Errorf("append: %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
