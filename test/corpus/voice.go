package corpus

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"mailmirror/test/reader"
)

// Options says how much mail a mailbox holds.
type Options struct {
	Seed      uint64
	Messages  int // per mailbox, in INBOX and Saved
	Greetings int // per mailbox, at most len(greetingNames) are distinct by name
	MinSize   int // of a recording in bytes as sent; default 5 kB
	MaxSize   int // default 250 kB
}

// reference is the moment before which all generated mail arrived. It is fixed,
// because the same seed has to give the same bytes on any day.
var reference = time.Date(2025, time.June, 1, 12, 0, 0, 0, time.UTC)

var (
	firstNames    = []string{"Anna", "Bernd", "Chloé", "David", "Elif", "Frank", "Grace", "Henryk", "Inès", "Jürgen", "Keiko", "Liam"}
	lastNames     = []string{"Abel", "Brandt", "Costa", "Dvořák", "Eriksen", "Fischer", "García", "Hughes", "Ivanova", "Jensen", "Kowalski", "Lindner"}
	greetingNames = []string{"Personal", "Busy", "No answer", "Out of office", "Internal", "Recorded name", "After hours", "Holiday"}
	zones         = []int{0, 3600, 7200, -5 * 3600, 5*3600 + 1800}
)

// Mailbox returns what the mailbox of that number holds: folders by canonical
// name and the messages to deposit. Equal arguments give equal bytes.
func Mailbox(number string, o Options) (folders []string, deposits []reader.Deposit) {
	if o.MinSize == 0 {
		o.MinSize = 5 << 10
	}
	if o.MaxSize == 0 {
		o.MaxSize = 250 << 10
	}
	folders = []string{"INBOX", "Greetings", "Saved"}
	for i := range o.Messages {
		deposits = append(deposits, voiceMessage(number, i, o))
	}
	for i := range o.Greetings {
		deposits = append(deposits, greeting(number, i, o))
	}
	return folders, deposits
}

// randomFor gives each message a source of its own, so that message 5 is the
// same whether or not messages 1 to 4 were asked for.
func randomFor(seed uint64, labels ...any) *rand.Rand {
	return rand.New(rand.NewChaCha8(seedFor(seed, labels...)))
}

func seedFor(seed uint64, labels ...any) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %v", seed, labels))
}

func voiceMessage(number string, i int, o Options) reader.Deposit {
	r := randomFor(o.Seed, number, "message", i)
	caller := fmt.Sprintf("0%d%07d", 30+r.IntN(60), r.IntN(10_000_000))
	name := firstNames[r.IntN(len(firstNames))] + " " + lastNames[r.IntN(len(lastNames))]
	date := reference.Add(-time.Duration(r.IntN(90*24*3600)) * time.Second).In(time.FixedZone("", zones[r.IntN(len(zones))]))
	size := recordingSize(r, o)
	seconds := size / 8000 // 8 kHz, 8 bit
	var h strings.Builder
	fmt.Fprintf(&h, "Return-Path: <%s@voice.example.com>\r\n", caller)
	fmt.Fprintf(&h, "Received: from gateway%d.voice.example.com by voice.example.com; %s\r\n", r.IntN(4), date.Format(time.RFC1123Z))
	fmt.Fprintf(&h, "From: %s <%s@voice.example.com>\r\n", encodedWord(name), caller)
	fmt.Fprintf(&h, "To: <%s@voice.example.com>\r\n", number)
	fmt.Fprintf(&h, "Subject: Voice message from %s (%d:%02d)\r\n", caller, seconds/60, seconds%60)
	fmt.Fprintf(&h, "Date: %s\r\n", date.Format(time.RFC1123Z))
	fmt.Fprintf(&h, "Message-ID: <%016x.%d@voice.example.com>\r\n", r.Uint64(), i)
	fmt.Fprintf(&h, "X-CallingTelephoneNumber: %s\r\nX-CalledTelephoneNumber: %s\r\n", caller, number)
	fmt.Fprintf(&h, "Message-Context: voice-message\r\nContent-Duration: %d\r\n", seconds) // RFC 3458, RFC 3803
	if r.IntN(10) == 0 {
		h.WriteString("Importance: High\r\n")
	}
	if r.IntN(15) == 0 {
		h.WriteString("Sensitivity: Private\r\n")
	}
	folder := "INBOX"
	if r.IntN(5) == 0 {
		folder = "Saved"
	}
	d := recording(h.String(), fmt.Sprintf("Voice message of %d seconds from %s.\r\n", seconds, caller), "message.wav", size, seedFor(o.Seed, number, "audio", i))
	d.Folder, d.Flags, d.Date = folder, messageFlags(r), date
	return d
}

func greeting(number string, i int, o Options) reader.Deposit {
	r := randomFor(o.Seed, number, "greeting", i)
	name := greetingNames[i%len(greetingNames)]
	date := reference.Add(-time.Duration(r.IntN(700*24*3600)) * time.Second)
	var h strings.Builder
	fmt.Fprintf(&h, "From: <%s@voice.example.com>\r\nTo: <%s@voice.example.com>\r\n", number, number)
	fmt.Fprintf(&h, "Subject: %s\r\nDate: %s\r\n", name, date.Format(time.RFC1123Z))
	fmt.Fprintf(&h, "Message-ID: <greeting.%016x@voice.example.com>\r\n", r.Uint64())
	fmt.Fprintf(&h, "X-Greeting-Type: %s\r\nMessage-Context: voice-message\r\n", strings.ToLower(strings.ReplaceAll(name, " ", "-")))
	d := recording(h.String(), name+"\r\n", "greeting.wav", min(recordingSize(r, o), 100<<10), seedFor(o.Seed, number, "greeting audio", i))
	d.Folder, d.Flags, d.Date = "Greetings", []string{`\Seen`}, date
	if i == 0 {
		d.Flags = append(d.Flags, "$Active")
	}
	return d
}

// recordingSize is skewed: most recordings are short, a few are long.
func recordingSize(r *rand.Rand, o Options) int {
	f := r.Float64()
	return (o.MinSize + int(f*f*float64(o.MaxSize-o.MinSize))) * 3 / 4 // base64 adds a third
}

func messageFlags(r *rand.Rand) []string {
	var flags []string
	for _, f := range []struct {
		name  string
		share float64
	}{{`\Seen`, .6}, {`\Answered`, .05}, {`\Flagged`, .08}, {`\Deleted`, .03}, {"$Forwarded", .05}, {"Urgent", .04}} {
		if r.Float64() < f.share {
			flags = append(flags, f.name)
		}
	}
	return flags
}

func encodedWord(s string) string {
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// recording builds a multipart message with a text and a WAV part of the given
// raw size. The audio is made while it is read, so size costs no memory.
func recording(header, text, file string, size int, seed [32]byte) reader.Deposit {
	boundary := fmt.Sprintf("=_voice_%x", seed[:9])
	head := header + "MIME-Version: 1.0\r\nContent-Type: multipart/voice-message; version=2.0; boundary=\"" + boundary + "\"\r\n\r\n" +
		"--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text +
		"\r\n--" + boundary + "\r\nContent-Type: audio/wav\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"" + file + "\"\r\n\r\n"
	tail := "\r\n--" + boundary + "--\r\n"
	return reader.Deposit{
		Size: int64(len(head)) + encodedSize(size) + int64(len(tail)),
		Body: func() io.Reader {
			raw := io.MultiReader(strings.NewReader(wavHeader(size)), rand.NewChaCha8(seed))
			return io.MultiReader(strings.NewReader(head), &base64Lines{src: raw, left: size}, strings.NewReader(tail))
		},
	}
}

// Huge is one message of about size bytes, made while it is read.
func Huge(seed uint64, size int64) reader.Deposit {
	header := fmt.Sprintf("From: <huge@voice.example.com>\r\nSubject: A long recording\r\nMessage-ID: <huge.%d.%d@voice.example.com>\r\n", seed, size)
	d := recording(header, "Long.\r\n", "long.wav", int(size*57/78), seedFor(seed, "huge", size))
	d.Folder, d.Date = "INBOX", reference
	return d
}

// wavHeader is the 44-byte header of size bytes in all: µ-law, 8 kHz, mono.
func wavHeader(size int) string {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(b[4:], uint32(size-8))
	binary.LittleEndian.PutUint32(b[40:], uint32(size-44))
	return string(b)
}

const (
	rawLine     = 57 // bytes that become the 76 characters of a base64 line
	linesAtOnce = 64
)

// encodedSize is how many bytes base64Lines makes of n.
func encodedSize(n int) int64 {
	lines := (n + rawLine - 1) / rawLine
	return int64(base64.StdEncoding.EncodedLen(n)) + int64(2*lines)
}

// base64Lines encodes the first left bytes of src in lines of 76 characters.
// Every line but the last is full, so the padding stands at the end only.
type base64Lines struct {
	src  io.Reader
	left int
	buf  []byte
}

func (b *base64Lines) Read(p []byte) (int, error) {
	if len(b.buf) == 0 {
		if b.left == 0 {
			return 0, io.EOF
		}
		raw := make([]byte, min(b.left, rawLine*linesAtOnce))
		if _, err := io.ReadFull(b.src, raw); err != nil {
			return 0, fmt.Errorf("make audio: %w", err)
		}
		b.left -= len(raw)
		for len(raw) > 0 {
			n := min(len(raw), rawLine)
			b.buf = base64.StdEncoding.AppendEncode(b.buf, raw[:n])
			b.buf = append(b.buf, '\r', '\n')
			raw = raw[n:]
		}
	}
	n := copy(p, b.buf)
	b.buf = b.buf[n:]
	return n, nil
}
