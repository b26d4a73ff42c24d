//go:build integration

package corpus_test

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

func storeOf(s interface {
	Addr() string
	TrustedName() string
	TrustedPassword() string
}) reader.Store {
	return reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
}

// testOddities deposits every odd message in a mailbox of its own and holds
// what comes back against what the corpus says about the server.
func testOddities(t *testing.T, s reader.Store, number func(i int) string, expect func(corpus.Oddity) corpus.Expect) {
	for i, o := range corpus.Oddities() {
		t.Run(o.Name, func(t *testing.T) {
			c, err := s.Open(t.Context(), number(i))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			results, err := c.AppendAll(o.Deposits)
			if err != nil {
				t.Fatal(err)
			}
			want, refused := map[reader.Message]int{}, 0
			for j, d := range o.Deposits {
				m, err := d.Message()
				if err != nil {
					t.Fatal(err)
				}
				want[m]++
				if no, ok := errors.AsType[*reader.StatusError](results[j].Err); ok {
					refused++
					t.Logf("refused: %v", no)
				}
			}
			got, err := c.ReadFolder("INBOX")
			if err != nil {
				t.Fatal(err)
			}
			saw := corpus.Altered
			switch {
			case refused == len(o.Deposits):
				saw = corpus.Refused
			case maps.Equal(want, got):
				saw = corpus.Kept
			}
			if e := expect(o); saw != e {
				t.Errorf("%v, expected %v\n gave %v\n  got %v", saw, e, want, got)
			}
			folders, err := c.Folders()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := folders[corpus.Pwned]; ok {
				t.Error("a message was taken for commands")
			}
		})
	}
}

// testFolderOddities creates every odd folder in one mailbox.
func testFolderOddities(t *testing.T, s reader.Store, number string, expect func(corpus.FolderOddity) corpus.Expect) {
	c, err := s.Open(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, f := range corpus.FolderOddities() {
		saw := corpus.Kept
		err := c.EnsureFolders(f.Folder)
		var no *reader.StatusError
		switch {
		case errors.As(err, &no):
			saw = corpus.Refused
			t.Logf("%s: %v", f.Name, no)
		case err != nil:
			t.Fatal(err)
		default:
			size, body := reader.Bytes([]byte("Subject: " + strconv.QuoteToASCII(f.Name) + "\r\n\r\nb\r\n"))
			if st, err := c.Append(reader.Deposit{Folder: f.Folder, Size: size, Body: body}); err != nil || st.Err != nil {
				t.Errorf("%s: %v %v", f.Name, err, st.Err)
			}
			folders, err := c.Folders()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := folders[f.Folder]; !ok {
				saw = corpus.Altered
				t.Logf("%s: %v", f.Name, folders)
			} else if m, err := c.ReadFolder(f.Folder); err != nil || len(m) != 1 {
				t.Errorf("%s: %d messages, %v", f.Name, len(m), err)
			}
		}
		if e := expect(f); saw != e {
			t.Errorf("%s: %v, expected %v", f.Name, saw, e)
		}
	}
}

func TestDovecotOddities(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	s := storeOf(d)
	testOddities(t, s, func(i int) string { return fmt.Sprint(5000 + i) }, func(o corpus.Oddity) corpus.Expect { return o.Dovecot })
	t.Run("folders", func(t *testing.T) {
		testFolderOddities(t, s, "4999", func(f corpus.FolderOddity) corpus.Expect { return f.Dovecot })
	})
	t.Run("huge", func(t *testing.T) { testHuge(t, s, "4998") })
}

func testHuge(t *testing.T, s reader.Store, number string) {
	c, err := s.Open(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := corpus.Huge(1, 100<<20)
	if st, err := c.Append(d); err != nil || st.Err != nil {
		t.Fatal(err, st.Err)
	}
	want, err := d.Message()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.ReadFolder("INBOX")
	if err != nil || got[want] != 1 {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

func TestFillDovecot(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	fillAndRead(t, storeOf(d), numbers(50))
}

func numbers(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(4000+i))
	}
	return list
}

// fillAndRead fills mailboxes and proves by the independent reader that what
// they hold is what was generated.
func fillAndRead(t *testing.T, s reader.Store, list []string) {
	o := corpus.Options{Seed: 1, Messages: 24, Greetings: 3}
	begin := time.Now()
	if err := corpus.Fill(t.Context(), s, list, o, 6, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("filled %d mailboxes with %d messages each in %v", len(list), o.Messages+o.Greetings, time.Since(begin))
	for _, n := range list[:5] {
		folders, deposits := corpus.Mailbox(n, o)
		want := reader.Copy{}
		for _, f := range folders {
			want[f] = reader.Folder{Messages: map[reader.Message]int{}, Subscribed: true}
		}
		for _, d := range deposits {
			m, err := d.Message()
			if err != nil {
				t.Fatal(err)
			}
			want[d.Folder].Messages[m]++
		}
		got, err := s.Read(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := reader.Diff(want, got); len(diff) > 0 {
			t.Errorf("mailbox %s: %q", n, diff)
		}
	}
}

func TestCyrusOddities(t *testing.T) {
	c := servers.CyrusT(t, servers.CyrusOptions{})
	s := storeOf(c)
	testOddities(t, s, func(i int) string { return fmt.Sprint(5000 + i) }, func(o corpus.Oddity) corpus.Expect { return o.Cyrus })
	t.Run("folders", func(t *testing.T) {
		testFolderOddities(t, s, "4999", func(f corpus.FolderOddity) corpus.Expect { return f.Cyrus })
	})
	t.Run("huge", func(t *testing.T) { testHuge(t, s, "4998") })
}

func TestFillCyrus(t *testing.T) {
	fillAndRead(t, storeOf(servers.CyrusT(t, servers.CyrusOptions{})), numbers(10))
}
