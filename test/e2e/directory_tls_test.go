//go:build integration

package e2e

import (
	"strings"
	"testing"

	"mailmirror/internal/dirsync"
	"mailmirror/test/servers"
)

// newSecureRig has production's directory by StartTLS and DR's by LDAPS, each
// with a certificate of an authority of our own. Before it names that one for DR
// it sees what another one leads to.
func newSecureRig(t *testing.T) *directoryRig {
	t.Helper()
	authority := func() (*servers.CA, string) {
		t.Helper()
		ca, err := servers.NewCA()
		must(t, err)
		file, err := ca.WriteFile(t.TempDir())
		must(t, err)
		return ca, file
	}
	ca, file := authority()
	_, other := authority()
	by := func(mode servers.TLSMode) servers.SlapdOptions {
		t.Helper()
		cert, key, err := ca.Issue(t.TempDir(), "ldap", servers.CertOptions{})
		must(t, err)
		return servers.SlapdOptions{TLS: &servers.TLSOptions{Mode: mode, CertFile: cert, KeyFile: key}}
	}
	r := newDirectoryRig(t, by(servers.TLSStartTLS), by(servers.TLSImplicit))
	r.run("store", "edit", r.source, "--ldap-security", "starttls", "--ldap-ca-file", file)
	r.run("store", "edit", r.target, "--ldap-security", "tls", "--ldap-ca-file", other)
	r.startWorker()
	said := func(what, text string) {
		t.Helper()
		if !strings.Contains(text, "certificate") || !strings.Contains(text, "--ldap-ca-file") || strings.Contains(text, "x509") {
			t.Errorf("%s by another authority's certificate says: %s", what, text)
		}
	}
	code, out, errs := r.command(t.Context(), "store", "check", r.target, "--mailbox", "100")
	if code != 1 {
		t.Errorf("store check by another authority: exit code %d", code)
	}
	said("store check", out+errs)
	run := r.mirror(1)
	if run.State != dirsync.Failed {
		t.Errorf("the run by another authority is %+v", run)
	}
	said("the run", strings.Join(run.Reasons, "; ")+" ("+run.Hint+")")
	t.Logf("it says: %s (%s)", strings.Join(run.Reasons, "; "), run.Hint)
	r.run("store", "edit", r.target, "--ldap-ca-file", file)
	for name, how := range map[string]string{r.source: "starttls", r.target: "tls"} {
		if out := r.run("store", "check", name, "--mailbox", "100", "-o", "json"); !strings.Contains(out, `"TLS 1.`) {
			t.Errorf("store check of %s, by %s, tells of no TLS: %s", name, how, out)
		}
	}
	return r
}
