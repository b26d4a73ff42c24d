package dirsync

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// An extract is abandoned if no entry comes for a whole extractSilence: that is looked at
// once in each, so it takes up to two. extractGrace is how long it then has to end.
const (
	extractSilence = 5 * time.Minute
	extractGrace   = 10 * time.Second
)

var (
	errExtractHangs = fault.New(fault.Transient, "the directory's server stopped in the middle", nil, "is the server overloaded?")
	// errExtractEnded ends the staging of an extract that failed.
	errExtractEnded = errors.New("the extract ended early")
)

// Extract reads one directory completely into the database, or fails. Nothing of an
// extract that failed is kept. progress is called with the number of entries that were
// read.
func (e *Engine) Extract(ctx context.Context, job Job, of Side, progress func(entries int64)) (_ directory.Extracted, err error) {
	defer func() { err = fault.Wrap(err, "extract the "+string(of)+"'s directory") }()
	both, err := e.ports.Directories.Directories(ctx, job.Link)
	if err != nil {
		return directory.Extracted{}, err
	}
	side := both.Source
	if of == TargetSide {
		side = both.Target
	}
	session, err := side.Open(ctx)
	if err != nil {
		return directory.Extracted{}, err
	}
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var seen atomic.Int64
	go e.watch(reading, cancel, &seen)
	// A record may be large: none waits here.
	records, ended := make(chan directory.Record), make(chan struct{})
	var found directory.Extracted
	var readErr error // may be read once ended is closed
	go func() {
		defer func() { _ = session.Close() }()
		defer close(ended)
		found, readErr = session.Extract(reading, side.Digest, func(r directory.Record) error {
			progress(seen.Add(1))
			select {
			case records <- r:
				return nil
			case <-reading.Done():
				return context.Cause(reading)
			}
		})
	}()
	err = e.ports.Runs.StageDirectory(ctx, job.RunID, of, func() (directory.Record, error) {
		select {
		case r := <-records:
			return r, nil
		case <-reading.Done():
			return directory.Record{}, errExtractEnded
		case <-ended:
		}
		if readErr != nil {
			return directory.Record{}, errExtractEnded
		}
		return directory.Record{}, io.EOF
	})
	cancel(nil)
	grace, over := context.WithTimeout(context.WithoutCancel(ctx), extractGrace)
	defer over()
	select {
	case <-ended:
	case <-grace.Done():
		return directory.Extracted{}, errors.Join(err, errExtractHangs)
	}
	if err != nil && readErr != nil && (errors.Is(err, errExtractEnded) || !errors.Is(readErr, context.Canceled)) {
		err = readErr
	}
	return found, err
}

// watch ends the reading of an extract in which no entry comes any more. The adapter
// abandons a silent server sooner than this. What hangs all the same must not keep the
// run from being tried again.
func (e *Engine) watch(reading context.Context, end context.CancelCauseFunc, seen *atomic.Int64) {
	for last := int64(0); e.clock.Sleep(reading, extractSilence) == nil; {
		now := seen.Load()
		if now == last {
			end(errExtractHangs)
		}
		last = now
	}
}
