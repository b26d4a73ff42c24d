package bare

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Moved counts what a copy moved.
type Moved struct {
	Messages int64
	Bytes    int64
}

func (m *Moved) add(o Moved) {
	m.Messages += o.Messages
	m.Bytes += o.Bytes
}

// copyFolder fetches the given UIDs ("1:*" for all) of one folder and appends
// them on the other side: one FETCH, every APPEND sent without waiting
// (LITERAL+, RFC 7888), the answers read by a goroutine of their own so that
// neither side can block the other.
func copyFolder(from, to *Conn, folder, uids string) (Moved, error) {
	if err := from.Do(nil, "EXAMINE %s", quote(folder)); err != nil {
		return Moved{}, fmt.Errorf("examine: %w", err)
	}
	tag, err := from.send("UID FETCH %s (FLAGS INTERNALDATE BODY.PEEK[])", uids)
	if err != nil {
		return Moved{}, err
	}
	answers := make(chan error, 1)
	go func() { answers <- to.readAppended() }()
	moved, err := pump(from, to, tag, folder)
	if err != nil {
		to.Close() // a literal may be half sent: nothing may follow it
	}
	// When the server refused an APPEND, the reader knows why; it closes the
	// connection then, which is what pump stumbles over.
	return moved, errors.Join(<-answers, err)
}

// lastTag marks the NOOP that ends a row of APPENDs.
const lastTag = "last"

// pump streams the answer to a FETCH as APPEND commands.
func pump(from, to *Conn, tag, folder string) (Moved, error) {
	var moved Moved
	prefix := " APPEND " + quote(folder) + " ("
	for {
		line, err := from.r.ReadString('\n')
		if err != nil {
			return moved, fmt.Errorf("read message: %w", err)
		}
		if strings.HasPrefix(line, tag+" ") {
			if err := checkOK(line); err != nil {
				return moved, fmt.Errorf("fetch: %w", err)
			}
			to.w.WriteString(lastTag + " NOOP\r\n")
			if err := to.w.Flush(); err != nil {
				return moved, fmt.Errorf("append: %w", err)
			}
			return moved, nil
		}
		m, ok, err := parseFetch(line)
		if err != nil {
			return moved, err
		}
		if !ok {
			continue
		}
		to.extend()
		from.extend()
		to.w.WriteString(to.nextTag()) // errors stay in the writer for Flush
		to.w.WriteString(prefix)
		to.w.WriteString(m.flags)
		to.w.WriteString(`) "`)
		to.w.WriteString(m.date)
		to.w.WriteString(`" {`)
		to.w.WriteString(strconv.FormatInt(m.size, 10))
		to.w.WriteString("+}\r\n")
		if _, err := io.CopyN(to.w, from.r, m.size); err != nil {
			return moved, fmt.Errorf("stream message: %w", err)
		}
		to.w.WriteString("\r\n")
		if m.literal { // the rest of the response after the literal: ")"
			if _, err := from.r.ReadString('\n'); err != nil {
				return moved, fmt.Errorf("read message: %w", err)
			}
		}
		moved.add(Moved{Messages: 1, Bytes: m.size})
	}
}

// readAppended reads the answers to APPENDs up to that to the closing NOOP. At
// the first refusal it closes the connection: a server that did not take a
// literal as one would read the message as commands.
func (c *Conn) readAppended() error {
	for {
		line, err := c.readLine()
		switch {
		case err != nil:
			return fmt.Errorf("read append answers: %w", err)
		case strings.HasPrefix(line, "* "):
			continue
		case strings.HasPrefix(line, lastTag+" "):
			return checkOK(line)
		}
		if err := checkOK(line); err != nil {
			c.Close()
			return fmt.Errorf("append: %w", err)
		}
	}
}

// fetched is what a FETCH response says before the message's bytes.
type fetched struct {
	flags   string // without \Recent, which a client cannot set
	date    string
	size    int64
	literal bool // the bytes follow; otherwise the message is empty
}

// parseFetch reads the line up to the literal of a FETCH response with FLAGS,
// INTERNALDATE and BODY[]; ok is false for any other response, such as an
// unsolicited flag change.
func parseFetch(line string) (m fetched, ok bool, err error) {
	line = strings.TrimRight(line, "\r\n")
	_, body, found := strings.Cut(line, "BODY[] ")
	if !found || !strings.HasPrefix(line, "* ") {
		return m, false, nil
	}
	_, after, found := strings.Cut(line, "FLAGS (")
	flags, _, closed := strings.Cut(after, ")")
	if !found || !closed {
		return m, false, errors.New("parse FETCH: no flags")
	}
	m.flags = strings.Join(slices.DeleteFunc(strings.Fields(flags), func(f string) bool {
		return strings.EqualFold(f, `\Recent`)
	}), " ")
	_, after, found = strings.Cut(line, `INTERNALDATE "`)
	date, _, closed := strings.Cut(after, `"`)
	if !found || !closed {
		return m, false, errors.New("parse FETCH: no date")
	}
	m.date = date
	m.size, m.literal = literalSize(body)
	if !m.literal && !strings.HasPrefix(body, `""`) {
		return m, false, errors.New("parse FETCH: the message is not the last item")
	}
	return m, true, nil
}

// Append stores one message and waits for the answer. Flags and date are as on
// the wire: `\Seen $Urgent` and `05-Jan-2026 10:00:00 +0100`.
func (c *Conn) Append(folder, flags, date string, body []byte) error {
	c.extend()
	fmt.Fprintf(c.w, "%s APPEND %s (%s) %q {%d+}\r\n", c.nextTag(), quote(folder), flags, date, len(body))
	c.w.Write(body) // errors stay in the writer for Flush
	fmt.Fprintf(c.w, "\r\n%s NOOP\r\n", lastTag)
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return c.readAppended()
}
