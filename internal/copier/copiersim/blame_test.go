package copiersim

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// frail is a store that logs in slowly, rejects messages beyond a size, and loses
// the connection whenever it is asked about a message that says so.
type frail struct {
	copier.Store
	s      *store
	login  time.Duration
	atMost int64 // bytes; 0 is no limit
	breaks bool
}

func (p *frail) Open(ctx context.Context, n mailbox.Number) (copier.Session, error) {
	if err := (sleep.Clock{}).Sleep(ctx, p.login); err != nil {
		return nil, err
	}
	s, err := p.Store.Open(ctx, n)
	return &frailSession{Session: s, p: p}, err
}

type frailSession struct {
	copier.Session
	p *frail
}

func (s *frailSession) Messages(ctx context.Context, uids mailbox.UIDSet, since uint64) ([]mailbox.Message, error) {
	for _, f := range s.p.s.folders {
		for _, m := range f.messages {
			if s.p.breaks && uids.Contains(m.uid) && strings.Contains(m.content, "damaged") {
				_ = s.Close()
				return nil, errCut
			}
		}
	}
	return s.Session.Messages(ctx, uids, since)
}

func (s *frailSession) Append(ctx context.Context, m copier.Incoming, result func(copier.AppendResult)) error {
	if s.p.atMost > 0 && m.Size > s.p.atMost {
		result(copier.AppendResult{Err: fault.New(fault.Transient, "the server refuses it: [OVERQUOTA]", nil, "raise it")})
		return nil
	}
	return s.Session.Append(ctx, m, result)
}

// TestSlowLogin: a store that takes longer to log in than the write lease lasts is
// mirrored all the same.
func TestSlowLogin(t *testing.T) {
	play(t, func(s *scene) {
		s.job.Source = &frail{Store: s.job.Source, s: s.source, login: leaseTTL + time.Second}
		s.job.Target = &frail{Store: s.job.Target, s: s.target, login: leaseTTL + time.Second}
		s.deposit(mailbox.Inbox, many(1, 40)...)
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestMessageBeyondALimit: one message that the target rejects while it accepts the
// others is recorded; all others are there after the same sync, whatever the code
// of the rejection suggests.
func TestMessageBeyondALimit(t *testing.T) {
	play(t, func(s *scene) {
		s.job.Target = &frail{Store: s.job.Target, s: s.target, atMost: 100}
		s.deposit(mailbox.Inbox, 1)
		s.source.userPut(mailbox.Inbox, strings.Repeat("large", 50), "", at(2))
		s.deposit(mailbox.Inbox, many(3, 1500)...)
		if r := s.sync(copier.Differing); r.Differences != 1 {
			s.Errorf("%d differences, want 1", r.Differences)
		}
		if n := len(s.target.folders[mailbox.Inbox].messages); n != 1501 {
			s.Errorf("%d messages on the target, want 1501", n)
		}
		d := s.ledger.folders[mailbox.Inbox].Differences
		if len(d) != 1 || d[0].Kind != copier.Postponed || d[0].SourceUID != 2 || !strings.Contains(d[0].Detail, "250 bytes") || !strings.Contains(d[0].Detail, "raise it") {
			s.Errorf("recorded: %+v", d)
		}
		s.deposit(mailbox.Inbox, 2000)
		if r := s.sync(copier.Differing); r.Messages.Appended != 1 {
			s.Errorf("%d messages copied, want the new one", r.Messages.Appended)
		}
	})
}

// TestConnectionLostWhenLookedAt: messages at which every look loses the connection
// cost nothing but themselves, wherever they stand, and are never deleted from a
// target that has them.
func TestConnectionLostWhenLookedAt(t *testing.T) {
	for _, place := range []int{1, 500, 1000} {
		play(t, func(s *scene) {
			store := &frail{Store: s.job.Source, s: s.source, breaks: true}
			s.job.Source = store
			for i := 1; i <= 1000; i++ {
				if i == place || i == place/2 {
					s.source.userPut(mailbox.Inbox, "damaged "+text(i), "", at(i))
				} else {
					s.deposit(mailbox.Inbox, i)
				}
			}
			want := 2
			if place == 1 {
				want = 1
			}
			if r := s.sync(copier.Differing); r.Differences != want || r.Messages.Appended != 1000-want {
				s.Errorf("at %d: %d differences and %d copied, want %d and %d", place, r.Differences, r.Messages.Appended, want, 1000-want)
			}
			store.breaks = false
			s.job.Retry = true
			s.sync(copier.Equal)
			store.breaks, s.job.Retry, s.job.Force = true, false, true
			if r := s.sync(copier.Differing); !r.Idle() {
				s.Errorf("what is on the target already was written again: %+v", r.Messages)
			}
			s.equal()
		})
	}
}
