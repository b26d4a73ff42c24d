package activities

import (
	"context"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/site"
)

// Keeper keeps the records of the database as long as is wanted.
type Keeper interface {
	// Retain makes room for what is going to be recorded, moves what is old to
	// the archive, and drops what is older still, by the time now. It may end
	// anywhere and be repeated at any time.
	Retain(ctx context.Context, now time.Time, keep site.Retention) (site.Retained, error)
}

// Retention is the activity that archives and drops old records.
type Retention struct {
	*shared

	keeper Keeper
	keep   site.Retention
}

// PurgeRecords archives and drops what is older than the settings say.
func (a *Retention) PurgeRecords(ctx context.Context) (site.Retained, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	stop := a.beat(beats, func() any { return nil })
	defer stop()
	ended := a.looping(ctx, background.LoopRetention)
	done, err := a.keeper.Retain(ctx, time.Now(), a.keep)
	ended(err)
	if err != nil {
		return done, pageError(ctx, err)
	}
	return done, nil
}
