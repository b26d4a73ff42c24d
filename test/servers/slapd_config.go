package servers

import (
	"context"
	_ "embed" // the schema
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mailboxSchema is the schema of the mailboxes' entries, for cn=config.
//
//go:embed mailbox-schema.ldif
var mailboxSchema string

// confDir holds the configuration as slapd keeps it, slapd-config(5).
func (s *Slapd) confDir() string { return filepath.Join(s.opts.Dir, "slapd.d") }

// writeConfig makes the configuration anew. The caller holds mu or is the only
// one that knows the instance; the server is down.
func (s *Slapd) writeConfig(ctx context.Context) error {
	if err := os.RemoveAll(s.confDir()); err != nil {
		return fmt.Errorf("clear configuration: %w", err)
	}
	if err := s.account.makeDir(s.confDir()); err != nil {
		return err
	}
	if s.opts.TLS != nil {
		if err := s.account.copyTLS(s.opts.TLS, filepath.Join(s.opts.Dir, "tls")); err != nil {
			return err
		}
	}
	if _, err := s.tool(ctx, strings.NewReader(s.config()), "add", "-n", "0"); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// config is the whole configuration as LDIF. A blank at the beginning of a line
// continues the line before; an empty line ends an entry.
func (s *Slapd) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("dn: cn=config\nobjectClass: olcGlobal\ncn: config\nolcThreads: 8")
	line("olcPidFile: %s\nolcArgsFile: %s", filepath.Join(s.opts.Dir, "slapd.pid"), filepath.Join(s.opts.Dir, "slapd.args"))
	if s.opts.MaxRequest > 0 {
		line("olcSockbufMaxIncomingAuth: %d", s.opts.MaxRequest)
	}
	if s.opts.TLS != nil && s.opts.TLS.Mode != TLSNone {
		dir := filepath.Join(s.opts.Dir, "tls")
		line("olcTLSCertificateFile: %s\nolcTLSCertificateKeyFile: %s", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	}
	line("\ndn: cn=module{0},cn=config\nobjectClass: olcModuleList\ncn: module{0}\nolcModulePath: /usr/lib/ldap\nolcModuleLoad: back_mdb")
	if s.opts.Syncprov {
		line("olcModuleLoad: syncprov")
	}
	line("\ndn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n")
	for _, name := range []string{"core", "cosine", "inetorgperson"} {
		line("include: file:///etc/ldap/schema/%s.ldif\n", name)
	}
	if !s.opts.NoSchema {
		line("%s", mailboxSchema)
	}
	line("dn: olcDatabase={-1}frontend,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcFrontendConfig")
	line("olcDatabase: {-1}frontend")
	line(`olcAccess: to dn.base="" by * read`)
	line(`olcAccess: to dn.base="cn=Subschema" by * read`)
	line("\ndn: olcDatabase={1}mdb,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcMdbConfig\nolcDatabase: {1}mdb")
	line("olcSuffix: %s\nolcRootDN: %s\nolcRootPW: %s", s.opts.Suffix, s.AdminDN(), s.opts.AdminPassword)
	line("olcDbDirectory: %s\nolcDbMaxSize: %d", filepath.Join(s.opts.Dir, "data"), s.opts.MaxSize)
	if !s.opts.Sync {
		line("olcDbNoSync: TRUE")
	}
	line("olcDbIndex: objectClass,entryUUID,entryCSN eq")
	if !s.opts.NoSchema {
		line("olcDbIndex: MailboxNumber eq")
	}
	for attribute, limit := range map[string]int{"olcSizeLimit": s.opts.SizeLimit, "olcTimeLimit": s.opts.TimeLimit} {
		if limit == 0 {
			line("%s: unlimited", attribute)
		} else {
			line("%s: %d", attribute, limit)
		}
	}
	for _, l := range s.opts.Limits {
		line("olcLimits: %s", l)
	}
	if s.opts.ReadOnly {
		line("olcReadOnly: TRUE")
	}
	for _, rule := range s.opts.Access {
		line("olcAccess: to %s", rule)
	}
	line("olcAccess: to attrs=userPassword by anonymous auth")
	line(`olcAccess: to dn.subtree="%s" by dn.exact="%s" write`, s.Base(), s.TrustedDN())
	line(`olcAccess: to * by users read by anonymous auth`)
	for _, e := range s.opts.Extra {
		line("%s", e)
	}
	if s.opts.Syncprov {
		line("\ndn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config\nobjectClass: olcOverlayConfig\nobjectClass: olcSyncProvConfig\nolcOverlay: {0}syncprov")
	}
	return b.String()
}

// top is the directory without any mailbox.
func (s *Slapd) top() string {
	first, _, _ := strings.Cut(s.opts.Suffix, ",")
	kind, name, _ := strings.Cut(first, "=")
	class := "organization"
	if kind == "dc" {
		class = "organization\nobjectClass: dcObject\no: " + name
	}
	return fmt.Sprintf("dn: %s\nobjectClass: %s\n%s: %s\n\n", s.opts.Suffix, class, kind, name) +
		fmt.Sprintf("dn: %s\nobjectClass: organizationalUnit\nou: mailboxes\n\n", s.Base()) +
		fmt.Sprintf("dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: trusted\nuserPassword: %s\n",
			s.TrustedDN(), s.opts.TrustedPassword)
}
