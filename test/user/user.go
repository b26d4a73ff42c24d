// Package user is somebody who uses a mailbox on a store under test, and the
// small messages that are found there. It must not know what mirrors them.
package user

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"mailmirror/test/reader"
)

// Server is a store under test, of any kind.
type Server interface {
	Addr() string
	TrustedName() string
	TrustedPassword() string
}

// Access returns how to reach a store past Mailmirror.
func Access(s Server) reader.Store {
	return reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
}

// User is somebody who uses a mailbox on a store directly. What fails ends the
// test.
type User struct {
	T      testing.TB
	Number string
	Conn   *reader.Conn
	// NS spells names of folders as the server does.
	NS reader.Namespace
}

// Use lets a user do something and log out, so that no stale session is left.
func Use(t testing.TB, store reader.Store, number string, do func(u *User)) {
	t.Helper()
	conn, err := store.Open(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ns, err := conn.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	do(&User{t, number, conn, ns})
	if err := conn.Logout(); err != nil {
		t.Fatal(err)
	}
}

// Do sends a command; each %s in it stands for a folder by canonical name.
func (u *User) Do(command string, folders ...string) *reader.Reply {
	u.T.Helper()
	spelled := make([]any, len(folders))
	for i, f := range folders {
		spelled[i] = reader.Quote(u.NS.Wire(f))
	}
	command = fmt.Sprintf(command, spelled...)
	reply, err := u.Conn.Command(command)
	if err != nil {
		u.T.Fatalf("user: %s: %v", command, err)
	}
	return reply
}

// Put deposits messages in a folder, which is made if need be.
func (u *User) Put(folder string, deposits ...reader.Deposit) {
	u.T.Helper()
	if err := u.Conn.EnsureFolders(folder); err != nil {
		u.T.Fatal(err)
	}
	for i := range deposits {
		deposits[i].Folder = folder
	}
	stored, err := u.Conn.AppendAll(deposits)
	if err != nil {
		u.T.Fatal(err)
	}
	for _, s := range stored {
		if s.Err != nil {
			u.T.Fatal(s.Err)
		}
	}
}

// Empty deletes every message of a folder.
func (u *User) Empty(folder string) {
	u.T.Helper()
	u.Do("SELECT %s", folder)
	u.Do(`STORE 1:* +FLAGS (\Deleted)`)
	u.Do("EXPUNGE")
	u.Do("UNSELECT")
}

// Voice is a small message with a name, that tells its date too.
func Voice(name string, size int) reader.Deposit {
	text := fmt.Sprintf("Message-ID: <%x@voice.example.com>\r\nSubject: %x\r\nFrom: <1@voice.example.com>\r\n\r\n", name, name)
	if n := size - len(text) - 2; n > 0 {
		text += strings.Repeat("v", n)
	}
	came := time.Duration(crc32.ChecksumIEEE([]byte(name))%(180*86400)) * time.Second
	d := reader.Deposit{Folder: "INBOX", Date: time.Date(2025, 5, 6, 7, 8, 9, 0, time.UTC).Add(-came)}
	d.Size, d.Body = reader.Bytes([]byte(text + "\r\n"))
	return d
}

// Voices are several.
func Voices(name string, n int) []reader.Deposit {
	out := make([]reader.Deposit, n)
	for i := range out {
		out[i] = Voice(fmt.Sprint(name, i), 300+i)
	}
	return out
}

// VoiceIn is a small message in a folder.
func VoiceIn(folder, name string) reader.Deposit {
	d := Voices(name, 1)[0]
	d.Folder = folder
	return d
}
