package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// logins are those of one store's mailboxes as they were last read. To look one up
// takes no I/O: they are read again only when the store's row, which is read at the
// beginning of every page, sync and plan of listening anyway, tells of another
// version of them, and hold for all that is opened from then on. Between the two a
// mailbox may be opened by the log-in of before, as it would have been until the
// directory's run that found the new one.
type logins struct {
	repo  loginReader
	store string

	mu  sync.Mutex // of reading
	now atomic.Pointer[readLogins]
	// failed is how reading fails; nil where the last reading succeeded.
	failed atomic.Pointer[failedRead]
}

// failedRead says since when reading fails, and when and how it last did.
type failedRead struct {
	since, last time.Time
	err         error
}

// forgetFailed is how old a failed reading is if nobody needs the logins any more,
// since the store is in no link. Whoever needs them reads again within a minute.
const forgetFailed = 5 * time.Minute

// loginReader is what logins need of the database.
type loginReader interface {
	Logins(ctx context.Context, store string) (*directory.Logins, int64, error)
}

type readLogins struct {
	version int64
	of      *directory.Logins
}

// refresh reads them unless they are of a version. On an error those of before
// stay, and the caller must not go on with them.
func (l *logins) refresh(ctx context.Context, version int64) error {
	if now := l.now.Load(); now != nil && now.version == version {
		l.failed.Store(nil)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now.Load(); now != nil && now.version == version {
		return nil
	}
	// One reads at a time, and reads what there is: nothing older follows.
	of, version, err := l.repo.Logins(ctx, l.store)
	if err != nil {
		if ctx.Err() == nil {
			f := &failedRead{since: time.Now(), last: time.Now(), err: err}
			if before := l.failed.Load(); before != nil && f.last.Sub(before.last) < forgetFailed {
				f.since = before.since
			}
			l.failed.Store(f)
		}
		return err
	}
	l.now.Store(&readLogins{version, of})
	l.failed.Store(nil)
	return nil
}

// failing returns since when the logins of some store cannot be read, and the last
// error; zero values if all can be.
func (s *stores) failing() (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logins {
		f := l.failed.Load()
		if f == nil || time.Since(f.last) > forgetFailed {
			continue
		}
		if err == nil || f.since.Before(since) {
			since, err = f.since, fault.Wrap(f.err, "read the logins of store "+l.store)
		}
	}
	return since, err
}

// Login implements imapstore.Logins.
func (l *logins) Login(number mailbox.Number) (string, error) {
	return l.now.Load().of.Login(string(number))
}
