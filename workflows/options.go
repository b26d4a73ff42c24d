package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// heartbeatTimeout is how long a worker may be silent before its work is given
// to another: what a killed worker costs.
const heartbeatTimeout = 15 * time.Second

// storeWork is for activities that work on the message stores. They last as
// long as there is to copy, so that heartbeats alone bound them, and they are
// repeated until they succeed: the activity itself decides when a mailbox is
// parked, and what is left is trouble of our own database, which has to pass.
// Errors that time does not mend say so themselves.
func storeWork(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 7 * 24 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    time.Minute,
		},
		// A cancelled workflow ends when its work has stopped, not before.
		WaitForCancellation: true,
		Summary:             summary,
	})
}

// bookkeeping is for short steps in our own database. As local activities they
// cost no round trip to Temporal; they too are repeated until they succeed.
func bookkeeping(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    30 * time.Second,
		},
		Summary: summary,
	})
}

// purging is for the one activity of a Retention. One that does not succeed in
// an hour is left to the next day's.
func purging(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: time.Hour,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 10 * time.Second, MaximumInterval: 5 * time.Minute},
	})
}

// settling is for carrying a suspension or its end through: short steps in our
// own database and in Temporal, and a wait of seconds for the leases. It too is
// repeated until it succeeds, and as somebody waits for it a dead worker is
// noticed sooner: its heartbeats come every 3 s at least.
func settling(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 7 * 24 * time.Hour,
		HeartbeatTimeout:    5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Second,
		},
		WaitForCancellation: true,
		Summary:             summary,
	})
}

// sweeping is for the one activity of a sweep. The next sweep is a minute away,
// so that one which fails is hardly worth repeating.
func sweeping(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 3},
	})
}

// listening is for the activities that hold connections. They last until they
// are cancelled; when their worker dies, the next attempt begins after
// listenTimeout, and the intervals stay short, since nothing is heard meanwhile.
func listening(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 365 * 24 * time.Hour,
		HeartbeatTimeout:    listenTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    500 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Second,
		},
		WaitForCancellation: true,
		Summary:             summary,
	})
}

// listenTimeout is how long a worker may be silent before its share of the
// listening is given to another.
const listenTimeout = 12 * time.Second

// extracting is for reading a directory. One that cannot be read in a few tries
// ends the run, which changes nothing; the next is hours away at most.
func extracting(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    2 * time.Second,
			BackoffCoefficient: 3,
			MaximumInterval:    time.Minute,
			MaximumAttempts:    4,
		},
		WaitForCancellation: true,
		Summary:             summary,
	})
}

// applying is for a page of changes to a directory: it is tried for some minutes,
// dead workers included, before the rest is left to the next run.
func applying(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    30 * time.Second,
			MaximumAttempts:    20,
		},
		WaitForCancellation: true,
		Summary:             summary,
	})
}
