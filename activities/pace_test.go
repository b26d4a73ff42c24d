package activities

import (
	"testing"
	"time"

	"mailmirror/internal/fault"
)

func TestPace(t *testing.T) {
	p := Pace{}.withDefaults()
	tests := []struct {
		name     string
		kind     fault.Kind
		failures int
		wait     time.Duration
		parked   bool
	}{
		{"first transient", fault.Transient, 1, 2 * time.Second, false},
		{"second transient", fault.Transient, 2, 6 * time.Second, false},
		{"third transient", fault.Transient, 3, 18 * time.Second, false},
		{"fourth transient", fault.Transient, 4, 5 * time.Minute, true},
		{"fifth transient", fault.Transient, 5, 10 * time.Minute, true},
		{"a conflict that lasts", fault.Conflict, 4, 5 * time.Minute, true},
		{"first permanent", fault.Permanent, 1, 5 * time.Minute, true},
		{"second config", fault.Config, 2, 10 * time.Minute, true},
		{"sixth permanent", fault.Permanent, 6, 160 * time.Minute, true},
		{"seventh permanent", fault.Permanent, 7, 4 * time.Hour, true},
		{"after a year", fault.Transient, 2200, 4 * time.Hour, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if wait, parked := p.next(test.kind, test.failures, 0.5); wait != test.wait || parked != test.parked {
				t.Errorf("got %v, parked %v; want %v, %v", wait, parked, test.wait, test.parked)
			}
		})
	}
}

func TestPaceSpreadsWhatIsParked(t *testing.T) {
	p := Pace{}.withDefaults()
	least, _ := p.next(fault.Permanent, 1, 0)
	most, _ := p.next(fault.Permanent, 1, 0.999999)
	if least != 270*time.Second || most < 329*time.Second || most > 330*time.Second {
		t.Errorf("5 minutes are spread from %v to %v, want 4m30s to 5m30s", least, most)
	}
	// Quick tries need no spread: they are bounded by the gate.
	if wait, _ := p.next(fault.Transient, 1, 0); wait != 2*time.Second {
		t.Errorf("first quick try after %v", wait)
	}
}

func TestBusyWait(t *testing.T) {
	for _, test := range []struct {
		held    time.Duration
		attempt int32
		want    time.Duration
	}{
		{15 * time.Second, 1, 500 * time.Millisecond},
		{15 * time.Second, 2, time.Second},
		{15 * time.Second, 5, 8 * time.Second},
		{15 * time.Second, 6, 15 * time.Second},
		{time.Hour, 50, time.Minute},
		{0, 9, 100 * time.Millisecond},
	} {
		if got := busyWait(test.held, test.attempt); got != test.want {
			t.Errorf("held for %v, attempt %d: %v, want %v", test.held, test.attempt, got, test.want)
		}
	}
}
