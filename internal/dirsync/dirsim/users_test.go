package dirsim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync/dirsynctest"
)

// pick returns the number of an entry by chance; "" if there is none.
func (w *world) pick(d *dirsynctest.Directory) string {
	numbers := slices.Sorted(maps.Keys(d.Entries()))
	if len(numbers) == 0 {
		return ""
	}
	return numbers[w.rng.IntN(len(numbers))]
}

func (w *world) fresh(what string) string {
	w.made++
	return fmt.Sprint(what, " ", w.made)
}

// put creates an entry with values by chance.
func (w *world) put(d *dirsynctest.Directory, number string) {
	values := map[directory.Column]string{}
	for _, c := range columns {
		if d.Mapping.Names[c] != "" && w.chance(60) {
			values[c] = w.fresh(string(c))
		}
	}
	d.Put(number, values)
}

// edit changes a mirrored value of an entry, or one with options.
func (w *world) edit(d *dirsynctest.Directory) {
	name := d.Mapping.Names[columns[w.rng.IntN(len(columns))]]
	if name == "" {
		return
	}
	if w.chance(20) {
		name += ";lang-de"
	}
	var values []string
	for range w.rng.IntN(3) {
		values = append(values, w.fresh("value"))
	}
	number := w.pick(d)
	w.tell("%s of %s becomes %q", name, number, values)
	d.Edit(number, name, values...)
}

// userAct has a user or an administrator of the source do something.
func (w *world) userAct() {
	d := w.runs.Source
	switch roll := w.rng.IntN(100); {
	case roll < 35:
		w.made++
		number := fmt.Sprint(1000 + w.made)
		if w.chance(15) {
			number = fmt.Sprint(1000 + w.rng.IntN(30)) // it may be one that was there, or is
		}
		if w.poison[number] = w.kinds["poison"] && w.chance(8); w.poison[number] {
			w.faults["poison"]++
		}
		w.tell("the source gets %s", number)
		w.put(d, number)
	case roll < 70:
		w.edit(d)
	case roll < 80:
		number, to := w.pick(d), fmt.Sprint(1000+w.rng.IntN(40))
		if number != "" && !d.Has(to) {
			w.tell("%s becomes %s on the source", number, to)
			d.Edit(number, "MailboxNumber", to)
		}
	case roll < 86:
		// Two change their numbers.
		a, b := w.pick(d), w.pick(d)
		if a != b {
			w.faults["circle"]++
			w.tell("%s and %s change places", a, b)
			d.Edit(a, "MailboxNumber", "between")
			d.Edit(b, "MailboxNumber", a)
			d.Edit("between", "MailboxNumber", b)
		}
	case roll < 96:
		for range 1 + w.rng.IntN(2)*w.rng.IntN(6) {
			if number := w.pick(d); len(d.List()) > 4 {
				w.tell("the source loses %s", number)
				d.Remove(number)
			}
		}
	default:
		if w.kinds["unread"] && w.chaos {
			number := w.pick(w.sides()[w.rng.IntN(2)])
			w.faults["unread"]++
			d := w.sides()[w.rng.IntN(2)]
			d.Unread[number] = !d.Unread[number]
			w.tell("%s cannot be read: %v", number, d.Unread[number])
		}
	}
	w.note()
}

// administratorAct has an administrator of the target do something.
func (w *world) administratorAct() {
	d := w.runs.Target
	number := w.pick(d)
	switch roll := w.rng.IntN(100); {
	case roll < 30:
		w.edit(d)
	case roll < 50:
		w.tell("%s gets what is not mapped", number)
		d.Edit(number, []string{"description", "Misc1", "displayname-of-old"}[w.rng.IntN(3)], w.fresh("own"))
	case roll < 65:
		number := fmt.Sprint(1000 + w.rng.IntN(40))
		if !d.Has(number) {
			w.tell("the target gets %s", number)
			w.put(d, number)
		}
	case roll < 75:
		if number != protectedNumber {
			w.tell("the target loses %s", number)
			d.Remove(number)
		}
	case roll < 85:
		if to := fmt.Sprint(1000 + w.rng.IntN(40)); number != "" && !d.Has(to) && number != protectedNumber {
			w.tell("%s becomes %s on the target", number, to)
			d.Edit(number, "MailboxNumber", to)
		}
	case roll < 90:
		w.tell("the target gets the protected entry")
		w.put(d, protectedNumber)
	default:
		w.tell("the protected entry is on the source")
		w.put(w.runs.Source, protectedNumber)
	}
	w.note()
}

// operatorAct has an operator decide, suspend or resume.
func (w *world) operatorAct() {
	switch roll := w.rng.IntN(100); {
	case roll < 55:
		approve := w.chance(70)
		if n := w.runs.Decide(approve); n > 0 {
			w.faults[map[bool]string{true: "approved", false: "refused"}[approve]] += n
			w.tell("the operator decides on %d changes: %v", n, approve)
		}
	case w.suspended:
		w.tell("the mirror is resumed")
		w.suspended = false
	case w.kinds["suspension"]:
		w.tell("the mirror is suspended")
		w.faults["suspended"]++
		w.suspended = true
	}
}

// serverAct has the target's server fill up, or get room.
func (w *world) serverAct() {
	if w.full || w.kinds["full"] {
		w.full = !w.full
		if w.full {
			w.faults["full"]++
		}
		w.tell("the target is full: %v", w.full)
	}
}

// actors has everybody work until a time.
func (w *world) actors(until time.Time) {
	time.Sleep(10 * time.Nanosecond) // after the runs
	for time.Now().Before(until) {
		time.Sleep(w.delay(8 * time.Second))
		w.mu.Lock()
		switch roll := w.rng.IntN(100); {
		case roll < 50:
			w.userAct()
		case roll < 75:
			w.administratorAct()
		case roll < 93 || w.suspended:
			w.operatorAct()
		default:
			w.serverAct()
		}
		w.mu.Unlock()
	}
}
