package reader

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxText is the longest string in bytes that a Value keeps; of longer ones
// only size and digest are known. Message bodies are longer, names are not.
const maxText = 16 << 10

// Kind tells what a Value was on the wire (RFC 9051 section 4).
type Kind byte

// The kinds of value.
const (
	Atom   Kind = 'a'
	String Kind = 's' // quoted or literal
	List   Kind = 'l'
)

// Value is one parsed item of a response.
type Value struct {
	Kind   Kind
	Text   string // empty if longer than maxText
	List   []Value
	Size   int64 // of a String, in bytes
	Digest [sha256.Size]byte
}

// Nil reports whether the value is NIL.
func (v Value) Nil() bool { return v.Kind == Atom && strings.EqualFold(v.Text, "NIL") }

// Response is one line from the server: untagged, tagged or a continuation.
type Response struct {
	Tag    string // "*", "+" or the command's tag
	Number uint32 // of "* 12 EXISTS" and the like
	Name   string // upper case: OK, LIST, FETCH…
	Text   string // after OK, NO, BAD, BYE, PREAUTH, and after "+"
	Values []Value
}

// Code returns the arguments of a response code such as "[APPENDUID 1 2]".
func (r Response) Code(name string) (args string, ok bool) {
	if !strings.HasPrefix(r.Text, "[") {
		return "", false
	}
	code, _, found := strings.Cut(r.Text[1:], "]")
	key, args, _ := strings.Cut(code, " ")
	return args, found && strings.EqualFold(key, name)
}

// readResponse reads one response with all its literals.
func readResponse(r *bufio.Reader) (Response, error) {
	var resp Response
	tag, err := readAtom(r)
	if err != nil {
		return resp, err
	}
	resp.Tag = tag
	if tag == "+" {
		resp.Text, err = restOfLine(r)
		return resp, err
	}
	if err := expect(r, ' '); err != nil {
		return resp, err
	}
	word, err := readAtom(r)
	if err != nil {
		return resp, err
	}
	if n, err := strconv.ParseUint(word, 10, 32); err == nil {
		resp.Number = uint32(n)
		if err := expect(r, ' '); err != nil {
			return resp, err
		}
		if word, err = readAtom(r); err != nil {
			return resp, err
		}
	}
	resp.Name = strings.ToUpper(word)
	switch resp.Name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		resp.Text, err = restOfLine(r)
		return resp, err
	}
	resp.Values, err = readValues(r, false)
	return resp, err
}

// readValues reads values until the closing bracket of a list or, outside of
// one, until the end of the line.
func readValues(r *bufio.Reader, inList bool) ([]Value, error) {
	values := []Value{}
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, cut(err)
		}
		switch {
		case c == ' ':
		case c == ')' && inList:
			return values, nil
		case c == '\r' && !inList:
			return values, expect(r, '\n')
		case c == '(':
			list, err := readValues(r, true)
			if err != nil {
				return nil, err
			}
			values = append(values, Value{Kind: List, List: list})
		case c == '"':
			v, err := readQuoted(r)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		case c == '{':
			v, err := readLiteral(r)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		case c == ')' || c == '\r' || c == '\n':
			return nil, fmt.Errorf("parse response: unexpected %q", c)
		default:
			if err := r.UnreadByte(); err != nil {
				return nil, fmt.Errorf("parse response: %w", err)
			}
			atom, err := readAtom(r)
			if err != nil {
				return nil, err
			}
			values = append(values, Value{Kind: Atom, Text: atom})
		}
	}
}

// readAtom reads up to a blank, a bracket of a list or the end of the line.
// The section of "BODY[…]" belongs to the atom, blanks and all.
func readAtom(r *bufio.Reader) (string, error) {
	var b strings.Builder
	section := false
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", cut(err)
		}
		if c == '\r' || c == '\n' || !section && (c == ' ' || c == '(' || c == ')') {
			return b.String(), r.UnreadByte()
		}
		if c == '[' && (strings.EqualFold(b.String(), "BODY") || strings.EqualFold(b.String(), "BINARY")) {
			section = true
		} else if c == ']' {
			section = false
		}
		b.WriteByte(c)
	}
}

func readQuoted(r *bufio.Reader) (Value, error) {
	var b []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return Value{}, cut(err)
		}
		if c == '"' {
			return newString(b), nil
		}
		if c == '\\' {
			if c, err = r.ReadByte(); err != nil {
				return Value{}, cut(err)
			}
		}
		b = append(b, c)
	}
}

func newString(b []byte) Value {
	return Value{Kind: String, Text: string(b), Size: int64(len(b)), Digest: sha256.Sum256(b)}
}

// readLiteral reads "n}CRLF" and n bytes. A long literal is digested while it
// passes, so a message of any size costs no memory.
func readLiteral(r *bufio.Reader) (Value, error) {
	head, err := restOfLine(r)
	if err != nil {
		return Value{}, err
	}
	size, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSuffix(head, "}"), "+"), 10, 64)
	if err != nil || size < 0 || !strings.HasSuffix(head, "}") {
		return Value{}, fmt.Errorf("parse literal: bad size %.20q", head)
	}
	if size <= maxText {
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return Value{}, cut(err)
		}
		return newString(b), nil
	}
	v := Value{Kind: String, Size: size}
	h := sha256.New()
	if _, err := io.CopyN(h, r, size); err != nil {
		return Value{}, cut(err)
	}
	h.Sum(v.Digest[:0])
	return v, nil
}

func restOfLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", cut(err)
	}
	return strings.TrimPrefix(strings.TrimRight(line, "\r\n"), " "), nil
}

func expect(r *bufio.Reader, want byte) error {
	c, err := r.ReadByte()
	if err != nil {
		return cut(err)
	}
	if c != want {
		return fmt.Errorf("parse response: %q instead of %q", c, want)
	}
	return nil
}

// cut makes the end of the connection inside a response an error that cannot
// be taken for the end of a stream.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read response: %w", err)
}
