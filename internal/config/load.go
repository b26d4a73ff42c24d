package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// FileVariable names the configuration file where no flag does.
const FileVariable = "MAILMIRROR_CONFIG"

// Sources says where settings come from.
type Sources struct {
	// File is the TOML file; "" means the one that FileVariable names, or none.
	File string
	// LookupEnv is os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Flags are keys that the command line set; they win over all else.
	Flags map[string]FlagValue
}

// FlagValue is one setting from the command line.
type FlagValue struct{ Flag, Value string }

// Load reads the settings: defaults, then the environment, then the file, then
// the flags, each over the one before. Its error joins every fault that was
// found in reading; limits are Validate's business.
func Load(s Sources) (Config, error) {
	c := Defaults()
	c.origins = map[string]string{}
	faults := c.applyEnvironment(s.LookupEnv)
	path := s.File
	if path == "" {
		path, _ = s.LookupEnv(FileVariable)
	}
	if path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
				err = pathErr.Err // the path is named below
			}
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
		faults = append(faults, c.applyFile(path, content)...)
		if c.File, err = filepath.Abs(path); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, c.applyFlags(s.Flags)...)
	return c, errors.Join(faults...)
}

// An empty variable counts as not set, because that is how unit files and
// container runtimes spell "none".
func (c *Config) applyEnvironment(lookup func(string) (string, bool)) []error {
	return c.apply(func(key string) (origin, value string, ok bool) {
		origin = "$" + EnvironmentName(key)
		value, _ = lookup(EnvironmentName(key))
		return origin, value, value != ""
	})
}

func (c *Config) applyFlags(flags map[string]FlagValue) []error {
	return c.apply(func(key string) (origin, value string, ok bool) {
		f, ok := flags[key]
		return f.Flag, f.Value, ok
	})
}

func (c *Config) apply(given func(key string) (origin, value string, ok bool)) []error {
	var faults []error
	for _, s := range c.settings() {
		origin, value, ok := given(s.key)
		if !ok {
			continue
		}
		c.origins[s.key] = origin
		if err := s.set(value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", origin, err))
		}
	}
	return faults
}

// applyFile reports every unknown key and every value of the wrong kind, where
// a plain strict decoding would end at the first wrong value.
func (c *Config) applyFile(path string, content []byte) []error {
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	var document map[string]any
	if err := toml.Unmarshal(content, &document); err != nil {
		if de, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, _ := de.Position()
			return []error{fmt.Errorf("%s:%d: %s", path, row, strings.TrimPrefix(de.Error(), "toml: "))}
		}
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	known := map[string]setting{}
	sections := map[string]bool{}
	for _, s := range c.settings() {
		known[s.key] = s
		for i, r := range s.key {
			if r == '.' {
				sections[s.key[:i]] = true
			}
		}
	}
	lines := keyLines(content)
	values := map[string]any{}
	flatten(document, "", sections, values)
	keys := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		if lines[a] != lines[b] {
			return lines[a] - lines[b]
		}
		return strings.Compare(a, b)
	})
	var faults []error
	for _, key := range keys {
		where := path
		if line := lines[key]; line > 0 {
			where = fmt.Sprintf("%s:%d", path, line)
		}
		s, ok := known[key]
		switch {
		case sections[key]:
			faults = append(faults, fmt.Errorf("%s: %s: want a table, got %s", where, key, kindOf(values[key])))
		case !ok:
			faults = append(faults, fmt.Errorf("%s: %s: no such setting%s", where, key, suggestion(key, known)))
		default:
			c.origins[key] = where
			if err := s.set(values[key]); err != nil {
				faults = append(faults, fmt.Errorf("%s: %s: %w", where, key, err))
			}
		}
	}
	return faults
}

// flatten turns nested tables into dotted keys. Only tables that exist are
// gone into, so that an unknown one is one fault and not one for each key.
func flatten(table map[string]any, prefix string, sections map[string]bool, into map[string]any) {
	for name, value := range table {
		key := prefix + name
		if inner, ok := value.(map[string]any); ok && sections[key] {
			flatten(inner, key+".", sections, into)
			continue
		}
		into[key] = value
	}
}

// keyLines finds the line of every key and table of a document that is known
// to be well formed.
func keyLines(content []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(content)
	table := ""
	for p.NextExpression() {
		node := p.Expression()
		name := ""
		line := 0
		for it := node.Key(); it.Next(); {
			part := it.Node()
			if line == 0 {
				line = p.Shape(part.Raw).Start.Line
			}
			name = join(name, string(part.Data))
			// A dotted key's tables lie on its line, too.
			if full := join(table, name); node.Kind == unstable.KeyValue && lines[full] == 0 {
				lines[full] = line
			}
		}
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = name
			lines[table] = line
		case unstable.KeyValue:
			inlineLines(node.Value(), join(table, name), line, lines)
		default: // comments; an expression is of no other kind
		}
	}
	return lines
}

// inlineLines gives the keys of an inline table the line that it begins on.
func inlineLines(value *unstable.Node, prefix string, line int, lines map[string]int) {
	if value.Kind != unstable.InlineTable {
		return
	}
	for it := value.Children(); it.Next(); {
		name := prefix
		for k := it.Node().Key(); k.Next(); {
			name = join(name, string(k.Node().Data))
			lines[name] = line
		}
		inlineLines(it.Node().Value(), name, line, lines)
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// suggestion names the section that has a key of that name, which is the usual
// mistake: a setting below the wrong heading.
func suggestion(key string, known map[string]setting) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if candidate[strings.LastIndexByte(candidate, '.')+1:] == last {
			return fmt.Sprintf(" (is %s meant?)", candidate)
		}
	}
	return ""
}

// Setting is one effective setting, for showing to the operator.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// Origin is "default", a file with its line, a variable or a flag.
	Origin string `json:"origin"`
}

// Effective lists every setting with where it comes from; a secret shows only
// that it is set.
func (c Config) Effective() []Setting {
	list := make([]Setting, 0, 24)
	for _, s := range c.settings() {
		value := s.get()
		if s.secret && value != "" {
			value = "[redacted]"
		}
		list = append(list, Setting{Key: s.key, Value: value, Origin: c.origin(s.key)})
	}
	return list
}

func (c Config) origin(key string) string {
	if o := c.origins[key]; o != "" {
		return o
	}
	return "default"
}
