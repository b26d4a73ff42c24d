package dirsync_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/ldapdir"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/test/output"
	"mailmirror/test/servers"
)

// The canaries are secrets that a hostile server receives.
const (
	canaryPassword = "Canary-Bind-7x"
	canaryPIN      = "Canary-Pin-93"
	canaryName     = "Canary-Recorded-Name-51"
)

// told collects whatever is written or returned to anybody.
type told struct{ output.Buffer }

// leaks lists the canaries that were told, and what a terminal would obey.
func (w *told) leaks() []string {
	text := w.String()
	lower := strings.ToLower(text)
	var found []string
	for _, canary := range []string{canaryPassword, canaryPIN, canaryName} {
		if strings.Contains(lower, strings.ToLower(canary)) || strings.Contains(lower, hex.EncodeToString([]byte(canary))) {
			found = append(found, canary)
		}
		for before := range 3 {
			coded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), canary...))
			if strings.Contains(text, coded[2*((before+1)/2)+2:len(coded)-2]) {
				found = append(found, canary+" in Base64")
			}
		}
	}
	for _, odd := range []string{"\x1b", "\x07", "\u202e", "\u009b"} {
		if strings.Contains(text, odd) {
			found = append(found, fmt.Sprintf("%q", odd))
		}
	}
	return found
}

// hostileDirectory is a hostile server as one side of a link. read is how long it may be silent.
func hostileDirectory(t *testing.T, read time.Duration, mode servers.HostileLDAPMode, numbers ...string) (*dirsync.Directory, *ldapdir.Store) {
	t.Helper()
	h, err := servers.StartHostileLDAP(t.Context(), mode, numbers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	m := directory.DefaultMapping()
	m.BaseDN = h.Base()
	store, err := ldapdir.New(ldapdir.Options{Name: "hostile", Address: h.Addr(), Security: site.SecurityNone, BindDN: "cn=trusted,dc=example",
		Password: seal.NewSecret(canaryPassword), Mapping: m, Timeouts: ldapdir.Timeouts{Read: read}})
	if err != nil {
		t.Fatal(err)
	}
	return &dirsync.Directory{Store: "hostile", Mapping: m, Digest: directory.NewDigester(make([]byte, 16)).Digest,
		Open: func(ctx context.Context) (dirsync.Session, error) {
			s, err := store.Open(ctx)
			if err != nil {
				return nil, err
			}
			return s, nil
		}}, store
}

// peak watches the memory of the process until its stop is called, which returns by
// how much it grew at the most.
func peak() (stop func() uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, m.HeapInuse
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(2 * time.Millisecond):
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 {
		close(end)
		<-ended
		return most - before
	}
}

// A hostile directory, as the source and as the target, costs neither memory nor the
// other side's entries, and makes Mailmirror print nothing that it was given.
func TestHostileDirectory(t *testing.T) {
	for _, mode := range append(servers.HostileLDAPModes(), servers.LDAPHonest) {
		for _, side := range []dirsync.Side{dirsync.SourceSide, dirsync.TargetSide} {
			t.Run(string(mode)+" "+string(side), func(t *testing.T) { hostile(t, mode, side) })
		}
	}
}

func hostile(t *testing.T, mode servers.HostileLDAPMode, side dirsync.Side) {
	said := &told{}
	there, store := hostileDirectory(t, 3*time.Second, mode, "1001", "1002")
	source, target := there, (*dirsync.Directory)(nil)
	if side == dirsync.TargetSide {
		source, target = nil, there
	}
	m := newMirrorerOf(t, source, target, slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, d := range []*dirsynctest.Directory{m.runs.Source, m.runs.Target} {
		for _, number := range []string{"1001", "1002", "1003"} {
			d.Put(number, map[directory.Column]string{directory.CommonName: "Box " + number, directory.Password: canaryPIN, directory.RecordedName: canaryName})
		}
	}

	grown := peak()
	report, err := store.Check(t.Context())
	_, _ = fmt.Fprintf(said, "%v %+v\n", err, report)
	rights, err := store.CheckRights(t.Context(), []directory.Column{directory.Password}, func(ctx context.Context) (context.Context, error) { return ctx, nil })
	_, _ = fmt.Fprintf(said, "%v %+v\n", err, rights)
	m.begin(dirsync.TriggerOperator)
	failed := false
	extract := func(side dirsync.Side) directory.Extracted {
		found, err := m.extract(side)
		_, _ = fmt.Fprintf(said, "%v %+v\n", err, found)
		failed = failed || err != nil
		return found
	}
	ofSource, ofTarget := extract(dirsync.SourceSide), extract(dirsync.TargetSide)
	if !failed {
		must[dirsync.Plan](m)(m.engine.Compare(t.Context(), m.job, ofSource, ofTarget, 1))
		result, err := m.apply(100)
		failed = err != nil || result.Failed > 0 || result.Stopped != ""
		_, _ = fmt.Fprintf(said, "%v %+v\n", err, result)
	}
	for _, c := range m.runs.Changes() {
		_, _ = fmt.Fprintf(said, "%+v %s %s\n", c.State, c.Error, c.Hint)
	}
	_, _ = fmt.Fprintf(said, "%+v\n", m.runs.Run())
	if most := grown(); most > 100<<20 {
		t.Errorf("the memory grew by %d MB", most>>20)
	} else {
		t.Logf("the memory grew by %d MB", most>>20)
	}
	if leaks := said.leaks(); len(leaks) > 0 {
		t.Errorf("it told %q:\n%.3000s", leaks, said.String())
	}
	// The source lacks a mailbox that the target has, which may go; no other may.
	for _, d := range []*dirsynctest.Directory{m.runs.Source, m.runs.Target} {
		for _, number := range []string{"1001", "1002"} {
			if !d.Has(number) {
				t.Errorf("%s is gone", number)
			}
		}
	}
	// A target that is honest but for that keeps what it had, which is a failure, too.
	want := side == dirsync.TargetSide
	switch mode {
	case servers.LDAPHonest, servers.LDAPQuoteWrite, servers.LDAPQuoteNotice, servers.LDAPQuoteLater, servers.LDAPHangUp:
	default:
		want = true
	}
	if want != failed && mode != servers.LDAPLargeValues {
		t.Errorf("it failed: %v, want %v:\n%.2000s", failed, want, said.String())
	}
	if m.runs.Held() {
		t.Error("the lease was not given back")
	}
}
