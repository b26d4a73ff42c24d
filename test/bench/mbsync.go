package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mailmirror/test/servers"
)

// mbsync is Debian's isync, IMAP to IMAP. It works on one mailbox at a time,
// so several processes share the mailboxes.
type mbsync struct{}

func (mbsync) name() string { return toolMbsync }

func (mbsync) how(parallel int) string {
	return fmt.Sprintf("%d processes, each with its share of the mailboxes; Sync Pull, Create, Remove and Expunge on the target, CopyArrivalDate", parallel)
}

func (mbsync) available() error {
	_, err := exec.LookPath("mbsync")
	return err
}

func (mbsync) usesShared() bool { return false }

func (mbsync) prepare(_ context.Context, r *rig) error {
	if err := os.MkdirAll(filepath.Join(r.toolDir(), "state"), 0o700); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Create Near\nRemove Near\nExpunge Near\nSync Pull\nCopyArrivalDate yes\nSyncState %s/state/\n\n", r.toolDir())
	for _, n := range r.mailboxes {
		for side, d := range map[string]*servers.Dovecot{"source": r.source, "target": r.target} {
			host, port, err := net.SplitHostPort(d.Addr())
			if err != nil {
				return fmt.Errorf("parse address: %w", err)
			}
			fmt.Fprintf(&b, "IMAPAccount %s-%s\nHost %s\nPort %s\nUser %s*%s\nPass %s\nSSLType None\nAuthMechs LOGIN\n\n",
				side, n, host, port, n, d.TrustedName(), d.TrustedPassword())
			fmt.Fprintf(&b, "IMAPStore %s-%s\nAccount %s-%s\n\n", side, n, side, n)
		}
		fmt.Fprintf(&b, "Channel %s\nFar :source-%s:\nNear :target-%s:\nPatterns *\n\n", n, n, n)
	}
	if err := os.WriteFile(mbsyncConfig(r), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func mbsyncConfig(r *rig) string { return filepath.Join(r.toolDir(), "mbsyncrc") }

func (mbsync) section(ctx context.Context, r *rig, _ benchCase) (section, error) {
	s := section{rig: r}
	for _, share := range shares(r.mailboxes, r.parallel) {
		args := append([]string{"-q", "-c", mbsyncConfig(r)}, share...)
		s.commands = append(s.commands, exec.CommandContext(ctx, "mbsync", args...))
	}
	return s, nil
}

func (mbsync) close() error { return nil }

// shares deals the mailboxes out to n processes.
func shares(mailboxes []string, n int) [][]string {
	out := make([][]string, min(n, len(mailboxes)))
	for i, m := range mailboxes {
		out[i%len(out)] = append(out[i%len(out)], m)
	}
	return out
}
