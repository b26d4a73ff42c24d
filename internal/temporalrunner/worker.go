package temporalrunner

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"mailmirror/activities"
	"mailmirror/workflows"
)

const (
	// cancelDelay bounds how long an activity that sends heartbeats all the time
	// goes without asking Temporal whether it is cancelled. By default that
	// would be four fifths of the heartbeat timeout.
	cancelDelay = 3 * time.Second
	// activitySlots bounds the activities of a worker, most of which wait for
	// their turn at the gate: a few pages of a compare have to find a place
	// beside the syncs that a sweep starts.
	activitySlots = 200
)

// NewWorker returns a worker for everything that a Runner of these options
// starts. onFatal is called when the worker cannot go on.
//
// failed, unless nil, is told of every attempt at an activity that fails.
func NewWorker(c client.Client, opts Options, a *activities.Activities, failed Failed, onFatal func(error)) worker.Worker {
	opts = opts.withDefaults()
	var interceptors []interceptor.WorkerInterceptor
	if failed != nil {
		interceptors = append(interceptors, &failureCounter{failed: failed})
	}
	w := worker.New(c, opts.TaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: activitySlots,
		WorkerStopTimeout:                  opts.Grace,
		MaxHeartbeatThrottleInterval:       cancelDelay,
		OnFatalError:                       onFatal,
		Interceptors:                       interceptors,
	})
	workflows.Register(w)
	activities.Register(w, a)
	return w
}
