package copier

import (
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func kinOf(t *testing.T, text string) [32]byte {
	t.Helper()
	k := newKinWriter()
	if _, err := io.Copy(k, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	whole := k.sum()
	k = newKinWriter()
	if _, err := io.Copy(struct{ io.Writer }{k}, iotest.OneByteReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	if k.sum() != whole {
		t.Errorf("%q: byte by byte it is another", text)
	}
	return whole
}

func TestKin(t *testing.T) {
	for _, test := range []struct {
		name, a, b string
		akin       bool
	}{
		{"the same", "A: b\r\n\r\nc\r\n", "A: b\r\n\r\nc\r\n", true},
		{"bare LF", "A: b\r\n\r\nc\nd\n", "A: b\r\n\r\nc\r\nd\r\n", true},
		{"bare CR", "A: b\r\n\r\nc\rd", "A: b\r\n\r\nc\nd", true},
		{"NUL as Dovecot has it", "A: b\r\n\r\nc\x00d", "A: b\r\n\r\nc\x80d", true},
		{"8-bit header as Cyrus has it", "A: b\xc3\xa4\r\n\r\nc", "A: bXX\r\n\r\nc", true},
		{"an empty line more", "A: b\r\n\r\nc\r\n\r\n", "A: b\r\n\r\nc\r\n", false},
		{"8-bit body", "A: b\r\n\r\nc\xe4", "A: b\r\n\r\ncX", false},
		{"another letter", "A: b\r\n\r\nc", "A: b\r\n\r\nd", false},
		{"a header line is missing", "A: b\r\nC: d\r\n\r\ne", "A: b\r\n\r\ne", false},
		{"cut off", "A: b\r\n\r\ncd", "A: b\r\n\r\nc", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if akin := kinOf(t, test.a) == kinOf(t, test.b); akin != test.akin {
				t.Errorf("akin: %v, want %v", akin, test.akin)
			}
		})
	}
	if kinOf(t, "") != sha256.Sum256(nil) {
		t.Error("nothing is not nothing")
	}
}
