//go:build integration

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/site"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
)

// directoryRig is the whole system with a directory beside each message store,
// each behind a proxy of its own.
type directoryRig struct {
	*rig
	from, to     *servers.Slapd
	toFrom, toTo *faults.Proxy
}

// newDirectoryRig is one on the quiet lane.
func newDirectoryRig(t *testing.T, production, dr servers.SlapdOptions) *directoryRig {
	t.Helper()
	return newDirectoryRigOn(t, &shared.quiet, servers.DovecotOptions{}, servers.DovecotOptions{}, production, dr)
}

// newDirectoryRigOn is one on a lane, with message stores of some kind.
func newDirectoryRigOn(t *testing.T, l *lane, from, to servers.DovecotOptions, production, dr servers.SlapdOptions) *directoryRig {
	t.Helper()
	r := &directoryRig{rig: newRigOn(t, l, from, to)}
	r.from, r.to = servers.SlapdT(t, production), servers.SlapdT(t, dr)
	r.toFrom, r.toTo = faults.ProxyT(t, r.from.Addr()), faults.ProxyT(t, r.to.Addr())
	for _, s := range []struct {
		name  string
		slapd *servers.Slapd
		proxy *faults.Proxy
	}{{r.source, r.from, r.toFrom}, {r.target, r.to, r.toTo}} {
		file := filepath.Join(r.dir, s.name+".ldap-password")
		if err := os.WriteFile(file, []byte(s.slapd.TrustedPassword()), 0o600); err != nil {
			t.Fatal(err)
		}
		r.run("store", "edit", s.name, "--ldap", s.proxy.Addr(), "--ldap-security", "none", "--ldap-bind-dn", s.slapd.TrustedDN(),
			"--ldap-password-file", file, "--ldap-base", s.slapd.Base(), "--ldap-object-class", "umMailbox")
	}
	return r
}

// scene plays one part of a test; the parts after it build on it.
func (r *directoryRig) scene(name string, play func(t *testing.T)) {
	whole := r.t
	whole.Run(name, func(t *testing.T) {
		r.t = t
		play(t)
	})
	if r.t = whole; whole.Failed() {
		whole.FailNow()
	}
}

// subscriber is an entry of a mailbox, without its DN.
type subscriber map[string][]string

// aSubscriber has a value in every attribute that is mirrored.
func aSubscriber(number, name string) subscriber {
	return subscriber{
		"objectClass": {"umMailbox"}, "MailboxNumber": {number}, "Password": {"pin-" + number}, "avUmFindMeEnabled": {"TRUE"},
		"umRecordedName": {"RIFF\x00\x01" + name}, "Community": {"1"}, "ClassNo": {"12"}, "asciiName": {name}, "cn": {name},
		"sn": {name + "son"}, "givenName": {"Given " + name}, "telephoneNumber": {"+49 30 " + number}, "NumericAddress": {number},
		"Misc1": {"one"}, "Misc2": {"two", "zwei"}, "Misc3": {"drei"}, "Misc4": {"4"},
	}
}

// dnOf is where the entry of a number is, on either side.
func dnOf(s servers.Directory, number string) string {
	return "MailboxNumber=" + number + "," + s.Base()
}

func ldifLine(name, value string) string {
	if value == "" {
		return name + ":\n"
	}
	return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
}

// ldif is the entry as one to be added.
func (e subscriber) ldif(dn string) string {
	var b strings.Builder
	b.WriteString(ldifLine("dn", dn))
	for name, values := range e {
		for _, v := range values {
			b.WriteString(ldifLine(name, v))
		}
	}
	return b.String() + "\n"
}

// put creates entries of subscribers on a server.
func (r *directoryRig) put(s servers.Directory, entries ...subscriber) {
	r.t.Helper()
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.ldif(dnOf(s, e["MailboxNumber"][0])))
	}
	r.apply(s, b.String())
}

func (r *directoryRig) apply(s servers.Directory, ldif string) {
	r.t.Helper()
	if err := s.Apply(r.t.Context(), ldif); err != nil {
		r.t.Fatal(err)
	}
}

// replace gives an attribute of an entry other values; none takes it away.
func (r *directoryRig) replace(s servers.Directory, number, attribute string, values ...string) {
	r.t.Helper()
	text := ldifLine("dn", dnOf(s, number)) + "changetype: modify\nreplace: " + attribute + "\n"
	for _, v := range values {
		text += ldifLine(attribute, v)
	}
	r.apply(s, text+"-\n\n")
}

func (r *directoryRig) remove(s servers.Directory, numbers ...string) {
	r.t.Helper()
	text := ""
	for _, n := range numbers {
		text += ldifLine("dn", dnOf(s, n)) + "changetype: delete\n\n"
	}
	r.apply(s, text)
}

// subscribers reads all entries of mailboxes from a server's own dump: whatever
// LDAP says of them.
func (r *directoryRig) subscribers(s servers.Directory) map[string]subscriber {
	r.t.Helper()
	return r.entries(s, "umMailbox")
}

// entries are those of a class, by DN.
func (r *directoryRig) entries(s servers.Directory, class string) map[string]subscriber {
	r.t.Helper()
	text, err := s.Dump(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	own := []string{"structuralobjectclass", "entryuuid", "creatorsname", "createtimestamp", "entrycsn", "modifiersname", "modifytimestamp", "nsuniqueid"}
	all := map[string]subscriber{}
	for record := range strings.SplitSeq(text, "\n\n") {
		e := subscriber{}
		for line := range strings.Lines(record) {
			name, value, found := strings.Cut(strings.TrimRight(line, "\n"), ":")
			if !found || slices.Contains(own, strings.ToLower(name)) {
				continue
			}
			if coded, ok := strings.CutPrefix(value, ": "); ok {
				raw, err := base64.StdEncoding.DecodeString(coded)
				if err != nil {
					r.t.Fatal(err)
				}
				value = string(raw)
			}
			e[strings.ToLower(name)] = append(e[strings.ToLower(name)], strings.TrimPrefix(value, " "))
		}
		if !slices.Contains(e["objectclass"], class) {
			continue
		}
		for name := range e {
			slices.Sort(e[name])
		}
		all[e["dn"][0]] = e
	}
	return all
}

// same fails the test where the two directories differ, as their own dumps are.
func (r *directoryRig) same(when string) {
	r.t.Helper()
	if diff := cmp.Diff(r.subscribers(r.from), r.subscribers(r.to)); diff != "" {
		r.t.Errorf("%s: production and DR differ (-production +DR):\n%.4000s", when, diff)
	}
}

// kept returns a check that DR's directory is byte for byte as it is now.
func (r *directoryRig) kept() func(when string) {
	r.t.Helper()
	before, err := r.to.Dump(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return func(when string) {
		r.t.Helper()
		after, err := r.to.Dump(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			r.t.Errorf("%s: DR was written to (-before +after):\n%.4000s", when, diff)
		}
	}
}

// mirror runs over the directory, which must end with an exit code, and returns
// how it went.
func (r *directoryRig) mirror(code int) dirsync.Run {
	r.t.Helper()
	got, out, errs := r.command(r.t.Context(), "directory", "sync", r.link, "--wait", "-o", "json")
	var run dirsync.Run
	if err := json.Unmarshal([]byte(out), &run); got != code || err != nil {
		_, changes, _ := r.command(r.t.Context(), "directory", "history", r.link, "--run", run.RunID)
		r.t.Fatalf("directory sync ended with exit code %d, want %d (%v)\n%s%s\n%.3000s", got, code, err, out, errs, changes)
	}
	return run
}

// idle runs once more, which must find nothing to do.
func (r *directoryRig) idle(when string) {
	r.t.Helper()
	run := r.mirror(0)
	if run.Created+run.Altered+run.Renumbers+run.Removed+run.Failed+run.Held > 0 {
		r.t.Errorf("%s: a second run found work: %+v", when, run)
	}
}

// members are the mailboxes of the link.
func (r *directoryRig) members() []string {
	r.t.Helper()
	var boxes []site.Mailbox
	if err := json.Unmarshal([]byte(r.run("mailbox", "list", r.link, "-o", "json")), &boxes); err != nil {
		r.t.Fatal(err)
	}
	var numbers []string
	for _, b := range boxes {
		numbers = append(numbers, string(b.Number))
	}
	return numbers
}

// directoryHolds is what waits of the directory.
func (r *directoryRig) directoryHolds() []guard.DirectoryHold {
	r.t.Helper()
	var all []guard.DirectoryHold
	if err := json.Unmarshal([]byte(r.run("guard", "list", r.link, "--state", "waiting", "-o", "json")), &all); err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(h guard.DirectoryHold) bool { return h.Kind == "" })
}

// noSecrets fails the test where a password of a subscriber, or of the trusted
// server, stands where it does not belong.
func (r *directoryRig) noSecrets() {
	r.t.Helper()
	secrets := []string{"pin-", base64.StdEncoding.EncodeToString([]byte("pin-"))[:5], r.from.TrustedPassword() + `"`}
	for _, name := range []string{"worker.log"} {
		f, err := os.Open(filepath.Join(r.data, name))
		if err != nil {
			r.t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			for _, s := range secrets {
				if strings.Contains(lines.Text(), s) {
					r.t.Errorf("%s tells a password: %.200s", name, lines.Text())
				}
			}
		}
		_ = f.Close()
	}
	for _, args := range [][]string{
		{"directory", "history", r.link, "-o", "json"}, {"status", r.link, "-o", "json"}, {"store", "show", r.source, "-o", "json"},
		{"errors", r.link, "-o", "json"},
	} {
		_, out, errs := r.command(r.t.Context(), args...)
		if strings.Contains(out+errs, "pin-") {
			r.t.Errorf("mailmirror %s tells a password", strings.Join(args, " "))
		}
	}
}

// nowhereInDatabases fails the test where a text stands in any table of any
// database of the stack, ours and Temporal's, histories included.
func (r *rig) nowhereInDatabases(text string) {
	r.t.Helper()
	ctx := r.t.Context()
	config, err := pgx.ParseConfig(r.stack.Info().DatabaseDSN)
	must(r.t, err)
	ask := func(database, query string, args ...any) []string {
		r.t.Helper()
		c := config.Copy()
		if database != "" {
			c.Database = database
		}
		conn, err := pgx.ConnectConfig(ctx, c)
		must(r.t, err)
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, query, args...)
		must(r.t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(r.t, err)
		return found
	}
	tables := 0
	for _, database := range ask("", "SELECT datname::text FROM pg_database WHERE NOT datistemplate") {
		for _, table := range ask(database, "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')") {
			tables++
			// Bytes are shown as hexadecimal digits.
			for _, row := range ask(database, "SELECT left(t::text, 300) FROM "+table+" t WHERE t::text LIKE '%' || $1 || '%' OR t::text LIKE '%' || $2 || '%' LIMIT 3",
				text, hex.EncodeToString([]byte(text))) {
				r.t.Errorf("table %s of database %s holds %q: %s", table, database, text, row)
			}
		}
	}
	if tables < 50 {
		r.t.Errorf("only %d tables were looked at", tables)
	}
}

// crowd are subscribers of consecutive numbers.
func crowd(first, n int) []subscriber {
	var all []subscriber
	for i := range n {
		number := fmt.Sprint(first + i)
		all = append(all, aSubscriber(number, "Name"+number))
	}
	return all
}

func numbersOf(entries []subscriber) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e["MailboxNumber"][0])
	}
	return all
}
