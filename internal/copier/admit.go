package copier

import (
	"context"
	"io"

	"mailmirror/internal/fault"
)

// admit waits until the job may connect to both stores, where that is bounded.
// It comes before the lease is taken, so that no lease runs out meanwhile, and
// before the first connection, so that no mailbox keeps one while it waits.
func (r *run) admit(ctx context.Context) error {
	if r.job.Admit == nil || r.leave != nil {
		return nil
	}
	leave, err := r.job.Admit(ctx)
	if err != nil {
		return fault.New(fault.Transient, "wait for connections to both stores", err, "")
	}
	r.leave = leave
	return nil
}

// paced is a message that is read no faster than the job may copy.
type paced struct {
	ctx  context.Context //nolint:containedctx // a reader is what a session wants
	wait func(context.Context, int) error
	r    io.Reader
}

// paceError is an error of waiting, and no fault of the message or its store.
type paceError struct{ error }

func (e *paceError) Unwrap() error { return e.error }

// pacedPiece bounds what is read at a time, bytes.
const pacedPiece = 32 << 10

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), pacedPiece)])
	if n > 0 {
		if waitErr := p.wait(p.ctx, n); waitErr != nil {
			return 0, &paceError{fault.Wrap(waitErr, "wait for bandwidth")}
		}
	}
	return n, err
}
