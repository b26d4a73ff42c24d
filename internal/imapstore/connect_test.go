package imapstore

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReadAhead reads the greeting in whatever pieces it comes, and loses nothing
// of what is there behind it.
func TestReadAhead(t *testing.T) {
	long := strings.Repeat("x", longestLine)
	for _, test := range []struct {
		sent, line string
		err        error
	}{
		{"* OK ready.\r\n", "* OK ready.\r\n", nil},
		{"* OK ready.\r\n* BYE going down\r\n", "* OK ready.\r\n", nil},
		{"\n", "\n", nil},
		{"* OK [CAPAB", "* OK [CAPAB", io.EOF},
		{"", "", io.EOF},
		{long, long, errNotIMAP},
		{long[1:] + "\n", long[1:] + "\n", nil},
	} {
		for how, pieces := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader,
			"with its end": iotest.DataErrReader,
		} {
			r := pieces(strings.NewReader(test.sent))
			line, ahead, err := readAhead(r)
			rest, _ := io.ReadAll(r)
			if string(line) != test.line || !errors.Is(err, test.err) {
				t.Errorf("%.20q %s: read %.20q, %v", test.sent, how, line, err)
			}
			if all := string(line) + string(ahead) + string(rest); all != test.sent {
				t.Errorf("%.20q %s: %d bytes of %d are left", test.sent, how, len(all), len(test.sent))
			}
		}
	}
}
