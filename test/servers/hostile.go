package servers

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hostile is an IMAP server in this process that does what no server should, to
// mailboxes that a mode was set for. To all others it is a small server in order,
// without CONDSTORE and without memory of what its process ends.
type Hostile struct {
	listener net.Listener
	trusted  string
	password string
	running  sync.WaitGroup

	mu    sync.Mutex
	modes map[string]Mode
	boxes map[string]map[string]*hostileFolder
	conns map[net.Conn]bool
}

// HostileMessage is one message of a hostile server.
type HostileMessage struct {
	UID   uint32
	Flags string // as between the parentheses of FLAGS
	Date  string // as between the quotes of INTERNALDATE
	Body  []byte
}

type hostileFolder struct {
	validity, next uint32
	messages       []HostileMessage
}

// StartHostile starts a hostile server on a free port of the loopback. password is
// that of the trusted account, which is called "trusted".
func StartHostile(password string) (*Hostile, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &Hostile{listener: l, trusted: "trusted", password: password, modes: map[string]Mode{},
		boxes: map[string]map[string]*hostileFolder{}, conns: map[net.Conn]bool{}}
	h.running.Go(h.accept)
	return h, nil
}

// HostileT starts a hostile server for one test.
func HostileT(t TB, password string) *Hostile {
	t.Helper()
	h, err := StartHostile(password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h
}

// Addr is host:port.
func (h *Hostile) Addr() string { return h.listener.Addr().String() }

// TrustedName is the account that may act for every mailbox.
func (h *Hostile) TrustedName() string { return h.trusted }

// TrustedPassword is its password.
func (h *Hostile) TrustedPassword() string { return h.password }

// SetMode says what the server does to a mailbox from now on; "" ends it.
func (h *Hostile) SetMode(number string, mode Mode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.modes[number] = mode
}

// Put stores a message.
func (h *Hostile) Put(number, folder, flags string, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.folder(number, folder, true).put(flags, "01-Feb-2026 10:11:12 +0000", body)
}

// Messages returns what a folder holds.
func (h *Hostile) Messages(number, folder string) []HostileMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.folder(number, folder, false); f != nil {
		return slices.Clone(f.messages)
	}
	return nil
}

// Stop ends all connections and the server.
func (h *Hostile) Stop() {
	_ = h.listener.Close()
	h.mu.Lock()
	for c := range h.conns {
		_ = c.Close()
	}
	h.mu.Unlock()
	h.running.Wait()
}

func (h *Hostile) accept() {
	for {
		nc, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.conns[nc] = true
		h.mu.Unlock()
		h.running.Go(func() {
			c := &hostileConn{Hostile: h, nc: nc, r: bufio.NewReader(nc), w: bufio.NewWriterSize(nc, 64<<10)}
			c.serve()
			_ = nc.Close()
			h.mu.Lock()
			delete(h.conns, nc)
			h.mu.Unlock()
		})
	}
}

// folder returns a folder; every mailbox has an inbox. Called with mu held.
func (h *Hostile) folder(number, name string, create bool) *hostileFolder {
	box := h.boxes[number]
	if box == nil {
		box = map[string]*hostileFolder{}
		h.boxes[number] = box
	}
	if strings.EqualFold(name, "INBOX") {
		name, create = "INBOX", true
	}
	if box[name] == nil && create {
		box[name] = &hostileFolder{validity: 7, next: 1}
	}
	return box[name]
}

func (f *hostileFolder) put(flags, date string, body []byte) uint32 {
	uid := f.next
	f.next++
	f.messages = append(f.messages, HostileMessage{UID: uid, Flags: flags, Date: date, Body: body})
	return uid
}

// hostileConn is one connection.
type hostileConn struct {
	*Hostile
	nc     net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	number string
	mode   Mode
	open   string // the folder that is open
	sasl   string // the response by which the client logged in
}

const hostileCapabilities = "IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE UNSELECT UIDPLUS ESEARCH LIST-EXTENDED LIST-STATUS LITERAL+ IDLE"

// hostileCommand is a command with its literals.
type hostileCommand struct {
	tag, name string
	args      string   // with "" in the place of each literal
	literals  [][]byte // in their order
}

func (c *hostileConn) send(format string, args ...any) {
	_, _ = fmt.Fprintf(c.w, format+"\r\n", args...)
}

// endless sends a text again and again, until the client goes away.
func (c *hostileConn) endless(text string) {
	text = strings.Repeat(text, 1+4096/len(text))
	for {
		if _, err := io.WriteString(c.w, text); err != nil {
			return
		}
	}
}

func (c *hostileConn) serve() {
	c.send("* OK [CAPABILITY %s] Hostile ready", hostileCapabilities)
	for c.w.Flush() == nil {
		cmd, err := c.read()
		if err != nil {
			return
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(2 * time.Minute))
		if cmd.name == "AUTHENTICATE" {
			c.login(cmd)
			continue
		}
		if hook := hookOf(c.mode); hook != nil && hook(c, cmd) {
			continue
		}
		if !c.answer(cmd) {
			_ = c.w.Flush()
			return
		}
	}
}

// read reads a command with all its literals.
func (c *hostileConn) read() (cmd hostileCommand, err error) {
	var line strings.Builder
	for {
		part, err := c.r.ReadString('\n')
		if err != nil {
			return cmd, err
		}
		part = strings.TrimRight(part, "\r\n")
		open := strings.LastIndexByte(part, '{')
		if open < 0 || !strings.HasSuffix(part, "}") {
			line.WriteString(part)
			break
		}
		size, err := strconv.Atoi(strings.TrimSuffix(part[open+1:len(part)-1], "+"))
		if err != nil {
			return cmd, err
		}
		if !strings.HasSuffix(part, "+}") {
			c.send("+ go on")
			if err := c.w.Flush(); err != nil {
				return cmd, err
			}
		}
		literal := make([]byte, size)
		if _, err := io.ReadFull(c.r, literal); err != nil {
			return cmd, err
		}
		line.WriteString(part[:open] + `""`)
		cmd.literals = append(cmd.literals, literal)
	}
	cmd.tag, cmd.args, _ = strings.Cut(line.String(), " ")
	cmd.name, cmd.args, _ = strings.Cut(cmd.args, " ")
	if cmd.name = strings.ToUpper(cmd.name); cmd.name == "UID" {
		var name string
		name, cmd.args, _ = strings.Cut(cmd.args, " ")
		cmd.name += " " + strings.ToUpper(name)
	}
	return cmd, nil
}

// login takes AUTHENTICATE PLAIN with an authorization identity.
func (c *hostileConn) login(cmd hostileCommand) {
	_, c.sasl, _ = strings.Cut(cmd.args, " ")
	plain, err := base64.StdEncoding.DecodeString(c.sasl)
	parts := strings.Split(string(plain), "\x00")
	if err != nil || len(parts) != 3 || parts[1] != c.trusted || parts[2] != c.password {
		c.send("%s NO [AUTHENTICATIONFAILED] no", cmd.tag)
		return
	}
	c.number = parts[0]
	c.mu.Lock()
	c.mode = c.modes[c.number]
	c.mu.Unlock()
	if hook := hookOf(c.mode); hook != nil && hook(c, cmd) {
		return
	}
	c.send("%s OK [CAPABILITY %s] in", cmd.tag, hostileCapabilities)
}

// hostileName reads the first word of arguments: an atom or a quoted string.
func hostileName(args string) (name, rest string) {
	if !strings.HasPrefix(args, `"`) {
		name, rest, _ = strings.Cut(args, " ")
		return name, rest
	}
	var b strings.Builder
	for i := 1; i < len(args); i++ {
		switch {
		case args[i] == '"':
			return b.String(), strings.TrimPrefix(args[i+1:], " ")
		case args[i] == '\\' && i+1 < len(args):
			i++
		}
		b.WriteByte(args[i])
	}
	return b.String(), ""
}
