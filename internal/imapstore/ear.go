package imapstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// ear is a logged-in connection without go-imap, which knows no NOTIFY and
// gives a connection up at the first thing that it did not ask for. It speaks
// the few commands that listening takes, and is small, since there may be a
// thousand of them: one goroutine and some kilobytes each. It stands on a link,
// so that deadlines and the close are those of every other connection.
//
// One goroutine uses it. The exception is probe, see there.
type ear struct {
	store   *Store
	number  mailbox.Number
	as      string // the log-in of the mailbox
	link    *link
	r       *bufio.Reader
	tags    int
	caps    map[string]bool
	ns      namespaces
	secrets secrets
	came    int64 // bytes since the last command
}

const (
	// earBuffer holds the lines that come while listening; longer ones grow
	// for the moment.
	earBuffer = 1 << 10
	// opening is how long a server may be silent that owes an answer before
	// anybody listens: that it is gone is to be noticed within a minute then, too,
	// but where it lists all mailboxes.
	opening = 45 * time.Second
)

var errGoodbye = errors.New("the server says goodbye")

// listenAs connects and logs in; number "" logs in as the trusted account
// itself. ctx bounds the log-in alone.
func (s *Store) listenAs(ctx context.Context, number mailbox.Number) (*ear, error) {
	if err := s.turn(ctx, number); err != nil {
		return nil, err
	}
	as, err := s.loginOf(number)
	if err != nil {
		return nil, err
	}
	c, err := s.reach(ctx)
	if err != nil {
		return nil, s.explainConnect(err)
	}
	began := time.Now()
	c.link.Patient(min(s.opts.Timeouts.Read, opening))
	e := &ear{store: s, number: number, as: as, link: c.link}
	e.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(c.ahead), c.link), earBuffer)
	stop := c.link.Bind(ctx)
	defer stop()
	if err := e.login(c.line); err != nil {
		cause := c.link.Cause()
		e.close()
		if ctx.Err() != nil {
			return nil, fault.New(fault.Transient, "log in to store "+s.opts.Name, ctx.Err(), "")
		}
		s.noteFailure(number, err, cause)
		return nil, s.occupied(number, s.noteRejection(number, s.explainLogin(ctx, number, as, err, cause)))
	}
	e.link.OnEnd(s.loggedIn(number, c.link, true, c.took+time.Since(began)))
	s.accepted(number)
	if err := e.askNamespaces(); err != nil {
		e.close()
		if number == "" {
			return nil, e.classify("ask for the namespace", err)
		}
		return nil, e.ofMailbox("ask for the namespace of mailbox "+string(number), err)
	}
	return e, nil
}

func (e *ear) login(greeting []byte) error {
	_ = e.noteCapabilities(greeting)
	if e.caps == nil {
		if err := e.command("CAPABILITY", e.noteCapabilities); err != nil {
			return err
		}
	}
	if !e.caps["AUTH=PLAIN"] {
		return errNoPlain
	}
	identity, name := e.store.identities(e.as)
	response := base64.StdEncoding.EncodeToString([]byte(identity + "\x00" + name + "\x00" + e.store.opts.Password.Reveal()))
	e.secrets = e.store.secretsOf(response)
	direct := e.caps["SASL-IR"]
	e.caps = nil
	command, more := "AUTHENTICATE PLAIN", response
	if direct {
		command, more = "AUTHENTICATE PLAIN "+response, ""
	}
	if err := e.dialogue(command, more, e.noteCapabilities); err != nil {
		return err
	}
	if e.caps == nil {
		return e.command("CAPABILITY", e.noteCapabilities)
	}
	return nil
}

// noteCapabilities takes them from a CAPABILITY response or response code.
func (e *ear) noteCapabilities(line []byte) error {
	at := indexFold(line, "CAPABILITY ")
	if at < 0 || at > 0 && line[at-1] != ' ' && line[at-1] != '[' {
		return nil
	}
	list, _, _ := bytes.Cut(line[at+len("CAPABILITY "):], []byte("]"))
	e.caps = map[string]bool{}
	for c := range bytes.FieldsSeq(list) {
		if name := strings.ToUpper(string(c)); isCapability(name) {
			e.caps[name] = true
		}
	}
	return nil
}

func (e *ear) askNamespaces() error {
	seen := &kept{}
	if !e.caps["NAMESPACE"] {
		if err := e.command(`LIST "" ""`, seen.take); err != nil {
			return err
		}
		return e.ns.scanSeparator(seen.responses)
	}
	if err := e.command("NAMESPACE", seen.take); err != nil {
		return err
	}
	return e.ns.scan(seen.responses)
}

// send writes a command and returns its tag.
func (e *ear) send(text string) (string, error) {
	tag := e.newTag()
	e.link.Await(true)
	_, err := e.link.Write([]byte(tag + " " + text + "\r\n"))
	return tag, err
}

// newTag returns the tag of the next command.
func (e *ear) newTag() string {
	e.tags++
	e.came = 0
	return "e" + strconv.Itoa(e.tags)
}

// command sends a command and reads up to its answer. each gets every other
// response; a NO is a *imap.Error.
func (e *ear) command(text string, each func([]byte) error) error { return e.dialogue(text, "", each) }

// dialogue is command with a line for the server's "+"; "" where none is due.
func (e *ear) dialogue(text, more string, each func([]byte) error) error {
	tag, err := e.send(text)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(text, " ")
	if each == nil {
		each = func([]byte) error { return nil }
	}
	for {
		line, err := e.response()
		if err != nil {
			return err
		}
		switch word, rest, _ := bytes.Cut(line, []byte(" ")); {
		case string(word) == tag:
			e.link.Await(false)
			if err := each(line); err != nil {
				return e.link.Fail(err)
			}
			return e.status(rest, quietCommands[name])
		case bytes.HasPrefix(line, []byte("+")) && more == "":
			return e.link.Fail(errResponse)
		case bytes.HasPrefix(line, []byte("+")):
			if _, err := e.link.Write([]byte(more + "\r\n")); err != nil {
				return err
			}
			more = ""
		default:
			if err := each(line); err != nil {
				return e.link.Fail(err)
			}
		}
	}
}

// status is nil for OK. A quiet command's answer is left without its text.
func (e *ear) status(rest []byte, quiet bool) error {
	kind, args, _ := bytes.Cut(trimEnd(rest), []byte(" "))
	said := readStatus(args)
	answer := &imap.Error{Type: imap.StatusResponseType(strings.ToUpper(string(kind))), Code: said.refusedFor()}
	if !quiet {
		answer.Text = e.secrets.show(string(said.text))
	}
	switch answer.Type {
	case imap.StatusResponseTypeOK:
		return nil
	case imap.StatusResponseTypeNo, imap.StatusResponseTypeBad:
		return answer
	default:
		return errResponse
	}
}

// response reads one response with its literals. It is good until the next
// one. A goodbye is an error.
func (e *ear) response() ([]byte, error) {
	line, err := e.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || err == nil && endsInLiteral(line) {
		line, err = e.longResponse(bytes.Clone(line))
	}
	if err != nil {
		if cause := e.link.Cause(); cause != nil {
			err = cause
		}
		return nil, err
	}
	if e.came += int64(len(line)); e.came > maxUnasked {
		return nil, e.link.Fail(beyond("answers without end", "%d MB between two commands", maxUnasked>>20))
	}
	if hasPrefixFold(line, "* BYE") {
		return nil, errGoodbye
	}
	return line, nil
}

func endsInLiteral(line []byte) bool {
	_, ok := literalSize(bytes.TrimRight(line, "\r\n"))
	return ok && isListing(line)
}

// isListing reports a response that may hold a literal; human text may end in
// "{5}" and mean nothing by it.
func isListing(line []byte) bool {
	return hasPrefixFold(line, "* LIST ") || hasPrefixFold(line, "* STATUS ")
}

func (e *ear) longResponse(line []byte) ([]byte, error) {
	listing := isListing(line)
	for literals := 0; ; {
		if len(line) > maxLine {
			return nil, e.link.Fail(beyond("a line without end", "%d kB in one response", maxLine>>10))
		}
		if bytes.HasSuffix(line, []byte("\n")) {
			size, ok := literalSize(trimEnd(line))
			if !ok || !listing {
				return line, nil
			}
			if literals++; literals > maxLiterals || size > maxLine-int64(len(line)) {
				return nil, e.link.Fail(beyond("a response that is too long", "%d kB and %d literals in one response", maxLine>>10, maxLiterals))
			}
			from := len(line)
			line = append(line, make([]byte, size)...)
			if _, err := io.ReadFull(e.r, line[from:]); err != nil {
				return nil, err
			}
		}
		more, err := e.r.ReadSlice('\n')
		line = append(line, more...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// listening shortens the deadline of answers to that of a connection whose
// server is only asked whether it is there.
func (e *ear) listening() {
	e.link.Patient(e.store.opts.Timeouts.Answer)
	e.link.Hurry(e.store.opts.Timeouts.Answer)
}

// probe arms a timer that sends a line after a quiet time and expects the server
// to answer it. It is the one that writes while the ear's own goroutine reads,
// which writes nothing before that answer has come.
func (e *ear) probe(line string, quiet time.Duration) *time.Timer {
	return time.AfterFunc(quiet, func() {
		e.link.Await(true)
		_, _ = e.link.Write([]byte(line)) // its failure ends the link, and the reader with it
	})
}

// Close ends the connection at once.
func (e *ear) close() { _ = e.link.Fail(endpoint.ErrClosed) }

// classify gives an error its kind; nil stays nil.
func (e *ear) classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	op = "store " + e.store.opts.Name + ": " + op
	if no := refusal(err); no != nil {
		return answer(op, no)
	}
	if bad, ok := errors.AsType[*imap.Error](err); ok {
		return fault.New(fault.Transient, op, notUnderstood(bad), "")
	}
	return transient(op, err)
}

// ofMailbox is classify for a connection that listens to one mailbox. What the server
// sends there beyond all bounds is that mailbox's own fault: it says nothing of others.
func (e *ear) ofMailbox(op string, err error) error {
	err = e.classify(op, err)
	if hint := storeFault(err); hint != "" {
		return fault.New(fault.Permanent, op, err, hint)
	}
	return err
}

// folders lists what matches the patterns (already quoted), with counters. by, if
// not nil, gets every response that comes meanwhile.
func (e *ear) folders(patterns string, bound listBound, by func([]byte)) ([]*found, error) {
	items := "MESSAGES UIDNEXT UIDVALIDITY"
	if e.caps["CONDSTORE"] {
		items += " HIGHESTMODSEQ"
	}
	command := `LIST "" ` + patterns
	if e.caps["LIST-STATUS"] {
		command += " RETURN (STATUS (" + items + "))"
	}
	seen := newListing(bound)
	each := func(line []byte) error {
		if by != nil {
			by(line)
		}
		return seen.take(line)
	}
	if err := e.command(command, each); err != nil {
		return nil, err
	}
	folders := seen.end()
	for _, f := range folders {
		if f.told || !f.selectable() {
			continue
		}
		err := e.command("STATUS "+quote(f.name)+" ("+items+")", each)
		if refusal(err) != nil {
			f.gone = true
			continue
		} else if err != nil {
			return nil, err
		}
	}
	return folders, nil
}
