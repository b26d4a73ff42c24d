package imapstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// How many messages and bytes may be on their way without an answer. A single
// bigger message goes alone.
const (
	maxPendingAppends = 64
	maxPendingBytes   = 8 << 20
)

// pendingAppend is an APPEND whose answer was not looked at yet.
type pendingAppend struct {
	cmd    *imapclient.AppendCommand // nil where it was refused here
	err    error                     // why it was refused here
	size   int64
	result func(copier.AppendResult)
}

// Append sends one message and returns once its last byte is written.
func (s *Session) Append(ctx context.Context, m copier.Incoming, result func(copier.AppendResult)) error {
	const op = "append message"
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err, "")
	}
	stop := s.wire.bind(ctx)
	defer stop()
	spelled, flags, err := s.checkIncoming(m)
	if err != nil {
		// Refused before it could do harm; it waits for its turn all the same.
		s.pending = append(s.pending, pendingAppend{err: err, result: result})
		return nil
	}
	for len(s.pending) > 0 && (len(s.pending) >= maxPendingAppends || s.pendingBytes+m.Size > maxPendingBytes) {
		if err := s.settle(op); err != nil {
			return err
		}
	}
	lit := &literal{size: m.Size, body: m.Body}
	s.wire.literal = lit
	cmd := s.client.Append(spelled, 0, &imap.AppendOptions{Flags: flags, Time: m.InternalDate})
	err = cmd.Close()
	s.wire.literal, s.wire.text = nil, s.wire.text[:0]
	if lit.err != nil {
		return fault.New(fault.Transient, op, lit.err, "")
	}
	if cause := s.wire.cause(); err == nil && cause != nil {
		err = cause
	}
	if err == nil && !lit.done {
		err = s.wire.fail(fmt.Errorf("append was encoded in an unexpected way"))
	}
	if err != nil {
		return s.lost(op, err)
	}
	s.pending = append(s.pending, pendingAppend{cmd: cmd, size: m.Size, result: result})
	s.pendingBytes += m.Size
	return nil
}

// checkIncoming refuses what a server might not understand; see validate.go.
func (s *Session) checkIncoming(m copier.Incoming) (spelled string, flags []imap.Flag, err error) {
	if spelled, err = s.spell(m.Folder); err != nil {
		return "", nil, err
	}
	if err = validateFlags(m.Flags); err != nil {
		return "", nil, err
	}
	if !m.InternalDate.IsZero() {
		if err = validateDate(m.InternalDate); err != nil {
			return "", nil, err
		}
	}
	switch {
	case m.Size < 0:
		return "", nil, fault.Newf(fault.Permanent, "append message: size %d", m.Size)
	case m.Size == 0 && s.wire.has("MULTIAPPEND"):
		// There it means "store none of them" (RFC 3502, section 6.3.11), and
		// Cyrus loses count of the line ends after it.
		return "", nil, fault.Newf(fault.Permanent, "append message: a message of no bytes cannot be stored on this server")
	}
	return spelled, imapFlags(m.Flags), nil
}

func imapFlags(flags mailbox.Flags) []imap.Flag {
	var out []imap.Flag
	for _, f := range flags.List() {
		out = append(out, imap.Flag(f))
	}
	return out
}

// settle waits for the answer to the oldest APPEND and hands it on.
func (s *Session) settle(op string) error {
	p := s.pending[0]
	s.wire.await(true)
	r, ok := s.result(op, p)
	s.wire.await(false)
	if !ok {
		_, err := p.cmd.Wait()
		return s.lost(op, err)
	}
	s.pending[0] = pendingAppend{}
	s.pending = s.pending[1:]
	s.pendingBytes -= p.size
	p.result(r)
	return nil
}

// result waits for the answer to an APPEND; false where there will be none.
func (s *Session) result(op string, p pendingAppend) (r copier.AppendResult, ok bool) {
	if p.cmd == nil {
		return copier.AppendResult{Err: p.err}, true
	}
	data, err := p.cmd.Wait()
	if no := refusal(err); no != nil {
		// A NO stands by itself, also where the connection died after it.
		return copier.AppendResult{Err: withoutText("store "+s.store.opts.Name+": "+op, no)}, true
	}
	if err != nil {
		return copier.AppendResult{}, false
	}
	if s.wire.has("UIDPLUS") {
		r.UID, r.UIDValidity = mailbox.UID(data.UID), data.UIDValidity
	}
	return r, true
}

// lost ends the session. Answers that came before its end are still handed on,
// so that what is known to be stored need not be looked for. What became of the
// others is unknown; nobody gets a result of them.
func (s *Session) lost(op string, err error) error {
	failed := s.failed(op, err)
	_ = s.wire.fail(errAborted)
	pending := s.pending
	s.pending, s.pendingBytes = nil, 0
	<-s.client.Closed() // go-imap has now ended every command, one way or the other
	for _, p := range pending {
		r, ok := s.result(op, p)
		if !ok {
			break
		}
		p.result(r)
	}
	return failed
}

// Flush waits for the answers of all Appends.
func (s *Session) Flush(ctx context.Context) error {
	const op = "append messages"
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err, "")
	}
	stop := s.wire.bind(ctx)
	defer stop()
	for len(s.pending) > 0 {
		if err := s.settle(op); err != nil {
			return err
		}
	}
	if cause := s.wire.cause(); cause != nil {
		return s.lost(op, errors.Join(cause))
	}
	return nil
}
