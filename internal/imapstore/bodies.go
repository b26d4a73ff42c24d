package imapstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Headers returns a digest of each message's header section.
func (s *Session) Headers(ctx context.Context, uids mailbox.UIDSet) (map[mailbox.UID]copier.Header, error) {
	headers := make(map[mailbox.UID]copier.Header, uids.Len())
	var all *copier.WithheldError
	err := s.run(ctx, "read the messages' headers", func() error {
		for _, part := range uids.Chunks(maxSetBytes) {
			for try := 0; len(part) > 0; try++ {
				var got mailbox.UIDSet
				no, err := s.fetch(part, fetchHeader, 0, func(data *imapclient.FetchMessageData) error {
					uid, body, ok := s.openBody(data)
					if !ok {
						return nil
					}
					header, err := digestHeader(body)
					if err != nil {
						return err
					}
					headers[uid] = header
					got.Add(uid)
					return nil
				})
				if err != nil {
					return err
				}
				part, err = s.stillThere(part.Minus(got), try, no)
				if w, ok := errors.AsType[*copier.WithheldError](err); ok {
					all, err = w.With(all), nil
				}
				if err != nil {
					return err
				}
			}
		}
		return all.OrNil()
	})
	if _, withheld := errors.AsType[*copier.WithheldError](err); err != nil && !withheld && !fault.Lost(err) && !fault.Silent(err) {
		return nil, err
	}
	return headers, err
}

// digestHeader reads a header section to its end.
func digestHeader(r io.Reader) (copier.Header, error) {
	hash := sha256.New()
	var look headerLook
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		hash.Write(buf[:n])
		look.write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return copier.Header{}, err
		}
	}
	h := copier.Header{Identified: look.found}
	hash.Sum(h.Digest[:0])
	return h, nil
}

// headerLook finds a Message-ID field with something in it, in pieces of any
// size and lines of any length.
type headerLook struct {
	line  []byte // the beginning of the current line, enough to tell its name
	found bool
	value bool // within a Message-ID field that was empty so far
}

const messageID = "message-id:"

func (h *headerLook) write(p []byte) {
	for _, c := range p {
		switch {
		case h.found:
			return
		case c == '\n':
			h.line = h.line[:0]
			continue
		case c == '\r':
			continue
		case h.value && len(h.line) == 0 && c != ' ' && c != '\t':
			h.value = false // the next field, without a value before it
		}
		if h.value && c != ' ' && c != '\t' {
			h.found = true
			return
		}
		if len(h.line) < len(messageID) {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			h.line = append(h.line, c)
			h.value = h.value || string(h.line) == messageID
		}
	}
}

// body is one message or header on its way in, of exactly size bytes. Its end
// before that is an error that is not io.EOF: go-imap reports the end of a
// connection within a literal as a clean end.
type body struct {
	r    io.Reader
	left int64
	size int64
	// broken is true once the literal ended before its size.
	broken bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	b.broken = b.broken || (err != nil && b.left > 0)
	switch {
	case err == io.EOF && b.left > 0:
		return n, io.ErrUnexpectedEOF
	case err == io.EOF:
		return n, nil
	}
	return n, err
}

// openBody finds the UID and the body section in a message's data. ok is false
// where the body is missing, or NIL, which a server sends for a message that it
// cannot read. The UID comes before any literal, or go-imap could not tell
// which command the answer belongs to.
func (s *Session) openBody(data *imapclient.FetchMessageData) (uid mailbox.UID, b *body, ok bool) {
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			uid = mailbox.UID(item.UID)
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil || uid == 0 {
				return uid, nil, false
			}
			size := item.Literal.Size()
			s.body = &body{r: item.Literal, left: size, size: size}
			return uid, s.body, true
		}
	}
	return uid, nil, false
}

// Bodies streams whole messages in ascending order of UID.
func (s *Session) Bodies(ctx context.Context, uids mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error {
	return s.run(ctx, "read messages", func() error {
		var all *copier.WithheldError
		for _, part := range uids.Chunks(maxSetBytes) {
			err := s.bodies(part, each)
			if w, ok := errors.AsType[*copier.WithheldError](err); ok {
				all = w.With(all)
				continue
			}
			if err != nil {
				return err
			}
		}
		return all.OrNil()
	})
}

func (s *Session) bodies(part mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error {
	last := mailbox.UID(0)
	for try := 0; len(part) > 0; try++ {
		var got mailbox.UIDSet
		no, err := s.fetch(part, fetchBody, 0, func(data *imapclient.FetchMessageData) error {
			uid, b, ok := s.openBody(data)
			if !ok || uid <= last {
				return nil // out of order is as good as not there
			}
			last = uid
			got.Add(uid)
			if err := each(uid, b.size, b); err != nil {
				if b.broken {
					return io.ErrUnexpectedEOF // the store's doing, not the caller's
				}
				return &callerError{err}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if part, err = s.stillThere(part.Minus(got), try, no); err != nil {
			return err
		}
		if len(part) > 0 && part[0].First < last {
			// To go back would break the order that the caller relies on.
			return s.withheld(part, no)
		}
	}
	return nil
}

// callerError passes an error of the caller's own function through.
type callerError struct{ error }

func (e *callerError) Unwrap() error { return e.error }
