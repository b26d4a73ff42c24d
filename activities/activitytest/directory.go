package activitytest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
)

// Directory is one directory in memory: entries below its base, as operations of
// package directory make them.
type Directory struct {
	Mapping directory.Mapping
	// OnOpen is asked before a connection is made; an error refuses it.
	OnOpen func() error
	// OnRead is asked before the entry of a DN is read; an error ends the read.
	OnRead func(dn string) error
	// OnWrite is asked before an operation is carried out; an error refuses it.
	OnWrite func(op directory.Operation) error
	// AfterWrite is asked when it is carried out; an error loses the answer.
	AfterWrite func() error
	// OnExtract is called for each entry; an error breaks the extract off.
	OnExtract func(n int) error

	mu      sync.Mutex
	entries map[string]*stored // by DN
	next    int
	writes  int
}

type stored struct {
	id, version int
	attributes  map[string][][]byte
}

// NewDirectory returns one without entries, by the default mapping.
func NewDirectory(base string) *Directory {
	m := directory.DefaultMapping()
	m.BaseDN = base
	return &Directory{Mapping: m, entries: map[string]*stored{}}
}

// Put creates or replaces the entry of a number, with a value for each column.
func (d *Directory) Put(number string, values map[directory.Column]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := map[string][][]byte{d.Mapping.Names[directory.MailboxNumber]: {[]byte(number)}}
	for c, v := range values {
		a[d.Mapping.Names[c]] = [][]byte{[]byte(v)}
	}
	dn := d.Mapping.RDN + "=" + number + "," + d.Mapping.BaseDN
	if e := d.entries[dn]; e != nil {
		d.next++
		e.version, e.attributes = d.next, a
		return
	}
	d.add(dn, a)
}

func (d *Directory) add(dn string, a map[string][][]byte) {
	d.next++
	d.entries[dn] = &stored{id: d.next, version: d.next, attributes: a}
}

// Remove deletes the entry of a number.
func (d *Directory) Remove(number string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, d.Mapping.RDN+"="+number+","+d.Mapping.BaseDN)
}

// Has reports whether there is an entry of a number.
func (d *Directory) Has(number string) bool {
	_, there := d.Entries()[number]
	return there
}

// Writes returns how many operations were carried out.
func (d *Directory) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// Entries returns all entries by number.
func (d *Directory) Entries() map[string]directory.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]directory.Entry{}
	for dn, e := range d.entries {
		entry := d.entry(dn, e)
		all[entry.Number] = entry
	}
	return all
}

func (d *Directory) entry(dn string, e *stored) directory.Entry {
	entry := directory.Entry{Ref: directory.Ref{ID: strconv.Itoa(e.id), DN: dn, Version: strconv.Itoa(e.version)}, Values: map[directory.Column][][]byte{}}
	for c, name := range d.Mapping.Names {
		if v := e.attributes[name]; len(v) > 0 {
			entry.Values[c] = v
		}
	}
	if n := entry.Values[directory.MailboxNumber]; len(n) > 0 {
		entry.Number = string(n[0])
	}
	entry.Login = entry.Number
	return entry
}

func (d *Directory) open(context.Context) (dirsync.Session, error) {
	if d.OnOpen != nil {
		if err := d.OnOpen(); err != nil {
			return nil, err
		}
	}
	return directorySession{d}, nil
}

type directorySession struct{ d *Directory }

func (s directorySession) Extract(_ context.Context, digest func(directory.Column, []byte) []byte, each func(directory.Record) error) (directory.Extracted, error) {
	x := directory.Extracted{Having: map[directory.Column]int{}}
	for c := range s.d.Mapping.Names {
		x.Having[c] = 0
	}
	entries := s.d.Entries()
	for _, number := range slices.Sorted(maps.Keys(entries)) {
		e := entries[number]
		if s.d.OnExtract != nil {
			if err := s.d.OnExtract(x.Entries); err != nil {
				return x, err
			}
		}
		x.Entries++
		for c := range e.Values {
			x.Having[c]++
		}
		if err := each(directory.NewRecord(e, digest)); err != nil {
			return x, err
		}
	}
	return x, nil
}

func (s directorySession) Read(_ context.Context, ref directory.Ref) (directory.Entry, error) {
	if s.d.OnRead != nil {
		if err := s.d.OnRead(ref.DN); err != nil {
			return directory.Entry{}, err
		}
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for dn, e := range s.d.entries {
		if ref.ID != "" && strconv.Itoa(e.id) == ref.ID || ref.ID == "" && dn == ref.DN {
			return s.d.entry(dn, e), nil
		}
	}
	return directory.Entry{}, fault.New(fault.Conflict, "read entry", directory.ErrNoEntry, "")
}

func (s directorySession) Find(_ context.Context, number string) ([]directory.Entry, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	var found []directory.Entry
	for dn, e := range s.d.entries {
		if entry := s.d.entry(dn, e); entry.Number == number {
			found = append(found, entry)
		}
	}
	return found, nil
}

// Write implements dirsync.Session.
func (s directorySession) Write(ctx context.Context, op directory.Operation) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.d.OnWrite != nil {
		if err := s.d.OnWrite(op); err != nil {
			return err
		}
	}
	if err := s.d.write(op); err != nil || s.d.AfterWrite == nil {
		return err
	}
	return s.d.AfterWrite()
}

func (d *Directory) write(op directory.Operation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	s := directorySession{d}
	switch {
	case op.Add != nil:
		if s.d.entries[op.Add.DN] != nil {
			return fault.Newf(fault.Conflict, "add entry: it is there")
		}
		s.d.add(op.Add.DN, maps.Clone(op.Add.Attributes))
	case op.Modify != nil:
		_, e := s.d.find(op.Modify.Ref)
		if e == nil {
			return fault.New(fault.Conflict, "modify entry", directory.ErrNoEntry, "")
		}
		maps.Copy(e.attributes, op.Modify.Replace)
		s.d.next++
		e.version = s.d.next
	case op.Rename != nil:
		dn, e := s.d.find(op.Rename.Ref)
		if e == nil {
			return fault.New(fault.Conflict, "rename entry", directory.ErrNoEntry, "")
		}
		name, value, _ := strings.Cut(op.Rename.NewRDN, "=")
		to := op.Rename.NewRDN + "," + s.d.Mapping.BaseDN
		if s.d.entries[to] != nil {
			return fault.Newf(fault.Conflict, "rename entry: another has the name")
		}
		delete(s.d.entries, dn)
		e.attributes[name] = [][]byte{[]byte(value)}
		s.d.next++
		e.version = s.d.next
		s.d.entries[to] = e
	case op.Delete != nil:
		dn, e := s.d.find(op.Delete.Ref)
		if e == nil {
			return fault.New(fault.Conflict, "delete entry", directory.ErrNoEntry, "")
		}
		delete(s.d.entries, dn)
	}
	return nil
}

func (d *Directory) find(ref directory.Ref) (string, *stored) {
	for dn, e := range d.entries {
		if ref.ID != "" && strconv.Itoa(e.id) == ref.ID || ref.ID == "" && dn == ref.DN {
			return dn, e
		}
	}
	return "", nil
}

func (directorySession) Close() error { return nil }
