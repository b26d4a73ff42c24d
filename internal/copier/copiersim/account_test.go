package copiersim

import (
	"context"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// moving is a store whose address leads to another account once it was connected to.
type moving struct {
	frail
	account string
	to      copier.Store // nil is the same one
	as      string       // the account that is reached then
	opened  int
	asked   int
}

func (p *moving) Open(ctx context.Context, n mailbox.Number) (copier.Session, error) {
	p.opened++
	account, store := p.account, copier.Store(&p.frail)
	if p.opened > 1 {
		account = p.as
		if p.to != nil {
			store = p.to
		}
	}
	s, err := store.Open(ctx, n)
	return &identified{Session: s, p: p, account: account}, err
}

type identified struct {
	copier.Session
	p       *moving
	account string
}

func (s *identified) Account(context.Context) (string, error) {
	s.p.asked++
	return s.account, nil
}

// TestAnotherAccountWhenConnectedAgain: if a connection that is made again in mid-sync
// reaches another account, the sync ends before it writes anything more. The same
// account, or a store that tells none, is gone on with.
func TestAnotherAccountWhenConnectedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		source bool
		m      moving
		fails  bool
		asked  int
	}{
		"target":                    {false, moving{account: "a", as: "b"}, true, 2},
		"target that tells no more": {false, moving{account: "a", as: ""}, true, 2},
		"source":                    {true, moving{account: "a", as: "b"}, true, 2},
		"the same":                  {false, moving{account: "a", as: "a"}, false, 9}, // at each connection
		"a store without ids":       {false, moving{account: "", as: ""}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				m := test.m
				other := newStore(s.world, "elsewhere", s.target.feat)
				m.frail = frail{Store: s.job.Target, s: s.target, breaks: true}
				if test.source {
					m.frail = frail{Store: s.job.Source, s: s.source, breaks: true}
					s.job.Source = &m
				} else {
					s.job.Target = &m
				}
				if m.as != m.account {
					m.to = &storePort{k: s.from.k, s: other}
				}
				claimed := 0
				s.job.Claim = func(context.Context, string, string) error { claimed++; return nil }
				s.deposit(mailbox.Inbox, 1, 3)
				for _, side := range []*store{s.source, s.target} {
					side.userPut(mailbox.Inbox, "damaged "+text(2), "", at(2))
				}
				outcome := copier.Differing
				if test.fails {
					outcome = copier.Failed
				}
				r := s.sync(outcome)
				if test.fails && (r.ErrKind != string(fault.Conflict) || !strings.Contains(r.Err, "another account")) {
					s.Errorf("the sync failed with %s: %q", r.ErrKind, r.Err)
				}
				if n := len(other.folders[mailbox.Inbox].messages); n > 0 || len(other.folders) > 1 {
					s.Errorf("%d messages in %d folders were written elsewhere", n, len(other.folders))
				}
				if claimed != 1 || m.asked != test.asked {
					s.Errorf("claimed %d times, asked %d times, want %d", claimed, m.asked, test.asked)
				}
			})
		})
	}
}
