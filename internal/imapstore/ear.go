package imapstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

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
	store    *Store
	number   mailbox.Number
	as       string // the log-in of the mailbox
	link     *link
	r        *bufio.Reader
	greeting string
	tags     int
	caps     map[string]bool
	ns       namespaces
}

const (
	// earBuffer holds the lines that come while listening; longer ones grow
	// for the moment.
	earBuffer = 1 << 10
	// earMax bounds one response with its literals.
	earMax = 1 << 20
	// opening is how long a server may be silent that owes an answer before
	// anybody listens: that it is gone is to be noticed within a minute then, too,
	// but where it lists all mailboxes.
	opening = 45 * time.Second
)

var errGoodbye = errors.New("the server says goodbye")

// listenAs connects and logs in; number "" logs in as the trusted account
// itself. ctx bounds the log-in alone.
func (s *Store) listenAs(ctx context.Context, number mailbox.Number) (*ear, error) {
	as, err := s.loginOf(number)
	if err != nil {
		return nil, err
	}
	c, err := s.reach(ctx)
	if err != nil {
		return nil, s.explainConnect(err)
	}
	c.link.timeouts.Read = min(c.link.timeouts.Read, opening)
	e := &ear{store: s, number: number, as: as, link: c.link, greeting: c.greeting}
	e.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(c.ahead), c.link), earBuffer)
	stop := c.link.bind(ctx)
	defer stop()
	if err := e.login(c.line); err != nil {
		cause := c.link.cause()
		e.close()
		if ctx.Err() != nil {
			return nil, fault.New(fault.Transient, "log in to store "+s.opts.Name, ctx.Err(), "")
		}
		return nil, s.explainLogin(ctx, number, as, err, cause)
	}
	if number != "" {
		s.noteActed()
	}
	if err := e.askNamespaces(); err != nil {
		e.close()
		return nil, e.classify("ask for the namespace", err)
	}
	return e, nil
}

func (e *ear) login(greeting []byte) error {
	e.noteCapabilities(greeting)
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
func (e *ear) noteCapabilities(line []byte) {
	at := indexFold(line, "CAPABILITY ")
	if at < 0 || at > 0 && line[at-1] != ' ' && line[at-1] != '[' {
		return
	}
	list, _, _ := bytes.Cut(line[at+len("CAPABILITY "):], []byte("]"))
	e.caps = map[string]bool{}
	for c := range bytes.FieldsSeq(list) {
		e.caps[strings.ToUpper(string(c))] = true
	}
}

func (e *ear) askNamespaces() error {
	if !e.caps["NAMESPACE"] {
		var answers [][]byte
		if err := e.command(`LIST "" ""`, keep(&answers)); err != nil {
			return err
		}
		return e.ns.scanSeparator(answers)
	}
	var answers [][]byte
	if err := e.command("NAMESPACE", keep(&answers)); err != nil {
		return err
	}
	return e.ns.scan(answers)
}

func keep(list *[][]byte) func([]byte) {
	return func(line []byte) { *list = append(*list, bytes.Clone(line)) }
}

// send writes a command and returns its tag.
func (e *ear) send(text string) (string, error) {
	e.tags++
	tag := "e" + strconv.Itoa(e.tags)
	e.link.await(true)
	_, err := e.link.Write([]byte(tag + " " + text + "\r\n"))
	return tag, err
}

// command sends a command and reads up to its answer. each gets every other
// response; a NO is a *imap.Error.
func (e *ear) command(text string, each func([]byte)) error { return e.dialogue(text, "", each) }

// dialogue is command with a line for the server's "+"; "" where none is due.
func (e *ear) dialogue(text, more string, each func([]byte)) error {
	tag, err := e.send(text)
	if err != nil {
		return err
	}
	for {
		line, err := e.response()
		if err != nil {
			return err
		}
		switch word, rest, _ := bytes.Cut(line, []byte(" ")); {
		case string(word) == tag:
			e.link.await(false)
			if each != nil {
				each(line)
			}
			return e.status(rest)
		case bytes.HasPrefix(line, []byte("+")):
			if _, err := e.link.Write([]byte(more + "\r\n")); err != nil {
				return err
			}
			more = ""
		default:
			if each != nil {
				each(line)
			}
		}
	}
}

// status is nil for OK.
func (e *ear) status(rest []byte) error {
	kind, text, _ := strings.Cut(strings.TrimRight(string(rest), "\r\n"), " ")
	answer := &imap.Error{Type: imap.StatusResponseType(strings.ToUpper(kind)), Text: text}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		code, after, _ := strings.Cut(inner, "]")
		word, _, _ := strings.Cut(code, " ")
		answer.Code, answer.Text = imap.ResponseCode(strings.ToUpper(word)), strings.TrimSpace(after)
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
		if cause := e.link.cause(); cause != nil {
			err = cause
		}
		return nil, err
	}
	if cut, ok := cutPrefixFold(line, "* BYE"); ok {
		return nil, fmt.Errorf("%w: %s", errGoodbye, printable(strings.TrimSpace(string(cut))))
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
	_, list := cutPrefixFold(line, "* LIST ")
	_, status := cutPrefixFold(line, "* STATUS ")
	return list || status
}

func (e *ear) longResponse(line []byte) ([]byte, error) {
	listing := isListing(line)
	for {
		if len(line) > earMax {
			return nil, e.link.fail(errResponse)
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			more, err := e.r.ReadSlice('\n')
			line = append(line, more...)
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
			continue
		}
		size, ok := literalSize(bytes.TrimRight(line, "\r\n"))
		if !ok || !listing {
			return line, nil
		}
		if size > earMax {
			return nil, e.link.fail(errResponse)
		}
		from := len(line)
		line = append(line, make([]byte, size)...)
		if _, err := io.ReadFull(e.r, line[from:]); err != nil {
			return nil, err
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
	e.link.mu.Lock()
	defer e.link.mu.Unlock()
	e.link.timeouts.Read, e.link.timeouts.Write = e.store.opts.Timeouts.Answer, e.store.opts.Timeouts.Answer
}

// probe arms a timer that sends a line after a quiet time and expects the server
// to answer it. It is the one that writes while the ear's own goroutine reads,
// which writes nothing before that answer has come.
func (e *ear) probe(line string, quiet time.Duration) *time.Timer {
	return time.AfterFunc(quiet, func() {
		e.link.await(true)
		_, _ = e.link.Write([]byte(line)) // its failure ends the link, and the reader with it
	})
}

// Close ends the connection at once.
func (e *ear) close() { _ = e.link.fail(errClosed) }

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
		return fault.New(fault.Transient, op, errors.New("the server does not understand: "+printable(bad.Text)), "")
	}
	return fault.New(fault.Transient, op, err, "")
}

// folders lists what matches the patterns (already quoted), with counters. by, if
// not nil, gets every response that comes meanwhile.
func (e *ear) folders(patterns string, by func([]byte)) ([]*found, error) {
	items := "MESSAGES UIDNEXT UIDVALIDITY"
	if e.caps["CONDSTORE"] {
		items += " HIGHESTMODSEQ"
	}
	command := `LIST "" ` + patterns
	if e.caps["LIST-STATUS"] {
		command += " RETURN (STATUS (" + items + "))"
	}
	var answers [][]byte
	each := func(line []byte) {
		if by != nil {
			by(line)
		}
		keep(&answers)(line)
	}
	if err := e.command(command, each); err != nil {
		return nil, err
	}
	byName := map[string]*found{}
	folders, err := gather(answers, byName)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if f.told || !f.selectable() {
			continue
		}
		answers = answers[:0]
		err := e.command("STATUS "+quote(f.name)+" ("+items+")", each)
		if refusal(err) != nil {
			f.gone = true
			continue
		} else if err != nil {
			return nil, err
		}
		if _, err := gather(answers, byName); err != nil {
			return nil, err
		}
	}
	return folders, nil
}
