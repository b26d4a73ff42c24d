package temporalrunner

import (
	"context"
	"net"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"mailmirror/internal/fault"
)

// Where Temporal cannot be reached there is an error, and it comes in time.
func TestScheduleOfATemporalThatIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil { // nobody listens there now
		t.Fatal(err)
	}
	c, err := client.NewLazyClient(client.Options{HostPort: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begin := time.Now()
	s, err := New(c, Options{}).Schedule(ctx, "dr")
	if !fault.Is(err, fault.Transient) || fault.HintOf(err) == "" || !s.NextCompare.IsZero() {
		t.Errorf("got %+v, %v, hint %q", s, err, fault.HintOf(err))
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}
