package app

import (
	"context"
	"sync"
	"sync/atomic"

	"mailmirror/internal/directory"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
)

// logins are those of one store's mailboxes as they were last read. To look one up
// takes no I/O: they are read again only when the store's row, which is read at the
// beginning of every page, sync and plan of listening anyway, tells of another
// version of them, and hold for all that is opened from then on. Between the two a
// mailbox may be opened by the log-in of before, as it would have been until the
// directory's run that found the new one.
type logins struct {
	repo  *pgstore.Store
	store string

	mu  sync.Mutex // of reading
	now atomic.Pointer[readLogins]
}

type readLogins struct {
	version int64
	of      *directory.Logins
}

// refresh reads them unless they are of a version. On an error those of before
// stay, and the caller must not go on with them.
func (l *logins) refresh(ctx context.Context, version int64) error {
	if now := l.now.Load(); now != nil && now.version == version {
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
		return err
	}
	l.now.Store(&readLogins{version, of})
	return nil
}

// Login implements imapstore.Logins.
func (l *logins) Login(number mailbox.Number) (string, error) {
	return l.now.Load().of.Login(string(number))
}
