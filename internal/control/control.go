package control

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// Sealer encrypts secrets for keeping them in the database.
type Sealer interface {
	// Seal binds the ciphertext to identity: it opens under no other.
	Seal(plaintext seal.Secret, identity string) ([]byte, error)
}

// Checker looks at a message store as it is now.
type Checker interface {
	// CheckStore connects, logs in as the trusted server, acting for number
	// where that is not empty, and tells what it found. Each usual mistake of
	// an operator is a Config fault with a sentence of its own.
	CheckStore(ctx context.Context, s site.Store, number mailbox.Number) (StoreReport, error)
}

// Resolver finds the addresses of hosts.
type Resolver interface {
	// Resolve returns every address of a host, in any order.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

// Verifier compares the stores themselves, never the ledger.
type Verifier interface {
	// Verify looks at every given mailbox and calls each once for each of
	// them, from one goroutine at a time, in any order. A mailbox that could
	// not be read is a result with Error set, and the others go on; an error is
	// returned where nothing could go on.
	Verify(ctx context.Context, r VerifyRequest, each func(VerifyResult)) error
}

// Ports are what a Control works over.
type Ports struct {
	Repository Repository
	Runner     Runner
	Checker    Checker
	Verifier   Verifier
	Sealer     Sealer
	// Resolver, where not nil, finds the addresses of stores.
	Resolver Resolver
	// Records, Directories and DirectoryChecker are for what is mirrored of
	// directories.
	Records          DirectoryRepository
	Directories      dirsync.Directories
	DirectoryChecker DirectoryChecker
}

// Options are the settings that Control needs for telling what comes next, and
// the clock. Zero values mean the defaults of the configuration, and time.Now.
type Options struct {
	SweepInterval time.Duration
	Now           func() time.Time
}

// Control carries out what an operator asks for. It is safe for concurrent use.
type Control struct {
	repo     Repository
	runner   Runner
	checker  Checker
	verifier Verifier
	sealer   Sealer
	resolver Resolver
	options  Options

	records          DirectoryRepository
	directories      dirsync.Directories
	directoryChecker DirectoryChecker
}

// New returns a Control over the given ports.
func New(p Ports, o Options) *Control {
	o.SweepInterval = cmp.Or(o.SweepInterval, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Control{
		repo: p.Repository, runner: p.Runner, checker: p.Checker,
		verifier: p.Verifier, sealer: p.Sealer, resolver: p.Resolver, options: o,
		records: p.Records, directories: p.Directories, directoryChecker: p.DirectoryChecker,
	}
}
