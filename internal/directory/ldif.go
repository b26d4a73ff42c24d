package directory

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// LDIFOptions say how operations are written.
type LDIFOptions struct {
	// Header is true where the file begins here.
	Header bool
	// Secrets writes the values of Secret columns, and of Binary ones whole.
	// Without it comments stand for them, and what is written is to be read and
	// not to be applied.
	Secrets bool
}

// WriteLDIF writes operations as records of changes (RFC 2849). m is the mapping
// of the directory that they are for: by it is known what is secret.
func WriteLDIF(w io.Writer, m Mapping, operations []Operation, o LDIFOptions) error {
	l := ldif{o: o, natures: map[string]Nature{"userpassword": Secret}}
	for column, name := range m.Names {
		base := baseName(name)
		l.natures[base] = max(l.natures[base], natureOf(column))
	}
	if o.Header {
		l.line("version", []byte("1"))
		l.b.WriteByte('\n')
	}
	for _, op := range operations {
		l.operation(op)
	}
	_, err := io.WriteString(w, l.b.String())
	return err
}

type ldif struct {
	b       strings.Builder
	o       LDIFOptions
	natures map[string]Nature // by the name of the attribute in lower case, without options
}

// baseName is the name of an attribute in lower case, without options.
func baseName(description string) string {
	name, _ := SplitDescription(description)
	return strings.ToLower(name)
}

func (l *ldif) operation(op Operation) {
	switch {
	case op.Add != nil:
		l.begin(op.Add.DN, "add")
		names := slices.Sorted(maps.Keys(op.Add.Attributes))
		// Readers expect the classes first.
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, "objectClass") }); i > 0 {
			class := names[i]
			names = slices.Insert(slices.Delete(names, i, i+1), 0, class)
		}
		for _, name := range names {
			l.values(name, op.Add.Attributes[name])
		}
	case op.Modify != nil:
		l.begin(op.Modify.DN, "modify")
		for _, name := range slices.Sorted(maps.Keys(op.Modify.Replace)) {
			values := op.Modify.Replace[name]
			if len(values) > 0 && l.hides(name) {
				// The whole line is a comment: to replace by no value is to remove.
				l.hidden("replace: "+name+", ", name, values)
				continue
			}
			l.line("replace", []byte(name))
			l.values(name, values)
			l.b.WriteString("-\n")
		}
	case op.Rename != nil:
		l.begin(op.Rename.DN, "modrdn")
		l.line("newrdn", []byte(op.Rename.NewRDN))
		l.line("deleteoldrdn", []byte("1"))
	case op.Delete != nil:
		l.begin(op.Delete.DN, "delete")
	}
	l.b.WriteByte('\n')
}

func (l *ldif) begin(dn, change string) {
	l.line("dn", []byte(dn))
	l.line("changetype", []byte(change))
}

// hides reports whether values of an attribute are not written.
func (l *ldif) hides(name string) bool {
	return !l.o.Secrets && l.natures[baseName(name)] != Text
}

func (l *ldif) values(name string, values [][]byte) {
	if len(values) > 0 && l.hides(name) {
		l.hidden("", name, values)
		return
	}
	for _, v := range values {
		l.line(name, v)
	}
}

// hidden writes a comment in the place of values: how long each is, where that is
// no secret.
func (l *ldif) hidden(before, name string, values [][]byte) {
	for _, v := range values {
		if l.natures[baseName(name)] == Binary {
			fmt.Fprintf(&l.b, "# %s%s: %d bytes\n", before, name, len(v))
		} else {
			fmt.Fprintf(&l.b, "# %s%s: not shown\n", before, name)
		}
	}
}

// lineLength is how many bytes a line has at most; what follows is folded.
const lineLength = 76

// line writes an attribute and a value, in base64 where it is no safe string.
func (l *ldif) line(name string, value []byte) {
	text := name + ": " + string(value)
	switch {
	case len(value) == 0:
		text = name + ":"
	case !safe(value):
		text = name + ":: " + base64.StdEncoding.EncodeToString(value)
	}
	for first := true; len(text) > 0; first = false {
		n := min(len(text), lineLength)
		if !first {
			n = min(len(text), lineLength-1)
			l.b.WriteByte(' ')
		}
		l.b.WriteString(text[:n])
		l.b.WriteByte('\n')
		text = text[n:]
	}
}

// safe reports whether a value is a SAFE-STRING of RFC 2849 without a blank at
// its end.
func safe(value []byte) bool {
	for i, c := range value {
		if c == 0 || c == '\n' || c == '\r' || c > 0x7e || i == 0 && (c == ' ' || c == ':' || c == '<') {
			return false
		}
	}
	return value[len(value)-1] != ' '
}
