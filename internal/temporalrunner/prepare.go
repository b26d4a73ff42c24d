package temporalrunner

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
	"mailmirror/workflows"
)

// Prepare makes a Temporal namespace fit for the workflows: it adds the search
// attributes that are missing and returns when workflows can be started with
// them, which takes a moment where they are new. It may be called at every
// start.
//
// Where the namespace lets clients add none (Temporal Cloud), an operator adds
// them by hand, and Prepare only looks whether they are there.
func (r *Runner) Prepare(ctx context.Context) error {
	missing, err := r.missingAttributes(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	_, err = r.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: r.opts.Namespace, SearchAttributes: missing,
	})
	switch {
	case is[*serviceerror.PermissionDenied](err), is[*serviceerror.Unimplemented](err):
		return fault.New(fault.Config, "add search attributes to Temporal", err,
			"add MailmirrorLink, MailmirrorMailbox and MailmirrorPhase, of type Keyword, to the namespace")
	case is[*serviceerror.AlreadyExists](err): // another worker was faster
	case err != nil:
		return classify("add search attributes to Temporal", err)
	}
	return r.awaitAttributes(ctx)
}

func (r *Runner) missingAttributes(ctx context.Context) (map[string]enums.IndexedValueType, error) {
	missing := map[string]enums.IndexedValueType{}
	for _, key := range []string{workflows.LinkAttribute.GetName(), workflows.MailboxAttribute.GetName(), workflows.PhaseAttribute.GetName()} {
		missing[key] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	answer, err := r.client.GetSearchAttributes(ctx)
	if err != nil {
		return nil, classify("read search attributes of Temporal", err)
	}
	for key, kind := range answer.GetKeys() {
		if wanted, ours := missing[key]; ours && kind != wanted {
			return nil, fault.Newf(fault.Config, "search attribute %s of Temporal is of type %s, it must be %s", key, kind, wanted)
		}
		delete(missing, key)
	}
	return missing, nil
}

// awaitAttributes waits until workflows may carry the attributes: the services
// of Temporal learn of new ones one after the other. A query for workflows of
// no link goes through the same checks as a start and does nothing.
func (r *Runner) awaitAttributes(ctx context.Context) error {
	for {
		err := r.probe(ctx)
		if is[*serviceerror.InvalidArgument](err) {
			if sleep.For(ctx, 100*time.Millisecond) {
				continue
			}
			err = ctx.Err()
		}
		return classify("await search attributes of Temporal", err)
	}
}

// probe asks for the workflows of no link by all three attributes.
func (r *Runner) probe(ctx context.Context) error {
	_, err := r.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: r.opts.Namespace,
		Query:     workflows.LinkAttribute.GetName() + " = '' AND " + workflows.MailboxAttribute.GetName() + " = '' AND " + workflows.PhaseAttribute.GetName() + " = ''",
	})
	return err
}
