package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy forwards loopback connections to a target. All methods may be called
// from any goroutine at any time.
type Proxy struct {
	addr string
	wg   sync.WaitGroup

	mu        sync.Mutex
	target    string
	source    *net.TCPAddr // of connections to the server; nil is any
	listener  net.Listener // nil while connections are refused
	closed    bool
	conns     map[*conn]bool
	accepted  int
	faults    []*armed
	released  chan struct{} // closed by the next Release
	commands  []string
	delay     time.Duration
	bandwidth int64
	hidden    []string
	passed    [2]int64
	appended  int64
}

// NewProxy listens on a free loopback port and forwards to target.
func NewProxy(target string) (*Proxy, error) {
	p := &Proxy{target: target, addr: "127.0.0.1:0", conns: map[*conn]bool{}, released: make(chan struct{})}
	if err := p.Refuse(false); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect. It stays the same.
func (p *Proxy) Addr() string { return p.addr }

// Refuse makes new connections fail with "connection refused", or work again.
func (p *Proxy) Refuse(refuse bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || refuse == (p.listener == nil) {
		return nil
	}
	if refuse {
		err := p.listener.Close()
		p.listener = nil
		return err
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen for the proxy: %w", err)
	}
	p.listener, p.addr = l, l.Addr().String()
	p.wg.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed, by Refuse or Close
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// SetTarget sends new connections to another address.
func (p *Proxy) SetTarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// SetSource has new connections to the server come from another address of this
// machine, such as 127.0.0.2: servers count the connections of each address.
func (p *Proxy) SetSource(ip string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source = &net.TCPAddr{IP: net.ParseIP(ip)}
}

// SetDelay makes every byte arrive later, in each direction, without limiting
// the throughput: half of a round trip.
func (p *Proxy) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// SetBandwidth limits each direction of each connection, in bytes per second.
// 0 is no limit.
func (p *Proxy) SetBandwidth(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bandwidth = bytesPerSecond
}

// Hide keeps lines of the server's from the clients, those that begin with one of
// the prefixes, such as "* LIST ", as if it had nothing to say there; without one
// it hides none. It knows nothing of literals: a line of a message counts too.
func (p *Proxy) Hide(prefixes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden = prefixes
}

// Inject arms a fault. The channel is closed when it fires for the first time.
func (p *Proxy) Inject(f Fault) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &armed{Fault: f, fired: make(chan struct{})}
	p.faults = append(p.faults, a)
	return a.fired
}

// Clear disarms all faults that have not fired.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Release lets everything go on that faults hold back.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
}

func (p *Proxy) release() {
	close(p.released)
	p.released = make(chan struct{})
}

// CutAll breaks every connection now.
func (p *Proxy) CutAll(how How) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.cut(how)
	}
	p.release()
}

// Commands returns the clients' commands in the order in which they passed:
// without tags, literals as "{12}", log-ins without names and passwords.
func (p *Proxy) Commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.commands...)
}

// Accepted is how many connections were made since the start.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Passed is how many bytes went in a direction.
func (p *Proxy) Passed(dir Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[dir]
}

// Appended is how many bytes of messages to be appended went to the server,
// those of an APPEND that is not complete included.
func (p *Proxy) Appended() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.appended
}

// Close resets all connections and returns when nothing of the proxy runs.
func (p *Proxy) Close() error {
	p.CutAll(RST)
	err := p.Refuse(true)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CutAll(RST) // what was accepted meanwhile
	p.wg.Wait()
	return err
}

// conn is one connection through the proxy.
type conn struct {
	p     *Proxy
	side  [2]*net.TCPConn // where each direction leads to
	scan  scanner
	tail  [2][]byte          // what passed last, for patterns
	held  [2]<-chan struct{} // closed when a direction is held back no more; nil where it is not
	mute  atomic.Bool        // nothing reaches the client any more
	deaf  atomic.Bool        // nothing reaches the server any more
	dead  atomic.Bool        // nothing passes any more
	lost  string             // the tag whose answer is awaited and kept; guarded by p.mu
	after []byte             // what the server sent since then
	line  []byte             // of the server's, not whole yet, while lines are hidden
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target := p.target
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if p.source != nil {
		dialer.LocalAddr = p.source
	}
	p.mu.Unlock()
	server, err := dialer.Dial("tcp", target)
	if err != nil {
		reset(client)
		return
	}
	c := &conn{p: p}
	for dir, s := range []net.Conn{server, client} {
		tcp, ok := s.(*net.TCPConn)
		if !ok {
			return // net.Dial and Accept on "tcp" give nothing else
		}
		c.side[dir] = tcp
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.cut(RST)
		return
	}
	p.conns[c] = true
	p.accepted++
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(ToServer) })
	wg.Go(func() { c.pump(ToClient) })
	wg.Wait()
	_ = client.Close() // may be closed by a fault
	_ = server.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// maxPattern is the longest pattern that is found across pieces, in bytes.
const maxPattern = 1024

// chunk is a piece of the stream on its way, due at a certain moment.
type chunk struct {
	data []byte
	due  time.Time
}

// pump moves one direction. Reading and writing are decoupled, so that a
// delay makes a long line and not a narrow one.
func (c *conn) pump(dir Direction) {
	from, to := c.side[1-dir], c.side[dir]
	queue := make(chan chunk, 512)
	var end error
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				queue <- chunk{buf[:n], time.Now().Add(c.p.latency())}
			}
			if err != nil {
				end = err // read after the queue is closed
				if !errors.Is(err, io.EOF) {
					// A reset drops what a narrow line has not carried yet, as it does
					// in a kernel, and not what is on its way.
					time.AfterFunc(c.p.latency(), func() { c.cut(RST) })
				}
				return
			}
		}
	}()
	for item := range queue {
		time.Sleep(time.Until(item.due))
		if dir == ToClient {
			item.data = c.shown(item.data)
		}
		if !c.dead.Load() {
			c.pass(dir, to, item.data)
		}
	}
	switch {
	case c.dead.Load(): // the fault decided how the connection ends
	case errors.Is(end, io.EOF):
		_ = to.CloseWrite() // the other side may be gone already
	default:
		c.cut(RST)
	}
}

func (p *Proxy) latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

// pass forwards a piece up to the point where a fault fires, if one does.
func (c *conn) pass(dir Direction, to *net.TCPConn, b []byte) {
	for len(b) > 0 && (dir == ToClient || !c.deaf.Load()) {
		n, fired := c.inspect(dir, b)
		held := c.held[dir]
		if fired != nil && held == nil {
			c.mute.Store(true) // before the server gets what it will answer
			c.deaf.Store(true)
		}
		if dir == ToServer || fired != nil || !c.mute.Load() {
			if err := c.write(to, b[:n]); err != nil {
				c.cut(RST)
				return
			}
		}
		switch {
		case held != nil:
			<-held
			if c.held[dir] = nil; c.dead.Load() {
				return
			}
		case fired != nil:
			if *fired != LoseAnswer {
				c.cut(*fired)
			}
			return
		}
		b = b[n:]
	}
}

// shown returns what the client gets of the server's next bytes where lines are
// hidden: only whole lines.
func (c *conn) shown(b []byte) []byte {
	c.p.mu.Lock()
	hidden := c.p.hidden
	c.p.mu.Unlock()
	if len(hidden) == 0 && len(c.line) == 0 {
		return b
	}
	var out []byte
	for piece := range bytes.Lines(b) {
		if c.line = append(c.line, piece...); !bytes.HasSuffix(piece, []byte("\n")) {
			break // the last
		}
		if !slices.ContainsFunc(hidden, func(h string) bool { return bytes.HasPrefix(c.line, []byte(h)) }) {
			out = append(out, c.line...)
		}
		c.line = c.line[:0]
	}
	return out
}

// inspect looks at the next bytes: at a step of the client's stream, or at all
// of the server's. It returns how many may pass before a fault fires.
func (c *conn) inspect(dir Direction, b []byte) (n int, fired *How) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	var st stepInfo
	n = len(b)
	if dir == ToServer {
		st = c.step(b)
		n = st.n
	} else {
		c.scan.answered(b)
		if c.lost != "" && c.sawAnswer(b) {
			c.lost = ""
			c.cut(RST)
			return 0, nil
		}
	}
	for _, a := range c.p.faults {
		if a.spent() {
			continue
		}
		at := max(a.inBytes(dir, n), a.inPattern(dir, c.tail[dir], b[:n]))
		if dir == ToServer {
			at = max(at, a.inStep(st))
		}
		if at >= 0 && (fired == nil || at < n) {
			n = at
			a.fire()
			how := a.how
			if c.held[dir] = nil; how == Hold {
				c.held[dir] = c.p.released
			}
			if how == LoseAnswer && st.what == commandEnd {
				c.lost = st.tag // before the server can answer
			} else if how == LoseAnswer {
				how = RST
			}
			fired = &how
		}
	}
	c.p.passed[dir] += int64(n)
	if st.message {
		c.p.appended += int64(n)
	}
	last := b[max(0, n-maxPattern):n]
	kept := c.tail[dir]
	c.tail[dir] = append(kept[max(0, len(kept)+len(last)-maxPattern):], last...)
	return n, fired
}

// step feeds the scanner and records a command that is complete.
func (c *conn) step(b []byte) stepInfo {
	st := stepInfo{before: c.scan.size - c.scan.literal, message: c.scan.literal > 0 && c.scan.message()}
	st.n, st.what = c.scan.next(b)
	if st.what == commandEnd {
		if st.tag, st.command = c.scan.take(); st.command != "" {
			c.p.commands = append(c.p.commands, st.command)
		}
	}
	return st
}

// sawAnswer reports whether the server has answered the lost command.
func (c *conn) sawAnswer(b []byte) bool {
	c.after = append(c.after, b...)
	for line := range strings.SplitSeq(string(c.after), "\r\n") {
		if strings.HasPrefix(line, c.lost+" ") {
			return true
		}
	}
	return false
}

func (c *conn) write(to *net.TCPConn, b []byte) error {
	c.p.mu.Lock()
	bandwidth := c.p.bandwidth
	c.p.mu.Unlock()
	for len(b) > 0 {
		n := len(b)
		if bandwidth > 0 {
			n = int(min(int64(n), max(1, bandwidth/100))) // a hundred slices a second
			time.Sleep(time.Second * time.Duration(n) / time.Duration(bandwidth))
		}
		if _, err := to.Write(b[:n]); err != nil {
			return fmt.Errorf("forward: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// cut breaks the connection. It may be called in any state and more than once.
func (c *conn) cut(how How) {
	c.dead.Store(true)
	switch how {
	case Stall:
	case FIN:
		for _, s := range c.side {
			_ = s.CloseWrite() // an error means that it is closed already
		}
	default:
		for _, s := range c.side {
			reset(s)
		}
	}
}

// reset closes a connection so that the other end gets a RST, not a FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	_ = c.Close()
}
