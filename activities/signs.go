package activities

import (
	"context"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/fault"
)

// Signs is where the loops that are activities leave their signs of life.
type Signs interface {
	// BeginLoop notes that a loop begins. Of s only what names it counts. EndLoop
	// notes how it ended: badly if s has an error.
	BeginLoop(ctx context.Context, s background.Sign) error
	EndLoop(ctx context.Context, s background.Sign) error
}

// signLimit bounds writing a sign down.
const signLimit = 5 * time.Second

// looping notes that a loop begins, and returns what notes how it ended. What cannot
// be written down is no failure of the loop: that the sign is old is shown then.
func (a *shared) looping(ctx context.Context, loop background.Loop) (ended func(error)) {
	if a.signs == nil {
		return func(error) {}
	}
	sign := background.Sign{Loop: loop, Worker: a.identity}
	a.sign(ctx, sign, a.signs.BeginLoop)
	return func(err error) {
		if err != nil && ctx.Err() != nil {
			return // it was broken off, and goes on elsewhere
		}
		if err != nil {
			kind, text, hint := fault.Describe(err)
			sign.ErrorKind, sign.Error, sign.Hint = string(kind), text, hint
		}
		a.sign(ctx, sign, a.signs.EndLoop)
	}
}

func (a *shared) sign(ctx context.Context, sign background.Sign, write func(context.Context, background.Sign) error) {
	writing, cancel := context.WithTimeout(ctx, signLimit)
	defer cancel()
	if err := write(writing, sign); err != nil && a.log != nil {
		a.log.WarnContext(ctx, "no sign of life can be recorded", "loop", string(sign.Loop), "error", err.Error())
	}
}
