package suspension

import "context"

// Reader tells what is suspended.
type Reader interface {
	// Suspensions returns that of everything first, and one for each link.
	Suspensions(ctx context.Context) (Scopes, error)
}

// Records are the rows of the suspensions. A row that is not running, or is of another
// epoch than the request's, is left as it is, and so is that of a link that is gone: each
// method returns the row as it is then.
type Records interface {
	Reader
	// Suspend records that no write lease is given or renewed any more, with an audit
	// row of its own. It returns once no transaction that could give one is under way.
	Suspend(ctx context.Context, r Request) (Suspension, error)
	// ConfirmSuspended records that the suspension of an epoch is complete if no lease
	// of its scope may be written under any more.
	ConfirmSuspended(ctx context.Context, link string, epoch int64) (Suspension, error)
}

// Asker has MirrorControl, or the LinkControl of a link, read the rows again.
type Asker interface {
	// AskSuspend and AskResume return once the request cannot be lost, and start the
	// workflow if it does not run.
	AskSuspend(ctx context.Context, r Request) error
	AskResume(ctx context.Context, r Request) error
}
