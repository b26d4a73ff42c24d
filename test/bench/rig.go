package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

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
	reuse          bool // see options
	source, target *servers.Dovecot
	changes        map[string]bare.Changed // the small change, once it was made
}

// newRig copies the seed's mail storage and starts both servers over it. The
// storage is copied rather than filled again, so that every tool gets the same
// files, UIDs and indexes.
func newRig(ctx context.Context, dir string, st *stage, o options) (*rig, error) {
	r := &rig{dir: dir, mailboxes: st.numbers, parallel: o.parallel, reuse: o.reuse}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	// The dovecot user must reach its folder below this one.
	if err := os.MkdirAll(r.sourceDir(), 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	cp := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", filepath.Join(st.seed, "mail"), r.sourceDir())
	if out, err := cp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy storage: %w: %s", err, out)
	}
	if err := r.start(ctx, st.shared); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *rig) sourceDir() string { return filepath.Join(r.dir, "source") }
func (r *rig) targetDir() string { return filepath.Join(r.dir, "target") }
func (r *rig) toolDir() string   { return filepath.Join(r.dir, "tool") }

// start starts both servers.
func (r *rig) start(ctx context.Context, shared bool) (err error) {
	one := func(name, dir string) (*servers.Dovecot, error) {
		return servers.StartDovecot(ctx, servers.DovecotOptions{
			Dir: dir, Name: name, Mailboxes: r.mailboxes, SharedNamespace: shared, ReuseProcesses: r.reuse, Sync: true,
		})
	}
	if r.source, err = one("production", r.sourceDir()); err != nil {
		return err
	}
	r.target, err = one("dr", r.targetDir())
	return err
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
