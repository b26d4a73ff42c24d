package imapstore

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// idler hears of one mailbox by IDLE (RFC 2177), which tells of the open folder
// alone: the inbox. The others are read on the same connection.
type idler struct {
	*ear
	review   time.Duration
	reviewed time.Time
	inbox    mailbox.Counters
	messages uint32 // in the inbox now
	first    []mailbox.Folder
}

// Idle implements watch.Source.
func (s *Store) Idle(ctx context.Context, number mailbox.Number, review time.Duration) (watch.Conn, error) {
	e, err := s.listenAs(ctx, number)
	if err != nil {
		return nil, err
	}
	if !e.caps["IDLE"] {
		e.close()
		return nil, errors.ErrUnsupported
	}
	i := &idler{ear: e, review: review}
	stop := e.link.Bind(ctx)
	defer stop()
	// What the list tells of the inbox is overtaken by what opening it tells,
	// from which moment on the server owes us every change of it.
	if i.first, err = i.list(nil); err == nil {
		err = i.open()
	}
	if err != nil {
		err = e.ofMailbox("listen to mailbox "+string(number), err)
		e.close()
		return nil, err
	}
	if err := s.testRoom(ctx, e); err != nil {
		e.close()
		return nil, err
	}
	e.listening()
	return i, nil
}

// Heard implements watch.Conn.
func (i *idler) Heard() []mailbox.Number { return []mailbox.Number{i.number} }

// Close implements watch.Conn.
func (i *idler) Close() { i.close() }

// list reads all folders but the inbox; by gets what is told meanwhile.
func (i *idler) list(by func([]byte)) ([]mailbox.Folder, error) {
	listed, err := i.folders(quote("*"), ofMailbox, by)
	if err != nil {
		return nil, err
	}
	i.reviewed = time.Now()
	var folders []mailbox.Folder
	for _, f := range listed {
		if !i.ns.holds(f.decoded) {
			continue
		}
		if folder := f.folder(i.ns.namespace); folder.Name != mailbox.Inbox {
			folders = append(folders, folder)
		}
	}
	return folders, nil
}

// open opens the inbox read-only.
func (i *idler) open() error {
	command := "EXAMINE INBOX"
	if i.caps["CONDSTORE"] {
		command += " (CONDSTORE)" // gives HIGHESTMODSEQ, and tells of changed flags with it (RFC 7162, section 3.1.8)
	}
	return i.command(command, func(line []byte) error {
		line = bytes.TrimRight(line, "\r\n")
		if n, ok := number(line, " EXISTS"); ok {
			i.messages, i.inbox.Messages = n, n
		}
		i.inbox.UIDValidity = code(line, "UIDVALIDITY", i.inbox.UIDValidity)
		i.inbox.UIDNext = code(line, "UIDNEXT", i.inbox.UIDNext)
		i.inbox.HighestModSeq = code(line, "HIGHESTMODSEQ", i.inbox.HighestModSeq)
		return nil
	})
}

// code reads a number from a response code such as "[UIDNEXT 7]".
func code[T ~uint32 | ~uint64](line []byte, name string, otherwise T) T {
	at := indexFold(line, "["+name+" ")
	if at < 0 {
		return otherwise
	}
	digits, _, _ := bytes.Cut(line[at+len(name)+2:], []byte("]"))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || uint64(T(n)) != n {
		return otherwise
	}
	return T(n)
}

// number reads "* 7 EXISTS".
func number(line []byte, word string) (uint32, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("* "))
	if !ok || indexFold(rest, word) < 0 {
		return 0, false
	}
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.ParseUint(string(digits), 10, 32)
	return uint32(n), err == nil
}

// Listen implements watch.Conn.
func (i *idler) Listen(ctx context.Context, report func(watch.Report), alive func()) error {
	stop := i.link.Bind(ctx)
	defer stop()
	defer i.close()
	inbox := mailbox.Folder{Name: mailbox.Inbox, Selectable: true, Counters: i.inbox}
	report(watch.Report{Number: i.number, Folders: append(i.first, inbox), Whole: true, Resumed: true})
	i.first = nil
	for {
		alive()
		if as, err := i.store.loginOf(i.number); err != nil || as != i.as {
			return i.classify("listen to mailbox "+string(i.number), errOtherLogin)
		}
		if err := i.idle(report, alive); err != nil {
			return i.ofMailbox("listen to mailbox "+string(i.number), err)
		}
		if i.review <= 0 || time.Since(i.reviewed) < i.review {
			continue
		}
		// The inbox is still open: what becomes of it may be told here as well.
		folders, err := i.list(func(line []byte) { i.hear(line, report) })
		if err != nil {
			return i.ofMailbox("read the folders of mailbox "+string(i.number), err)
		}
		report(watch.Report{Number: i.number, Folders: folders, Whole: true})
	}
}

// idle is one IDLE. It ends after a quiet time, which proves that the server is
// there, and keeps the server from ending it.
func (i *idler) idle(report func(watch.Report), alive func()) error {
	tag, err := i.send("IDLE")
	if err != nil {
		return err
	}
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		line, err := i.response()
		if err != nil {
			return err
		}
		alive()
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch {
		case string(word) == tag:
			i.link.Await(false)
			return i.status(rest, false)
		case bytes.HasPrefix(line, []byte("+")):
			i.link.Await(false)
			timer = i.probe("DONE\r\n", i.quiet())
		case string(word) == "*":
			i.hear(line, report)
		}
	}
}

// quiet is how long an IDLE lasts: until the other folders are to be read, or
// the server has to show that it is there.
func (i *idler) quiet() time.Duration {
	quiet := i.store.opts.Timeouts.Quiet
	if i.review <= 0 {
		return quiet
	}
	return min(quiet, max(time.Until(i.reviewed.Add(i.review)), 0))
}

// hear reports what a response tells of the inbox.
func (i *idler) hear(line []byte, report func(watch.Report)) {
	if kind := i.heard(bytes.TrimRight(line, "\r\n")); kind != "" {
		report(watch.Report{Number: i.number, Kind: kind, Folder: mailbox.Inbox})
	}
}

// heard tells what an unsolicited response means (RFC 9051, section 7.5).
func (i *idler) heard(line []byte) site.EventKind {
	n, rest, _ := strings.Cut(strings.TrimPrefix(string(line), "* "), " ")
	kind, _, _ := strings.Cut(strings.ToUpper(rest), " ")
	switch {
	case kind == "EXISTS":
		count, err := strconv.ParseUint(n, 10, 32)
		before := i.messages
		i.messages = uint32(count)
		if err == nil && i.messages > before {
			return site.EventMessageIn
		}
	case kind == "EXPUNGE":
		i.messages = max(i.messages, 1) - 1
		return site.EventMessageGone
	case strings.EqualFold(n, "VANISHED"):
		return site.EventMessageGone
	case kind == "FETCH":
		return site.EventFlags
	}
	return ""
}

var _ watch.Source = (*Store)(nil)

// unsupported says that the store cannot be listened to by NOTIFY, and why.
type unsupported struct{ why string }

func (u unsupported) Error() string        { return u.why }
func (u unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// Offer implements watch.Source.
func (s *Store) Offer(ctx context.Context, sample mailbox.Number) (site.ListenMode, string, error) {
	e, err := s.listenAs(ctx, "")
	trusted := err == nil
	if fault.Is(err, fault.Config) && errors.Is(err, errCredentials) && sample != "" {
		// A trusted account without a mailbox of its own may not log in alone.
		e, err = s.listenAs(ctx, sample)
	}
	if err != nil {
		return "", "", err
	}
	defer e.close()
	why := e.noNotify()
	switch {
	case !trusted:
		why = "the trusted account cannot log in by itself, which NOTIFY over all mailboxes takes"
	case why == "":
		return site.ListenNotify, "the store tells of every mailbox on one connection", nil
	}
	if e.caps["IDLE"] {
		return site.ListenIdle, why, nil
	}
	return site.ListenPoll, why + "; nor has it IDLE", nil
}

// noNotify says what is missing for NOTIFY over all mailboxes, "" for nothing.
func (e *ear) noNotify() string {
	_, others := e.ns.ofOthers()
	switch {
	case !e.caps["NOTIFY"]:
		return "the store has no NOTIFY"
	case !others:
		return "the store has NOTIFY, but shows the trusted account no namespace of all mailboxes"
	case !e.caps["LIST-STATUS"] || !e.caps["LIST-EXTENDED"]:
		return "the store has NOTIFY, but neither LIST-EXTENDED nor LIST-STATUS, without which many mailboxes cannot be read at once"
	default:
		return ""
	}
}
