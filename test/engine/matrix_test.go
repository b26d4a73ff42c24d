//go:build integration

package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// store is one column of the matrix: a server and what is known of it.
type store struct {
	name    string
	server  user.Server
	cyrus   bool
	noCount bool // has no mod-sequences, so that its counters prove nothing
}

// extensions are those that make the mirror cheaper, and that it must do without.
var extensions = []string{"CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+", "LIST-STATUS", "LIST-EXTENDED", "ESEARCH",
	"SPECIAL-USE", "MULTIAPPEND", "UNSELECT", "MOVE", "CREATE-SPECIAL-USE"}

// startStores starts every kind of server that the matrix knows, at once.
func startStores(t *testing.T) map[string]store {
	dovecot := func(name string, o servers.DovecotOptions) func() (store, error) {
		return func() (store, error) {
			o.Name = strings.ReplaceAll(name, " ", "-")
			d, err := servers.StartDovecot(t.Context(), o)
			if err == nil {
				t.Cleanup(func() { _ = d.Stop() })
			}
			return store{name: name, server: d, noCount: slices.Contains(o.HideCapabilities, "CONDSTORE")}, err
		}
	}
	cyrus := func(name string, o servers.CyrusOptions) func() (store, error) {
		return func() (store, error) {
			o.Extra = "skiplist_unsafe: yes\n" // nobody pulls the plug
			c, err := servers.StartCyrus(t.Context(), o)
			if err == nil {
				t.Cleanup(func() { _ = c.Stop() })
			}
			return store{name: name, server: c, cyrus: true, noCount: slices.Contains(o.HideCapabilities, "CONDSTORE")}, err
		}
	}
	without := func(hidden ...string) servers.DovecotOptions {
		return servers.DovecotOptions{HideCapabilities: hidden}
	}
	starts := []func() (store, error){
		dovecot("dovecot", servers.DovecotOptions{}),
		dovecot("dovecot INBOX.", servers.DovecotOptions{Separator: ".", Prefix: "INBOX."}),
		dovecot("dovecot maildir", servers.DovecotOptions{Storage: "maildir"}),
		dovecot("dovecot mdbox", servers.DovecotOptions{Storage: "mdbox"}),
		dovecot("no CONDSTORE", without("CONDSTORE", "QRESYNC")),
		dovecot("no UIDPLUS", without("UIDPLUS")),
		dovecot("no LITERAL+", without("LITERAL+")),
		dovecot("no LIST-STATUS", without("LIST-STATUS", "LIST-EXTENDED")),
		dovecot("no ESEARCH", without("ESEARCH")),
		dovecot("bare dovecot", without(extensions...)),
		cyrus("cyrus", servers.CyrusOptions{}),
		cyrus("cyrus INBOX.", servers.CyrusOptions{InboxPrefix: true, DotSeparator: true}),
		cyrus("bare cyrus", servers.CyrusOptions{HideCapabilities: extensions}),
	}
	all := make([]store, len(starts))
	failed := make([]error, len(starts))
	var wg sync.WaitGroup
	for i, start := range starts {
		wg.Go(func() { all[i], failed[i] = start() })
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	byName := map[string]store{}
	for _, s := range all {
		byName[s.name] = s
	}
	return byName
}

// TestMatrix mirrors the same odd mailbox from and to every kind of server,
// makes every kind of change to it, and logs what which target keeps. Every kind
// is a source once and a target once; all 169 pairs would take half an hour. The
// slow ones come first, so that none is left alone at the end.
func TestMatrix(t *testing.T) {
	t.Parallel()
	stores := startStores(t)
	pairs := []struct {
		source, target string
		light          bool // without the oddities that are by themselves
	}{
		{"dovecot", "cyrus", false}, {"cyrus", "dovecot", false},
		{"cyrus INBOX.", "bare cyrus", true}, {"bare cyrus", "bare dovecot", true}, {"dovecot INBOX.", "cyrus INBOX.", true},
		{"bare dovecot", "no UIDPLUS", false}, {"no UIDPLUS", "dovecot maildir", false},
		{"dovecot maildir", "dovecot mdbox", false}, {"dovecot mdbox", "no CONDSTORE", false},
		{"no CONDSTORE", "no LITERAL+", true}, {"no LITERAL+", "no LIST-STATUS", true},
		{"no LIST-STATUS", "no ESEARCH", true}, {"no ESEARCH", "dovecot INBOX.", false},
	}
	kept := newTable()
	t.Run("pairs", func(t *testing.T) {
		for i, p := range pairs {
			t.Run(p.source+" to "+p.target, func(t *testing.T) {
				t.Parallel()
				source, target := stores[p.source], stores[p.target]
				m := newMirror(t, mailboxNumber(i), source.server, target.server)
				mx := &matrix{mirror: m, from: source, to: target, light: p.light}
				mx.first(kept)
				mx.changes()
				m.onlyRead()
			})
		}
	})
	t.Logf("what the targets keep:\n%s", kept)
}

// matrix is one pair of the matrix at work.
type matrix struct {
	*mirror
	from, to store
	light    bool
}

// oddFolder is where an oddity is alone, so that what becomes of it shows.
func oddFolder(i int) string { return fmt.Sprintf("Odd/%03d", i) }

// first fills the source with everything, copies it and holds the result
// against what the servers are known to do.
func (m *matrix) first(kept *table) {
	t := m.t
	t.Helper()
	begin := time.Now()
	onSource := m.fill()
	filled := time.Since(begin)
	report := m.sync()
	j := m.judge("first sync")
	if (report.Outcome == copier.Equal) != (len(j.recorded) == 0) {
		t.Errorf("the first sync ended %s, and recorded are %v", report.Outcome, j.recorded)
	}
	m.settled(!m.from.noCount && !m.to.noCount)
	t.Logf("filled in %.1f s, then copied and compared in %.1f s", filled.Seconds(), (time.Since(begin) - filled).Seconds())
	pair := m.from.name + " → " + m.to.name
	for i, o := range corpus.Oddities() {
		was := onSource[i]
		if m.light {
			continue
		}
		if was == corpus.Refused {
			kept.note(o.Name, pair, "–")
			continue
		}
		got := m.fate(j, oddFolder(i))
		kept.note(o.Name, pair, got)
		if want := expectation(o, m.to); was == corpus.Kept && !agrees(got, want) {
			t.Errorf("%s: %s, and the server is known for: %s", o.Name, got, want)
		}
	}
	for _, f := range corpus.FolderOddities() {
		if m.light {
			continue
		}
		if on, there := j.source[f.Folder]; !there || on.NoSelect {
			kept.note("folder: "+f.Name, pair, "–")
			continue
		}
		kept.note("folder: "+f.Name, pair, m.fate(j, f.Folder))
	}
}

func expectation(o corpus.Oddity, on store) corpus.Expect {
	if on.cyrus {
		return o.Cyrus
	}
	return o.Dovecot
}

// agrees holds what became of a message against what the server does with it
// when it is given to it as it is. A message that is refused for its keywords
// is mirrored without them.
func agrees(got string, want corpus.Expect) bool {
	return got == want.String() || (want == corpus.Refused && got == "without keywords")
}

// fill puts a voice mailbox, all oddities and odd folders on the source, and
// returns what the source itself made of each oddity.
func (m *matrix) fill() []corpus.Expect {
	t := m.t
	t.Helper()
	o := corpus.Options{Seed: 7, Messages: 14, Greetings: 3, MinSize: 1 << 10, MaxSize: 6 << 10}
	if err := corpus.Fill(t.Context(), m.source.access, []string{m.source.number}, o, 1, nil); err != nil {
		t.Fatal(err)
	}
	oddities := corpus.Oddities()
	fates := make([]corpus.Expect, len(oddities))
	m.source.use(func(u *user.User) {
		for i, o := range oddities {
			if m.light {
				fates[i] = corpus.Refused
				if len(o.Deposits) < 10 {
					_ = deposit(u, "INBOX", o.Deposits)
				}
				continue
			}
			fates[i] = deposit(u, oddFolder(i), o.Deposits)
			if fates[i] == corpus.Kept && len(o.Deposits) < 10 && o.Name != "line of a megabyte" {
				_ = deposit(u, "INBOX", o.Deposits) // among others, as in life
			}
		}
		for i, f := range corpus.FolderOddities() {
			if m.light && i > 5 {
				break
			}
			if strings.Contains(f.Folder, u.NS.Separator) && u.NS.Separator != "/" {
				continue
			}
			if err := u.Conn.EnsureFolders(f.Folder); err != nil {
				if _, no := errors.AsType[*reader.StatusError](err); !no {
					t.Fatal(err)
				}
				continue
			}
			u.Put(f.Folder, user.Voice("in "+f.Folder, 900))
			u.Do("SUBSCRIBE %s", f.Folder)
		}
	})
	return fates
}

// deposit puts an oddity in a folder and tells what the server made of it.
func deposit(u *user.User, folder string, deposits []reader.Deposit) corpus.Expect {
	u.T.Helper()
	if err := u.Conn.EnsureFolders(folder); err != nil {
		u.T.Fatal(err)
	}
	want, refused := map[reader.Message]int{}, false
	for i := range deposits {
		deposits[i].Folder = folder
		message, err := deposits[i].Message()
		if err != nil {
			u.T.Fatal(err)
		}
		want[message]++
	}
	stored, err := u.Conn.AppendAll(deposits)
	if err != nil {
		u.T.Fatal(err)
	}
	for _, s := range stored {
		refused = refused || s.Err != nil
	}
	got, err := u.Conn.ReadFolder(folder)
	if err != nil {
		u.T.Fatal(err)
	}
	switch {
	case refused:
		return corpus.Refused
	case folder != "INBOX" && !equalCounts(want, got):
		return corpus.Altered
	default:
		return corpus.Kept
	}
}

func equalCounts(a, b map[reader.Message]int) bool {
	for m, n := range a {
		if b[m] != n {
			return false
		}
	}
	return len(a) == len(b)
}

// fate is what became of all that a folder holds, in a word.
func (m *matrix) fate(j judged, folder string) string {
	kinds := j.recorded[folder]
	switch {
	case len(kinds[copier.FolderRefused]) > 0:
		return "folder refused"
	case len(kinds[copier.Refused]) > 0:
		return corpus.Refused.String()
	case len(kinds[copier.Altered]) > 0:
		return corpus.Altered.String()
	case len(kinds[copier.KeywordsRefused]) > 0:
		return "without keywords"
	case len(kinds[copier.FlagsRefused]) > 0:
		return "without flags"
	case !j.unlike[folder].same():
		return "lost"
	default:
		return corpus.Kept.String()
	}
}

// table collects what became of what where, from tests that run side by side.
type table struct {
	mu      sync.Mutex
	rows    []string
	columns []string
	cells   map[[2]string]string
}

func newTable() *table { return &table{cells: map[[2]string]string{}} }

func (k *table) note(row, column, cell string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.rows, row) {
		k.rows = append(k.rows, row)
	}
	if !slices.Contains(k.columns, column) {
		k.columns = append(k.columns, column)
	}
	k.cells[[2]string{row, column}] = cell
}

// String lists what is not kept everywhere, one oddity a line.
func (k *table) String() string {
	var out strings.Builder
	var everywhere []string
	slices.Sort(k.columns)
	for _, row := range k.rows {
		byFate := map[string][]string{}
		for _, c := range k.columns {
			byFate[k.cells[[2]string{row, c}]] = append(byFate[k.cells[[2]string{row, c}]], c)
		}
		if len(byFate["kept"]) == len(k.columns) {
			everywhere = append(everywhere, row)
			continue
		}
		fmt.Fprintf(&out, "%s:\n", row)
		for _, fate := range []string{"kept", "altered", "without keywords", "without flags", "refused", "folder refused", "lost", "–"} {
			if on := byFate[fate]; len(on) > 0 {
				fmt.Fprintf(&out, "    %-16s %s\n", fate, strings.Join(on, "; "))
			}
		}
	}
	return fmt.Sprintf("kept from and to every server (%d): %s\n\nnot everywhere (– is what the source does not take itself):\n%s",
		len(everywhere), strings.Join(everywhere, "; "), out.String())
}
