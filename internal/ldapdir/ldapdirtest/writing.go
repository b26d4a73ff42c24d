package ldapdirtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
	"mailmirror/test/faults"
)

// modify replaces one attribute.
func modify(t *testing.T, s *ldapdir.Session, ref directory.Ref, name string, values ...string) {
	t.Helper()
	if err := tryModify(t.Context(), s, ref, name, values...); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func tryModify(ctx context.Context, s *ldapdir.Session, ref directory.Ref, name string, values ...string) error {
	return s.Write(ctx, directory.Operation{Modify: &directory.Modify{Ref: ref, Replace: map[string][][]byte{name: raw(values)}}})
}

func tryAdd(ctx context.Context, s *ldapdir.Session, base, number string, more map[string]string) error {
	a := directory.Add{DN: "MailboxNumber=" + number + "," + base, Attributes: map[string][][]byte{
		"objectClass": raw([]string{"umMailbox"}), "MailboxNumber": raw([]string{number}), "cn": raw([]string{"Box"}),
	}}
	for name, value := range more {
		a.Attributes[name] = raw([]string{value})
	}
	return s.Write(ctx, directory.Operation{Add: &a})
}

func tryDelete(ctx context.Context, s *ldapdir.Session, ref directory.Ref) error {
	return s.Write(ctx, directory.Operation{Delete: &directory.Delete{Ref: ref}})
}

func tryRename(ctx context.Context, s *ldapdir.Session, ref directory.Ref, rdn string) error {
	return s.Write(ctx, directory.Operation{Rename: &directory.Rename{Ref: ref, NewRDN: rdn}})
}

// caseOnly changes the case of a letter alone, in a value and in a name.
func caseOnly(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	s := open(t, options(d))
	if err := tryAdd(t.Context(), s, d.Base(), "box a", map[string]string{"Misc1": "lower"}); err != nil {
		t.Fatal(err)
	}
	e := only(t, s, "box a")
	modify(t, s, e.Ref, "Misc1", "LOWER")
	e = only(t, s, "box a")
	if got := string(e.Values[directory.Misc1][0]); got != "LOWER" {
		t.Errorf("the value is %q", got)
	}
	if err := tryRename(t.Context(), s, e.Ref, "MailboxNumber=BOX A"); err != nil {
		t.Fatal(err)
	}
	if again := only(t, s, "box a"); again.Number != "BOX A" || again.ID != e.ID {
		t.Errorf("the number is %q", again.Number)
	}
}

// conflicts are writes to what is no longer as it was read: nothing is changed.
func conflicts(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001", "Misc1: before")+box(d.Base(), "4002"))
	s := open(t, options(d))
	read := only(t, s, "4001").Ref
	if k.Version != "entryCSN" {
		awaitSecond(t) // the version counts seconds
	}
	apply(t, d, "dn: "+read.DN+"\nchangetype: modify\nreplace: Misc1\nMisc1: other hand\n")
	before := dump(t, d)
	other := directory.Ref{ID: only(t, s, "4002").ID, DN: read.DN}
	gone := directory.Ref{DN: "MailboxNumber=4009," + d.Base()}
	for what, err := range map[string]error{
		"modify what changed":       tryModify(t.Context(), s, read, "Misc1", "ours"),
		"rename what changed":       tryRename(t.Context(), s, read, "MailboxNumber=4005"),
		"delete what changed":       tryDelete(t.Context(), s, read),
		"modify another entry":      tryModify(t.Context(), s, other, "Misc1", "ours"),
		"delete another entry":      tryDelete(t.Context(), s, other),
		"modify what is gone":       tryModify(t.Context(), s, gone, "Misc1", "ours"),
		"delete what is gone":       tryDelete(t.Context(), s, gone),
		"add what is there":         tryAdd(t.Context(), s, d.Base(), "4001", nil),
		"rename to what is there":   tryRename(t.Context(), s, directory.Ref{DN: read.DN}, "MailboxNumber=4002"),
		"add, in another way":       tryAdd(t.Context(), s, " "+strings.ToUpper(d.Base()), "4001", nil),
		"with the id and gone":      tryDelete(t.Context(), s, directory.Ref{ID: read.ID, DN: gone.DN, Version: read.Version}),
		"modify with an odd id":     tryModify(t.Context(), s, directory.Ref{ID: "00000000-0000-0000-0000-000000000000", DN: read.DN}, "Misc1", "x"),
		"modify an earlier version": tryModify(t.Context(), s, directory.Ref{DN: read.DN, Version: read.Version}, "Misc1", "x"),
	} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
		}
	}
	if after := dump(t, d); after != before {
		t.Errorf("something was written: %s", after)
	}
	fresh := only(t, s, "4001").Ref
	if err := tryModify(t.Context(), s, fresh, "Misc1", "ours"); err != nil {
		t.Errorf("with the version as it is: %v", err)
	}
	if err := tryDelete(t.Context(), s, only(t, s, "4001").Ref); err != nil {
		t.Errorf("delete it: %v", err)
	}
}

// awaitSecond waits until the clock shows another second.
func awaitSecond(t *testing.T) {
	t.Helper()
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(1100 * time.Millisecond)))
}

// refusals are an entry's own faults, told without the values.
func refusals(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001")+"dn: cn=below,MailboxNumber=4001,"+d.Base()+"\nobjectClass: organizationalRole\ncn: below\n")
	s := open(t, options(d))
	ref := only(t, s, "4001").Ref
	const secret = "hidden-value"
	for what, try := range map[string]struct {
		err   error
		about string
	}{
		"no integer":            {tryModify(t.Context(), s, ref, "Community", secret), "Community"},
		"no boolean":            {tryModify(t.Context(), s, ref, "avUmFindMeEnabled", secret), "avUmFindMeEnabled"},
		"no UTF-8":              {tryModify(t.Context(), s, ref, "Password", secret+"\xff"), "Password"},
		"an empty string":       {tryModify(t.Context(), s, ref, "Password", ""), "Password"},
		"two of one":            {tryModify(t.Context(), s, ref, "Password", secret, secret+"2"), "Password"},
		"one that has to be":    {tryModify(t.Context(), s, ref, "cn"), ""},
		"the name":              {tryModify(t.Context(), s, ref, "MailboxNumber", "4002"), ""},
		"an unknown attribute":  {tryModify(t.Context(), s, ref, "notThere", secret), ""},
		"not of the class":      {tryModify(t.Context(), s, ref, "seeAlso", "cn=x"), ""},
		"with entries below":    {tryDelete(t.Context(), s, ref), ""},
		"add without a cn":      {s.Write(t.Context(), directory.Operation{Add: &directory.Add{DN: "MailboxNumber=1," + d.Base(), Attributes: map[string][][]byte{"objectClass": raw([]string{"umMailbox"}), "MailboxNumber": raw([]string{"1"})}}}), ""},
		"add with a bad value":  {tryAdd(t.Context(), s, d.Base(), "5", map[string]string{"Community": secret}), "Community"},
		"outside of the base":   {tryAdd(t.Context(), s, parent(d.Base()), "5", nil), ""},
		"the base itself":       {tryDelete(t.Context(), s, directory.Ref{DN: d.Base()}), ""},
		"what is above":         {tryDelete(t.Context(), s, directory.Ref{DN: parent(d.Base())}), ""},
		"a name of two parts":   {tryRename(t.Context(), s, ref, "MailboxNumber=1,ou=x"), ""},
		"no distinguished name": {tryDelete(t.Context(), s, directory.Ref{DN: "4001"}), ""},
		"nothing":               {s.Write(t.Context(), directory.Operation{}), ""},
	} {
		if !fault.Is(try.err, fault.Permanent) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(try.err), try.err)
			continue
		}
		if text := fmt.Sprintf("%+v %v", try.err, errors.Unwrap(try.err)); strings.Contains(text, secret) || !strings.Contains(text, try.about) {
			t.Errorf("%s: %s", what, text)
		}
	}
	// An entry's fault is its own.
	modify(t, s, ref, "Misc1", "after all")
}

// lostAnswer cuts the connection when the answer to a write begins: what was
// asked is done, and the writer does not know.
func lostAnswer(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001")+box(d.Base(), "4002")+box(d.Base(), "4003"))
	p, o := through(t, d)
	for what, try := range map[string]func(*ldapdir.Session) error{
		"add": func(s *ldapdir.Session) error { return tryAdd(t.Context(), s, d.Base(), "4009", nil) },
		"modify": func(s *ldapdir.Session) error {
			return tryModify(t.Context(), s, directory.Ref{DN: "MailboxNumber=4001," + d.Base()}, "Misc1", "written")
		},
		"rename": func(s *ldapdir.Session) error {
			return tryRename(t.Context(), s, directory.Ref{DN: "MailboxNumber=4002," + d.Base()}, "MailboxNumber=4008")
		},
		"delete": func(s *ldapdir.Session) error {
			return tryDelete(t.Context(), s, directory.Ref{DN: "MailboxNumber=4003," + d.Base()})
		},
	} {
		s := open(t, o)
		if _, err := s.Find(t.Context(), "none"); err != nil {
			t.Fatal(err)
		}
		fired := p.Inject(faults.AfterBytes(faults.ToClient, 1, faults.RST))
		if err := try(s); !fault.Is(err, fault.Transient) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
		}
		<-fired
		p.Clear()
		if err := try(s); !fault.Is(err, fault.Transient) {
			t.Errorf("%s on the dead session: %s: %v", what, fault.KindOf(err), err)
		}
	}
	s := open(t, options(d))
	if e := only(t, s, "4001"); string(e.Values[directory.Misc1][0]) != "written" {
		t.Error("not modified")
	}
	for number, want := range map[string]int{"4009": 1, "4002": 0, "4008": 1, "4003": 0} {
		if found, err := s.Find(t.Context(), number); err != nil || len(found) != want {
			t.Errorf("%d entries are called %s: %v", len(found), number, err)
		}
	}
}

// tooLate sends nothing after the deadline.
func tooLate(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001"))
	p, o := through(t, d)
	s := open(t, o)
	ref := only(t, s, "4001").Ref
	sent := p.Passed(faults.ToServer)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Millisecond))
	defer cancel()
	if err := tryModify(ctx, s, ref, "Misc1", "late"); !fault.Is(err, fault.Transient) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if got := p.Passed(faults.ToServer); got != sent {
		t.Errorf("%d bytes were sent", got-sent)
	}
	// Nothing was under way, so the session lives.
	modify(t, s, ref, "Misc1", "in time")
}

// readOnly and full are the whole directory's trouble, and not one entry's.
func readOnly(t *testing.T, k Kind) {
	d := k.Start(t, Wish{ReadOnly: true, LDIF: box("ou=mailboxes,dc=example", "4001")})
	s := open(t, options(d))
	ref := only(t, s, "4001").Ref
	for what, err := range map[string]error{
		"add": tryAdd(t.Context(), s, d.Base(), "5", nil), "modify": tryModify(t.Context(), s, ref, "Misc1", "x"),
		"rename": tryRename(t.Context(), s, ref, "MailboxNumber=6"), "delete": tryDelete(t.Context(), s, ref),
	} {
		if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "read-only") {
			t.Errorf("%s: %s: %v (%s)", what, fault.KindOf(err), err, fault.HintOf(err))
		}
	}
}

func full(t *testing.T, k Kind) {
	d := k.Start(t, Wish{MaxSize: 512 << 10})
	s := open(t, options(d))
	written := 0
	for i := 0; ; i++ {
		err := tryAdd(t.Context(), s, d.Base(), fmt.Sprint(i), map[string]string{"umRecordedName": strings.Repeat("x", 12_000)})
		if err == nil {
			written++
			if written > 1000 {
				t.Fatal("it is never full")
			}
			continue
		}
		if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "full") {
			t.Errorf("%s: %v (%s)", fault.KindOf(err), err, fault.HintOf(err))
		}
		break
	}
	if all, _ := extract(t, s); len(all) != written || written == 0 {
		t.Errorf("%d entries were written, and %d are there", written, len(all))
	}
}

// missingSchema refuses to read what would come out empty, and to write.
func missingSchema(t *testing.T, k Kind) {
	d := k.Start(t, Wish{NoSchema: true})
	s := open(t, options(d))
	_, err := s.Extract(t.Context(), plainDigest, func(directory.Record) error { return nil })
	if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "umMailbox") || !strings.Contains(err.Error(), "NumericAddress") {
		t.Errorf("extract: %v", err)
	}
	if _, err := s.Find(t.Context(), "4001"); !fault.Is(err, fault.Config) {
		t.Errorf("find: %v", err)
	}
	if _, err := s.Read(t.Context(), directory.Ref{DN: "MailboxNumber=4001," + d.Base()}); !fault.Is(err, fault.Config) || errors.Is(err, directory.ErrNoEntry) {
		t.Errorf("read: %v", err)
	}
	if err := tryAdd(t.Context(), s, d.Base(), "4001", nil); !fault.Is(err, fault.Permanent) {
		t.Errorf("add: %s: %v", fault.KindOf(err), err)
	}
}
