package dirsim

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
)

// session is a connection to a directory as one worker has it.
type session struct {
	k     *worker
	d     *dirsynctest.Directory
	inner dirsync.Session
	dead  bool
}

func errCut() error {
	return &fault.Error{Kind: fault.Transient, Op: "the server closed the connection", Lost: true}
}

func open(ctx context.Context, k *worker, d *dirsynctest.Directory) (dirsync.Session, error) {
	if err := k.gate(ctx); err != nil {
		return nil, err
	}
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if k.w.trouble("cut", "no connection", 20) {
		return nil, fault.Newf(fault.Transient, "connect: nothing listens")
	}
	inner, err := d.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &session{k: k, d: d, inner: inner}, nil
}

// enter passes the gate and takes the world's lock; a cut loses the call.
func (s *session) enter(ctx context.Context) error {
	if err := s.k.gate(ctx); err != nil {
		return err
	}
	s.k.w.mu.Lock()
	if s.k.w.trouble("cut", "cut", 6) {
		s.dead = true
	}
	if s.dead {
		s.k.w.mu.Unlock()
		return errCut()
	}
	return nil
}

func (s *session) leave() { s.k.w.mu.Unlock() }

func (s *session) Close() error { return nil }

func (s *session) Extract(ctx context.Context, digest func(directory.Column, []byte) []byte, each func(directory.Record) error) (directory.Extracted, error) {
	if err := s.enter(ctx); err != nil {
		return directory.Extracted{}, err
	}
	var all []directory.Record
	found, err := s.inner.Extract(ctx, digest, func(r directory.Record) error { all = append(all, r); return nil })
	s.leave()
	for i, r := range all {
		if err == nil {
			err = each(r)
		}
		if i%8 == 7 && err == nil { // a page
			if err = s.enter(ctx); err == nil {
				s.leave()
			}
		}
	}
	return found, err
}

// hides reports an entry at which the server ends every connection.
func (s *session) hides(e directory.Entry) bool {
	if s.d.Unread[e.Number] {
		s.dead = true
	}
	return s.dead
}

func (s *session) Read(ctx context.Context, ref directory.Ref) (directory.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return directory.Entry{}, err
	}
	defer s.leave()
	e, err := s.inner.Read(ctx, ref)
	if err == nil && s.hides(e) {
		return directory.Entry{}, errCut()
	}
	return e, err
}

func (s *session) Find(ctx context.Context, number string) ([]directory.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	found, err := s.inner.Find(ctx, number)
	if slices.ContainsFunc(found, s.hides) {
		return nil, errCut()
	}
	return found, err
}

// Write sends an operation, not after the deadline of ctx. What was sent may land later
// than its connection ends, or not at all.
func (s *session) Write(ctx context.Context, op directory.Operation) error {
	w := s.k.w
	if err := s.enter(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.faults["write deadline"]++ // nothing was sent
		}
		return err
	}
	defer s.leave()
	switch {
	case w.trouble("cut", "cut before a write", 8):
		s.dead = true
		return errCut()
	case w.trouble("cut", "late commit", 15):
		s.dead = true
		s.later(op)
		return errCut()
	case w.trouble("cut", "silence", 6):
		s.dead = true
		s.later(op)
		return &fault.Error{Kind: fault.Transient, Op: "the server owes an answer", Silent: true}
	case w.trouble("cut", "busy", 10):
		return fault.New(fault.Transient, "write", directory.ErrBusy, "")
	}
	return w.land(s.k, op)
}

// later has the server carry out what it received, although nobody waits for it.
func (s *session) later(op directory.Operation) {
	late := time.Duration(s.k.w.rng.Int64N(int64(maxLate)))
	time.AfterFunc(late, func() {
		s.k.w.mu.Lock()
		defer s.k.w.mu.Unlock()
		_ = s.k.w.land(s.k, op)
	})
}
