package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Directory is what the tests ask of a private LDAP server of any kind.
type Directory interface {
	Addr() string
	Base() string // the DN below which mailboxes are
	AdminDN() string
	AdminPassword() string
	TrustedDN() string // who reads and writes mailboxes
	TrustedPassword() string
	// Apply carries out changes written as LDIF as the administrator.
	Apply(ctx context.Context, ldif string) error
	// Dump returns all entries as LDIF, each value in a line of its own, whatever
	// anybody may see of them.
	Dump(ctx context.Context) (string, error)
	Restart(ctx context.Context) error
	Kill9() error
	Stop() error
}

// readLDAPAnswer connects once, asks to be nobody (an anonymous bind, RFC 4511
// section 4.2), and reads the beginning of the answer, whatever it says.
func readLDAPAnswer(ctx context.Context, addr string, useTLS bool) error {
	conn, err := knock(ctx, addr, useTLS)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	bind := []byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00}
	if _, err := conn.Write(bind); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	answer := make([]byte, 7)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer[0] != 0x30 || !bytes.Contains(answer, []byte{0x02, 0x01, 0x01, 0x61}) {
		return errors.New("read answer: that is no LDAP")
	}
	return nil
}

// apply carries out LDIF by ldapmodify, over TLS where the server speaks it or
// begins it on demand. Who the server is, the tests of the product check. Entries
// that refer to other servers are entries like others (RFC 3296).
func (s *instance) apply(ctx context.Context, startTLS bool, dn, password, ldif string) error {
	dir, err := os.MkdirTemp("", "mailmirror-ldif-")
	if err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	defer os.RemoveAll(dir)
	// -y takes every byte of the file, so none of the line's end.
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	scheme := "ldap://"
	if s.tls {
		scheme = "ldaps://"
	}
	args := []string{"-a", "-x", "-M", "-H", scheme + s.addr, "-D", dn, "-y", file}
	if startTLS {
		args = append(args, "-ZZ")
	}
	cmd := exec.CommandContext(ctx, "ldapmodify", args...)
	cmd.Env = append(os.Environ(), "LDAPTLS_REQCERT=never")
	cmd.Stdin = strings.NewReader(ldif)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ldapmodify: %w: %.500s", err, strings.TrimSpace(out.String()))
	}
	return nil
}
