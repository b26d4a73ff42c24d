package copier

import (
	"context"
	"maps"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// FolderVerdict is what comparing one folder of both stores found. All counts
// are messages.
type FolderVerdict struct {
	Folder mailbox.FolderName `json:"folder"`
	Role   mailbox.Role       `json:"role"`
	// Source and Target are what the folder holds; Equal how many are the same
	// in bytes (deep) or header and size, flags and INTERNALDATE.
	Source  int `json:"source"`
	Target  int `json:"target"`
	Equal   int `json:"equal"`
	Missing int `json:"missing"` // on the source only
	Extra   int `json:"extra"`   // on the target only
	// Flags, Date and Content count messages that are on both sides and differ
	// in flags, in INTERNALDATE or in size or bytes.
	Flags   int `json:"flags"`
	Date    int `json:"date"`
	Content int `json:"content"`
	// Unreadable counts messages, on both sides, that a store has and does not hand
	// over. They are counted nowhere else.
	Unreadable int `json:"unreadable,omitempty"`
	// MissingFolder and ExtraFolder are true where one side lacks the folder.
	MissingFolder bool `json:"missing_folder,omitempty"`
	ExtraFolder   bool `json:"extra_folder,omitempty"`
	// Bytes is what was read of bodies.
	Bytes int64 `json:"bytes"`
	// Subscription is true where only one side is subscribed.
	Subscription bool `json:"subscription,omitempty"`
}

// Same reports whether the folder is equal on both sides.
func (v FolderVerdict) Same() bool {
	return v.Missing+v.Extra+v.Flags+v.Date+v.Content+v.Unreadable == 0 && !v.MissingFolder && !v.ExtraFolder && !v.Subscription
}

// Verify compares one mailbox on two stores by reading them, never the
// ledger. Without deep, messages are told apart by header, size, date and
// flags; with deep every body is read. It writes nothing.
func Verify(ctx context.Context, job Job, deep bool) ([]FolderVerdict, error) {
	source := &steady{store: job.Source, number: job.Key.Number, left: defaultReconnects}
	defer func() { _ = source.Close() }()
	if err := source.open(ctx); err != nil {
		return nil, fault.Wrap(err, "open source mailbox")
	}
	target := &steady{store: job.Target, number: job.Key.Number, left: defaultReconnects}
	defer func() { _ = target.Close() }()
	if err := target.open(ctx); err != nil {
		return nil, fault.Wrap(err, "open target mailbox")
	}
	return verify(ctx, job, source, target, deep)
}

func verify(ctx context.Context, job Job, source, target Reader, deep bool) ([]FolderVerdict, error) {
	on := map[mailbox.FolderName][2]*mailbox.Folder{}
	var levels map[mailbox.FolderName]bool
	for side, rd := range []Reader{source, target} {
		list, err := rd.List(ctx)
		if err != nil {
			return nil, fault.Wrap(err, "list folders")
		}
		if side == 0 {
			levels = mirror.Levels(list)
		}
		for _, f := range list {
			if f.Selectable && (f.Name == mailbox.Inbox || !job.excluded().Match(f.Name)) {
				both := on[f.Name]
				both[side] = &f
				on[f.Name] = both
			}
		}
	}
	var out []FolderVerdict
	for _, name := range slices.Sorted(maps.Keys(on)) {
		s, t := on[name][0], on[name][1]
		if s == nil && levels[name] && mirror.Bare(*t) {
			continue // where folders stand below a name, some servers make it one
		}
		v := FolderVerdict{Folder: name, Role: job.Greetings.Role(name), MissingFolder: t == nil, ExtraFolder: s == nil}
		var have [2][]seenMessage
		for side, rd := range []Reader{source, target} {
			if on[name][side] == nil {
				continue
			}
			var err error
			var unreadable mailbox.UIDSet
			if have[side], unreadable, err = readFolder(ctx, rd, name, deep); err != nil {
				return nil, fault.Wrap(err, "read folder "+string(name))
			}
			v.Unreadable += unreadable.Len()
			for _, m := range have[side] {
				if deep {
					v.Bytes += m.Size
				}
			}
		}
		v.Subscription = s != nil && t != nil && s.Subscribed != t.Subscribed
		v.compare(have[0], have[1])
		out = append(out, v)
	}
	return out, nil
}

// seenMessage is a message as Verify knows it.
type seenMessage struct {
	mirror.Fingerprint
	flags mailbox.Flags
}

// readFolder returns the messages of a folder, and those that cannot be read.
func readFolder(ctx context.Context, rd Reader, name mailbox.FolderName, deep bool) ([]seenMessage, mailbox.UIDSet, error) {
	now, err := rd.Examine(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var unreadable mailbox.UIDSet
	readable := func(err error) error {
		withheld, err := apart(err)
		if withheld != nil {
			unreadable = unreadable.Union(withheld.UIDs)
		}
		return err
	}
	v, err := view(ctx, rd, now, nil, nil)
	if err = readable(err); err != nil {
		return nil, nil, err
	}
	list := candidates(v, v.UIDs)
	if err := readable(addHeaders(ctx, rd, list)); err != nil {
		return nil, nil, err
	}
	list = without(list, unreadable)
	if deep {
		if err := readable(addBodies(ctx, rd, list, uidsOf(list), exact)); err != nil {
			return nil, nil, err
		}
		list = without(list, unreadable)
	}
	out := make([]seenMessage, len(list))
	for i, c := range list {
		out[i] = seenMessage{c.Fingerprint, v.Messages[c.UID].Flags.Folded()}
	}
	return out, unreadable, nil
}

// compare pairs the messages of both sides, from wholly equal to merely akin,
// and counts how each pair differs.
func (v *FolderVerdict) compare(source, target []seenMessage) {
	v.Source, v.Target = len(source), len(target)
	all := func(m seenMessage) seenMessage { return m }
	noFlags := func(m seenMessage) seenMessage { m.flags = ""; return m }
	noDate := func(m seenMessage) seenMessage { m.flags, m.Date = "", 0; return m }
	header := func(m seenMessage) seenMessage {
		return seenMessage{Fingerprint: mirror.Fingerprint{Header: m.Header}}
	}
	dated := func(m seenMessage) seenMessage {
		return seenMessage{Fingerprint: mirror.Fingerprint{Size: m.Size, Date: m.Date}}
	}
	for _, step := range []struct {
		key   func(seenMessage) seenMessage
		count *int
	}{{all, &v.Equal}, {noFlags, &v.Flags}, {noDate, &v.Date}, {header, &v.Content}, {dated, &v.Content}} {
		source, target = pairOff(source, target, step.key, step.count)
	}
	v.Missing, v.Extra = len(source), len(target)
}

// pairOff removes from both lists what has an equal key on the other.
func pairOff(source, target []seenMessage, key func(seenMessage) seenMessage, count *int) (s, t []seenMessage) {
	waiting := map[seenMessage]int{}
	for _, m := range target {
		waiting[key(m)]++
	}
	paired := map[seenMessage]int{}
	for _, m := range source {
		if k := key(m); waiting[k] > 0 {
			waiting[k]--
			paired[k]++
			*count++
			continue
		}
		s = append(s, m)
	}
	for _, m := range target {
		if k := key(m); paired[k] > 0 {
			paired[k]--
			continue
		}
		t = append(t, m)
	}
	return s, t
}
