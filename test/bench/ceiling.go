package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"mailmirror/test/bench/bare"
)

// bareCommand is the hidden first argument that makes this program do bare
// protocol work, so that the ceiling is a process of its own and measured like
// the others.
const bareCommand = "bare-protocol"

// ceiling runs the bare protocol.
type ceiling struct{}

func (ceiling) name() string { return toolCeiling }

func (ceiling) how(parallel int) string {
	return fmt.Sprintf("one process, %d mailboxes at a time; FETCH streamed into pipelined LITERAL+ APPENDs; no state, so a small change is told to it", parallel)
}

func (ceiling) available() error { return nil }

func (ceiling) usesShared() bool { return true }

func (ceiling) prepare(context.Context, *rig) error { return nil }

func (ceiling) close() error { return nil }

func (ceiling) section(ctx context.Context, r *rig, c benchCase) (section, error) {
	self, err := os.Executable()
	if err != nil {
		return section{}, fmt.Errorf("find own program: %w", err)
	}
	job := bare.Job{
		Source: endpoint(r.source), Target: endpoint(r.target),
		Mailboxes: r.mailboxes, Parallel: r.parallel, Separator: "/",
	}
	switch c {
	case caseInitial, caseLarge:
		job.Kind = bare.Copy
	case caseUnchanged, caseMany:
		job.Kind = bare.Status
	case caseChange:
		job.Kind, job.Changes = bare.Change, r.changes
	case caseShared:
		job.Kind = bare.Shared
	}
	input, err := json.Marshal(job)
	if err != nil {
		return section{}, fmt.Errorf("encode job: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, bareCommand)
	cmd.Stdin = bytes.NewReader(input)
	return section{rig: r, commands: []*exec.Cmd{cmd}}, nil
}
