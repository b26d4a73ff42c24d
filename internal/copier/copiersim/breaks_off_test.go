package copiersim

import (
	"context"
	"io"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// breaker is a store that loses the connection in the middle of each message that
// says "breaks", when the message is read or when it is appended. It counts its
// connections.
type breaker struct {
	copier.Store
	opened int
}

func (p *breaker) Open(ctx context.Context, n mailbox.Number) (copier.Session, error) {
	p.opened++
	s, err := p.Store.Open(ctx, n)
	return &breakerSession{s}, err
}

type breakerSession struct{ copier.Session }

func (s *breakerSession) Bodies(ctx context.Context, uids mailbox.UIDSet, each func(mailbox.UID, int64, io.Reader) error) error {
	broke := false
	err := s.Session.Bodies(ctx, uids, func(uid mailbox.UID, size int64, body io.Reader) error {
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "breaks") {
			return each(uid, size, strings.NewReader(string(text)))
		}
		broke = true
		return each(uid, size, io.MultiReader(strings.NewReader(string(text[:len(text)/2])), cutReader{}))
	})
	if broke {
		_ = s.Close()
		return errCut
	}
	return err
}

func (s *breakerSession) Append(ctx context.Context, m copier.Incoming, result func(copier.AppendResult)) error {
	text, err := io.ReadAll(m.Body)
	if err != nil || strings.Contains(string(text), "breaks") {
		_ = s.Close()
		return errCut
	}
	m.Body = strings.NewReader(string(text))
	return s.Session.Append(ctx, m, result)
}

// cutReader is the rest of a message whose connection was lost.
type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestBodyBreaksOff: a message in the middle of which a connection is always lost is
// recorded after three losses, and all others are mirrored in the same sync, whatever
// the sync is to try again.
func TestBodyBreaksOff(t *testing.T) {
	jobs := map[string]func(*copier.Job){
		"once":  func(*copier.Job) {},
		"retry": func(j *copier.Job) { j.Retry = true },
		"force": func(j *copier.Job) { j.Force = true },
	}
	for _, side := range []string{"source", "target"} {
		for name, set := range jobs {
			t.Run(side+" "+name, func(t *testing.T) {
				play(t, func(s *scene) {
					source, target := &breaker{Store: s.job.Source}, &breaker{Store: s.job.Target}
					kind := copier.Unreadable
					if side == "source" {
						s.job.Source = source
					} else {
						s.job.Target, kind = target, copier.Refused
					}
					s.deposit(mailbox.Inbox, many(1, 20)...)
					s.source.userPut(mailbox.Inbox, "breaks "+text(21), "", at(21))
					s.deposit(mailbox.Inbox, many(22, 20)...)
					for i := range 3 {
						source.opened, target.opened = 0, 0
						s.deposit(mailbox.Inbox, 100+i)
						s.sync(copier.Differing)
						if n := source.opened + target.opened; n > 6 {
							s.Errorf("sync %d made %d connections", i, n)
						}
						if n := len(s.target.folders[mailbox.Inbox].messages); n != 41+i {
							s.Errorf("%d messages on the target after sync %d, want %d", n, i, 41+i)
						}
						d := s.ledger.folders[mailbox.Inbox].Differences
						if len(d) != 1 || d[0].Kind != kind || d[0].SourceUID != 21 {
							s.Errorf("recorded after sync %d: %+v", i, d)
						}
						set(&s.job)
					}
				})
			})
		}
	}
}
