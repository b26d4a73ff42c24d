// Command make makes the old data of a release: it runs the release's own programs on
// real servers until its database holds something of everything, and writes the dump,
// the stores' mail, and what the commands show into a folder.
//
// The mailboxes: 5001 equal, with kept deletions; 5002 held, somebody left messages on
// DR; 5003 held, a folder of production is gone; 5004 due, a message came while the
// mirror was suspended; 5005 a message that does not fit on DR; 5006 not on DR; 5007 and
// 5008 a refused and an approved hold; 5009 an entry that DR rejects; 5010 equal.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/system"
)

const (
	link  = "site"
	limit = 10 * time.Minute
	poll  = 200 * time.Millisecond
)

func main() {
	bin := flag.String("bin", "bin", "`folder` of the release's programs")
	to := flag.String("to", "", "`folder` for the data; it must not exist")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *bin, *to); err != nil {
		fmt.Fprintln(os.Stderr, "olddata:", err)
		os.Exit(1)
	}
}

// maker has the running servers.
type maker struct {
	ctx            context.Context //nolint:containedctx // one run, whose steps all end with it
	dir, to        string
	production, dr *servers.Dovecot
	from, target   *servers.Slapd
	system         *system.System
	err            error // the first
}

func run(ctx context.Context, bin, to string) (err error) {
	if to == "" {
		return errors.New("no folder is given")
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	// The commands record who gave them.
	if err := os.Setenv("SUDO_USER", "operator"); err != nil {
		return err
	}
	m := &maker{ctx: ctx, to: to}
	// The servers' users have to reach it.
	if m.dir, err = os.MkdirTemp("/var/tmp", "olddata"); err != nil {
		return err
	}
	if err := os.Chmod(m.dir, 0o755); err != nil { //nolint:gosec // test data
		return err
	}
	defer func() { err = errors.Join(err, m.stop(), os.RemoveAll(m.dir)) }()
	if err := m.start(bin); err != nil {
		return err
	}
	m.setUp()
	m.live()
	m.suspend()
	m.record()
	return m.err
}

func numbers() (all []string) {
	for i := range 10 {
		all = append(all, fmt.Sprint(5001+i))
	}
	return all
}

func (m *maker) start(bin string) (err error) {
	onDR := slices.DeleteFunc(numbers(), func(n string) bool { return n == "5006" })
	for _, s := range []struct {
		name  string
		quota int64
		all   []string
		to    **servers.Dovecot
	}{{"production", 0, numbers(), &m.production}, {"dr", 40 << 10, onDR, &m.dr}} {
		*s.to, err = servers.StartDovecot(m.ctx, servers.DovecotOptions{Dir: filepath.Join(m.dir, s.name), Name: s.name, Mailboxes: s.all, QuotaBytes: s.quota})
		if err != nil {
			return err
		}
	}
	if m.from, err = servers.StartSlapd(m.ctx, servers.SlapdOptions{Dir: filepath.Join(m.dir, "from")}); err != nil {
		return err
	}
	rejects := `dn.exact="MailboxNumber=5009,ou=mailboxes,dc=example" by * read`
	if m.target, err = servers.StartSlapd(m.ctx, servers.SlapdOptions{Dir: filepath.Join(m.dir, "target"), Access: []string{rejects}}); err != nil {
		return err
	}
	var args []string
	for _, name := range []string{"postgres", "temporal", "temporal-ui", "metrics", "temporal-history", "temporal-matching", "temporal-worker"} {
		args = append(args, "--"+name+"-port", "0")
	}
	m.system, err = system.Start(m.ctx, bin, filepath.Join(m.dir, "mirror"), args...)
	return err
}

func (m *maker) stop() error {
	return errors.Join(servers.StopAll(m.system), servers.StopAll(m.production, m.dr), servers.StopAll(m.from, m.target))
}

// do gives a command. Exit codes 1 and 3 may be what is wanted: some mailboxes fail,
// and differences remain.
func (m *maker) do(args ...string) {
	if m.err != nil {
		return
	}
	err := m.system.Show(m.ctx, args...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && slices.Contains(args, "--wait") && exit.ExitCode() != 2 {
		return
	}
	m.fail(err)
}

func (m *maker) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *maker) secret(name, password string) string {
	path := filepath.Join(m.dir, name+".password")
	m.fail(os.WriteFile(path, []byte(password), 0o600))
	return path
}

func (m *maker) setUp() {
	for _, s := range []struct {
		name  string
		store *servers.Dovecot
		slapd *servers.Slapd
		more  []string
	}{{"production", m.production, m.from, []string{"--max-connections", "60", "--greetings", "Greetings", "--greetings", "Names"}},
		{"dr", m.dr, m.target, []string{"--max-sessions", "30", "--login-case", "exact"}}} {
		m.do(append([]string{"store", "add", s.name, "--imap", s.store.Addr(), "--imap-security", "none", "--login", "authzid",
			"--trusted-name", s.store.TrustedName(), "--trusted-password-file", m.secret(s.name, s.store.TrustedPassword()),
			"--ldap", s.slapd.Addr(), "--ldap-security", "none", "--ldap-bind-dn", s.slapd.TrustedDN(),
			"--ldap-password-file", m.secret(s.name+".ldap", s.slapd.TrustedPassword()), "--ldap-base", s.slapd.Base(), "--ldap-object-class", "umMailbox"}, s.more...)...)
	}
	mapping := filepath.Join(m.dir, "mapping.toml")
	m.fail(os.WriteFile(mapping, []byte("login = \"{NumericAddress}\"\n"), 0o600))
	m.do("store", "edit", "dr", "--ldap-mapping", mapping)
	m.do("link", "add", link, "--source", "production", "--target", "dr", "--exclude", "Trash", "--bandwidth", "50MB/s",
		"--bandwidth-window", "Mon-Fri 08:00-18:00 40MB/s", "--timezone", "Europe/Berlin", "--keep-deleted", "14d")
	m.do("guard", "set", link, "--directory-remove-count", "1", "--folder-count", "400")
	m.do("schedule", "set", "full-compare/"+link, "--every", "2h")
	m.do("schedule", "set", "retention", "--at", "02:15,14:15", "--timezone", "Europe/Berlin")
	m.do("schedule", "pause", "ledger-rebuild/"+link, "--reason", "not tonight")
}

// live is the life of the installation.
func (m *maker) live() {
	var ldif strings.Builder
	for _, n := range append(numbers(), "5011", "5012") {
		ldif.WriteString(m.entry(n))
	}
	m.fail(m.from.Apply(m.ctx, ldif.String()))
	m.fail(corpus.Fill(m.ctx, m.access(m.production), numbers(), corpus.Options{Seed: 1, Messages: 4, Greetings: 1, MinSize: 600, MaxSize: 1500}, 1, nil))
	m.put(m.production, "5003", "Work", 3, 500)
	m.put(m.production, "5005", "INBOX", 1, 60<<10)
	m.do("directory", "sync", link, "--wait")
	m.do("mailbox", "add", link, "5006", "5009")
	m.do("compare", link, "--wait")

	m.use(m.production, "5001", "SELECT INBOX", `STORE 1 +FLAGS (\Deleted)`, "EXPUNGE", `STORE 1 +FLAGS (\Flagged urgent)`)
	for _, n := range []string{"5002", "5007", "5008"} {
		m.put(m.dr, n, "INBOX", 2, 400)
	}
	m.use(m.production, "5003", "DELETE Work")
	m.do("compare", link, "--wait")
	m.decide("5007", "refuse")
	m.decide("5008", "approve")
	m.do("sync", link, "5008", "--wait")
	m.do("sync", link, "5007", "--wait")

	m.fail(m.from.Apply(m.ctx, "dn: "+m.dn("5011")+"\nchangetype: delete\n\ndn: "+m.dn("5012")+"\nchangetype: delete\n\n"+
		"dn: "+m.dn("5010")+"\nchangetype: modify\nreplace: cn\ncn: Another Name\n"))
	m.do("directory", "sync", link, "--wait")
}

// suspend suspends the mirror, resumes it, and suspends it again, and a message comes.
func (m *maker) suspend() {
	m.do("suspend", "--reason", "storage maintenance", "--wait")
	m.do("resume")
	// Nothing is in work, so that what is recorded stays as it is.
	m.await("no mailbox is due", func(b box) bool { return b.Failures > 0 || b.State != "dirty" && b.State != "new" })
	m.do("suspend", "--reason", "the data of a release", "--wait")
	m.put(m.production, "5004", "INBOX", 1, 500)
	m.await("5004 is due", func(b box) bool { return b.Number != "5004" || b.State == "dirty" })
}

// box is a mailbox as `mailbox list` shows it.
type box struct {
	Number, State string
	Failures      int
}

// await waits until all mailboxes are as they should be.
func (m *maker) await(what string, good func(box) bool) {
	for m.err == nil {
		var all []box
		m.get(&all, "mailbox", "list", link)
		done := true
		for _, b := range all {
			done = done && good(b)
		}
		if done {
			return
		}
		select {
		case <-time.After(poll):
		case <-m.ctx.Done():
			m.fail(fmt.Errorf("wait until %s: %w", what, m.ctx.Err()))
		}
	}
}

// get gives a command and reads its answer.
func (m *maker) get(into any, args ...string) string {
	if m.err != nil {
		return ""
	}
	out, err := m.system.Capture(m.ctx, append(args, "-o", "json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), into)
	}
	if err != nil {
		m.fail(fmt.Errorf("mailmirror %s: %w", strings.Join(args, " "), err))
	}
	return out
}

// holds are the ids of what waits, by the mailbox; that of directories is "".
func (m *maker) holds() map[string][]string {
	var listed []struct {
		ID     int64
		Number string
	}
	m.get(&listed, "guard", "list", link)
	out := map[string][]string{}
	for _, h := range listed {
		out[h.Number] = append(out[h.Number], fmt.Sprint(h.ID))
	}
	return out
}

func (m *maker) decide(number, decision string) {
	ids := m.holds()[number]
	if len(ids) == 0 {
		m.fail(fmt.Errorf("nothing of mailbox %s is held", number))
		return
	}
	m.do(append([]string{"guard", decision}, ids...)...)
}

// record writes what the commands show, the dump and the stores' mail.
func (m *maker) record() {
	commands := [][]string{
		{"store", "list"}, {"store", "show", "production"}, {"store", "show", "dr"}, {"link", "list"}, {"link", "show", link},
		{"mailbox", "list", link}, {"guard", "list"}, {"guard", "show", link}, {"directory", "history", link}, {"history"}, {"history", link}, {"errors", link},
	}
	for _, n := range numbers() {
		commands = append(commands, []string{"mailbox", "show", link, n}, []string{"history", link, n})
	}
	for _, ids := range m.holds() {
		for _, id := range ids {
			commands = append(commands, []string{"guard", "show", id})
		}
	}
	var runs []struct {
		RunID string `json:"run_id"`
	}
	m.get(&runs, "directory", "history", link)
	for _, r := range runs {
		commands = append(commands, []string{"directory", "history", link, "--run", r.RunID})
	}
	shown := map[string]json.RawMessage{}
	for _, args := range commands {
		var answer json.RawMessage
		m.get(&answer, args...)
		shown[strings.Join(args, " ")] = answer
	}
	if m.err != nil {
		return
	}
	text, err := json.MarshalIndent(shown, "", "\t")
	m.fail(err)
	m.fail(os.WriteFile(filepath.Join(m.to, "shown.json"), append(text, '\n'), 0o644)) //nolint:gosec // test data
	m.dump()
	key, err := os.ReadFile(filepath.Join(m.dir, "mirror", "secrets", "seal.key"))
	m.fail(err)
	// It seals the passwords of the test's servers, and no others.
	m.fail(os.WriteFile(filepath.Join(m.to, "seal.key"), key, 0o600))
	for name, s := range map[string]*servers.Dovecot{"production": m.production, "dr": m.dr} {
		m.fail(s.Stop())
		m.fail(exec.CommandContext(m.ctx, "tar", "--create", "--gzip", "--numeric-owner", "--sort=name", "--file", filepath.Join(m.to, name+".tar.gz"),
			"--directory", s.Dir(), "mail").Run())
	}
}

func (m *maker) dump() {
	var stack struct {
		Ports struct{ Postgres int } `json:"ports"`
	}
	content, err := os.ReadFile(filepath.Join(m.dir, "mirror", "stack.json"))
	m.fail(err)
	m.fail(json.Unmarshal(content, &stack))
	dump := filepath.Join(m.to, "database.sql")
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(found) == 0 {
		m.fail(errors.New("no pg_dump is installed"))
		return
	}
	cmd := exec.CommandContext(m.ctx, found[len(found)-1], "--host", filepath.Join(m.dir, "mirror", "postgres"), "--port", fmt.Sprint(stack.Ports.Postgres),
		"--username", "mailmirror", "--no-owner", "--no-privileges", "--file", dump, "mailmirror")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.fail(fmt.Errorf("pg_dump: %w\n%s", err, out))
		return
	}
	// The names of workers have that of this machine.
	host, err := os.Hostname()
	m.fail(err)
	text, err := os.ReadFile(dump)
	m.fail(err)
	m.fail(os.WriteFile(dump, bytes.ReplaceAll(text, []byte("@"+host+"\t"), []byte("@host\t")), 0o644)) //nolint:gosec // test data
}

func (m *maker) access(s *servers.Dovecot) reader.Store {
	return reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
}

// use lets a user of a mailbox give commands.
func (m *maker) use(s *servers.Dovecot, number string, commands ...string) {
	if m.err != nil {
		return
	}
	conn, err := m.access(s).Open(m.ctx, number)
	if err != nil {
		m.fail(err)
		return
	}
	defer conn.Close()
	for _, c := range commands {
		if _, err := conn.Command(c); err != nil {
			m.fail(fmt.Errorf("%s: %w", c, err))
		}
	}
	m.fail(conn.Logout())
}

// put leaves messages in a folder, which is made if need be.
func (m *maker) put(s *servers.Dovecot, number, folder string, n, size int) {
	if m.err != nil {
		return
	}
	conn, err := m.access(s).Open(m.ctx, number)
	if err != nil {
		m.fail(err)
		return
	}
	defer conn.Close()
	m.fail(conn.EnsureFolders(folder))
	for i := range n {
		text := fmt.Sprintf("Message-ID: <%s.%s.%d.%d@example.com>\r\nSubject: call %d\r\n\r\n", number, folder, size, i, i)
		d := reader.Deposit{Folder: folder, Date: time.Date(2026, time.March, 1+i, 9, 0, 0, 0, time.UTC)}
		d.Size, d.Body = reader.Bytes([]byte(text + strings.Repeat("voice message\r\n", size/15)))
		_, err := conn.Append(d)
		m.fail(err)
	}
	m.fail(conn.Logout())
}

func (m *maker) dn(number string) string { return "MailboxNumber=" + number + "," + m.from.Base() }

// entry is a mailbox in the directory, as LDIF.
func (m *maker) entry(number string) string {
	name := base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x01" + number))
	return "dn: " + m.dn(number) + "\nchangetype: add\nobjectClass: umMailbox\nMailboxNumber: " + number + "\nPassword: pin-" + number +
		"\ncn: Subscriber " + number + "\nsn: Subscriber\nClassNo: 1\nNumericAddress: " + number + "\numRecordedName:: " + name + "\n\n"
}
