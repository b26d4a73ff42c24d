package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailmirror/test/corpus"
	"mailmirror/test/servers"
)

// startDirectories starts both directories.
func (d *demo) startDirectories(ctx context.Context) error {
	step("Starting two OpenLDAP directories beside them")
	for _, s := range []struct {
		name string
		port int
		to   **servers.Slapd
	}{{"production", productionLDAPPort, &d.productionLDAP}, {"dr", drLDAPPort, &d.drLDAP}} {
		o := servers.SlapdOptions{Dir: filepath.Join(d.dir, s.name+"-ldap"), Port: s.port}
		slapd, err := servers.StartSlapd(ctx, o)
		if err != nil {
			return fmt.Errorf("start the %s directory on port %d: %w", s.name, s.port, err)
		}
		*s.to = slapd
	}
	return nil
}

// subscriber is the entry of a mailbox as LDIF (RFC 2849).
func (d *demo) subscriber(number string) string {
	var b strings.Builder
	line := func(name, value string) {
		fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	line("dn", "MailboxNumber="+number+","+d.productionLDAP.Base())
	line("objectClass", "umMailbox")
	line("MailboxNumber", number)
	line("Password", "pin-"+number)
	line("cn", "Subscriber "+number)
	line("sn", "Subscriber")
	line("telephoneNumber", "+1 555 "+number)
	line("ClassNo", "1")
	line("umRecordedName", string(corpus.RecordedName(number)))
	return b.String() + "\n"
}

// populate creates the mailboxes on production's directory, the first time only.
func (d *demo) populate(ctx context.Context) error {
	have, err := entries(ctx, d.productionLDAP)
	if err != nil {
		return err
	}
	var b strings.Builder
	created := 0
	for _, n := range d.numbers() {
		if _, there := have[n]; !there {
			b.WriteString(d.subscriber(n))
			created++
		}
	}
	if created == 0 {
		return nil
	}
	step("Creating %d mailboxes in production's directory, by LDAP", created)
	return d.productionLDAP.Apply(ctx, b.String())
}

// ldapFlags are those that tell a store of its directory.
func (d *demo) ldapFlags(name string, s *servers.Slapd) ([]string, error) {
	secret := filepath.Join(d.dir, name+".ldap-password")
	if err := os.WriteFile(secret, []byte(s.TrustedPassword()+"\n"), 0o600); err != nil {
		return nil, err
	}
	return []string{"--ldap", s.Addr(), "--ldap-security", "none", "--ldap-bind-dn", s.TrustedDN(), "--ldap-password-file", secret,
		"--ldap-base", s.Base(), "--ldap-object-class", "umMailbox"}, nil
}

// configureDirectories tells stores of their directories that an earlier release's
// demonstration left without.
func (d *demo) configureDirectories(ctx context.Context) error {
	for name, s := range map[string]*servers.Slapd{"production": d.productionLDAP, "dr": d.drLDAP} {
		shown, err := d.system.Capture(ctx, "store", "show", name, "-o", "json")
		if err != nil {
			return err
		}
		if strings.Contains(shown, `"ldap"`) {
			continue
		}
		flags, err := d.ldapFlags(name, s)
		if err != nil {
			return err
		}
		if err := d.system.Show(ctx, append([]string{"store", "edit", name}, flags...)...); err != nil {
			return err
		}
	}
	return nil
}

// newSubscriber has an administrator create a mailbox on production, and a
// caller leave messages there, and shows both on DR.
func (d *demo) newSubscriber(ctx context.Context) error {
	have, err := entries(ctx, d.productionLDAP)
	if err != nil {
		return err
	}
	last := firstNumber + d.mailboxes - 1
	for n := range have {
		if i, err := strconv.Atoi(n); err == nil {
			last = max(last, i)
		}
	}
	number := strconv.Itoa(last + 1)
	step("A new subscriber: mailbox %s is created on production, and called", number)
	if err := d.productionLDAP.Apply(ctx, d.subscriber(number)); err != nil {
		return err
	}
	if err := corpus.Fill(ctx, access(d.production), []string{number}, corpus.Options{Seed: 7, Messages: 3, Greetings: 1, MaxSize: 60 << 10}, 1, nil); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"directory", "sync", link, "--wait"}, {"directory", "show", link, number}, {"sync", link, number, "--wait"},
	} {
		if err := d.mayWait(d.system.Show(ctx, args...)); err != nil {
			return err
		}
	}
	copied, err := access(d.dr).Read(ctx, number)
	if err != nil {
		return err
	}
	onDR, err := entries(ctx, d.drLDAP)
	if err != nil {
		return err
	}
	if !strings.Contains(onDR[number], base64.StdEncoding.EncodeToString(corpus.RecordedName(number))) || copied["INBOX"].Count() == 0 {
		return errors.New("the new subscriber is not on DR as it is on production")
	}
	fmt.Printf("  mailbox %s is on DR with password, recorded name and %d messages\n", number, copied["INBOX"].Count())
	d.extra = append(d.extra, number)
	return nil
}

// proveDirectories compares the servers' own dumps.
func (d *demo) proveDirectories(ctx context.Context) error {
	source, err := entries(ctx, d.productionLDAP)
	if err != nil {
		return err
	}
	target, err := entries(ctx, d.drLDAP)
	if err != nil {
		return err
	}
	if !maps.Equal(source, target) && d.waits {
		fmt.Println("  the dumps of both directories differ: see below what waits since an earlier run")
		return nil
	}
	if !maps.Equal(source, target) {
		return errors.New("the dumps of both directories differ")
	}
	fmt.Printf("  the dumps of both directories agree: %d mailboxes, every attribute\n", len(source))
	return nil
}

// entries reads the mailboxes of a directory from its own dump, by number,
// without what the server notes of them by itself.
func entries(ctx context.Context, s *servers.Slapd) (map[string]string, error) {
	dump, err := s.Dump(ctx)
	if err != nil {
		return nil, err
	}
	own := []string{"structuralObjectClass", "entryUUID", "creatorsName", "createTimestamp", "entryCSN", "modifiersName", "modifyTimestamp"}
	all := map[string]string{}
	for record := range strings.SplitSeq(dump, "\n\n") {
		var kept []string
		number := ""
		for line := range strings.Lines(record) {
			line = strings.TrimRight(line, "\n")
			name, value, _ := strings.Cut(line, ": ")
			if name == "MailboxNumber" {
				number = value
			}
			if !slices.Contains(own, name) {
				kept = append(kept, line)
			}
		}
		if number != "" {
			slices.Sort(kept)
			all[number] = strings.Join(kept, "\n")
		}
	}
	return all, nil
}
