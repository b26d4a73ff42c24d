package control

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/suspension"
)

// Sealer encrypts secrets for keeping them in the database.
type Sealer interface {
	// Seal binds the ciphertext to identity: it opens under no other.
	Seal(plaintext seal.Secret, identity string) ([]byte, error)
}

// Resolver finds the addresses of hosts.
type Resolver interface {
	// Resolve returns every address of a host, in any order.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

// Ports are what a Control works over.
type Ports struct {
	Stores     Stores
	Links      Links
	Mailboxes  Mailboxes
	Records    Records
	Guard      Guard
	Suspension suspension.Records
	Schedules  ScheduleRecords
	Audit      AuditLog
	Checks     CheckRecords

	Runner          Runner
	Scheduler       ScheduleRunner
	Suspender       suspension.Asker
	DirectoryRunner DirectoryRunner
	CheckRunner     CheckRunner

	Sealer Sealer
	// Resolver, where not nil, finds the addresses of stores.
	Resolver Resolver
	// What is mirrored of directories; nil where nothing is.
	DirectoryConfig DirectoryConfig
	DirectoryRuns   DirectoryRuns
	DirectoryHolds  DirectoryHolds
	Directories     dirsync.Directories
}

// Options are the settings that Control needs for telling what comes next, and
// the clock. Zero values mean the defaults of the configuration, and time.Now.
type Options struct {
	SweepInterval time.Duration
	Now           func() time.Time
	// Outdated is not nil if the database's schema is of an earlier release. It rejects
	// what changes something, but for Suspend and Resume: they and what only reads work
	// if the schema has what they need. See Explain for what does not.
	Outdated error
}

// Control carries out what an actor asks for: see As. It is safe for concurrent use.
type Control struct {
	ports   Ports
	options Options
	actor   audit.Actor
}

// New returns a Control over the given ports.
func New(p Ports, o Options) *Control {
	o.SweepInterval = cmp.Or(o.SweepInterval, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Control{ports: p, options: o}
}

// Explain returns the error of a method as an operator is to see it. If the database
// lacks what the method needs, and its schema is of an earlier release, that is the reason.
func (c *Control) Explain(err error) error {
	outdated, ok := errors.AsType[*fault.Error](c.options.Outdated)
	if !ok || !fault.Is(err, fault.Config) || !errors.Is(err, fault.ErrDatabase) {
		return err
	}
	hint := outdated.Hint
	if fault.HintOf(err) == outdatedHint {
		hint = outdatedHint
	}
	return fault.New(outdated.Kind, outdated.Error(), err, hint)
}
