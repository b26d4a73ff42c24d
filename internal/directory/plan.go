package directory

import (
	"bytes"
	"slices"
	"strings"

	"mailmirror/internal/fault"
)

// Differ lists the columns that both mappings have and in which the entries
// differ: values are sets of bytes, and having none is not having an empty one.
func (m Mapping) Differ(source, target *Entry, of Mapping) []Column {
	var columns []Column
	for _, a := range m.Mirrored(of) {
		if !source.Same(target, a.Column) {
			columns = append(columns, a.Column)
		}
	}
	return columns
}

// Plan lists the operations by which a change is carried out on the target, whose
// mapping m is; of is the source's. Both entries are as they were just read, nil
// where a side has none. It is empty where nothing is to do any more.
//
// An error is this entry's alone: a Conflict where an entry is another by now
// than the compare saw, so that the next compare has to look at it anew, and
// Permanent where the change cannot be made.
func (m Mapping) Plan(c Change, source, target *Entry, of Mapping) ([]Operation, error) {
	if target != nil {
		switch {
		case target.Protected:
			return nil, fault.Newf(fault.Conflict, "the target's entry is protected")
		case c.Target.ID != "" && target.ID != "" && c.Target.ID != target.ID:
			return nil, fault.Newf(fault.Conflict, "the target's entry was made anew meanwhile")
		}
	}
	switch c.Kind {
	case Remove, Unknown:
		return planRemoval(c, source, target)
	case Create, Alter, Renumber:
	case Duplicate, Protected, Unreadable:
		return nil, fault.Newf(fault.Permanent, "an entry of which is only told is not touched")
	}
	switch {
	case source == nil:
		return nil, fault.Newf(fault.Conflict, "the source has the entry no more")
	case source.Number != c.Number:
		return nil, fault.Newf(fault.Conflict, "the source's entry has another number by now")
	case m.Protects(c.Number):
		return nil, fault.Newf(fault.Conflict, "the number is protected on the target")
	case target == nil && c.Kind == Create:
		return m.create(source, of)
	case target == nil:
		return nil, fault.Newf(fault.Conflict, "the target has the entry no more")
	case c.Kind != Renumber && target.Number != c.Number:
		return nil, fault.Newf(fault.Conflict, "the target's entry has another number by now")
	case c.Via != "" && target.Number == c.Number:
		return nil, nil // the second half is made already
	case c.Via != "":
		return m.write(target, map[Column][][]byte{MailboxNumber: {[]byte(c.Via)}}, nil)
	}
	due, tags := m.due(c, source, target, of)
	return m.write(target, due, tags)
}

func planRemoval(c Change, source, target *Entry) ([]Operation, error) {
	switch {
	case source != nil:
		return nil, fault.Newf(fault.Conflict, "the source has the entry again")
	case target == nil:
		return nil, nil
	case target.Number != c.Number:
		return nil, fault.Newf(fault.Conflict, "the target's entry has another number by now")
	}
	return []Operation{{Delete: &Delete{target.Ref}}}, nil
}

// due is what each column is to have that the change is about and that differs, and
// what each description with further options is to have, by its whole text. A column
// is emptied only if the compare saw that the source had none, too.
func (m Mapping) due(c Change, source, target *Entry, of Mapping) (due map[Column][][]byte, tags map[string][][]byte) {
	due, tags = map[Column][][]byte{}, map[string][][]byte{}
	for _, column := range m.Differ(source, target, of) {
		about := c.Kind == Create || slices.Contains(c.Columns, column) || column == MailboxNumber && c.Kind == Renumber
		if !about || !source.has(column) && !slices.Contains(c.Blank, column) {
			continue
		}
		if !sameSet(source.Values[column], target.Values[column]) {
			due[column] = source.Values[column]
		}
		for _, options := range source.differingTags(target, column) {
			tags[withOptions(m.Names[column], options)] = source.Tags[column][options]
		}
	}
	return due, tags
}

// write gives columns of an entry their values: a new name first, where the
// values in it change, and all else by one Modify. That names an attribute of the
// name only where it has values besides, and never without the one in the name.
func (m Mapping) write(target *Entry, due map[Column][][]byte, tags map[string][][]byte) ([]Operation, error) {
	if len(due)+len(tags) == 0 {
		return nil, nil
	}
	parts, parent, err := ParseRDN(target.DN)
	if err != nil {
		return nil, fault.New(fault.Permanent, "read the name of the target's entry", err, "")
	}
	ref, renamed := target.Ref, false
	for _, a := range Attributes() {
		want, isDue := due[a.Column]
		i := slices.IndexFunc(parts, func(p AVA) bool { return strings.EqualFold(p.Type, m.Names[a.Column]) })
		if !isDue || i < 0 {
			continue
		}
		if len(want) == 0 {
			return nil, fault.New(fault.Permanent, "the target's entry is named by its "+string(a.Column)+", of which the source's has none", nil,
				"give the entry on the source one, or name that on the target by another attribute")
		}
		old := parts[i].Value
		if slices.ContainsFunc(want, func(v []byte) bool { return bytes.Equal(v, old) }) {
			continue
		}
		parts[i].Value, renamed = least(want), true
		if sameSet(named(target.Values[a.Column], old, parts[i].Value), want) {
			delete(due, a.Column)
		}
	}
	var operations []Operation
	if renamed {
		rename := Rename{Ref: ref, NewRDN: FormatRDN(parts)}
		operations = append(operations, Operation{Rename: &rename})
		// Its version is another once it is renamed.
		ref = Ref{ID: ref.ID, DN: rename.NewRDN}
		if parent != "" {
			ref.DN += "," + parent
		}
	}
	if len(due)+len(tags) > 0 {
		modify := Modify{Ref: ref, Replace: map[string][][]byte{}}
		for description, values := range tags {
			modify.Replace[description] = sorted(values)
		}
		for column, values := range due {
			modify.Replace[m.Names[column]] = sorted(values)
		}
		operations = append(operations, Operation{Modify: &modify})
	}
	return operations, nil
}

// named is what an attribute has after an entry is renamed from a value to
// another. A name may be written otherwise than the value that it stands for.
func named(have [][]byte, from, to []byte) [][]byte {
	i := slices.IndexFunc(have, func(v []byte) bool { return bytes.Equal(v, from) })
	if i < 0 {
		i = slices.IndexFunc(have, func(v []byte) bool { return bytes.EqualFold(v, from) })
	}
	if i < 0 && len(have) == 1 {
		i = 0
	}
	after := [][]byte{to}
	for j, v := range have {
		if j != i {
			after = append(after, v)
		}
	}
	return after
}

// create makes an entry that has the source's values.
func (m Mapping) create(source *Entry, of Mapping) ([]Operation, error) {
	add := Add{Attributes: map[string][][]byte{}}
	for name, values := range m.Needs {
		for _, v := range values {
			add.Attributes[name] = append(add.Attributes[name], []byte(v))
		}
	}
	classes := m.NewClasses
	if len(classes) == 0 {
		classes = []string{m.ObjectClass}
	}
	for _, class := range classes {
		add.Attributes["objectClass"] = append(add.Attributes["objectClass"], []byte(class))
	}
	for _, a := range m.Mirrored(of) {
		name, values := m.Names[a.Column], source.Values[a.Column]
		for _, options := range source.Tagged(a.Column) {
			add.Attributes[withOptions(name, options)] = sorted(source.Tags[a.Column][options])
		}
		if len(values) == 0 {
			continue
		}
		add.Attributes[name] = sorted(values)
		if strings.EqualFold(name, m.RDN) {
			add.DN = FormatRDN([]AVA{{name, least(values)}})
			if m.BaseDN != "" {
				add.DN += "," + m.BaseDN
			}
		}
	}
	if add.DN == "" {
		return nil, fault.New(fault.Permanent, "new entries are named by "+m.RDN+", of which the source's has no value", nil,
			"give the entry on the source one, or name new entries by another attribute")
	}
	return []Operation{{Add: &add}}, nil
}

func sorted(values [][]byte) [][]byte {
	out := slices.Clone(values)
	slices.SortFunc(out, bytes.Compare)
	return slices.CompactFunc(out, bytes.Equal)
}

// least is the first of values in the order of bytes, for the same name each time.
func least(values [][]byte) []byte { return slices.MinFunc(values, bytes.Compare) }

func sameSet(a, b [][]byte) bool {
	return slices.EqualFunc(sorted(a), sorted(b), bytes.Equal)
}
