package ldapdirtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
	"mailmirror/test/faults"
)

const base = "ou=mailboxes,dc=example"

// sizeLimit reads 10,000 entries of a server that gives 500.
func sizeLimit(t *testing.T, k Kind) {
	d := k.Start(t, Wish{SizeLimit: 500, LDIF: boxes(base, 10_000)})
	seen := 0
	found, err := open(t, options(d)).Extract(t.Context(), plainDigest, func(directory.Record) error { seen++; return nil })
	if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "size limit") || found.Entries != 0 || found.Having != nil {
		t.Errorf("%+v after %d entries: %s: %v", found, seen, fault.KindOf(err), err)
	}
	store, err := ldapdir.New(options(d))
	if err != nil {
		t.Fatal(err)
	}
	report, err := store.Check(t.Context())
	if err != nil || !report.AtLeast || len(report.Faults) != 1 || !strings.Contains(report.Faults[0], "size limit") {
		t.Errorf("the check says %+v, %v", report, err)
	}
}

// pageLimit reads from a server that gives small pages only.
func pageLimit(t *testing.T, k Kind) {
	d := k.Start(t, Wish{PageLimit: 50, LDIF: boxes(base, 777)})
	if all, _ := extract(t, open(t, options(d))); len(all) != 777 {
		t.Errorf("%d entries", len(all))
	}
}

// memory reads much, and keeps nothing of it.
func memory(t *testing.T, k Kind) {
	const entries, size = 10_000, 2_000
	line := "umRecordedName: " + strings.Repeat("x", size)
	d := k.Start(t, Wish{LDIF: boxes(base, entries, line)})
	s := open(t, options(d))
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := live(), uint64(0), 0
	found, err := s.Extract(t.Context(), func(directory.Column, []byte) []byte { return nil }, func(directory.Record) error {
		if n++; n%777 == 0 {
			most = max(most, live())
		}
		return nil
	})
	if err != nil || found.Entries != entries {
		t.Fatalf("%d entries: %v", found.Entries, err)
	}
	if most > before+entries*size/2 {
		t.Errorf("%d kB are kept of %d kB", (most-before)>>10, entries*size>>10)
	}
	t.Logf("at most %d kB of %d kB are in memory", (max(most, before)-before)>>10, entries*size>>10)
}

// cut breaks the connection at twenty points of an extract, once each: the extract
// goes on with what it lacks, and is never a short success.
func cut(t *testing.T, k Kind) {
	const entries = 2_000
	d := k.Start(t, Wish{LDIF: boxes(base, entries, "umRecordedName: "+strings.Repeat("x", 300))})
	p, o := through(t, d)
	all, _ := extract(t, open(t, o))
	if len(all) != entries {
		t.Fatalf("%d entries without a fault", len(all))
	}
	whole := p.Passed(faults.ToClient)
	for i := range int64(20) {
		how := []faults.How{faults.RST, faults.FIN}[i%2]
		fired := p.Inject(faults.AfterBytes(faults.ToClient, whole*(2*i+1)/40, how))
		store, err := ldapdir.New(o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context())
		if err == nil {
			seen := map[string]bool{}
			found, readErr := s.Extract(t.Context(), plainDigest, func(r directory.Record) error { seen[r.Number] = true; return nil })
			if err = readErr; err == nil && (len(seen) != entries || found.Entries != entries || len(found.Unread) > 0 || found.Partial) {
				t.Errorf("cut %d of 20: %d entries: %+v", i+1, len(seen), found)
			}
			_ = s.Close()
		}
		if err != nil && !fault.Is(err, fault.Transient) {
			t.Errorf("cut %d of 20: %s: %v", i+1, fault.KindOf(err), err)
		}
		<-fired
		p.Clear()
	}
	if all, _ := extract(t, open(t, o)); len(all) != entries {
		t.Errorf("%d entries after all faults", len(all))
	}
}

// stalled gives a server up that owes an answer and is silent, while connecting,
// while reading, and while writing.
func stalled(t *testing.T, k Kind) {
	d := k.Start(t, Wish{LDIF: boxes(base, 1_000)})
	p, o := through(t, d)
	o.Timeouts = ldapdir.Timeouts{Connect: 300 * time.Millisecond, Read: 300 * time.Millisecond, Write: 300 * time.Millisecond}
	store, err := ldapdir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Inject(faults.AfterBytes(faults.ToServer, 1, faults.Stall))
	if _, err := store.Open(t.Context()); !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("connect: %v", err)
	}
	p.Clear()
	for what, try := range map[string]func(s *ldapdir.Session) error{
		"extract": func(s *ldapdir.Session) error {
			_, err := s.Extract(t.Context(), plainDigest, func(directory.Record) error { return nil })
			return err
		},
		"find": func(s *ldapdir.Session) error { _, err := s.Find(t.Context(), "100000"); return err },
		"write": func(s *ldapdir.Session) error {
			return tryModify(t.Context(), s, directory.Ref{DN: "MailboxNumber=100000," + base}, "Misc1", "x")
		},
	} {
		s := open(t, o)
		fired := p.Inject(faults.AfterBytes(faults.ToClient, 2_000, faults.Stall))
		if what != "extract" {
			if _, err := s.Find(t.Context(), "none"); err == nil {
				p.Clear()
				fired = p.Inject(faults.AfterBytes(faults.ToClient, 1, faults.Stall))
			}
		}
		if err := try(s); !fault.Is(err, fault.Transient) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
		}
		<-fired
		p.Clear()
	}
	// A slow reader is no stalled server: nothing is owed while it works. The server
	// of a busy machine may take seconds.
	o.Timeouts = ldapdir.Timeouts{Connect: 4 * time.Second, Read: 4 * time.Second, Write: 4 * time.Second}
	s := open(t, o)
	first := true
	found, err := s.Extract(t.Context(), plainDigest, func(directory.Record) error {
		if first {
			first = false
			<-time.After(5 * time.Second)
		}
		return nil
	})
	if err != nil || found.Entries != 1_000 {
		t.Errorf("a slow reader: %d entries, %v", found.Entries, err)
	}
}

// cancelled ends an extract from within, and while the server is silent.
func cancelled(t *testing.T, k Kind) {
	d := k.Start(t, Wish{LDIF: boxes(base, 1_200)})
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	_, err := open(t, options(d)).Extract(ctx, plainDigest, func(directory.Record) error {
		if seen++; seen == 600 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Transient) || seen >= 1_200 {
		t.Errorf("after %d entries: %v", seen, err)
	}
	enough := errors.New("enough")
	if _, err := open(t, options(d)).Extract(t.Context(), plainDigest, func(directory.Record) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of the reader: %v", err)
	}
	p, o := through(t, d)
	for what, try := range map[string]func(ctx context.Context, s *ldapdir.Session) error{
		"extract": func(ctx context.Context, s *ldapdir.Session) error {
			_, err := s.Extract(ctx, plainDigest, func(directory.Record) error { return nil })
			return err
		},
		"write": func(ctx context.Context, s *ldapdir.Session) error {
			return tryModify(ctx, s, directory.Ref{DN: "MailboxNumber=100000," + base}, "Misc1", "x")
		},
	} {
		s := open(t, o)
		fired := p.Inject(faults.AfterBytes(faults.ToClient, 100, faults.Stall))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-fired
			cancel()
		}()
		if err := try(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
		p.Clear()
		if _, err := s.Find(t.Context(), "100000"); !fault.Is(err, fault.Transient) {
			t.Errorf("%s: the session goes on: %v", what, err)
		}
	}
}

// hiddenValues tells by its count that an attribute is hidden from everybody, and
// by its answer that it may not be written.
func hiddenValues(t *testing.T, k Kind) {
	d := k.Start(t, Wish{Hide: []string{"umRecordedName"}, Refuse: []string{"Password"},
		LDIF: boxes(base, 50, "umRecordedName: x", "Password: 1")})
	s := open(t, options(d))
	_, found := extract(t, s)
	if having, told := found.Having[directory.RecordedName]; having != 0 || !told {
		t.Errorf("%d entries show a hidden attribute, told %v", having, told)
	}
	if found.Entries != 50 || found.Having[directory.Password] != 50 {
		t.Errorf("%+v", found)
	}
	ref := only(t, s, "100000").Ref
	if err := tryModify(t.Context(), s, ref, "Password", "2"); !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "right") {
		t.Errorf("%s: %v", fault.KindOf(err), err)
	}
	store, err := ldapdir.New(options(d))
	if err != nil {
		t.Fatal(err)
	}
	report, err := store.Check(t.Context())
	if err != nil || len(report.Faults) > 0 {
		t.Errorf("%+v %v", report.Faults, err)
	}
	if !slices.ContainsFunc(report.Advice, func(a string) bool { return strings.Contains(a, "none of 50 entries shows umRecordedName") }) ||
		slices.ContainsFunc(report.Advice, func(a string) bool { return strings.Contains(a, "shows Password") }) {
		t.Errorf("the check advises %q", report.Advice)
	}
}

// hiddenEntries refuses a base that cannot be seen: it is not an empty one.
func hiddenEntries(t *testing.T, k Kind) {
	d := k.Start(t, Wish{HideAll: true, LDIF: boxes(base, 50)})
	s := open(t, options(d))
	if _, err := s.Extract(t.Context(), plainDigest, func(directory.Record) error { return nil }); !fault.Is(err, fault.Config) {
		t.Errorf("a hidden base: %s: %v", fault.KindOf(err), err)
	}
	o := options(d)
	o.Mapping.BaseDN = "ou=nowhere,dc=example"
	if _, err := open(t, o).Extract(t.Context(), plainDigest, func(directory.Record) error { return nil }); !fault.Is(err, fault.Config) ||
		!strings.Contains(err.Error(), "ou=nowhere") {
		t.Errorf("no such base: %s: %v", fault.KindOf(err), err)
	}
}

// check looks at directories that are well and at some that are not.
func check(t *testing.T, k Kind) {
	d := k.Start(t, Wish{LDIF: boxes(base, 1_300, "Password: 1")})
	look := func(change func(*ldapdir.Options)) ldapdir.CheckReport {
		o := options(d)
		change(&o)
		store, err := ldapdir.New(o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := look(func(*ldapdir.Options) {})
	if len(r.Faults) > 0 || r.Entries != 1_300 || r.AtLeast || r.Server == "" || r.Connect <= 0 {
		t.Errorf("%+v", r)
	}
	if !r.Paged || r.Assertion != k.Assertion || r.ID != k.ID || r.Version != k.Version {
		t.Errorf("paged %v, assertion %v, id %q, version %q", r.Paged, r.Assertion, r.ID, r.Version)
	}
	single := map[directory.Column]bool{}
	for _, c := range r.Columns {
		single[c.Column] = c.Single
		having := 0
		if c.Column == directory.MailboxNumber || c.Column == directory.CommonName || c.Column == directory.Password {
			having = c.Sampled
		}
		if !c.Known || c.Sampled == 0 || c.Having != having {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Columns) != len(directory.Attributes()) || !single[directory.Password] || single[directory.Misc1] {
		t.Errorf("%+v", r.Columns)
	}
	for what, try := range map[string]struct {
		change        func(*ldapdir.Options)
		fault, advice string
	}{
		"an unknown attribute": {change: func(o *ldapdir.Options) { o.Mapping.Names[directory.Misc4] = "notThere" }, fault: "no attribute notThere"},
		"an unknown class":     {change: func(o *ldapdir.Options) { o.Mapping.ObjectClass = "notThere" }, fault: "no object class notThere"},
		"a filter":             {change: func(o *ldapdir.Options) { o.Mapping.Filter = "(!(notThere=1))" }, fault: "in the filter"},
		"a protected filter":   {change: func(o *ldapdir.Options) { o.Mapping.Protected = []string{"(notThere=1)"} }, fault: "in a protected filter"},
		"a log-in":             {change: func(o *ldapdir.Options) { o.Mapping.Login = "{notThere}@x" }, fault: "for the log-in"},
		"nobody":               {change: func(o *ldapdir.Options) { o.Mapping.Filter = "(Community=99)" }, advice: "no mailbox was found"},
		"classes that want":    {change: func(o *ldapdir.Options) { o.Mapping.NewClasses = []string{"umMailbox", "account"} }, advice: "new entries need u"},
		"classes that forbid":  {change: func(o *ldapdir.Options) { o.Mapping.NewClasses = []string{"person"} }, advice: "do not allow MailboxNumber"},
		"no secrecy":           {change: func(*ldapdir.Options) {}, advice: "starttls"},
	} {
		r := look(try.change)
		if try.fault != "" && !strings.Contains(fmt.Sprint(r.Faults), try.fault) || try.fault == "" && len(r.Faults) > 0 {
			t.Errorf("%s: faults %q", what, r.Faults)
		}
		if !strings.Contains(fmt.Sprint(r.Advice), try.advice) {
			t.Errorf("%s: advice %q", what, r.Advice)
		}
	}
}
