package main

import (
	"context"
	"errors"
)

// The names of the tools, as flags take them and the table shows them.
const (
	toolMailmirror = "mailmirror"
	toolMbsync     = "mbsync"
	toolDsync      = "dsync"
	toolCeiling    = "ceiling"
)

// benchCase is one kind of work that every tool is measured with.
type benchCase string

// The cases, in the order in which each tool goes through them.
const (
	caseInitial   benchCase = "initial copy"
	caseUnchanged benchCase = "unchanged"
	caseChange    benchCase = "small change"
	caseMany      benchCase = "unchanged, many mailboxes"
	caseShared    benchCase = "unchanged, shared namespace"
	caseLarge     benchCase = "one large message"
)

// The cases that share a pair of servers.
var (
	mainCases   = []benchCase{caseInitial, caseUnchanged, caseChange}
	reviewCases = []benchCase{caseMany}
	sharedCases = []benchCase{caseShared}
	largeCases  = []benchCase{caseLarge}
)

// tool is one contender. A value serves one rig: prepare once, then a section
// per case, then close.
type tool interface {
	name() string
	// how says in one line how the tool is run.
	how(parallel int) string
	// available returns why the tool cannot run on this machine, or nil.
	available() error
	// usesShared tells whether the tool can look at all mailboxes through one
	// namespace.
	usesShared() bool
	// prepare does everything that an operator does once and that is not
	// measured: configuration, starting what runs all the time.
	prepare(ctx context.Context, r *rig) error
	// section returns what is to be measured for a case.
	section(ctx context.Context, r *rig, c benchCase) (section, error)
	// close ends what prepare started.
	close() error
}

// newTool makes a fresh contender.
func newTool(name string, o options) (tool, error) {
	switch name {
	case toolMailmirror:
		return &mailmirror{binaries: o.binaries}, nil
	case toolMbsync:
		return mbsync{}, nil
	case toolDsync:
		return dsync{}, nil
	case toolCeiling:
		return ceiling{}, nil
	}
	return nil, errors.New("unknown tool " + name)
}
