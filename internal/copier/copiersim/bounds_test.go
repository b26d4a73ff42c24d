package copiersim

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// TestSlowCopyKeepsItsLease: a link that may copy little holds a message back for
// minutes, and its lease and its connection last all the same.
func TestSlowCopyKeepsItsLease(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2, 3)
		waited := 0
		s.job.Pace = func(ctx context.Context, bytes int) error {
			waited += bytes
			return sleep.Clock{}.Sleep(ctx, 4*leaseTTL)
		}
		begin := time.Now()
		if r := s.sync(copier.Equal); r.Messages.Appended != 3 || int64(waited) != r.Messages.Bytes {
			s.Errorf("%+v, and %d bytes were waited for", r.Messages, waited)
		}
		if took := time.Since(begin); took < 12*leaseTTL {
			s.Errorf("took %s: nothing was held back", took)
		}
		s.equal()
	})
}

// TestPaceThatFails ends the sync, and the next one finds what arrived.
func TestPaceThatFails(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2, 3)
		calls := 0
		s.job.Pace = func(context.Context, int) error {
			if calls++; calls == 2 {
				return errors.New("database connection refused")
			}
			return nil
		}
		s.sync(copier.Failed)
		time.Sleep(fence)
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestAdmission: a mailbox is admitted before it takes its lease and opens
// anything, and leaves once all is closed, whatever became of it.
func TestAdmission(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1)
		inside, admitted := 0, 0
		refuse := false
		s.job.Admit = func(context.Context) (func(), error) {
			if refuse {
				return nil, context.Canceled
			}
			if s.ledger.lease.Epoch > 0 && !s.ledger.lease.Clean {
				s.Error("the lease was taken first")
			}
			// It may take long: no lease must run out meanwhile.
			time.Sleep(3 * leaseTTL)
			inside++
			admitted++
			return func() { inside-- }, nil
		}
		s.sync(copier.Equal)
		var known []copier.FolderState
		for _, f := range s.ledger.folders {
			known = append(known, *f)
		}
		if _, unchanged, err := s.engine.Review(s.Context(), s.job, known); err != nil || !unchanged {
			s.Errorf("review: %v, %v", unchanged, err)
		}
		s.deposit(mailbox.Inbox, 2)
		s.to.full = true
		s.sync(copier.Failed)
		s.to.full = false
		refuse = true
		s.sync(copier.Failed)
		refuse = false
		s.sync(copier.Equal)
		if inside != 0 || admitted != 4 {
			s.Errorf("%d are inside, %d were admitted; want 0 and 4", inside, admitted)
		}
		s.equal()
	})
}
