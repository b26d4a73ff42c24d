package servers

import (
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeConfig makes dse.ldif and the schema from the package's templates.
func (d *DS389) writeConfig(port int) error {
	share := filepath.Join(d.root, "usr/share/dirsrv")
	template, err := os.ReadFile(filepath.Join(share, "data/template-dse.ldif"))
	if err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	backend, err := os.ReadFile(filepath.Join(share, "data/template-suffix-db.ldif"))
	if err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	password, err := hashed(d.opts.AdminPassword)
	if err != nil {
		return err
	}
	fill := strings.NewReplacer(
		"%schema_dir%", d.path("config/schema"), "%lock_dir%", d.path("lock"), "%tmp_dir%", d.path("tmp"),
		"%cert_dir%", d.path("config"), "%config_dir%", d.path("config"), "%ldif_dir%", d.path("ldif"), "%bak_dir%", d.path("bak"),
		"%run_dir%", d.path("run"), "%inst_dir%", d.path("inst"), "%log_dir%", d.path("log"), "%fqdn%", "localhost",
		"%ds_port%", fmt.Sprint(port), "%ds_user%", d.account.name, "%rootdn%", d.AdminDN(), "%ds_passwd%", password,
		"%ldapi_enabled%", "off", "%ldapi%", d.path("run/ldapi"), "%ldapi_autobind%", "off", "%ds_suffix%", ds389Suffix,
		"%db_dir%", d.path("db"), "%db_home_dir%", d.path("db"), "%db_lib%", "bdb", "%ds_bename%", "mailboxes")
	var entries []string
	for entry := range strings.SplitSeq(fill.Replace(string(template)+"\n\n"+string(backend)), "\n\n") {
		if entry = d.adapt(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	// An upgrade at the start would make this one, of the package's own folder.
	entries = append(entries, "dn: cn=entryuuid,cn=plugins,cn=config\nobjectclass: top\nobjectclass: nsSlapdPlugin\ncn: entryuuid\n"+
		"nsslapd-pluginpath: "+d.libs+"/dirsrv/plugins/libentryuuid-plugin\nnsslapd-plugininitfunc: entryuuid_plugin_init\n"+
		"nsslapd-plugintype: betxnpreoperation\nnsslapd-pluginenabled: off\nnsslapd-pluginId: entryuuid\nnsslapd-pluginVersion: none\n"+
		"nsslapd-pluginVendor: 389 Project\nnsslapd-pluginDescription: entryuuid")
	if err := d.account.writeFile(d.path("config/dse.ldif"), []byte(strings.Join(entries, "\n\n")+"\n")); err != nil {
		return err
	}
	return d.writeSchema(share)
}

// adapt changes one entry of the templates; the server takes exactly one empty
// line between two.
func (d *DS389) adapt(entry string) string {
	var lines []string
	for line := range strings.Lines(entry) {
		line = strings.TrimRight(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case strings.EqualFold(name, "nsslapd-pluginPath"):
			line = name + ": " + filepath.Join(d.libs, "dirsrv/plugins", value)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	limit := "-1"
	if d.opts.SizeLimit > 0 {
		limit = fmt.Sprint(d.opts.SizeLimit)
	}
	switch lines[0] {
	case "dn: cn=config":
		lines = append(lines, "nsslapd-listenhost: 127.0.0.1", "nsslapd-sizelimit: "+limit, "nsslapd-pagedsizelimit: "+limit,
			"nsslapd-accesslog-logging-enabled: off", "nsslapd-syntaxcheck: on", "nsslapd-minssf: 0")
		if d.opts.MaxRequest > 0 {
			lines = append(lines, fmt.Sprintf("nsslapd-maxbersize: %d", d.opts.MaxRequest))
		}
	case "dn: cn=config,cn=ldbm database,cn=plugins,cn=config":
		lines = append(lines, "nsslapd-lookthroughlimit: -1", "nsslapd-idlistscanlimit: 2147483646", "nsslapd-cache-autosize: 0",
			"nsslapd-import-cache-autosize: 0", "nsslapd-import-cachesize: 33554432")
	case "dn: cn=mailboxes,cn=ldbm database,cn=plugins,cn=config":
		if d.opts.ReadOnly {
			lines = append(lines, "nsslapd-readonly: on")
		}
	}
	return strings.Join(lines, "\n")
}

func (d *DS389) writeSchema(share string) error {
	files, _ := filepath.Glob(filepath.Join(share, "schema/*.ldif")) // the pattern is valid
	files = append(files, filepath.Join(d.root, "etc/dirsrv/schema/99user.ldif"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("read schema: %w", err)
		}
		if err := d.account.writeFile(d.path("config/schema/"+filepath.Base(f)), b); err != nil {
			return err
		}
	}
	for _, name := range []string{"slapd-collations.conf", "certmap.conf"} {
		b, err := os.ReadFile(filepath.Join(d.root, "etc/dirsrv/config", name))
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		if err := d.account.writeFile(d.path("config/"+name), b); err != nil {
			return err
		}
	}
	if d.opts.NoSchema {
		return nil
	}
	var own strings.Builder
	own.WriteString("dn: cn=schema\n")
	rename := strings.NewReplacer("olcAttributeTypes:", "attributeTypes:", "olcObjectClasses:", "objectClasses:")
	for line := range strings.Lines(mailboxSchema) {
		switch {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "dn:"), strings.HasPrefix(line, "cn:"), strings.HasPrefix(line, "objectClass:"):
		default:
			own.WriteString(rename.Replace(line))
		}
	}
	return d.account.writeFile(d.path("config/schema/98mailbox.ldif"), []byte(own.String()))
}

// top is the directory without any mailbox.
func (d *DS389) top() string {
	var top strings.Builder
	top.WriteString("dn: " + ds389Suffix + "\nobjectClass: domain\ndc: example\n")
	for _, rule := range append([]string{fmt.Sprintf(`(targetattr="*")(version 3.0; acl "trusted"; allow (all) userdn="ldap:///%s";)`, d.TrustedDN())}, d.opts.Access...) {
		top.WriteString("aci: " + rule + "\n")
	}
	return top.String() + "\ndn: " + d.Base() + "\nobjectClass: organizationalUnit\nou: mailboxes\n\n" +
		"dn: " + d.TrustedDN() + "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: trusted\nuserPassword: " + d.opts.TrustedPassword + "\n\n"
}

// hashed is a password as the server wants it in its configuration.
func hashed(password string) (string, error) {
	salt := make([]byte, 8)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}
	sum := sha512.Sum512(append([]byte(password), salt...))
	return "{SSHA512}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...)), nil
}
