package main

import (
	"context"

	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
	"mailmirror/workflows"
)

// checkScenarios are the ways through a CheckStore and a Verify.
var checkScenarios = []scenario{
	{"check-store", func(ctx context.Context, r *rig) (string, error) {
		r.checks.OnCheck = func(context.Context, string, mailbox.Number) (verdict.Store, error) {
			return verdict.Store{Server: "Dovecot"}, fault.New(fault.Config, "log in: rejected", nil, "enter the password again")
		}
		start, err := r.StartCheck(ctx, r.link, "1000")
		if err != nil {
			return "", err
		}
		return workflows.CheckID(r.link), r.WaitRun(ctx, site.Run{Kind: site.RunCheck, Of: r.link, ID: start.RunID})
	}, completed},
	{"verify", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(5)...)
		return r.verified(ctx, verdict.VerifyRequest{Link: r.link, Deep: true})
	}, completed},
	{"verify-named", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(5)...)
		r.checks.OnVerify = func(context.Context, copier.Job) ([]copier.FolderVerdict, error) {
			return nil, fault.Newf(fault.Permanent, "open mailbox: no such mailbox")
		}
		return r.verified(ctx, verdict.VerifyRequest{Link: r.link, Numbers: activitytest.Numbers(3)})
	}, completed},
	{"verify-continued", func(ctx context.Context, r *rig) (string, error) {
		// As a run starts that another one carried over to.
		r.world.Add(r.link, activitytest.Numbers(5)...)
		id := workflows.VerifyID(r.link)
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeVerify,
			workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: r.link}, PageSize: 2, Begun: true, After: "1001"})
		if err != nil {
			return "", err
		}
		_ = r.checks.BeginVerify(ctx, verdict.VerifyRun{RunID: run.GetRunID(), Verification: verdict.Verification{Link: r.link}}) // by the run before
		return id, run.Get(ctx, nil)
	}, completed},
	{"verify-stopped", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(5)...)
		r.checks.OnVerify = func(ctx context.Context, _ copier.Job) ([]copier.FolderVerdict, error) {
			r.entered <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start, err := r.StartVerify(ctx, verdict.VerifyRequest{Link: r.link})
		if err != nil {
			return "", err
		}
		<-r.entered
		if err := r.StopVerify(ctx, r.link); err != nil {
			return "", err
		}
		_ = r.WaitRun(ctx, site.Run{Kind: site.RunVerify, Of: r.link, ID: start.RunID}) // cancelled
		return workflows.VerifyID(r.link), nil
	}, cancelled},
}

func (r *rig) verified(ctx context.Context, request verdict.VerifyRequest) (string, error) {
	start, err := r.StartVerify(ctx, request)
	if err != nil {
		return "", err
	}
	return workflows.VerifyID(r.link), r.WaitRun(ctx, site.Run{Kind: site.RunVerify, Of: r.link, ID: start.RunID})
}
