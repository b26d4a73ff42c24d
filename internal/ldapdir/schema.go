package ldapdir

import (
	"slices"
	"strings"
)

// schema is what a server's subschema says (RFC 4512, 4.2), by names in lower
// case. A nil schema could not be read, and everything may be.
type schema struct {
	attributes map[string]*attributeType
	classes    map[string]*objectClass
}

// attributeType is what is asked of a definition (RFC 4512, 4.1.2).
type attributeType struct {
	name   string // the first one
	single bool
}

// objectClass is what is asked of a definition (RFC 4512, 4.1.1).
type objectClass struct {
	name      string
	above     []string
	must, may []string
	anything  bool
}

func newSchema(attributeTypes, objectClasses []string) *schema {
	s := &schema{attributes: map[string]*attributeType{}, classes: map[string]*objectClass{}}
	for _, text := range attributeTypes {
		d := parseDefinition(text)
		a := &attributeType{name: d.name(), single: d.has("SINGLE-VALUE")}
		for _, n := range d.names() {
			s.attributes[strings.ToLower(n)] = a
		}
	}
	for _, text := range objectClasses {
		d := parseDefinition(text)
		c := &objectClass{name: d.name(), above: d.fields["SUP"], must: d.fields["MUST"], may: d.fields["MAY"]}
		c.anything = strings.EqualFold(c.name, "extensibleObject")
		for _, n := range d.names() {
			s.classes[strings.ToLower(n)] = c
		}
	}
	return s
}

// attribute returns the definition of a name or number, without its options.
func (s *schema) attribute(name string) (*attributeType, bool) {
	if s == nil {
		return nil, true
	}
	base, _, _ := strings.Cut(name, ";")
	a, ok := s.attributes[strings.ToLower(base)]
	return a, ok
}

func (s *schema) class(name string) (*objectClass, bool) {
	if s == nil {
		return nil, true
	}
	c, ok := s.classes[strings.ToLower(name)]
	return c, ok
}

// attributeKey is the same for all names of one attribute.
type attributeKey struct {
	known   *attributeType
	name    string // in lower case, of one that is not known
	options string // in an order of their own
}

func (s *schema) key(name string) attributeKey {
	if s != nil {
		if a, ok := s.attribute(name); ok {
			return attributeKey{known: a}
		}
	}
	name, _, _ = strings.Cut(name, ";")
	return attributeKey{name: strings.ToLower(name)}
}

// same reports whether two names are of one attribute, whatever their options.
func (s *schema) same(a, b string) bool { return s.key(a) == s.key(b) }

// contents lists what entries of the classes must and may have, those of the
// classes above included, and whether they may have anything.
func (s *schema) contents(classes []string) (must, may []string, anything bool) {
	seen := map[*objectClass]bool{}
	for queue := slices.Clone(classes); len(queue) > 0; queue = queue[1:] {
		c, ok := s.class(queue[0])
		if !ok || c == nil || seen[c] {
			continue
		}
		seen[c] = true
		must, may = append(must, c.must...), append(may, c.may...)
		anything = anything || c.anything
		queue = append(queue, c.above...)
	}
	return must, may, anything
}

// definition is a parenthesised description of RFC 4512, 4.1.
type definition struct {
	number string
	fields map[string][]string // by keyword; flags have no values
}

func (d definition) has(keyword string) bool { _, ok := d.fields[keyword]; return ok }

// names are all that it is called, its number last.
func (d definition) names() []string {
	names := slices.Clone(d.fields["NAME"])
	if d.number != "" {
		names = append(names, d.number)
	}
	return names
}

func (d definition) name() string {
	if names := d.names(); len(names) > 0 {
		return names[0]
	}
	return ""
}

// keywords are those that definitions have, each with what follows it.
func isKeyword(word string) bool {
	if strings.HasPrefix(word, "X-") {
		return true
	}
	switch word {
	case "NAME", "DESC", "OBSOLETE", "SUP", "EQUALITY", "ORDERING", "SUBSTR", "SYNTAX", "SINGLE-VALUE", "COLLECTIVE",
		"NO-USER-MODIFICATION", "USAGE", "ABSTRACT", "STRUCTURAL", "AUXILIARY", "MUST", "MAY":
		return true
	}
	return false
}

// parseDefinition reads a description. What it does not understand it leaves
// out: servers have their own ways, and only names are asked for.
func parseDefinition(text string) definition {
	d := definition{fields: map[string][]string{}}
	keyword := ""
	first := true
	for rest := text; ; {
		token, quoted, left := nextToken(rest)
		if token == "" && !quoted {
			return d
		}
		rest = left
		switch {
		case !quoted && (token == "(" || token == ")" || token == "$"):
		case first:
			d.number, first = token, false
		case !quoted && isKeyword(token):
			keyword = token
			if d.fields[keyword] == nil {
				d.fields[keyword] = []string{}
			}
		case keyword != "":
			d.fields[keyword] = append(d.fields[keyword], token)
		}
	}
}

// nextToken splits off a parenthesis, a dollar, a quoted string or a word; an
// empty one that is not quoted is the end.
func nextToken(s string) (token string, quoted bool, rest string) {
	s = strings.TrimLeft(s, " \t\r\n")
	if s == "" {
		return "", false, ""
	}
	switch s[0] {
	case '(', ')', '$':
		return s[:1], false, s[1:]
	case '\'':
		text, rest, _ := strings.Cut(s[1:], "'")
		return text, true, rest
	}
	if end := strings.IndexAny(s, " \t\r\n()$'"); end > 0 {
		return s[:end], false, s[end:]
	}
	return s, false, ""
}
