package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"mailmirror/test/bench/bare"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// rig is one tool's pair of stores: its own copy of the work as the source, an
// empty target, and a folder for what the tool keeps.
type rig struct {
	dir            string
	mailboxes      []string
	parallel       int
	source, target *servers.Dovecot
	changes        map[string]bare.Changed // the small change, once it was made
}

// newRig copies the seed's mail storage and starts both servers over it. The
// storage is copied rather than filled again, so that every tool gets the same
// files, UIDs and indexes.
func newRig(ctx context.Context, dir, seed string, mailboxes []string, parallel int) (*rig, error) {
	r := &rig{dir: dir, mailboxes: mailboxes, parallel: parallel}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	// The dovecot user must reach its folder below this one.
	if err := os.MkdirAll(r.sourceDir(), 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	cp := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", filepath.Join(seed, "mail"), r.sourceDir())
	if out, err := cp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy storage: %w: %s", err, out)
	}
	if err := r.start(ctx, false); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *rig) sourceDir() string { return filepath.Join(r.dir, "source") }
func (r *rig) targetDir() string { return filepath.Join(r.dir, "target") }
func (r *rig) toolDir() string   { return filepath.Join(r.dir, "tool") }

// start starts both servers, on the ports that they had before if any.
func (r *rig) start(ctx context.Context, shared bool) error {
	one := func(name, dir string, before *servers.Dovecot) (*servers.Dovecot, error) {
		o := servers.DovecotOptions{Dir: dir, Name: name, Mailboxes: r.mailboxes, SharedNamespace: shared}
		if before != nil {
			_, port, err := net.SplitHostPort(before.Addr())
			if err != nil {
				return nil, fmt.Errorf("parse address: %w", err)
			}
			if o.Port, err = strconv.Atoi(port); err != nil {
				return nil, fmt.Errorf("parse port: %w", err)
			}
		}
		return servers.StartDovecot(ctx, o)
	}
	source, err := one("production", r.sourceDir(), r.source)
	if err != nil {
		return err
	}
	r.source = source
	target, err := one("dr", r.targetDir(), r.target)
	if err != nil {
		return err
	}
	r.target = target
	return nil
}

// restartShared starts both servers again, same ports and same mail, with all
// mailboxes visible to the trusted user in one namespace.
func (r *rig) restartShared(ctx context.Context) error {
	if err := r.stop(); err != nil {
		return err
	}
	return r.start(ctx, true)
}

// requireEmptyTarget is an error when anybody has used the target already. It
// looks at the files: a log-in would leave traces of its own.
func (r *rig) requireEmptyTarget() error {
	entries, err := os.ReadDir(filepath.Join(r.targetDir(), "mail"))
	if err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("look at the target: %d mailboxes were there before the clock started", len(entries))
	}
	return nil
}

// lookShared asks both servers once for all mailboxes.
func (r *rig) lookShared(ctx context.Context) error {
	_, err := bare.Run(ctx, bare.Job{Kind: bare.Shared, Source: endpoint(r.source), Target: endpoint(r.target), Separator: "/"})
	return err
}

func (r *rig) stop() error {
	var errs []error
	for _, d := range []*servers.Dovecot{r.source, r.target} {
		if d != nil {
			errs = append(errs, d.Stop())
		}
	}
	return errors.Join(errs...)
}

// endpoint is how the bare protocol reaches a store.
func endpoint(d *servers.Dovecot) bare.Endpoint {
	return bare.Endpoint{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
}

// store is how the independent reader reaches it.
func store(d *servers.Dovecot) reader.Store {
	return reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
}

// differences compares both stores by the independent reader, which shares no
// code with any of the tools.
func (r *rig) differences(ctx context.Context) ([]string, error) {
	return reader.Compare(ctx, store(r.source), store(r.target), r.mailboxes, r.parallel)
}
