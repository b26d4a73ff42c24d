package imapstore

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// TestMain lets more tests run at a time than there are processors: those on servers
// wait more than they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// go-imap's server locks itself out when a log-in fails.
		goleak.IgnoreAnyFunction("github.com/emersion/go-imap/v2/imapserver.(*Conn).serve"),
		// What starts the servers of the integration tests lives as long as the process.
		goleak.IgnoreAnyFunction("mailmirror/test/servers.startAll"))
}

// script is a server that does what a test says, to show what no well-behaved
// server does on request.
type script struct {
	t *testing.T
	net.Conn
	r            *bufio.Reader
	namespace    string   // the last NAMESPACE response
	lsub         []string // the answer to a question about the inbox's subscription that no test waits for
	capabilities string   // the answer to a CAPABILITY that no test waits for; "" where one does
}

// standard is what a scripted server announces unless a test says otherwise.
const standard = "IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE UNSELECT UIDPLUS ESEARCH CONDSTORE LIST-EXTENDED LIST-STATUS LITERAL+"

// serve runs a scripted server and returns a store on it. The test waits for
// all connections to end.
func serve(t *testing.T, play func(*script)) *Store {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				play(&script{t: t, Conn: c, r: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return scripted(t, l.Addr().String())
}

func scripted(t *testing.T, address string) *Store {
	t.Helper()
	store, err := New(Options{
		Name: "scripted", Address: address, Security: site.SecurityNone, Login: site.LoginAuthzid, TrustedName: "trusted",
		Password: seal.NewSecret("pw"), Timeouts: Timeouts{Connect: 5 * time.Second, Read: 5 * time.Second, Write: 5 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// send writes lines, each with CRLF.
func (s *script) send(lines ...string) {
	for _, l := range lines {
		_, _ = io.WriteString(s, l+"\r\n")
	}
}

// command reads a command line, which must hold the given text, and returns
// its tag. "" for the tag means that the client went away.
func (s *script) command(text string) (tag string) {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return ""
	}
	tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	if rest == "CAPABILITY" && s.capabilities != "" {
		// The library asks for them beside whatever it is told to do.
		s.send(s.capabilities, tag+" OK done")
		return s.command(text)
	}
	if rest == "NOOP" && s.capabilities != "" && text != rest {
		// After the login it has the library read the answer to the end. If the
		// capabilities came before, there is no NOOP.
		s.send(tag + " OK done")
		return s.command(text)
	}
	if rest == "NAMESPACE" && text != rest {
		// It comes with every list; what was told at the log-in still holds.
		s.send(s.namespace, tag+" OK done")
		return s.command(text)
	}
	if rest == `LSUB "" "INBOX"` && text != rest {
		s.send(append(s.lsub, tag+" OK done")...)
		return s.command(text)
	}
	if !strings.Contains(rest, text) {
		s.t.Errorf("the client sends %q, want %q", rest, text)
	}
	return tag
}

// answer reads a command and answers it with untagged lines and OK.
func (s *script) answer(text string, untagged ...string) {
	tag := s.command(text)
	if text == "NAMESPACE" && len(untagged) == 1 {
		s.namespace = untagged[0]
	}
	s.send(untagged...)
	s.send(tag + " OK done")
}

// login greets, takes the log-in and tells the namespace.
func (s *script) login(capabilities string) { s.loginAs("MTAwMAB0cnVzdGVkAHB3", capabilities) }

// loginAs is login for whatever begins with the given credentials.
func (s *script) loginAs(credentials, capabilities string) {
	s.send("* OK [CAPABILITY " + capabilities + "] ready")
	tag := s.command("AUTHENTICATE PLAIN " + credentials)
	s.send(tag + " OK [CAPABILITY " + capabilities + "] in")
	if strings.Contains(capabilities, "NAMESPACE") {
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL`)
	} else {
		s.answer(`LIST "" ""`, `* LIST (\Noselect) "/" ""`)
	}
}

// examine answers an EXAMINE or SELECT of a folder with n messages.
func (s *script) examine(n int) {
	s.answer("(CONDSTORE)", fmt.Sprintf("* %d EXISTS", n), "* OK [UIDVALIDITY 7] ok", fmt.Sprintf("* OK [UIDNEXT %d] ok", n+1), "* OK [HIGHESTMODSEQ 9] ok")
}

// rest reads all that the client still sends until it goes away.
func (s *script) rest() string {
	all, _ := io.ReadAll(s.r)
	return string(all)
}

// piped is serve over a connection without any buffer: a write that the server
// does not read is stuck from its first byte on.
func piped(t *testing.T, play func(*script)) *Store {
	t.Helper()
	store := scripted(t, "pipe:143")
	store.opts.Dial = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			play(&script{t: t, Conn: server, r: bufio.NewReader(server)})
			_ = server.Close()
		}()
		t.Cleanup(func() { <-done })
		return client, nil
	}
	return store
}

func openScripted(t *testing.T, store *Store) *Session {
	t.Helper()
	s, err := store.open(t.Context(), "1000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
