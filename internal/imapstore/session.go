package imapstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

var _ copier.Session = (*Session)(nil)

// Session is one logged-in connection. It serves one goroutine at a time; only
// SetWriteDeadline may be called by others meanwhile.
type Session struct {
	store  *Store
	number mailbox.Number
	login  string // that of the mailbox
	conn   *connection
	wire   *wire
	client *imapclient.Client
	body   *body // the one being read, nil between messages
	ns     *namespaces

	// spelled is how the store spells the folders that List saw: what was
	// listed is used as it was listed.
	spelled map[mailbox.FolderName]string
	open    string // as go-imap names it; "" where no folder is open

	pending      []*pendingAppend // APPENDs without an answer, oldest first
	pendingBytes int64
	batch        *pendingAppend // the last of pending, while it takes more messages; else nil
}

// start makes a logged-in session ready for use.
func (s *Session) start(ctx context.Context) error {
	ns, err := s.store.namespaces(ctx, s)
	if err != nil {
		return err
	}
	s.ns = ns
	if s.number == "" || !strings.Contains(s.conn.greeting, "Cyrus") {
		return nil
	}
	// Cyrus lets a proxy log in for mailboxes that do not exist.
	folders, _, err := s.list(ctx, "find the mailbox", string(mailbox.Inbox))
	if err != nil {
		return err
	}
	if len(folders) == 0 {
		return s.noMailbox()
	}
	return nil
}

func (s *Session) noMailbox() error {
	return fault.New(fault.Permanent, "store "+s.store.opts.Name+": open mailbox "+named(s.number, s.login),
		errors.New("the store has no such mailbox"), "create the mailbox on the store, or remove it from the link")
}

// run does one operation that waits for answers: it ends with ctx, and the
// server may not stay silent meanwhile.
func (s *Session) run(ctx context.Context, op string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err, "")
	}
	stop := s.wire.Bind(ctx)
	defer stop()
	if err := s.endBatch(op); err != nil {
		return err
	}
	s.wire.Await(true)
	defer s.wire.Await(false)
	return s.classify(op, f())
}

// SetWriteDeadline sets the end of the write lease; see copier.Session. The
// zero time takes the limit away.
func (s *Session) SetWriteDeadline(t time.Time) { s.wire.SetLease(t) }

// Close says goodbye where that takes no waiting, and closes the connection.
func (s *Session) Close() error {
	if len(s.pending) > 0 {
		// What became of them is unknown; the less of them lands late, the better.
		_ = s.wire.Fail(errAborted)
	}
	if s.wire.Cause() == nil {
		// The answer is not waited for. A lease that is over forbids even this.
		s.wire.Hurry(50 * time.Millisecond)
		s.client.Logout()
	}
	_ = s.wire.Fail(endpoint.ErrClosed)
	if !s.wire.awaitReader() {
		// It must not be so, and must not delay the caller if it is.
		s.store.opts.Logger.Error("session reader did not end", "store", s.store.opts.Name)
	}
	return nil
}

// spell returns the name as the store spells it, in UTF-8.
func (s *Session) spell(name mailbox.FolderName) (string, error) {
	if spelled, ok := s.spelled[name]; ok {
		return spelled, nil
	}
	wire, err := name.Wire(s.ns.separator, s.ns.prefix)
	if err != nil {
		return "", err
	}
	return wire, validateName(name, wire)
}

// Examine opens a folder for reading.
func (s *Session) Examine(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, error) {
	counters, _, err := s.selectFolder(ctx, name, true)
	return counters, err
}

// Select opens a folder for writing.
func (s *Session) Select(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, mailbox.Permanent, error) {
	return s.selectFolder(ctx, name, false)
}

func (s *Session) selectFolder(ctx context.Context, name mailbox.FolderName, readOnly bool) (mailbox.Counters, mailbox.Permanent, error) {
	var counters mailbox.Counters
	var permanent mailbox.Permanent
	spelled, err := s.spell(name)
	if err != nil {
		return counters, permanent, err
	}
	op := "open folder " + string(name)
	err = s.run(ctx, op, func() error {
		s.open = ""
		s.wire.takePermanent()
		// Asking for CONDSTORE here enables it and gives HIGHESTMODSEQ
		// (RFC 7162, section 3.1.8); go-imap cannot ENABLE it.
		data, err := s.client.Select(spelled, &imap.SelectOptions{ReadOnly: readOnly, CondStore: s.wire.has("CONDSTORE")}).Wait()
		if err != nil {
			return err
		}
		if data.UIDValidity == 0 || data.UIDNext == 0 {
			return fault.Newf(fault.Permanent, "%s: the server gives no UIDVALIDITY or UIDNEXT", op)
		}
		if data.NumMessages > maxMessages {
			return fault.New(fault.Permanent, op, tooManyMessages(), "see on the store how many messages the folder holds")
		}
		s.open = spelled
		counters = mailbox.Counters{
			UIDValidity: data.UIDValidity, UIDNext: mailbox.UID(data.UIDNext),
			Messages: data.NumMessages, HighestModSeq: data.HighestModSeq,
		}
		return nil
	})
	if err != nil {
		return mailbox.Counters{}, permanent, err
	}
	permanent = permanentFlags(s.wire.takePermanent())
	return counters, permanent, nil
}

// permanentFlags reads PERMANENTFLAGS. A server that sends none keeps all
// flags (RFC 9051, section 6.3.2).
func permanentFlags(flags []string) mailbox.Permanent {
	if flags == nil {
		return mailbox.Permanent{Flags: mailbox.NewFlags(systemFlags...), Any: true}
	}
	p := mailbox.Permanent{}
	var kept []string
	for _, f := range flags {
		if f == `\*` {
			p.Any = true
			continue
		}
		if validFlag(f) {
			kept = append(kept, f)
		}
	}
	p.Flags = mailbox.NewFlags(kept...)
	return p
}

// Unselect closes the open folder, expunging nothing.
func (s *Session) Unselect(ctx context.Context) error {
	if s.open == "" {
		return nil
	}
	return s.run(ctx, "close folder", func() error {
		defer func() { s.open = "" }()
		if s.wire.has("UNSELECT") {
			return s.client.Unselect().Wait()
		}
		// CLOSE expunges, but not what was opened by EXAMINE (RFC 9051,
		// section 6.4.1).
		if _, err := s.client.Select(s.open, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
			return err
		}
		return s.client.UnselectAndExpunge().Wait()
	})
}
