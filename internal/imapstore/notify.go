package imapstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// maxNotify bounds the NOTIFY command, bytes: Dovecot takes lines of 64 kB.
const maxNotify = 60 << 10

// notifier hears of many mailboxes by NOTIFY (RFC 5465).
type notifier struct {
	*ear
	space   namespace
	numbers map[mailbox.Number]bool
	owners  owners
	// spelled is how the store spells the owner of each mailbox that is heard of.
	spelled map[mailbox.Number]string
	// last is what was told of each folder, by its name as it is spelled: an
	// event tells only some of the counters.
	last  map[string]mailbox.Counters
	fresh []watch.Report
}

// Notify implements watch.Source. It hears of those mailboxes that the trusted
// account sees in the namespace of other users' mailboxes, and of as many as
// one command can name.
//
// Dovecot tells of shared mailboxes only if they were asked for before on the same
// connection, and only where they are named, not by the namespace's root; and of
// changed flags only with CONDSTORE enabled. A list on the connection would ask for all
// mailboxes of the namespace: the process that serves it then holds each of them for as
// long as the connection lives, about 0.1 MB. So the connection asks for the status of
// those alone that it is to hear of, and the list comes on another connection, for all
// that are being opened together.
func (s *Store) Notify(ctx context.Context, numbers []mailbox.Number) (watch.Conn, error) {
	e, err := s.listenAs(ctx, "")
	if err != nil {
		return nil, err
	}
	if why := e.noNotify(); why != "" {
		e.close()
		return nil, unsupported{why}
	}
	e.link.Patient(listingSilence)
	stop := e.link.Bind(ctx)
	defer stop()
	n := &notifier{ear: e, numbers: map[mailbox.Number]bool{}, last: map[string]mailbox.Counters{},
		spelled: map[mailbox.Number]string{}}
	n.space, _ = e.ns.ofOthers()
	if err := n.begin(ctx, numbers); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			err = unsupported{err.Error()}
		} else {
			err = e.classify("listen by NOTIFY", err)
		}
		e.close()
		return nil, err
	}
	e.listening()
	return n, nil
}

// begin asks for the mailboxes, says what to tell of, and has them listed: what the
// list shows is what there is since the server tells of changes.
func (n *notifier) begin(ctx context.Context, numbers []mailbox.Number) error {
	if n.caps["ENABLE"] && n.caps["CONDSTORE"] {
		if err := n.command("ENABLE CONDSTORE", nil); err != nil {
			return err
		}
	}
	n.owners = n.store.ownersOf(numbers)
	if err := n.spell(ctx); err != nil {
		return err
	}
	names, command := n.set(numbers)
	if len(names) == 0 {
		return n.seesNone()
	}
	if err := n.ask(names); err != nil {
		return err
	}
	if err := n.command(command, nil); err != nil {
		if no := refusal(err); no != nil {
			return unsupported{notifyRefused(no.Code, no.Text)}
		}
		return err
	}
	heard := make([]mailbox.Number, 0, len(n.numbers))
	for number := range n.numbers {
		heard = append(heard, number)
	}
	slices.Sort(heard)
	l, err := n.store.listAll(ctx, len(n.owners), 0)
	if errors.Is(err, errTurnedAway) || errors.Is(n.link.Cause(), watch.ErrOccupied) {
		return n.store.tooFewFor(ctx, n.ear, err)
	}
	if err != nil {
		return err
	}
	boxes := groupByMailbox(n.space, n.owners, l.folders)
	for _, f := range l.folders {
		if _, _, ok := n.owner(f.decoded); ok {
			n.last[f.decoded] = f.counters
		}
	}
	for _, number := range heard {
		if list, ok := boxes[number]; ok {
			n.fresh = append(n.fresh, watch.Report{Number: number, Folders: list, Whole: true, Resumed: true})
		} else {
			delete(n.numbers, number)
		}
	}
	if len(n.numbers) == 0 {
		return n.seesNone()
	}
	return nil
}

func (n *notifier) seesNone() error {
	return unsupported{"the trusted account sees none of the mailboxes in the namespace " + n.space.prefix}
}

// notifyRefused says that a store refuses NOTIFY, with the reason that it gave, if any.
func notifyRefused(code imap.ResponseCode, text string) string {
	why := "the store refuses NOTIFY over its mailboxes"
	if code != "" {
		why += " [" + endpoint.Printable(string(code)) + "]"
	}
	if text = strings.TrimSpace(endpoint.Printable(text)); text != "" {
		why += ": " + text
	}
	return why
}

// spell finds out how the store spells the owners of mailboxes. Dovecot shows log-ins in
// lower case; of those that are not, a list tells. If the last list showed no mailbox,
// another tells first whether there are some by now.
func (n *notifier) spell(ctx context.Context) error {
	mixed := false
	for owner, number := range n.owners {
		if n.spelled[number] == "" || strings.ToLower(owner) == owner {
			n.spelled[number] = owner
		}
		mixed = mixed || strings.ToLower(owner) != owner
	}
	n.store.mu.Lock()
	none := n.store.listedNone
	n.store.mu.Unlock()
	if !mixed && !none {
		return nil
	}
	l, err := n.store.listAll(ctx, len(n.owners), 0)
	if err != nil {
		return err
	}
	for _, f := range l.folders {
		if owner, _, ok := n.owners.split(n.space, f.decoded); ok {
			n.spelled[n.owners[owner]] = owner
			none = false
		}
	}
	if none {
		return n.seesNone()
	}
	return nil
}

// askedAtOnce is how many commands go out before their answers are read.
const askedAtOnce = 50

// ask asks for the status of mailboxes, by their quoted names. Whether the server knows
// one does not matter.
func (n *notifier) ask(names []string) error {
	for part := range slices.Chunk(names, askedAtOnce) {
		var text strings.Builder
		tags := map[string]bool{}
		for _, name := range part {
			tag := n.newTag()
			tags[tag] = true
			text.WriteString(tag + " STATUS " + name + " (UIDVALIDITY)\r\n")
		}
		n.link.Await(true)
		if _, err := n.link.Write([]byte(text.String())); err != nil {
			return err
		}
		for len(tags) > 0 {
			line, err := n.response()
			if err != nil {
				return err
			}
			word, _, _ := bytes.Cut(line, []byte(" "))
			delete(tags, string(word))
		}
		n.link.Await(false)
	}
	return nil
}

// set makes the NOTIFY command for the mailboxes, and the names that are in it.
func (n *notifier) set(numbers []mailbox.Number) (names []string, command string) {
	const head, tail = "NOTIFY SET (subtree (", ") (MessageNew MessageExpunge FlagChange MailboxName))"
	size := len(head) + len(tail)
	for _, number := range numbers {
		owner, ok := n.spelled[number]
		if !ok {
			continue
		}
		name := quote(encodeUTF7(n.space.prefix + owner))
		if size += len(name) + 1; size > maxNotify {
			break
		}
		names = append(names, name)
		n.numbers[number] = true
	}
	return names, head + strings.Join(names, " ") + tail
}

// Heard implements watch.Conn.
func (n *notifier) Heard() []mailbox.Number {
	list := make([]mailbox.Number, 0, len(n.numbers))
	for number := range n.numbers {
		list = append(list, number)
	}
	return list
}

// Close implements watch.Conn.
func (n *notifier) Close() { n.close() }

// Listen implements watch.Conn.
func (n *notifier) Listen(ctx context.Context, report func(watch.Report), alive func()) error {
	stop := n.link.Bind(ctx)
	defer stop()
	defer n.close()
	for _, r := range n.fresh {
		report(r)
	}
	n.fresh = nil
	for {
		alive()
		for number := range n.numbers {
			if as, err := n.store.loginOf(number); err != nil || n.owners[as] != number {
				return n.classify("listen by NOTIFY", errOtherLogin)
			}
		}
		if err := n.wait(report, alive); err != nil {
			return n.classify("listen by NOTIFY", err)
		}
	}
}

// wait reads what comes until a NOOP, sent after a quiet time, is answered.
func (n *notifier) wait(report func(watch.Report), alive func()) error {
	tag := n.newTag()
	timer := n.probe(tag+" NOOP\r\n", n.store.opts.Timeouts.Quiet)
	defer timer.Stop()
	for {
		line, err := n.response()
		if err != nil {
			return err
		}
		if most := ofNamespace(len(n.owners)).responses; len(n.last) > most {
			return n.link.Fail(beyond("changes of folders without end", "%d folders", most))
		}
		alive()
		word, rest, _ := bytes.Cut(line, []byte(" "))
		if string(word) == tag {
			n.link.Await(false)
			return n.status(rest, false)
		}
		if err := n.hear(line, report); err != nil {
			return err
		}
	}
}

// errOtherLogin ends a connection, which then is opened anew by what holds now.
var errOtherLogin = errors.New("a mailbox has another log-in by now")

var errOverflow = errors.New("the server tells of changes no more")

// hear reports what an unsolicited response tells.
func (n *notifier) hear(line []byte, report func(watch.Report)) error {
	sc := &scanner{rest: line}
	switch sc.kind() {
	case "STATUS":
		name, items, ok := scanStatus(sc)
		if !ok {
			return sc.fault()
		}
		n.told(decodeName(name), items, report)
	case "LIST":
		l, ok := scanList(sc)
		if !ok {
			return sc.fault()
		}
		n.listed(l, report)
	case "OK", "NO":
		if indexFold(line, "[NOTIFICATIONOVERFLOW]") >= 0 {
			return errOverflow // RFC 5465, section 5.8: begin again
		}
	}
	return nil
}

// listed takes in what is said of a folder's existence. Dovecot says it also of
// folders that are as they were, for instance when somebody opens the mailbox.
//
// Of an inbox it says that it is gone whenever the trusted account has listed the
// mailboxes on another connection, and that it is there again when its owner comes
// next. Nothing can be learnt from that: an inbox goes with its mailbox alone, and
// of one made anew a STATUS tells.
func (n *notifier) listed(l listed, report func(watch.Report)) {
	name := decodeName(l.name)
	number, folder, ok := n.owner(name)
	if !ok {
		return
	}
	gone := l.has(`\NonExistent`)
	if gone && folder == mailbox.Inbox {
		return
	}
	if _, known := n.last[name]; known != gone {
		return
	}
	if gone {
		delete(n.last, name)
	} else {
		n.last[name] = mailbox.Counters{}
	}
	report(watch.Report{Number: number, Kind: site.EventFolder, Folder: folder})
}

func (n *notifier) told(name string, items map[string]uint64, report func(watch.Report)) {
	number, folder, ok := n.owner(name)
	if !ok {
		return
	}
	c := n.last[name]
	if v, ok := items["UIDVALIDITY"]; ok {
		c.UIDValidity = uint32(v)
	}
	if v, ok := items["UIDNEXT"]; ok {
		c.UIDNext = mailbox.UID(v)
	}
	if v, ok := items["MESSAGES"]; ok {
		c.Messages = uint32(v)
	}
	if v, ok := items["HIGHESTMODSEQ"]; ok {
		c.HighestModSeq = v
	}
	n.last[name] = c
	if _, told := items["HIGHESTMODSEQ"]; !told && !n.caps["CONDSTORE"] {
		// Without a mod-sequence an event may be one of flags, which no other
		// counter shows.
		report(watch.Report{Number: number, Kind: site.EventFlags, Folder: folder})
	}
	report(watch.Report{Number: number, Folders: []mailbox.Folder{{Name: folder, Selectable: true, Counters: c}}})
}

// owner tells whose folder a name in the namespace is.
func (n *notifier) owner(name string) (mailbox.Number, mailbox.FolderName, bool) {
	owner, below, ok := n.owners.split(n.space, name)
	number := n.owners[owner]
	if !ok || !n.numbers[number] {
		return "", "", false
	}
	if below == "" {
		return number, mailbox.Inbox, true
	}
	return number, mailbox.FolderFromWire(below, n.space.separator, ""), true
}

// Poll implements watch.Source: by an overview where the store offers one, and
// a log-in for each mailbox otherwise, and for those that it does not show.
func (s *Store) Poll(ctx context.Context, numbers, heard []mailbox.Number, report func(watch.Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	const page = 1000
	for part := range slices.Chunk(numbers, page) {
		seen, took, err := s.overviewTook(ctx, part, heard)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			if ctx.Err() != nil || !fault.Is(err, fault.Config) {
				return err
			}
			// A trusted account that cannot log in by itself.
		}
		var rest []mailbox.Number
		for _, n := range part {
			if folders, ok := seen[n]; ok {
				report(watch.Report{Number: n, Folders: folders, Whole: true})
			} else {
				rest = append(rest, n)
			}
		}
		for _, n := range heard {
			if folders, ok := seen[n]; ok {
				report(watch.Report{Number: n, Folders: folders, Whole: true})
			}
		}
		spent(len(part)-len(rest), took)
		if err := s.pollEach(ctx, rest, len(part) > len(rest), report, failed, spent); err != nil {
			return err
		}
	}
	return nil
}

// PollEach implements watch.Source.
func (s *Store) PollEach(ctx context.Context, numbers []mailbox.Number, report func(watch.Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	return s.pollEach(ctx, numbers, false, report, failed, spent)
}

// pollEach is PollEach; read says that some other mailbox was just read.
func (s *Store) pollEach(ctx context.Context, numbers []mailbox.Number, read bool, report func(watch.Report), failed func(mailbox.Number, error),
	spent func(mailboxes int, took time.Duration)) error {
	inRow := 0
	var last error
	for _, n := range numbers {
		leave, err := s.gate.Session(ctx)
		if err != nil {
			return err
		}
		var took time.Duration
		var folders []mailbox.Folder
		if err = s.turn(ctx, n); err == nil {
			folders, err = within(ctx, pollOne, func(ctx context.Context) (folders []mailbox.Folder, err error) {
				folders, took, err = s.read(ctx, n)
				return folders, err
			})
		}
		leave()
		switch {
		case err == nil:
			report(watch.Report{Number: n, Folders: folders, Whole: true})
			inRow, read = 0, true
		case fault.Is(err, fault.Permanent):
			failed(n, err)
		case ctx.Err() != nil, !fault.Is(err, fault.Transient):
			return err
		default:
			// It may be this mailbox's own trouble: those behind it are read as well. How
			// long there was no answer does not tell how busy the server is.
			took = 0
			if inRow++; inRow >= badInRow {
				return err
			}
			failed(n, err)
			if storeFault(err) == "" {
				last = err
			}
		}
		spent(1, took)
	}
	if last != nil && !read {
		return last // nothing could be read at all
	}
	return nil
}

// badInRow is how many mailboxes in a row may fail until the store is the reason.
const badInRow = 3

// pollOne is how long reading one mailbox in turn may take, from its login on: a
// connection that is half open is noticed by it.
const pollOne = 20 * time.Second

func within[T any](ctx context.Context, limit time.Duration, read func(context.Context) (T, error)) (got T, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = fault.Guard(func() (err error) { got, err = read(ctx); return err })
	return got, err
}

// read lists the folders of a mailbox by a login of its own, whose turn has come, and
// says how long the server was busy with that.
func (s *Store) read(ctx context.Context, n mailbox.Number) (folders []mailbox.Folder, took time.Duration, err error) {
	began := time.Now()
	session, err := s.openNow(ctx, n)
	if err != nil {
		return nil, time.Since(began), err
	}
	defer func() { _ = session.Close() }()
	folders, err = session.List(ctx)
	return folders, session.conn.busy(), err
}
