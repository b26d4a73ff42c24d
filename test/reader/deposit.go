package reader

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Deposit is one message to be stored.
type Deposit struct {
	Folder string // canonical name; the folder must exist
	Flags  []string
	Date   time.Time // INTERNALDATE; zero leaves it to the server
	Size   int64     // in bytes
	Body   func() io.Reader
}

// Bytes makes a body of a byte slice.
func Bytes(b []byte) (size int64, body func() io.Reader) {
	return int64(len(b)), func() io.Reader { return bytes.NewReader(b) }
}

// Stored is what became of a Deposit.
type Stored struct {
	UIDValidity, UID uint32 // zero without UIDPLUS
	Err              error  // the server's *StatusError
}

// Append stores one message.
func (c *Conn) Append(d Deposit) (Stored, error) {
	all, err := c.AppendAll([]Deposit{d})
	if err != nil {
		return Stored{}, err
	}
	return all[0], nil
}

// AppendAll stores messages, all of them sent without waiting for answers, by
// non-synchronising literals (RFC 7888). A NO is in the result of its message.
// A BAD ends the connection: the server may take the rest of a message for
// commands then.
func (c *Conn) AppendAll(deposits []Deposit) ([]Stored, error) {
	ns, err := c.Namespace()
	if err != nil {
		return nil, err
	}
	first := c.tag + 1
	c.tag += len(deposits)
	sent := make(chan error, 1)
	go func() {
		for i, d := range deposits {
			if err := c.sendAppend(fmt.Sprintf("r%d", first+i), ns, d); err != nil {
				sent <- err
				_ = c.net.Close() // a half message must never be completed by what comes next
				return
			}
		}
		sent <- c.w.Flush()
	}()
	results := make([]Stored, len(deposits))
	var failed error
	for i := 0; i < len(deposits) && failed == nil; {
		resp, err := readResponse(c.r)
		switch {
		case err != nil:
			failed = err
		case resp.Tag == "+" || resp.Tag == "*":
		case resp.Tag != fmt.Sprintf("r%d", first+i):
			failed = fmt.Errorf("append: answer to %.20q out of turn", resp.Tag)
		case resp.Name == "BAD":
			failed = statusError("APPEND", resp)
		default:
			results[i].Err = statusError("APPEND", resp)
			if args, ok := resp.Code("APPENDUID"); ok {
				results[i].UIDValidity, results[i].UID = parseTwo(args)
			}
			i++
		}
	}
	if failed != nil {
		_ = c.net.Close() // also ends the sender
	}
	return results, errors.Join(failed, <-sent)
}

func (c *Conn) sendAppend(tag string, ns Namespace, d Deposit) error {
	var head strings.Builder
	fmt.Fprintf(&head, "%s APPEND %s", tag, Quote(ns.Wire(d.Folder)))
	if len(d.Flags) > 0 {
		fmt.Fprintf(&head, " (%s)", strings.Join(d.Flags, " "))
	}
	if !d.Date.IsZero() {
		fmt.Fprintf(&head, ` "%s"`, d.Date.Format("02-Jan-2006 15:04:05 -0700"))
	}
	fmt.Fprintf(&head, " {%d+}\r\n", d.Size)
	if _, err := c.w.WriteString(head.String()); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	n, err := io.Copy(c.w, d.Body())
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if n != d.Size {
		return fmt.Errorf("append: body has %d bytes, %d were announced", n, d.Size)
	}
	if _, err := c.w.WriteString("\r\n"); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// EnsureFolders creates the folders that do not exist yet, by canonical name.
func (c *Conn) EnsureFolders(names ...string) error {
	ns, err := c.Namespace()
	if err != nil {
		return err
	}
	existing, err := c.Folders()
	if err != nil {
		return err
	}
	for _, name := range names {
		if f, ok := existing[name]; ok && !f.NoSelect {
			continue
		}
		if _, err := c.Command("CREATE " + Quote(ns.Wire(name))); err != nil {
			return fmt.Errorf("folder %s: %w", name, err)
		}
		existing[name] = Folder{}
	}
	return nil
}

// Message is what a store that keeps the deposit as it is hands back.
func (d Deposit) Message() (Message, error) {
	h := sha256.New()
	n, err := io.Copy(h, d.Body())
	if err != nil {
		return Message{}, fmt.Errorf("read body: %w", err)
	}
	m := Message{Size: n, Date: d.Date.Unix()}
	h.Sum(m.Digest[:0])
	flags := make([]string, 0, len(d.Flags))
	for _, f := range d.Flags {
		flags = append(flags, strings.ToLower(f))
	}
	slices.Sort(flags)
	m.Flags = strings.Join(flags, " ")
	return m, nil
}
