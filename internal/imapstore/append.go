package imapstore

import (
	"context"
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// How many commands and bytes may be on their way without an answer. A single
// bigger message goes alone.
const (
	maxPendingAppends = 64
	maxPendingBytes   = 8 << 20
)

// What one APPEND may hold where the server takes several messages by it
// (MULTIAPPEND, RFC 3502). They are stored as one, which costs the server about
// half of what storing each by itself does, and a command that is cut off
// stores none of them. So a command has an end in bytes and in time, after
// which its messages are no longer at stake.
const (
	maxBatchMessages = 256
	maxBatchBytes    = 4 << 20
	maxBatchTime     = 2 * time.Second
)

var errEncoding = errors.New("the append was encoded in an unexpected way")

// pendingAppend is an APPEND whose answer was not looked at yet.
type pendingAppend struct {
	cmd     *imapclient.AppendCommand // nil where it was refused here
	tag     string
	err     error // why it was refused here
	folder  string
	size    int64 // of all its messages, in bytes
	began   time.Time
	results []func(copier.AppendResult) // one for each message
}

// takes reports whether one more message may go into the command.
func (p *pendingAppend) takes(folder string, m copier.Incoming) bool {
	return p != nil && !m.Alone && p.folder == folder && len(p.results) < maxBatchMessages &&
		p.size+m.Size <= maxBatchBytes && time.Since(p.began) < maxBatchTime
}

// Append sends one message and returns once its last byte is written, or waits
// to be written with the next one.
func (s *Session) Append(ctx context.Context, m copier.Incoming, result func(copier.AppendResult)) error {
	const op = "append message"
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err, "")
	}
	stop := s.wire.Bind(ctx)
	defer stop()
	folder, flags, refused := s.checkIncoming(m)
	joins := refused == nil && s.batch.takes(folder, m)
	if !joins {
		if err := s.endBatch(op); err != nil {
			return err
		}
	}
	if refused != nil {
		// Refused before it could do harm; it waits for its turn all the same.
		s.pending = append(s.pending, &pendingAppend{err: refused, results: []func(copier.AppendResult){result}})
		return nil
	}
	for len(s.pending) > 0 && s.pending[0] != s.batch &&
		(len(s.pending) >= maxPendingAppends || s.pendingBytes+m.Size > maxPendingBytes) {
		if err := s.settle(op); err != nil {
			return err
		}
	}
	p := s.batch
	if !joins {
		p = &pendingAppend{folder: folder, began: time.Now()}
	}
	lit := &literal{size: m.Size, body: m.Body, more: joins || s.mayShare(m)}
	if err := s.send(op, p, flags, m.InternalDate, lit); err != nil {
		return err
	}
	if !joins {
		s.pending = append(s.pending, p)
		if lit.more {
			s.batch = p
		}
	}
	p.results = append(p.results, result)
	p.size += m.Size
	s.pendingBytes += m.Size
	return nil
}

// mayShare reports whether other messages may follow in the same command. It
// takes LITERAL+, without which each would wait for the server's word.
func (s *Session) mayShare(m copier.Incoming) bool {
	return !m.Alone && m.Size <= unaskedMax && s.wire.has("MULTIAPPEND") && s.wire.has("LITERAL+")
}

// send writes one message: the first of a command by go-imap, one that joins
// a command by the wire alone, since go-imap knows no MULTIAPPEND.
func (s *Session) send(op string, p *pendingAppend, flags []imap.Flag, date time.Time, lit *literal) (err error) {
	if p.cmd != nil {
		err = s.wire.appendMore(appendArguments(flags, date), lit)
	} else {
		s.wire.literal = lit
		p.cmd = s.client.Append(p.folder, 0, &imap.AppendOptions{Flags: flags, Time: date})
		err = p.cmd.Close()
		s.wire.literal, s.wire.text = nil, s.wire.text[:0]
		p.tag = lit.tag
	}
	if lit.err != nil {
		return fault.New(fault.Transient, op, lit.err, "")
	}
	if cause := s.wire.Cause(); err == nil && cause != nil {
		err = cause
	}
	if err == nil && !lit.done {
		err = s.wire.Fail(errEncoding)
	}
	if err != nil {
		return s.lost(op, err)
	}
	return nil
}

// appendArguments are the flags and the date of a further message of an APPEND,
// with the blanks around them. What they hold was validated.
func appendArguments(flags []imap.Flag, date time.Time) []byte {
	out := []byte{' '}
	if len(flags) > 0 {
		out = append(out, '(')
		for i, f := range flags {
			if i > 0 {
				out = append(out, ' ')
			}
			out = append(out, f...)
		}
		out = append(out, ") "...)
	}
	if !date.IsZero() {
		out = append(date.AppendFormat(append(out, '"'), dateTimeLayout), `" `...)
	}
	return out
}

// endBatch ends the APPEND that could have taken more messages.
func (s *Session) endBatch(op string) error {
	if s.batch == nil {
		return nil
	}
	s.batch = nil
	if err := s.wire.endAppend(); err != nil {
		return s.lost(op, err)
	}
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
	s.wire.Await(true)
	answers, ok := s.answers(op, p)
	s.wire.Await(false)
	if !ok {
		_, err := p.cmd.Wait()
		return s.lost(op, err)
	}
	s.pending[0] = nil
	s.pending = s.pending[1:]
	s.pendingBytes -= p.size
	for i, result := range p.results {
		result(answers[i])
	}
	return nil
}

// answers waits for the answer to an APPEND and returns what it says of each
// of its messages; false where there will be none.
func (s *Session) answers(op string, p *pendingAppend) ([]copier.AppendResult, bool) {
	out := make([]copier.AppendResult, len(p.results))
	fill := func(r copier.AppendResult) []copier.AppendResult {
		for i := range out {
			out[i] = r
		}
		return out
	}
	if p.cmd == nil {
		return fill(copier.AppendResult{Err: p.err}), true
	}
	_, err := p.cmd.Wait()
	if no := refusal(err); no != nil {
		// A NO stands by itself, also where the connection died after it. It
		// refuses all of a command's messages for the sake of any.
		return fill(copier.AppendResult{
			Err: ofMessage("store "+s.store.opts.Name+": "+op, no), WithOthers: len(p.results) > 1,
		}), true
	}
	if err != nil {
		return nil, false
	}
	// UIDs that are fewer or more than the messages are no proof of any.
	if validity, uids := s.wire.takeAppended(p.tag); len(uids) == len(out) && s.wire.has("UIDPLUS") {
		for i, uid := range uids {
			out[i] = copier.AppendResult{UID: uid, UIDValidity: validity}
		}
	}
	return out, true
}

// lost ends the session. Answers that came before its end are still handed on,
// so that what is known to be stored need not be looked for. What became of the
// others is unknown; nobody gets a result of them.
func (s *Session) lost(op string, err error) error {
	failed := s.failed(op, err)
	_ = s.wire.Fail(errAborted)
	pending := s.pending
	s.pending, s.pendingBytes, s.batch = nil, 0, nil
	<-s.client.Closed() // go-imap has now ended every command, one way or the other
	for _, p := range pending {
		answers, ok := s.answers(op, p)
		if !ok {
			break
		}
		for i, result := range p.results {
			result(answers[i])
		}
	}
	return failed
}

// Flush waits for the answers of all Appends.
func (s *Session) Flush(ctx context.Context) error {
	const op = "append messages"
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err, "")
	}
	stop := s.wire.Bind(ctx)
	defer stop()
	if err := s.endBatch(op); err != nil {
		return err
	}
	for len(s.pending) > 0 {
		if err := s.settle(op); err != nil {
			return err
		}
	}
	if cause := s.wire.Cause(); cause != nil {
		return s.lost(op, errors.Join(cause))
	}
	return nil
}
