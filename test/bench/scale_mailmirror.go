package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bound has Mailmirror listen to production, and bounds the logins to it.
func (m *mailmirror) bound(ctx context.Context, logins int) error {
	return m.run(ctx, "store", "edit", "production", "--events", "auto", "--poll-every", "1m", "--max-logins", strconv.Itoa(logins))
}

// trunks is how many connections besides sessions and those of IDLE Mailmirror allows
// itself: those of NOTIFY, and those that ask a store how it can be listened to.
const trunks = 32

// shown is what `store show` says of production: how many sessions it may have at
// most, those that listen included, and the lines that say how it bears the load.
func (m *mailmirror) shown(ctx context.Context) (sessions int, notes []string) {
	text, err := m.command(ctx, "store", "show", "production").Output()
	if err != nil {
		return 0, nil
	}
	sessions = trunks
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(value)
		switch {
		case len(fields) == 0:
		case name == "now" || name == "last listing":
			notes = append(notes, name+": "+strings.Join(fields, " "))
		case name == "max sessions" || name == "max idle":
			n, _ := strconv.Atoi(fields[0])
			sessions += n
		}
	}
	return sessions, notes
}

// loginBurst is for how long logins that nobody needed may come later at once, as
// Mailmirror's bound allows it.
const loginBurst = 10 * time.Second

// loginPace bounds the logins of the bare protocol as Mailmirror bounds its own.
type loginPace struct {
	every time.Duration

	mu   sync.Mutex
	free time.Time // when the next login may begin
}

func newLoginPace(perSecond int) *loginPace {
	return &loginPace{every: time.Second / time.Duration(perSecond)}
}

// wait waits until a login may begin.
func (p *loginPace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-loginBurst); p.free.Before(earliest) {
		p.free = earliest
	}
	rest := p.free.Sub(now)
	p.free = p.free.Add(p.every)
	p.mu.Unlock()
	if rest <= 0 {
		return nil
	}
	return waitFor(ctx, rest, "wait for a login")
}

// waitFor waits for d. The error, which begins with what, is that of ctx.
func waitFor(ctx context.Context, d time.Duration, what string) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}
