package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"mailmirror/internal/directory"
)

// mappingFile is how a mapping is written down: what is not in it stays as it is
// built in.
type mappingFile struct {
	BaseDN      *string             `toml:"base_dn"`
	ObjectClass *string             `toml:"object_class"`
	Filter      *string             `toml:"filter"`
	Scope       *string             `toml:"scope"`
	RDN         *string             `toml:"rdn"`
	Login       *string             `toml:"login"`
	NewClasses  []string            `toml:"new_classes"`
	Protected   []string            `toml:"protected"`
	Names       map[string]string   `toml:"names"`
	Needs       map[string][]string `toml:"needs"`
}

// LoadMapping reads the mapping of a directory from a TOML file, over base. A name
// that is empty takes its column out. Every fault of the file is reported at once.
func LoadMapping(path string, base directory.Mapping) (directory.Mapping, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return base, err
	}
	var f mappingFile
	decoder := toml.NewDecoder(bytes.NewReader(content)).DisallowUnknownFields()
	var unknown *toml.StrictMissingError
	var faults []error
	switch err := decoder.Decode(&f); {
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			faults = append(faults, fmt.Errorf("line %d: there is no setting %s", row, strings.Join(e.Key(), ".")))
		}
	case err != nil:
		if broken, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := broken.Position()
			return base, fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return base, err
	}
	m, nameFaults := f.over(base)
	return m, errors.Join(append(faults, nameFaults...)...)
}

// over puts what the file says over base.
func (f mappingFile) over(base directory.Mapping) (directory.Mapping, []error) {
	m := base
	for _, s := range []struct{ to, from *string }{
		{&m.BaseDN, f.BaseDN}, {&m.ObjectClass, f.ObjectClass}, {&m.Filter, f.Filter}, {(*string)(&m.Scope), f.Scope},
		{&m.RDN, f.RDN}, {&m.Login, f.Login},
	} {
		if s.from != nil {
			*s.to = *s.from
		}
	}
	if f.NewClasses != nil {
		m.NewClasses = f.NewClasses
	}
	if f.Protected != nil {
		m.Protected = f.Protected
	}
	if f.Needs != nil {
		m.Needs = f.Needs
	}
	var faults []error
	m.Names = map[directory.Column]string{}
	known := map[string]bool{}
	var columns []string
	for _, a := range directory.Attributes() {
		known[string(a.Column)] = true
		columns = append(columns, string(a.Column))
		name, given := f.Names[string(a.Column)]
		switch {
		case !given && base.Names[a.Column] != "":
			m.Names[a.Column] = base.Names[a.Column]
		case name != "":
			m.Names[a.Column] = name
		}
	}
	var wrong []string
	for column := range f.Names {
		if !known[column] {
			wrong = append(wrong, column)
		}
	}
	slices.Sort(wrong)
	for _, column := range wrong {
		faults = append(faults, fmt.Errorf("names.%s: there is no such column; there are %s", column, strings.Join(columns, ", ")))
	}
	// What follows the number's attribute follows its name, unless it was said.
	number := m.Names[directory.MailboxNumber]
	if was := base.Names[directory.MailboxNumber]; number != "" && was != number {
		if f.RDN == nil && m.RDN == was {
			m.RDN = number
		}
		if f.Login == nil && m.Login == "{"+was+"}" {
			m.Login = "{" + number + "}"
		}
	}
	return m, faults
}
