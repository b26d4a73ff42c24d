package servers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// HostileLDAPMode is what a HostileLDAP does wrong.
type HostileLDAPMode string

// The modes.
const (
	// LDAPHonest does nothing wrong.
	LDAPHonest HostileLDAPMode = "honest"
	// LDAPNestedEntry sends an entry of 2 MB that is nested 900 deep, LDAPNestedResult
	// a result, LDAPNestedControl a control, and LDAPNestedPage a control of pages.
	LDAPNestedEntry   HostileLDAPMode = "nested entry"
	LDAPNestedResult  HostileLDAPMode = "nested result"
	LDAPNestedControl HostileLDAPMode = "nested control"
	LDAPNestedPage    HostileLDAPMode = "nested page"
	// LDAPAnnounced announces an entry of 2 GB, and begins to send it.
	LDAPAnnounced HostileLDAPMode = "announced"
	// LDAPManyValues sends an entry of millions of empty values, LDAPLargeValues page
	// after page of entries of 3 MB each, as many as were asked for.
	LDAPManyValues  HostileLDAPMode = "many values"
	LDAPLargeValues HostileLDAPMode = "large values"
	// LDAPManyNames sends entries of attributes that nobody asked for, all different.
	LDAPManyNames HostileLDAPMode = "many names"
	// LDAPEndlessEntries sends entries without end in one page, LDAPEndlessPages empty
	// pages, LDAPEndlessReferences references, LDAPEndlessIntermediate intermediate
	// responses, and LDAPEndlessCookie a cookie of 4 MB.
	LDAPEndlessEntries      HostileLDAPMode = "endless entries"
	LDAPEndlessPages        HostileLDAPMode = "endless pages"
	LDAPEndlessReferences   HostileLDAPMode = "endless references"
	LDAPEndlessIntermediate HostileLDAPMode = "endless intermediate responses"
	LDAPEndlessCookie       HostileLDAPMode = "endless cookie"
	// LDAPUnasked answers requests that nobody sent, without end.
	LDAPUnasked HostileLDAPMode = "unasked"
	// LDAPGarbage answers with bytes that are no LDAP, LDAPWrongTag with the answer to
	// another request.
	LDAPGarbage  HostileLDAPMode = "garbage"
	LDAPWrongTag HostileLDAPMode = "wrong tag"
	// LDAPDrip sends an entry byte by byte, and LDAPSilent nothing at all.
	LDAPDrip   HostileLDAPMode = "drip"
	LDAPSilent HostileLDAPMode = "silent"
	// These refuse a request and quote all that was received, in every usual form.
	LDAPQuoteBind   HostileLDAPMode = "quote bind"
	LDAPQuoteSearch HostileLDAPMode = "quote search"
	LDAPQuoteWrite  HostileLDAPMode = "quote write"
	LDAPQuoteNotice HostileLDAPMode = "quote in a notice of disconnection"
	// LDAPQuoteLater refuses the search that follows a write.
	LDAPQuoteLater HostileLDAPMode = "quote later"
	// LDAPTerminal names itself, and refuses searches, in what terminals obey.
	LDAPTerminal HostileLDAPMode = "terminal"
	// LDAPHangUp closes the connection at every write.
	LDAPHangUp HostileLDAPMode = "hang up"
	// LDAPCutEntry closes the connection in the entry of its second mailbox, if more
	// than its name is asked for, LDAPCutName in any answer that has that entry, and
	// LDAPCutAll in each entry, if more than its name is asked for. LDAPLargeEntry sends
	// the second mailbox with a value of 5 MB. They have no part in HostileLDAPModes.
	LDAPCutEntry   HostileLDAPMode = "cut entry"
	LDAPCutName    HostileLDAPMode = "cut name"
	LDAPCutAll     HostileLDAPMode = "cut all"
	LDAPLargeEntry HostileLDAPMode = "large entry"
	// LDAPSlow is honest, and takes a second to answer a bind or a write.
	LDAPSlow HostileLDAPMode = "slow"
)

// HostileLDAPModes are all modes but LDAPHonest, LDAPSlow and those of one entry.
func HostileLDAPModes() []HostileLDAPMode {
	return []HostileLDAPMode{LDAPNestedEntry, LDAPNestedResult, LDAPNestedControl, LDAPNestedPage, LDAPAnnounced, LDAPManyValues,
		LDAPLargeValues, LDAPManyNames, LDAPEndlessEntries, LDAPEndlessPages, LDAPEndlessReferences, LDAPEndlessIntermediate,
		LDAPEndlessCookie, LDAPUnasked, LDAPGarbage, LDAPWrongTag, LDAPDrip, LDAPSilent, LDAPQuoteBind, LDAPQuoteSearch,
		LDAPQuoteWrite, LDAPQuoteNotice, LDAPQuoteLater, LDAPTerminal, LDAPHangUp}
}

// HostileLDAP is a scripted LDAP server with a few mailboxes that it never changes. It
// answers honestly until its mode says otherwise.
type HostileLDAP struct {
	listener net.Listener
	mode     HostileLDAPMode
	numbers  []string
	wait     sync.WaitGroup
	ended    chan struct{} // closed by Stop

	mu       sync.Mutex
	conns    map[net.Conn]bool
	received []byte // the end of all that it received
	written  bool
}

// StartHostileLDAP starts one with the mailboxes of some numbers.
func StartHostileLDAP(ctx context.Context, mode HostileLDAPMode, numbers ...string) (*HostileLDAP, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start hostile LDAP server: %w", err)
	}
	h := &HostileLDAP{listener: l, mode: mode, numbers: numbers, ended: make(chan struct{}), conns: map[net.Conn]bool{}}
	h.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns[c] = true
			h.mu.Unlock()
			h.wait.Go(func() {
				_ = h.serve(c)
				_ = c.Close()
			})
		}
	})
	return h, nil
}

// Addr is host:port.
func (h *HostileLDAP) Addr() string { return h.listener.Addr().String() }

// Base is the DN below which mailboxes are.
func (h *HostileLDAP) Base() string { return "ou=mailboxes,dc=example" }

// Stop ends all connections and waits for them.
func (h *HostileLDAP) Stop() {
	_ = h.listener.Close()
	close(h.ended)
	h.mu.Lock()
	for c := range h.conns {
		_ = c.Close()
	}
	h.mu.Unlock()
	h.wait.Wait()
}

// ldapRequest is what is asked of a request.
type ldapRequest struct {
	id   []byte
	tag  byte
	body []byte // of the operation
	raw  []byte
}

// serve answers the requests of one connection until its end.
func (h *HostileLDAP) serve(c net.Conn) error {
	in, out := bufio.NewReader(c), bufio.NewWriterSize(c, 64<<10)
	for {
		r, err := readLDAPRequest(in)
		if err != nil || r.tag == 0x42 {
			return err
		}
		h.mu.Lock()
		h.received = append(h.received, r.raw...)
		h.received = h.received[max(0, len(h.received)-600):]
		h.mu.Unlock()
		if err := h.answer(out, r); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func readLDAPRequest(in *bufio.Reader) (ldapRequest, error) {
	var r ldapRequest
	if _, err := in.ReadByte(); err != nil {
		return r, err
	}
	first, err := in.ReadByte()
	length := int(first)
	if first >= 0x80 {
		length = 0
		for range int(first &^ 0x80) {
			b, err := in.ReadByte()
			if err != nil {
				return r, err
			}
			length = length<<8 | int(b)
		}
	}
	if err != nil || length > 64<<20 {
		return r, errors.New("a request that is too large")
	}
	r.raw = make([]byte, length)
	if _, err := io.ReadFull(in, r.raw); err != nil {
		return r, err
	}
	_, r.id, r.body = splitBER(r.raw)
	r.tag, r.body, _ = splitBER(r.body)
	return r, nil
}

// splitBER splits the first element off b.
func splitBER(b []byte) (tag byte, content, rest []byte) {
	if len(b) < 2 {
		return 0, nil, nil
	}
	length, at := int(b[1]), 2
	if b[1] >= 0x80 {
		length = 0
		for ; at < 2+int(b[1]&^0x80) && at < len(b); at++ {
			length = length<<8 | int(b[at])
		}
	}
	end := min(at+length, len(b))
	return b[0], b[at:end], b[end:]
}

// ber writes one element.
func ber(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	n := len(content)
	return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
}

func berText(s string) []byte { return ber(0x04, []byte(s)) }

// message is a message that answers a request.
func (r ldapRequest) message(tag byte, parts ...[]byte) []byte {
	return ber(0x30, ber(0x02, r.id), ber(tag, parts...))
}

func (r ldapRequest) result(tag, code byte, said string, controls ...[]byte) []byte {
	parts := [][]byte{ber(0x02, r.id), ber(tag, ber(0x0a, []byte{code}), berText(said), berText(said))}
	if len(controls) > 0 {
		parts = append(parts, ber(0xa0, controls...))
	}
	return ber(0x30, parts...)
}

func (r ldapRequest) entry(dn string, attributes map[string][]string) []byte {
	var list [][]byte
	for name, values := range attributes {
		var set [][]byte
		for _, v := range values {
			set = append(set, berText(v))
		}
		list = append(list, ber(0x30, berText(name), ber(0x31, set...)))
	}
	return r.message(0x64, berText(dn), ber(0x30, list...))
}

func pageControl(value []byte) []byte {
	return ber(0x30, berText("1.2.840.113556.1.4.319"), ber(0x04, value))
}

func pageValue(cookie string) []byte { return ber(0x30, ber(0x02, []byte{0}), berText(cookie)) }

// nestedBER is an element within an element and so on, around content.
func nestedBER(tag byte, depth int, content []byte) []byte {
	const header = 6
	out := make([]byte, 0, depth*header+len(content))
	for i := range depth {
		n := len(content) + (depth-1-i)*header
		out = append(out, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, content...)
}

// nested2MB is nested 900 deep, around as much as makes it 2 MB.
func nested2MB() []byte { return nestedBER(0x30, 900, bytes.Repeat(berText(""), 340_000)) }

// quote is all that was received, in every usual form.
func (h *HostileLDAP) quote() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var text strings.Builder
	for _, b := range h.received {
		if b >= ' ' && b < 0x7f {
			text.WriteByte(b)
		}
	}
	return text.String() + " " + base64.StdEncoding.EncodeToString(h.received) + " " + hex.EncodeToString(h.received)
}

// answer writes the answer to a request.
func (h *HostileLDAP) answer(out *bufio.Writer, r ldapRequest) error {
	say := func(b []byte) error { _, err := out.Write(b); return err }
	if h.mode == LDAPSlow && r.tag != 0x63 {
		time.Sleep(time.Second)
	}
	switch r.tag {
	case 0x60:
		if h.mode == LDAPQuoteBind {
			return say(r.result(0x61, 49, h.quote()))
		}
		return say(r.result(0x61, 0, ""))
	case 0x63:
		return h.search(out, r)
	}
	h.mu.Lock()
	h.written = true
	h.mu.Unlock()
	tag := r.tag + 1
	if r.tag == 0x4a {
		tag = 0x6b
	}
	switch h.mode { //nolint:exhaustive // all others refuse the write
	case LDAPHangUp:
		return io.EOF
	case LDAPQuoteNotice:
		notice := ber(0x30, ber(0x02, []byte{0}), ber(0x78, ber(0x0a, []byte{52}), berText(h.quote()), berText(h.quote()), ber(0x8a, []byte("1.3.6.1.4.1.1466.20036"))))
		return errors.Join(say(notice), out.Flush(), io.EOF)
	case LDAPHonest, LDAPSlow, LDAPCutEntry, LDAPCutName, LDAPCutAll, LDAPLargeEntry:
		return say(r.result(tag, 0, ""))
	}
	return say(r.result(tag, 19, h.quote()))
}
