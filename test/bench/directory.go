package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mailmirror/test/bench/meter"
	"mailmirror/test/servers"
)

// directoryCommand measures the mirror of a directory beside OpenLDAP's own
// replication.
const directoryCommand = "directory"

type directoryOptions struct {
	entries       []int
	rounds        int
	recorded      int // bytes of a recorded name
	dir, binaries string
}

func parseDirectory(args []string, errOut io.Writer) (directoryOptions, error) {
	var o directoryOptions
	var entries string
	f := flag.NewFlagSet("bench directory", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&entries, "entries", "10000,100000", "sizes of the directory, in entries")
	f.IntVar(&o.rounds, "rounds", 3, "times that each case is measured; medians are shown")
	f.IntVar(&o.recorded, "recorded", 2048, "bytes of each entry's recorded name")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(entries, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 || n > 900_000 {
			return o, fmt.Errorf("-entries %q: want numbers from 100 to 900000", entries)
		}
		o.entries = append(o.entries, n)
	}
	if o.rounds < 1 || o.recorded < 0 {
		return o, errors.New("-rounds must be at least 1, -recorded not negative")
	}
	return o, nil
}

// directoryFigures are one size's.
type directoryFigures struct {
	entries           int
	same, changed     []time.Duration // of Mailmirror
	sameRef, changRef []time.Duration // of syncrepl
	worker            int64           // the most that the worker grew, in bytes
	first             time.Duration   // the run that pairs everything
}

// runDirectory measures every size on servers of its own and prints one table.
func runDirectory(ctx context.Context, o directoryOptions, out, progress io.Writer) error {
	var all []directoryFigures
	for _, n := range o.entries {
		fmt.Fprintf(progress, "%d entries\n", n)
		f, err := measureDirectory(ctx, o, n, progress)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	fmt.Fprintf(out, "Medians of %d rounds, in seconds; recorded names of %d bytes; load average %s.\n\n", o.rounds, o.recorded, load())
	fmt.Fprintln(out, "| entries | mailmirror: first run | nothing changed | 1 % changed | worker above idle, MB | syncrepl: nothing changed | 1 % changed |")
	fmt.Fprintln(out, "| --: | --: | --: | --: | --: | --: | --: |")
	for _, f := range all {
		fmt.Fprintf(out, "| %d | %.2f | %.2f | %.2f | %.0f | %.2f | %.2f |\n", f.entries, f.first.Seconds(),
			middle(f.same), middle(f.changed), float64(f.worker)/1e6, middle(f.sameRef), middle(f.changRef))
	}
	fmt.Fprintln(out, "\nmailmirror: `mailmirror directory sync LINK --wait`, from the command's start to its end: both directories read")
	fmt.Fprintln(out, "completely, compared, changes applied one by one and read back. syncrepl: a consumer that holds all but the changes is")
	fmt.Fprintln(out, "started and asks once (refreshOnly); it believes the provider's change numbers and looks at no entry that has none.")
	return nil
}

func middle(times []time.Duration) float64 {
	return median(times, func(d time.Duration) float64 { return d.Seconds() })
}

// measureDirectory measures one size.
func measureDirectory(ctx context.Context, o directoryOptions, n int, progress io.Writer) (f directoryFigures, err error) {
	f.entries = n
	dir, err := os.MkdirTemp(o.dir, "mailmirror-directory-")
	if err != nil {
		return f, fmt.Errorf("create scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as users of their own
		return f, fmt.Errorf("open scratch folder: %w", err)
	}
	r := &directoryRig{directoryOptions: o, n: n, progress: progress}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := r.start(ctx, dir); err != nil {
		return f, err
	}
	begin := time.Now()
	if err := r.sync(ctx); err != nil {
		return f, err
	}
	f.first = time.Since(begin)
	for round := range o.rounds {
		took, grown, err := r.measured(ctx)
		if err != nil {
			return f, err
		}
		f.same, f.worker = append(f.same, took), max(f.worker, grown)
		if took, err = r.replicate(ctx); err != nil {
			return f, err
		}
		f.sameRef = append(f.sameRef, took)

		if err := r.change(ctx, round); err != nil {
			return f, err
		}
		if took, grown, err = r.measured(ctx); err != nil {
			return f, err
		}
		f.changed, f.worker = append(f.changed, took), max(f.worker, grown)
		if took, err = r.replicate(ctx); err != nil {
			return f, err
		}
		f.changRef = append(f.changRef, took)
	}
	return f, nil
}

// directoryRig is production's directory, DR's, and one that follows production
// by syncrepl.
type directoryRig struct {
	directoryOptions
	n                          int
	progress                   io.Writer
	production, dr, replicated *servers.Slapd
	mm                         *mailmirror
}

func (r *directoryRig) start(ctx context.Context, dir string) error {
	if err := r.startServers(ctx); err != nil {
		return err
	}
	return r.startMirror(ctx, dir)
}

func (r *directoryRig) startServers(ctx context.Context) (err error) {
	entries := r.ldif()
	if r.production, err = servers.StartSlapd(ctx, servers.SlapdOptions{LDIF: bytes.NewReader(entries), Syncprov: true}); err != nil {
		return err
	}
	if r.dr, err = servers.StartSlapd(ctx, servers.SlapdOptions{LDIF: bytes.NewReader(entries)}); err != nil {
		return err
	}
	return r.startReplica(ctx)
}

func (r *directoryRig) startMirror(ctx context.Context, dir string) error {
	r.mm = &mailmirror{binaries: r.binaries, data: filepath.Join(dir, "mailmirror"), config: filepath.Join(dir, "mailmirror.toml")}
	if err := os.WriteFile(r.mm.config, nil, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := r.mm.start(ctx, filepath.Join(dir, "mailmirror.log")); err != nil {
		return err
	}
	for imap, s := range map[string]*servers.Slapd{"127.0.0.1:143": r.production, "127.0.0.1:144": r.dr} {
		name := "production"
		if s == r.dr {
			name = "standby"
		}
		password := filepath.Join(dir, name+".password")
		if err := os.WriteFile(password, []byte(s.TrustedPassword()), 0o600); err != nil {
			return fmt.Errorf("write password file: %w", err)
		}
		// Nobody takes part, so that nobody asks the IMAP server.
		if err := r.mm.run(ctx, "store", "add", name, "--imap", imap, "--imap-security", "none", "--login", "authzid",
			"--trusted-name", "trusted", "--trusted-password-file", password,
			"--ldap", s.Addr(), "--ldap-security", "none", "--ldap-bind-dn", s.TrustedDN(), "--ldap-password-file", password,
			"--ldap-base", s.Base(), "--ldap-object-class", "umMailbox"); err != nil {
			return err
		}
	}
	if err := r.mm.run(ctx, "link", "add", benchLink, "--source", "production", "--target", "standby"); err != nil {
		return err
	}
	return r.mm.run(ctx, "link", "edit", benchLink, "--participate", "manual")
}

// number is the mailbox number of an entry.
func number(i int) int { return 1_000_000 + i }

// ldif writes all entries: the same for both sides.
func (r *directoryRig) ldif() []byte {
	random := rand.NewChaCha8([32]byte{1})
	name := make([]byte, r.recorded)
	var b bytes.Buffer
	for i := range r.n {
		_, _ = random.Read(name) // never fails
		m := number(i)
		fmt.Fprintf(&b, "dn: MailboxNumber=%d,ou=mailboxes,dc=example\nobjectClass: umMailbox\nMailboxNumber: %d\nPassword: secret%d\n"+
			"avUmFindMeEnabled: FALSE\nCommunity: 1\nClassNo: %d\nasciiName: Subscriber %d\ncn: Subscriber %d\nsn: Number%d\ngivenName: Sub\n"+
			"telephoneNumber: +49 30 %d\nNumericAddress: %d\nMisc1: floor %d\n", m, m, m, i%8, m, m, m, m, m, i%40)
		if len(name) > 0 {
			fmt.Fprintf(&b, "umRecordedName:: %s\n", base64.StdEncoding.EncodeToString(name))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// change alters one entry in a hundred on production, others in every round.
func (r *directoryRig) change(ctx context.Context, round int) error {
	var b strings.Builder
	for i := round % 100; i < r.n; i += 100 {
		fmt.Fprintf(&b, "dn: MailboxNumber=%d,ou=mailboxes,dc=example\nchangetype: modify\nreplace: Misc1\nMisc1: changed in round %d\n\n", number(i), round)
	}
	return r.production.Apply(ctx, b.String())
}

func (r *directoryRig) sync(ctx context.Context) error {
	return r.mm.run(ctx, "directory", "sync", benchLink, "--wait")
}

// measured syncs and returns how long that took and by how many bytes the worker
// grew.
func (r *directoryRig) measured(ctx context.Context) (time.Duration, int64, error) {
	t, err := meter.ReadTable()
	if err != nil {
		return 0, 0, err
	}
	var worker int
	for _, p := range r.mm.residents(t).tool {
		if strings.HasPrefix(p.Name, "mailmirror-work") {
			worker = p.Pid
		}
	}
	if err := meter.ResetPeak(worker); err != nil {
		return 0, 0, err
	}
	before := meter.RSS(worker)
	begin := time.Now()
	if err := r.sync(ctx); err != nil {
		return 0, 0, err
	}
	return time.Since(begin), meter.PeakRSS(worker) - before, nil
}

func (r *directoryRig) stop() error {
	var errs []error
	if r.mm != nil {
		errs = append(errs, r.mm.close())
	}
	for _, s := range []*servers.Slapd{r.production, r.dr, r.replicated} {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}
