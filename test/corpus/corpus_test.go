package corpus_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"testing"

	"mailmirror/test/corpus"
	"mailmirror/test/reader"
)

func digestAll(t *testing.T, deposits []reader.Deposit) string {
	t.Helper()
	h := sha256.New()
	for _, d := range deposits {
		n, err := io.Copy(h, d.Body())
		if err != nil {
			t.Fatal(err)
		}
		if n != d.Size {
			t.Errorf("a body has %d bytes, %d were announced", n, d.Size)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func TestMailboxIsDeterministic(t *testing.T) {
	o := corpus.Options{Seed: 7, Messages: 20, Greetings: 3}
	_, a := corpus.Mailbox("4001", o)
	_, b := corpus.Mailbox("4001", o)
	first := digestAll(t, a)
	if second := digestAll(t, b); first != second {
		t.Errorf("two digests: %s, %s", first, second)
	}
	// A change of the generator changes every recorded benchmark: let it be noticed.
	if want := "5a6022e2b0028e55"; first != want {
		t.Errorf("digest %s, want %s", first, want)
	}
	_, other := corpus.Mailbox("4002", o)
	if digestAll(t, other) == first {
		t.Error("two mailboxes hold the same")
	}
	shorter := o
	shorter.Messages = 5
	_, c := corpus.Mailbox("4001", shorter)
	if digestAll(t, c[:5]) != digestAll(t, a[:5]) {
		t.Error("message 5 depends on how many follow")
	}
}

func TestMailboxIsRealistic(t *testing.T) {
	_, deposits := corpus.Mailbox("4001", corpus.Options{Seed: 1, Messages: 200, Greetings: 4})
	folders, seen := map[string]int{}, 0
	for _, d := range deposits {
		folders[d.Folder]++
		if d.Size < 5<<10 || d.Size > 260<<10 {
			t.Errorf("size %d out of range", d.Size)
		}
		for _, f := range d.Flags {
			if f == `\Seen` {
				seen++
			}
		}
		m, err := mail.ReadMessage(d.Body())
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts := multipart.NewReader(m.Body, params["boundary"])
		for _, want := range []string{"text/plain; charset=utf-8", "audio/wav"} {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Header.Get("Content-Type"); got != want {
				t.Errorf("part %q, want %q", got, want)
			}
			if want == "audio/wav" {
				audio, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
				if err != nil || string(audio[:4]) != "RIFF" {
					t.Errorf("audio of %d bytes: %v", len(audio), err)
				}
			}
		}
	}
	if folders["Greetings"] != 4 || folders["INBOX"] < 100 || folders["Saved"] < 10 {
		t.Errorf("folders %v", folders)
	}
	if seen < 90 || seen > 150 {
		t.Errorf("%d of 204 are seen", seen)
	}
}

func TestHugeStreams(t *testing.T) {
	const size = 100 << 20
	d := corpus.Huge(1, size)
	n, err := io.Copy(io.Discard, d.Body())
	if err != nil || n != d.Size {
		t.Errorf("%d bytes, announced %d: %v", n, d.Size, err)
	}
	if n < size-1000 || n > size+1000 {
		t.Errorf("%d bytes, want about %d", n, size)
	}
}

func TestOdditiesHaveNamesAndSizes(t *testing.T) {
	names := map[string]bool{}
	for _, o := range corpus.Oddities() {
		if names[o.Name] {
			t.Errorf("%s: twice", o.Name)
		}
		names[o.Name] = true
		digestAll(t, o.Deposits)
		if (o.Dovecot != corpus.Kept || o.Cyrus != corpus.Kept) && o.Note == "" {
			t.Errorf("%s: no note says why it is not kept", o.Name)
		}
	}
	for _, f := range corpus.FolderOddities() {
		if names[f.Name] {
			t.Errorf("%s: twice", f.Name)
		}
		names[f.Name] = true
	}
}
