package imapstore_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/imapstore/imapstoretest"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/corpus"
)

// TestMemoryServer runs the suite as far as go-imap's own server goes: it has
// no CONDSTORE, answers nothing that its client could not read, and forgets
// everything. What is worth knowing is learned from the real servers.
func TestMemoryServer(t *testing.T) {
	testMemoryServer(t, imap.CapSet{
		imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUnselect: {}, imap.CapUIDPlus: {},
		imap.CapESearch: {}, imap.CapSASLIR: {}, imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapLiteralPlus: {},
	}, true)
}

// TestMemoryServerPoor runs it over a server that announces nothing at all.
func TestMemoryServerPoor(t *testing.T) {
	testMemoryServer(t, imap.CapSet{imap.CapIMAP4rev1: {}}, false)
}

func testMemoryServer(t *testing.T, caps imap.CapSet, uidPlus bool) {
	t.Helper()
	memory, address := memoryServer(t, caps)
	store := memoryStore(t, address, func(c net.Conn) net.Conn { return c })
	var next atomic.Int64
	imapstoretest.Run(t, imapstoretest.Backend{
		Store: store,
		Mailbox: func(t *testing.T) mailbox.Number {
			number := fmt.Sprint(next.Add(1))
			user := imapmemserver.NewUser(number+"*trusted", "pw")
			if err := user.Create("INBOX", nil); err != nil {
				t.Fatal(err)
			}
			memory.AddUser(user)
			return mailbox.Number(number)
		},
		UIDPlus: uidPlus, Small: true,
		Omit: map[string]string{
			"permanent flags": "it announces no system flag as permanent, and keeps them all",
			"folders":         "it renames a folder without those below it",
		},
		Message: func(o corpus.Oddity) corpus.Expect {
			switch o.Name {
			case "empty message", "one byte", "text without any header", "header without empty line",
				"bare LF everywhere", "mbox From line", "commands and nothing else":
				return corpus.Altered // it takes messages apart and puts them together again
			}
			return corpus.Kept
		},
		Folder: func(corpus.FolderOddity) corpus.Expect { return corpus.Kept },
	})
}

func memoryServer(t *testing.T, caps imap.CapSet) (memory *imapmemserver.Server, address string) {
	t.Helper()
	memory = imapmemserver.New()
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps:         caps,
		InsecureAuth: true,
		Logger:       log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		t.Logf("server: %v", <-done)
	})
	return memory, l.Addr().String()
}

// counted counts what is written to a connection.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// memoryStore is a store on the server at an address; over is put around each of
// its connections.
func memoryStore(t *testing.T, address string, over func(net.Conn) net.Conn) *imapstore.Store {
	t.Helper()
	store, err := imapstore.New(imapstore.Options{
		Name: "memory", Address: address, Security: site.SecurityNone,
		Login: site.LoginSeparator, TrustedName: "trusted", Password: seal.NewSecret("pw"),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return over(conn), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// memorySession is logged in to a mailbox with these folders, on a server without
// extensions.
func memorySession(t *testing.T, over func(net.Conn) net.Conn, folders ...string) copier.Session {
	t.Helper()
	memory, address := memoryServer(t, imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapNamespace: {}})
	user := imapmemserver.NewUser("1*trusted", "pw")
	for _, name := range folders {
		if err := user.Create(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	memory.AddUser(user)
	session, err := memoryStore(t, address, over).Open(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// TestListIsOneWrite: whatever a list asks for goes out together, so that the
// server has one turn to take.
func TestListIsOneWrite(t *testing.T) {
	var writes atomic.Int64
	session := memorySession(t, func(c net.Conn) net.Conn { return counted{c, &writes} }, "INBOX", "Greetings", "Work")
	before := writes.Load()
	folders, err := session.List(t.Context())
	if err != nil || len(folders) != 3 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	// The list with its subscriptions and namespaces, and then every STATUS.
	if n := writes.Load() - before; n != 2 {
		t.Errorf("%d writes, want 2", n)
	}
}

// TestListOnDeadLink: a connection that broke earlier is an error at once, not a
// command that nobody answers.
func TestListOnDeadLink(t *testing.T) {
	var raw net.Conn
	session := memorySession(t, func(c net.Conn) net.Conn { raw = c; return c }, "INBOX")
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	// The first may still be under way when the end is noticed; the others come after.
	for i := range 3 {
		go func() {
			_, err := session.List(t.Context())
			ended <- err
		}()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("list %d over a closed connection is no error", i)
			}
		case <-time.After(time.Minute):
			t.Fatalf("list %d does not end", i)
		}
	}
}
