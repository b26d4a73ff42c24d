package pgstore

import (
	"bytes"
	"testing"

	"mailmirror/internal/directory"
)

// A column's cell tells values with options from values without.
func TestCellsWithOptions(t *testing.T) {
	columns := make([]bool, len(directory.Attributes()))
	at := 0
	for i, a := range directory.Attributes() {
		if a.Column == directory.LastName {
			columns[i], at = true, i
		}
	}
	seen := map[string][]byte{}
	for what, test := range map[string]struct {
		texts []string
		tags  string
	}{
		"none": {nil, ""}, "one": {[]string{"Mayer"}, ""}, "two": {[]string{"Mayer", "Meier"}, ""},
		"one with options": {[]string{"Mayer"}, "1"}, "another with options": {[]string{"Mayer"}, "2"}, "options alone": {nil, "1"},
	} {
		r := directory.Record{Texts: map[directory.Column][]string{directory.LastName: test.texts}}
		if test.tags != "" {
			r.Tags = map[directory.Column][]byte{directory.LastName: []byte(test.tags)}
		}
		cell := cells(r, columns)[at]
		if (cell == nil) != (what == "none") {
			t.Errorf("%s: %x", what, cell)
		}
		for other, c := range seen {
			if bytes.Equal(c, cell) {
				t.Errorf("%s is the same as %s", what, other)
			}
		}
		seen[what] = cell
	}
}
