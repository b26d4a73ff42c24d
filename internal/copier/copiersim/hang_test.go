package copiersim

import (
	"context"
	"io"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// hanging is a store that does not answer once a command comes to a message that
// says so. It counts these commands.
type hanging struct {
	copier.Store
	s      *store
	bodies bool // only if a body is read
	hangs  int
}

func (p *hanging) Open(ctx context.Context, n mailbox.Number) (copier.Session, error) {
	s, err := p.Store.Open(ctx, n)
	return &hangingSession{Session: s, p: p}, err
}

type hangingSession struct {
	copier.Session
	p *hanging
}

// upTo returns those of the messages that are answered.
func (s *hangingSession) upTo(uids mailbox.UIDSet) (answered mailbox.UIDSet, hangs bool) {
	bad := mailbox.UIDSet{}
	for _, f := range s.p.s.folders {
		for _, m := range f.messages {
			if strings.Contains(m.content, "hangs") {
				bad.Add(m.uid)
			}
		}
	}
	for uid := range uids.All() {
		if bad.Contains(uid) {
			return answered, true
		}
		answered.Add(uid)
	}
	return answered, false
}

func (s *hangingSession) silent() error {
	s.p.hangs++
	_ = s.Close()
	return &fault.Error{Kind: fault.Transient, Op: "the server is silent", Silent: true}
}

func (s *hangingSession) Messages(ctx context.Context, uids mailbox.UIDSet, since uint64) ([]mailbox.Message, error) {
	answered, hangs := s.upTo(uids)
	if s.p.bodies || !hangs {
		return s.Session.Messages(ctx, uids, since)
	}
	list, err := s.Session.Messages(ctx, answered, since)
	if err == nil {
		err = s.silent()
	}
	return list, err
}

func (s *hangingSession) Bodies(ctx context.Context, uids mailbox.UIDSet, each func(mailbox.UID, int64, io.Reader) error) error {
	answered, hangs := s.upTo(uids)
	if len(answered) > 0 {
		if err := s.Session.Bodies(ctx, answered, each); err != nil {
			return err
		}
	}
	if hangs {
		return s.silent()
	}
	return nil
}

// TestServerHangsAtAMessage: a message at which the server does not answer any more
// is recorded after three attempts, and all others are mirrored in the same sync. If
// the server hangs at many, the sync ends after a few.
func TestServerHangsAtAMessage(t *testing.T) {
	for _, bodies := range []bool{false, true} {
		for _, bad := range []int{1, 5} {
			play(t, func(s *scene) {
				store := &hanging{Store: s.job.Source, s: s.source, bodies: bodies}
				s.job.Source = store
				for i := 1; i <= 200; i++ {
					if i%30 == 7 && i < 30*bad {
						s.source.userPut(mailbox.Inbox, "hangs "+text(i), "", at(i))
					} else {
						s.deposit(mailbox.Inbox, i)
					}
				}
				if bad > 1 {
					if _, err := s.engine.Sync(s.Context(), s.job); err == nil || store.hangs > 8 {
						s.Errorf("%v after %d commands without an answer", err, store.hangs)
					}
					return
				}
				r := s.sync(copier.Differing)
				if n := len(s.target.folders[mailbox.Inbox].messages); n != 199 || store.hangs > 3 {
					s.Errorf("%d messages on the target, want 199; %d commands without an answer", n, store.hangs)
				}
				d := s.ledger.folders[mailbox.Inbox].Differences
				if len(d) != 1 || d[0].Kind != copier.Unreadable || d[0].SourceUID != 7 {
					s.Errorf("recorded: %+v of %+v", d, r)
				}
				s.deposit(mailbox.Inbox, 1000)
				if r := s.sync(copier.Differing); r.Messages.Appended != 1 {
					s.Errorf("%d messages copied, want the new one", r.Messages.Appended)
				}
			})
		}
	}
}
