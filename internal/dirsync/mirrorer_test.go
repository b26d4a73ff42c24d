package dirsync_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// mirrorer runs over two directories, step by step.
type mirrorer struct {
	t      *testing.T
	runs   *dirsynctest.Runs
	engine *dirsync.Engine
	n      int
	job    dirsync.Job
}

// newMirrorer is one over directories in memory.
func newMirrorer(t *testing.T) *mirrorer { return newMirrorerOf(t, nil, nil, slog.DiscardHandler) }

// newMirrorerOf is one of which some directories are real ones; nil is one in memory.
func newMirrorerOf(t *testing.T, source, target *dirsync.Directory, log slog.Handler) *mirrorer {
	t.Helper()
	m := &mirrorer{t: t, runs: dirsynctest.NewRuns()}
	m.runs.Settings.RemoveShare, m.runs.Settings.ChangeShare, m.runs.Settings.ShrinkShare = 0, 0, 0
	ports := m.runs.Ports()
	ports.Directories = onServers{m.runs, source, target}
	m.engine = dirsync.NewEngine(ports, sleep.Clock{}, lease.Times{TTL: time.Minute, Fence: time.Millisecond}, slog.New(log))
	return m
}

// onServers are two directories, of which those that are set are real.
type onServers struct {
	*dirsynctest.Runs
	source, target *dirsync.Directory
}

// Directories implements dirsync.Directories.
func (d onServers) Directories(ctx context.Context, link string) (dirsync.LinkDirectories, error) {
	both, err := d.Runs.Directories(ctx, link)
	if d.source != nil {
		both.Source = *d.source
	}
	if d.target != nil {
		both.Target = *d.target
	}
	return both, err
}

func must[T any](m *mirrorer) func(T, error) T {
	return func(result T, err error) T {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
		return result
	}
}

// begin begins a run.
func (m *mirrorer) begin(trigger string) {
	m.t.Helper()
	m.n++
	m.job = dirsync.Job{RunID: fmt.Sprint("run ", m.n), Link: "dr", Trigger: trigger}
	if err := m.engine.Begin(m.t.Context(), m.job); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mirrorer) extract(side dirsync.Side) (directory.Extracted, error) {
	return m.engine.Extract(m.t.Context(), m.job, side, func(int64) {})
}

// compare begins a run, up to its plan.
func (m *mirrorer) compare(trigger string) dirsync.Plan {
	m.t.Helper()
	m.begin(trigger)
	source, target := must[directory.Extracted](m)(m.extract(dirsync.SourceSide)), must[directory.Extracted](m)(m.extract(dirsync.TargetSide))
	return must[dirsync.Plan](m)(m.engine.Compare(m.t.Context(), m.job, source, target, 1))
}

func (m *mirrorer) apply(limit int) (dirsync.Applied, error) {
	return m.engine.Apply(m.t.Context(), m.job, dirsync.Page{Limit: limit}, func(int64) {})
}

func (m *mirrorer) join(wake dirsync.Wake) dirsync.Members {
	m.t.Helper()
	return must[dirsync.Members](m)(m.engine.Join(m.t.Context(), m.job, dirsync.Members{}, wake, func(dirsync.Members) {}))
}

func (m *mirrorer) finish() dirsync.State {
	m.t.Helper()
	return must[dirsync.State](m)(m.engine.Finish(m.t.Context(), m.job, dirsync.End{}))
}

// fill makes directories that differ in every way that there is.
func (m *mirrorer) fill() {
	for i := range 12 {
		number := fmt.Sprint(100 + i)
		m.runs.Source.Put(number, map[directory.Column]string{directory.CommonName: "name " + number, directory.Password: "1234"})
		switch {
		case i < 4:
			m.runs.Target.Put(number, map[directory.Column]string{directory.CommonName: "old " + number, directory.Misc1: "to go"})
		case i < 6:
			m.runs.Target.Put(number, map[directory.Column]string{directory.CommonName: "name " + number, directory.Password: "1234"})
		}
	}
	m.runs.Target.Put("900", nil)
	m.runs.Settings.RemoveUnknown = true
}

// equal fails the test where the directories differ.
func (m *mirrorer) equal() {
	m.t.Helper()
	values := func(d *dirsynctest.Directory) map[string]map[directory.Column][][]byte {
		all := map[string]map[directory.Column][][]byte{}
		for number, e := range d.Entries() {
			all[number] = e.Values
		}
		return all
	}
	if diff := cmp.Diff(values(m.runs.Source), values(m.runs.Target)); diff != "" {
		m.t.Errorf("the directories differ (-source +target):\n%s", diff)
	}
	if m.runs.Held() {
		m.t.Error("the lease was not given back")
	}
}

// wakes notes which syncs were started.
type wakes struct{ numbers []mailbox.Number }

func (s *wakes) wake(_ context.Context, key mailbox.Key) error {
	s.numbers = append(s.numbers, key.Number)
	return nil
}
