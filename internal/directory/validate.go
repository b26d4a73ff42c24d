package directory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Validate reports all that cannot be right about a mapping, joined. Whether the
// server knows the names, and takes the filters, only the server can tell.
func (m Mapping) Validate() error {
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.BaseDN == "" {
		wrong("base_dn: is missing")
	} else if _, err := ParseDN(m.BaseDN); err != nil {
		wrong("base_dn %q: %w", m.BaseDN, err)
	}
	if !IsAttributeName(m.ObjectClass) {
		wrong("object_class %q: want the name of an object class", m.ObjectClass)
	}
	if m.Filter != "" && !filter(m.Filter) {
		wrong("filter %q: want one in parentheses", m.Filter)
	}
	if m.Scope != ScopeSubtree && m.Scope != ScopeOne {
		wrong("scope %q: want sub or one", m.Scope)
	}
	faults = append(faults, m.nameFaults()...)
	for _, class := range m.NewClasses {
		if !IsAttributeName(class) {
			wrong("new_classes %q: want the name of an object class", class)
		}
	}
	if err := loginRule(m.Login); err != nil {
		wrong("login %q: %w", m.Login, err)
	}
	for _, p := range m.Protected {
		if p == "" || strings.HasPrefix(p, "(") != strings.HasSuffix(p, ")") || strings.HasPrefix(p, "(") && !filter(p) {
			wrong("protected %q: want a number, or a filter in parentheses", p)
		}
	}
	return errors.Join(faults...)
}

// nameFaults are those of attributes.
func (m Mapping) nameFaults() []error {
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	used := map[string]Column{}
	isRDN := false
	for _, a := range Attributes() {
		name, mapped := m.Names[a.Column]
		if !mapped {
			continue
		}
		if !IsAttributeName(name) {
			wrong("names %s: %q is no name of an attribute", a.Column, name)
			continue
		}
		base, options := SplitDescription(name)
		lower := strings.Join(append([]string{strings.ToLower(base)}, options...), ";")
		if other, twice := used[lower]; twice {
			wrong("names %s: %s is that of %s, too", a.Column, name, other)
		}
		used[lower] = a.Column
		if strings.EqualFold(name, m.RDN) {
			if isRDN = true; a.Nature != Text {
				wrong("rdn %s: an entry must not be named by its %s", m.RDN, a.Column)
			}
		}
	}
	if m.Names[MailboxNumber] == "" {
		wrong("names: %s is missing, by which entries are told apart", MailboxNumber)
	}
	for _, column := range slices.Sorted(maps.Keys(m.Names)) {
		if !slices.ContainsFunc(Attributes(), func(a Attribute) bool { return a.Column == column }) {
			wrong("names: there is no column %q", string(column))
		}
	}
	if !isRDN {
		wrong("rdn %q: want one of the attributes that names has", m.RDN)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Needs)) {
		switch column, mirrored := used[strings.ToLower(name)]; {
		case !IsAttributeName(name):
			wrong("needs: %q is no name of an attribute", name)
		case strings.EqualFold(name, "objectClass"):
			wrong("needs: object classes belong to new_classes")
		case mirrored:
			wrong("needs: %s is mirrored as %s, and has no value where the source has none", name, column)
		case len(m.Needs[name]) == 0:
			wrong("needs: %s has no value", name)
		}
	}
	return faults
}

// filter reports whether a text is in parentheses that belong together. An
// escaped one is written in hex (RFC 4515, 3), so that each counts.
func filter(text string) bool {
	if !strings.HasPrefix(text, "(") || !strings.HasSuffix(text, ")") {
		return false
	}
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && i < len(text)-1 {
				return false
			}
		}
	}
	return depth == 0
}

// loginRule reports what is wrong with a rule for log-ins: text with at least
// one attribute in braces.
func loginRule(rule string) error {
	names := 0
	for rest := rule; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			break
		}
		end := strings.IndexAny(rest[i+1:], "{}")
		if rest[i] == '}' || end < 0 || rest[i+1+end] != '}' {
			return errors.New("braces do not belong together")
		}
		if name := rest[i+1 : i+1+end]; !IsAttributeName(name) {
			return fmt.Errorf("%q is no name of an attribute", name)
		}
		names++
		rest = rest[i+end+2:]
	}
	if names == 0 {
		return errors.New("want an attribute in braces, for instance {mail}")
	}
	return nil
}
