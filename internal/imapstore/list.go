package imapstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// specialUses are the attributes of RFC 6154 and RFC 8457, by lower case.
var specialUses = map[string]string{
	`\all`: `\All`, `\archive`: `\Archive`, `\drafts`: `\Drafts`, `\flagged`: `\Flagged`,
	`\junk`: `\Junk`, `\sent`: `\Sent`, `\trash`: `\Trash`, `\important`: `\Important`,
}

// unreadable marks a folder whose name is not modified UTF-7: it is shown, so
// that nobody believes that it is not there, and cannot be opened.
const unreadable = string(utf8.RuneError)

// List returns every folder of the mailbox with its counters.
func (s *Session) List(ctx context.Context) ([]mailbox.Folder, error) {
	found, namespaces, err := s.list(ctx, "list folders", "*")
	if err != nil {
		return nil, err
	}
	if namespaces != nil && len(namespaces.personal) > 0 {
		// Those of the moment, and not what was once learned: another user's
		// folder must never be taken for the mailbox's own.
		s.ns = namespaces
		s.store.rememberNamespaces(namespaces)
	}
	folders := make([]mailbox.Folder, 0, len(found))
	spelled := make(map[mailbox.FolderName]string, len(found))
	inbox := false
	for _, f := range found {
		if !s.ns.holds(f.decoded) {
			continue
		}
		if f.separator != 0 && f.separator != s.ns.separator {
			s.store.forgetNamespaces()
			return nil, s.end(fault.Newf(fault.Transient, "store %s: the hierarchy separator is another one than before", s.store.opts.Name))
		}
		folder := f.folder(s.ns.namespace)
		if _, double := spelled[folder.Name]; double {
			return nil, fault.New(fault.Permanent, "store "+s.store.opts.Name+": two folders are called "+string(folder.Name), nil,
				"rename one of them on the store")
		}
		spelled[folder.Name] = f.decoded
		inbox = inbox || folder.Name == mailbox.Inbox
		folders = append(folders, folder)
	}
	if !inbox {
		// An empty list must never look like a mailbox without folders. It is not
		// said that there is no such mailbox: the store has let us log in for it.
		return nil, fault.New(fault.Permanent, "store "+s.store.opts.Name+": list folders of mailbox "+named(s.number, s.login),
			errors.New("the store lists no inbox"),
			"see on the store whether the mailbox is there and its folders are listed; until then it is left as it is on both stores")
	}
	s.spelled = spelled
	return folders, nil
}

// end closes the session because of err and returns err.
func (s *Session) end(err error) error {
	_ = s.wire.Fail(errAborted)
	return err
}

// found is a listed folder with its counters.
type found struct {
	listed
	decoded    string // name in UTF-8; with unreadable behind it where it is not UTF-7
	subscribed bool
	told       bool // the counters are there
	gone       bool // listed, and yet not there
	counters   mailbox.Counters
}

func (f *found) selectable() bool {
	return !f.gone && !f.has(`\Noselect`) && !f.has(`\NonExistent`) && !strings.HasSuffix(f.decoded, unreadable)
}

func (f *found) folder(ns namespace) mailbox.Folder {
	folder := mailbox.Folder{
		Name:       mailbox.FolderFromWire(f.decoded, ns.separator, ns.prefix),
		Selectable: f.selectable(),
		Unreadable: strings.HasSuffix(f.decoded, unreadable),
		Subscribed: f.subscribed,
		Counters:   f.counters,
	}
	for _, a := range f.attributes {
		if use, ok := specialUses[strings.ToLower(a)]; ok {
			folder.SpecialUse = append(folder.SpecialUse, use)
		}
	}
	slices.Sort(folder.SpecialUse)
	return folder
}

// decodeName returns a name in UTF-8. One that is not modified UTF-7, or that holds
// what no command and no database carries, is made fit to be shown and marked as
// unreadable.
func decodeName(name string) string {
	if decoded, ok := decodeUTF7(name); ok && !strings.ContainsAny(decoded, "\x00\r\n") {
		return decoded
	}
	shown := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, unreadable))
	return shown + unreadable
}

// list asks for the folders that match the patterns (in UTF-8, wildcards
// allowed), with their counters and subscriptions, by one command per pattern
// where the server can, all of them under way at once.
//
// The namespaces are asked for with them, since that costs no round trip: nil
// where the server has none.
func (s *Session) list(ctx context.Context, op string, patterns ...string) (folders []*found, now *namespaces, err error) {
	err = s.run(ctx, op, func() error {
		folders, now = nil, nil
		status := s.wire.has("LIST-STATUS")
		extended := s.wire.has("LIST-EXTENDED")
		options := s.listOptions(status, extended)
		answers := newListing(ofMailbox)
		answers.hold = func(bytes int64) error { return s.wire.holds.holdFolders(bytes, s.wire.Dead()) }
		seen, err := s.collect(answers, func() []waiter {
			var commands []waiter
			if s.wire.has("NAMESPACE") {
				s.wire.replace = "NAMESPACE"
				commands = append(commands, simpleCommand{s.client.Noop()})
			}
			if extended && s.wire.has("IMAP4REV1") { // which alone has LSUB for sure
				// Dovecot leaves \Subscribed out for an inbox that is not on
				// disk before the LIST.
				commands = append(commands, orNothing{s.lsub(string(mailbox.Inbox))})
			}
			for _, p := range patterns {
				commands = append(commands, s.client.List("", p, options))
				if !extended {
					commands = append(commands, s.lsub(p))
				}
			}
			return commands
		})
		if err != nil {
			return err
		}
		if s.wire.has("NAMESPACE") {
			now = &namespaces{}
			if err := now.scan(seen.others); err != nil {
				return err
			}
		}
		folders = seen.end()
		return s.missingStatus(seen)
	})
	return folders, now, err
}

func (s *Session) listOptions(status, extended bool) *imap.ListOptions {
	if !status && !extended {
		return nil
	}
	options := &imap.ListOptions{
		ReturnSubscribed: extended,
		ReturnSpecialUse: extended && s.wire.has("SPECIAL-USE"),
	}
	if status {
		options.ReturnStatus = s.statusOptions()
	}
	return options
}

func (s *Session) statusOptions() *imap.StatusOptions {
	return &imap.StatusOptions{
		NumMessages: true, UIDNext: true, UIDValidity: true,
		HighestModSeq: s.wire.has("CONDSTORE"),
	}
}

// waiter is a command under way.
type waiter interface{ Close() error }

type simpleCommand struct{ *imapclient.Command }

func (c simpleCommand) Close() error { return c.Wait() }

type statusCommand struct{ *imapclient.StatusCommand }

func (c statusCommand) Close() error {
	_, err := c.Wait()
	return err
}

// orNothing is a command whose NO is as good as an empty answer.
type orNothing struct{ waiter }

func (c orNothing) Close() error {
	err := c.waiter.Close()
	if refusal(err) != nil {
		return nil //nolint:nilerr // which is what this type is for
	}
	return err
}

// lsub asks for subscriptions as of RFC 3501; go-imap knows no LSUB.
func (s *Session) lsub(pattern string) waiter {
	s.wire.replace = `LSUB "" ` + quote(encodeUTF7(pattern))
	return simpleCommand{s.client.Noop()}
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// collect sends commands, all at once, and has a listing take the responses that
// they bring.
func (s *Session) collect(to *listing, send func() []waiter) (*listing, error) {
	s.wire.collect(to)
	defer s.wire.collect(nil)
	s.wire.hold()
	commands := send()
	first := s.wire.letGo()
	for _, c := range commands {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	return to, first
}

// nameKey is a name for joining responses: INBOX has no case.
func nameKey(name string) string {
	if strings.EqualFold(name, string(mailbox.Inbox)) {
		return string(mailbox.Inbox)
	}
	return name
}

func counters(items map[string]uint64) (mailbox.Counters, bool) {
	c := mailbox.Counters{
		UIDValidity:   uint32(items["UIDVALIDITY"]),
		UIDNext:       mailbox.UID(items["UIDNEXT"]),
		Messages:      uint32(items["MESSAGES"]),
		HighestModSeq: items["HIGHESTMODSEQ"],
	}
	return c, c.UIDValidity != 0 && c.UIDNext != 0
}

// missingStatus asks for the counters that LIST did not bring, at most
// statusAhead commands ahead of their answers. A folder whose counters the
// server refuses keeps none.
func (s *Session) missingStatus(seen *listing) error {
	const statusAhead = 100
	missing := slices.DeleteFunc(slices.Clone(seen.folders), func(f *found) bool { return f.told || !f.selectable() })
	for part := range slices.Chunk(missing, statusAhead) {
		_, err := s.collect(seen, func() []waiter {
			var commands []waiter
			for _, f := range part {
				commands = append(commands, statusOf{statusCommand{s.client.Status(f.decoded, s.statusOptions())}, f, s.store})
			}
			return commands
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// statusOf asks for the counters of a listed folder. A NO is no error of the
// list's.
type statusOf struct {
	waiter
	folder *found
	store  *Store
}

func (c statusOf) Close() error {
	err := c.waiter.Close()
	no := refusal(err)
	if no == nil {
		return err
	}
	c.folder.gone = nonExistent(no)
	c.store.opts.Logger.Debug("status refused", "store", c.store.opts.Name, "code", string(no.Code))
	return nil
}

// nonExistent reports a NO that says that there is no such folder. With maildir
// Dovecot goes on listing a folder that was deleted while others stood below it.
func nonExistent(no *imap.Error) bool { return no.Code == imap.ResponseCodeNonExistent }
