package pgstore

import (
	"context"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// Background implements control.Records.
func (s *Store) Background(ctx context.Context) (background.State, error) {
	const op = "read how the background work does"
	rows, err := s.q.ListBackground(ctx)
	if err != nil {
		return background.State{}, classify(op, err)
	}
	b := background.State{Signs: make([]background.Sign, len(rows))}
	for i, row := range rows {
		b.Now = row.Now
		b.Signs[i] = background.Sign{
			Loop: background.Loop(row.Loop), Item: row.Item, Link: row.Link, Worker: row.Worker,
			StartedAt: orZero(row.StartedAt), OKAt: orZero(row.OkAt), FailedAt: orZero(row.FailedAt),
			ErrorKind: row.ErrorKind, Error: row.Error, Hint: row.Hint, DueAt: orZero(row.DueAt),
			Restarts: int(row.Restarts), RestartedAt: orZero(row.RestartedAt),
		}
	}
	if len(rows) == 0 {
		b.Now = time.Now() // no row tells, and nothing is compared with it
	}
	return b, nil
}

// BeginLoop implements activities.Signs and supervise.Records.
func (s *Store) BeginLoop(ctx context.Context, sign background.Sign) error {
	return classify("record that "+string(sign.Loop)+" begins", s.q.BeginBackground(ctx, sqlcgen.BeginBackgroundParams{
		Loop: string(sign.Loop), Item: sign.Item, Link: sign.Link, Worker: plain(sign.Worker),
	}))
}

// EndLoop implements activities.Signs and supervise.Records.
func (s *Store) EndLoop(ctx context.Context, sign background.Sign) error {
	return classify("record how "+string(sign.Loop)+" ended", s.q.EndBackground(ctx, sqlcgen.EndBackgroundParams{
		Loop: string(sign.Loop), Item: sign.Item, Link: sign.Link, Worker: plain(sign.Worker), Ok: sign.Error == "",
		ErrorKind: sign.ErrorKind, Error: plain(sign.Error), Hint: plain(sign.Hint),
	}))
}

// ClaimSupervision implements supervise.Records.
func (s *Store) ClaimSupervision(ctx context.Context, worker string, every time.Duration) (bool, error) {
	n, err := s.q.ClaimSupervision(ctx, sqlcgen.ClaimSupervisionParams{
		Loop: string(background.LoopSupervision), Worker: plain(worker), Every: every, Own: strs(background.OwnLoops()),
	})
	return n > 0, classify("record that a worker lives", err)
}

// NoteRestart counts that a loop had ended and was started again.
func (s *Store) NoteRestart(ctx context.Context, sign background.Sign) error {
	return classify("record the restart of "+string(sign.Loop), s.q.NoteRestart(ctx, sqlcgen.NoteRestartParams{
		Loop: string(sign.Loop), Item: sign.Item, Link: sign.Link,
	}))
}

// NoteSchedule implements supervise.Records.
func (s *Store) NoteSchedule(ctx context.Context, info site.ScheduleInfo, due time.Time) error {
	return classify("record schedule "+info.Name, s.q.NoteSchedule(ctx, sqlcgen.NoteScheduleParams{
		Loop: string(background.LoopSchedule), Item: info.Name, Link: info.Link,
		StartedAt: orNull(info.LastRun), DueAt: orNull(due), Spec: info.When,
	}))
}
