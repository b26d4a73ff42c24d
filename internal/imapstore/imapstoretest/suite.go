// Package imapstoretest holds any message store to the contract of the copy
// engine's ports (copier.Store, copier.Session): one suite for every server and
// every set of extensions.
//
// What the store under test says is held against test/reader, an IMAP client
// that shares no code with it. The package must not know how the store is made.
package imapstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/test/corpus"
	"mailmirror/test/reader"
)

// Backend is one store to be tested, and what is known of its server.
type Backend struct {
	Store copier.Store
	// Mailbox makes an empty mailbox that no other test uses.
	Mailbox func(t *testing.T) mailbox.Number
	// Independent reads the same server without the store's code; nil where
	// the server offers it no way to log in.
	Independent *reader.Store

	// CondStore is false where no counter tells of changed flags.
	CondStore bool
	// UIDPlus is false where an append's answer gives no UID.
	UIDPlus bool
	// Message and Folder tell what the server does with something odd.
	Message func(corpus.Oddity) corpus.Expect
	Folder  func(corpus.FolderOddity) corpus.Expect
	// KeepsSpecialUse is true where a folder can be created with a special use.
	KeepsSpecialUse bool
	// UnknownMailbox is one that the store does not have; "" where it has all.
	UnknownMailbox mailbox.Number
	// Omit names parts of the suite, or odd folders, that the server cannot take,
	// with the reason.
	Omit map[string]string
	// Small leaves out the messages of 100 MB and the folder of 50,000.
	Small bool
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"list", testList},
		{"unknown mailbox", testUnknownMailbox},
		{"counters", testCounters},
		{"permanent flags", testPermanent},
		{"metadata", testMetadata},
		{"changed since", testChangedSince},
		{"headers", testHeaders},
		{"bodies", testBodies},
		{"vanished messages", testVanished},
		{"reading sets no flag", testPeek},
		{"append", testAppend},
		{"append refused", testAppendRefused},
		{"append together", testAppendTogether},
		{"append in bulk", testAppendBulk},
		{"append of a wrong length", testAppendWrongLength},
		{"flags", testFlags},
		{"expunge", testExpunge},
		{"move and copy", testMoving},
		{"folders", testFolders},
		{"subscription of the inbox", testInboxSubscription},
		{"subscriptions", testSubscriptions},
		{"odd folder names", testOddFolders},
		{"odd messages", testOddMessages},
		{"refused before sending", testRefusedHere},
		{"at the limits", testLimits},
		{"write deadline", testWriteDeadline},
		{"cancelled context", testCancelled},
		{"big message", testBig},
		{"big folder", testBigFolder},
	} {
		t.Run(part.name, func(t *testing.T) {
			if why := b.Omit[part.name]; why != "" {
				t.Skip(why)
			}
			part.test(t, b)
		})
	}
}

const inbox = mailbox.Inbox

var day = time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("", 5*3600+45*60))

// open opens a session that the test's end closes.
func open(t *testing.T, b Backend, number mailbox.Number) copier.Session {
	t.Helper()
	s, err := b.Store.Open(t.Context(), number)
	if err != nil {
		t.Fatalf("open %s: %v", number, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// fresh opens a session for a new mailbox.
func fresh(t *testing.T, b Backend) (copier.Session, mailbox.Number) {
	t.Helper()
	number := b.Mailbox(t)
	return open(t, b, number), number
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// message makes a small message.
func message(id, text string) []byte {
	return []byte("Message-ID: <" + id + "@example.com>\r\nSubject: " + id + "\r\n\r\n" + text + "\r\n")
}

// put appends messages and returns their answers.
func put(t *testing.T, s copier.Session, folder mailbox.FolderName, flags mailbox.Flags, bodies ...[]byte) []copier.AppendResult {
	t.Helper()
	var results []copier.AppendResult
	for _, b := range bodies {
		in := copier.Incoming{Folder: folder, Flags: flags, InternalDate: day, Size: int64(len(b)), Body: bytes.NewReader(b)}
		must(t, s.Append(t.Context(), in, func(r copier.AppendResult) { results = append(results, r) }))
	}
	must(t, s.Flush(t.Context()))
	if len(results) != len(bodies) {
		t.Fatalf("%d answers to %d appends", len(results), len(bodies))
	}
	return results
}

// putAll is put where every message must be taken.
func putAll(t *testing.T, s copier.Session, folder mailbox.FolderName, flags mailbox.Flags, bodies ...[]byte) {
	t.Helper()
	for i, r := range put(t, s, folder, flags, bodies...) {
		if r.Err != nil {
			t.Fatalf("append %d: %v", i, r.Err)
		}
	}
}

// all is every UID that a folder may hold.
func all(c mailbox.Counters) mailbox.UIDSet {
	if c.UIDNext <= 1 {
		return nil
	}
	return mailbox.UIDSet{{First: 1, Last: c.UIDNext - 1}}
}

// bodiesOf reads whole messages.
func bodiesOf(ctx context.Context, s copier.Session, uids mailbox.UIDSet) (map[mailbox.UID][]byte, error) {
	got := map[mailbox.UID][]byte{}
	last := mailbox.UID(0)
	err := s.Bodies(ctx, uids, func(uid mailbox.UID, size int64, body io.Reader) error {
		if uid <= last {
			return fmt.Errorf("uid %d after %d", uid, last)
		}
		last = uid
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if int64(len(b)) != size {
			return fmt.Errorf("uid %d: %d bytes of %d", uid, len(b), size)
		}
		got[uid] = b
		return nil
	})
	return got, err
}

// sameAsIndependent holds a mailbox against what the independent reader sees.
func sameAsIndependent(t *testing.T, b Backend, number mailbox.Number) {
	t.Helper()
	if b.Independent == nil {
		return
	}
	want, err := b.Independent.Read(t.Context(), string(number))
	must(t, err)
	got, err := readCopy(t.Context(), open(t, b, number))
	must(t, err)
	if diff := reader.Diff(want, got); len(diff) > 0 {
		t.Errorf("the independent reader sees another mailbox:\n%v", diff)
	}
}

// readCopy reads all of a mailbox through the store.
func readCopy(ctx context.Context, s copier.Session) (reader.Copy, error) {
	folders, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	got := reader.Copy{}
	for _, f := range folders {
		folder := reader.Folder{Subscribed: f.Subscribed, NoSelect: !f.Selectable, Messages: map[reader.Message]int{}}
		if f.Selectable {
			c, err := s.Examine(ctx, f.Name)
			if err != nil {
				return nil, err
			}
			list, err := s.Messages(ctx, all(c), 0)
			if err != nil {
				return nil, err
			}
			bodies, err := bodiesOf(ctx, s, all(c))
			if err != nil {
				return nil, err
			}
			for _, m := range list {
				folder.Messages[reader.Message{
					Digest: sha256.Sum256(bodies[m.UID]), Size: int64(len(bodies[m.UID])),
					Flags: readerFlags(m.Flags), Date: m.InternalDate.Unix(),
				}]++
			}
		}
		got[string(f.Name)] = folder
	}
	return got, s.Unselect(ctx)
}

// equalUIDs compares sets by what they hold.
func equalUIDs(t *testing.T, what string, got, want mailbox.UIDSet) {
	t.Helper()
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func uidsOf(list []mailbox.Message) mailbox.UIDSet {
	var uids []mailbox.UID
	for _, m := range list {
		uids = append(uids, m.UID)
	}
	return mailbox.NewUIDSet(uids...)
}

func folderNamed(folders []mailbox.Folder, name mailbox.FolderName) (mailbox.Folder, bool) {
	i := slices.IndexFunc(folders, func(f mailbox.Folder) bool { return f.Name == name })
	if i < 0 {
		return mailbox.Folder{}, false
	}
	return folders[i], true
}
