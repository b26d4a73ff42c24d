// Package shape pins how types look as JSON, so that nobody changes by accident what
// others read: the histories of workflows that run, and programs that read -o json.
package shape

import (
	"encoding"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update-shapes", false, "write the shapes as they are now to the golden file")

// Check compares the shapes of types, by the names that they go by, with the lines of a
// golden file. why says in a sentence who reads them, and what may be changed.
func Check(t *testing.T, golden, why string, types map[string][]reflect.Type) {
	t.Helper()
	var lines []string
	for name, list := range types {
		for _, of := range list {
			lines = append(lines, Of(name, of)...)
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil { //nolint:gosec // it is committed
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	pinned := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range pinned {
		if !slices.Contains(lines, line) {
			t.Errorf("%s is gone, or is another. %s", line, why)
		}
	}
	for _, line := range lines {
		if !slices.Contains(pinned, line) {
			t.Errorf("%s is new in %s. If that is meant, run the test with -update-shapes. %s", line, golden, why)
		}
	}
}

// Of returns a line for each value that a type has in JSON: its path and its kind.
func Of(path string, t reflect.Type) []string {
	var w walker
	w.walk(path, t)
	return w.lines
}

type walker struct {
	lines []string
	under []reflect.Type // being walked
}

func (w *walker) walk(path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	leaf := func(kind string) { w.lines = append(w.lines, path+" "+kind) }
	switch {
	case t == reflect.TypeFor[time.Time]():
		leaf("time")
		return
	case implements[json.Marshaler](t), implements[encoding.TextMarshaler](t):
		leaf("text of " + t.String())
		return
	case slices.Contains(w.under, t):
		leaf("as above")
		return
	}
	w.under = append(w.under, t)
	defer func() { w.under = w.under[:len(w.under)-1] }()
	switch t.Kind() {
	case reflect.Struct:
		if t.NumField() == 0 {
			leaf("nothing")
		}
		w.fields(path, t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			leaf("bytes")
			return
		}
		w.walk(path+"[]", t.Elem())
	case reflect.Map:
		w.walk(path+"{"+t.Key().Kind().String()+"}", t.Elem())
	default:
		leaf(t.Kind().String())
	}
}

func (w *walker) fields(path string, t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		of := f.Type
		for of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		switch {
		case name == "-" && options == "":
		case f.Anonymous && name == "" && of.Kind() == reflect.Struct:
			w.fields(path, of)
		case !f.IsExported():
		default:
			if name == "" {
				name = f.Name
			}
			if options != "" {
				name += "," + options
			}
			w.walk(path+"."+name, f.Type)
		}
	}
}

func implements[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}
