package temporalrunner

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
)

// Failed is told of an activity that failed, by its name and the kind of the
// error: a fault kind, or "unknown". It may be called from many goroutines.
type Failed func(activity, kind string)

// failureCounter tells of activities that fail. What hands its work on, puts it
// off, is cancelled or finds another at work has not failed.
type failureCounter struct {
	interceptor.WorkerInterceptorBase

	failed Failed
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (f *failureCounter) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &failureInbound{failed: f.failed}
	i.Next = next
	return i
}

type failureInbound struct {
	interceptor.ActivityInboundInterceptorBase

	failed Failed
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (i *failureInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	result, err := i.Next.ExecuteActivity(ctx, in)
	if kind := failureKind(err); kind != "" && ctx.Err() == nil {
		i.failed(activity.GetInfo(ctx).ActivityType.Name, kind)
	}
	return result, err
}

// failureKind is the kind of an activity's error, "" where it is no failure.
func failureKind(err error) string {
	if err == nil || temporal.IsCanceledError(err) || errors.Is(err, activity.ErrResultPending) {
		return ""
	}
	applied, ok := errors.AsType[*temporal.ApplicationError](err)
	switch {
	case !ok:
		return "unknown"
	case applied.Category() == temporal.ApplicationErrorCategoryBenign:
		return ""
	}
	return applied.Type()
}
