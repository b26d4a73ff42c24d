package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// dsync is Dovecot's own tool. It reads the source by IMAP and writes the
// target's files directly, without the target's IMAP server: a way that is
// open only to a Dovecot target, on the target's own machine.
type dsync struct{}

func (dsync) name() string { return toolDsync }

func (dsync) how(parallel int) string {
	return fmt.Sprintf("%d processes of `doveadm backup -R` over imapc, each with its share of the mailboxes; writes the target's storage directly, not by IMAP", parallel)
}

func (dsync) available() error {
	_, err := exec.LookPath("doveadm")
	return err
}

func (dsync) usesShared() bool { return false }

// prepare writes a configuration that is the target's own plus the access to
// the source, and the lists of mailboxes.
func (dsync) prepare(_ context.Context, r *rig) error {
	if err := os.MkdirAll(r.toolDir(), 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	host, port, err := net.SplitHostPort(r.source.Addr())
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	conf := fmt.Sprintf("!include %s\nimapc_host = %s\nimapc_port = %s\nimapc_user = %%u\nimapc_master_user = %s\nimapc_password = %s\n"+
		"imapc_features = rfc822.size fetch-headers\nmail_prefetch_count = 20\n",
		r.target.ConfigPath(), host, port, r.source.TrustedName(), r.source.TrustedPassword())
	if err := os.WriteFile(dsyncConfig(r), []byte(conf), 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	for i, share := range shares(r.mailboxes, r.parallel) {
		if err := os.WriteFile(dsyncUsers(r, i), []byte(strings.Join(share, "\n")+"\n"), 0o644); err != nil {
			return fmt.Errorf("write list of mailboxes: %w", err)
		}
	}
	return nil
}

func dsyncConfig(r *rig) string { return filepath.Join(r.toolDir(), "dsync.conf") }

func dsyncUsers(r *rig, i int) string {
	return filepath.Join(r.toolDir(), fmt.Sprintf("mailboxes.%d", i))
}

func (dsync) section(ctx context.Context, r *rig, _ benchCase) (section, error) {
	s := section{rig: r}
	for i := range shares(r.mailboxes, r.parallel) {
		s.commands = append(s.commands, exec.CommandContext(ctx, "doveadm", "-c", dsyncConfig(r),
			"backup", "-R", "-F", dsyncUsers(r, i), "imapc:"))
	}
	return s, nil
}

func (dsync) close() error { return nil }
