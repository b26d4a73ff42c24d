package copier

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// oddByBytes is the inspector's verdict from the whole message, byte by byte.
func oddByBytes(message []byte) bool {
	inHeader, line := true, 0
	for i, b := range message {
		switch {
		case b == 0:
			return true
		case b == '\r' && (i+1 == len(message) || message[i+1] != '\n'):
			return true
		case b == '\n' && (i == 0 || message[i-1] != '\r'):
			return true
		case b >= 0x80 && inHeader:
			return true
		}
		switch b {
		case '\r':
		case '\n':
			inHeader = inHeader && line > 0
			line = 0
		default:
			line++
		}
	}
	return false
}

// inspect reads a message through an inspector in the given portions; the
// last one is repeated.
func inspect(message []byte, portions []int) (bool, error) {
	i := &inspector{r: bytes.NewReader(message)}
	var got []byte
	for at := 0; ; at++ {
		p := make([]byte, 512)
		if len(portions) > 0 {
			p = p[:max(1, portions[min(at, len(portions)-1)])]
		}
		n, err := i.Read(p)
		got = append(got, p[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	if !bytes.Equal(got, message) {
		return false, errors.New("the message came out altered")
	}
	return i.odd(), nil
}

func TestInspector(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		odd           bool
	}{
		{"empty", "", false},
		{"plain", "Subject: a\r\n\r\nbody\r\n", false},
		{"no header", "\r\nbody\r\n", false},
		{"header only", "Subject: a\r\n", false},
		{"no line end at all", "Subject: a", false},
		{"8 bits in the body", "Subject: a\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n", false},
		{"8 bits in the header", "Subject: gr\xfc\r\n\r\nbody\r\n", true},
		{"8 bits right behind the header", "Subject: a\r\n\r\n\xfc", false},
		{"8 bits in a message without a header", "\r\n\xfc", false},
		{"NUL in the header", "Subject: \x00\r\n\r\n", true},
		{"NUL in the body", "\r\n\x00", true},
		{"bare LF", "Subject: a\n\r\nbody", true},
		{"bare LF first", "\nbody", true},
		{"bare LF last", "Subject: a\r\n\r\nbody\n", true},
		{"bare CR", "Subject: a\r\n\r\nbo\rdy\r\n", true},
		{"CR last", "Subject: a\r\n\r\nbody\r", true},
		{"CR CR LF", "Subject: a\r\n\r\nbody\r\r\n", true},
		{"LF CR", "Subject: a\r\n\r\nbody\n\r", true},
		{"one bare CR for one bare LF", "\r\na\rb\nc", true},
		{"odd is not forgotten", "a\x00b\r\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			message := []byte(tt.message)
			if oddByBytes(message) != tt.odd {
				t.Fatal("the model of this test is wrong")
			}
			for cut := range len(message) + 1 {
				if got, err := inspect(message, []int{cut, 512}); err != nil || got != tt.odd {
					t.Errorf("cut at %d: odd is %v, %v; want %v", cut, got, err, tt.odd)
				}
			}
			if got, err := inspect(message, []int{1}); err != nil || got != tt.odd {
				t.Errorf("byte by byte: odd is %v, %v; want %v", got, err, tt.odd)
			}
		})
	}
}

// TestInspectorJudgesEverySplitAlike draws messages of the few bytes that
// matter and reads them in portions of any size.
func TestInspectorJudgesEverySplitAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOfN(rapid.SampledFrom([]byte{'\r', '\n', '\r', '\n', 'a', 0, 0x80, 0xff, ':'}), 0, 24).Draw(t, "message")
		// Most random messages are odd at once: pairs of CR and LF give the
		// later bytes their chance.
		if rapid.Bool().Draw(t, "lines") {
			message = bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\n"), nil), []byte("\r"), []byte("\r\n"))
		}
		portions := rapid.SliceOfN(rapid.IntRange(1, 9), 0, 12).Draw(t, "portions")
		got, err := inspect(message, portions)
		if want := oddByBytes(message); err != nil || got != want {
			t.Fatalf("%q in portions %v: odd is %v, %v; want %v", message, portions, got, err, want)
		}
	})
}

// FuzzInspector compares with the model, the message split at two places.
func FuzzInspector(f *testing.F) {
	f.Add([]byte("Subject: a\r\n\r\nbody\r\n"), uint16(10), uint16(1))
	f.Add([]byte("\r\n\x80\r"), uint16(1), uint16(1))
	f.Add([]byte("a\r\r\n\n"), uint16(2), uint16(1))
	f.Fuzz(func(t *testing.T, message []byte, first, second uint16) {
		got, err := inspect(message, []int{int(first), int(second), 512})
		if want := oddByBytes(message); err != nil || got != want {
			t.Fatalf("%q: odd is %v, %v; want %v", message, got, err, want)
		}
	})
}

// TestInspectorPassesErrorsOn: a broken connection must not look like the end
// of a message, and bytes that come along with an error count.
func TestInspectorPassesErrorsOn(t *testing.T) {
	broken := errors.New("connection reset")
	i := &inspector{r: io.MultiReader(strings.NewReader("Subject: a"), iotest.ErrReader(broken))}
	if _, err := io.ReadAll(i); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	i = &inspector{r: iotest.DataErrReader(strings.NewReader("a\x00"))}
	if _, err := io.ReadAll(i); err != nil || !i.odd() {
		t.Errorf("odd is %v, %v", i.odd(), err)
	}
}
