package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"mailmirror/test/bench/meter"
	"mailmirror/test/servers"
)

// followEvery is how often a server's processes are counted, memoryEvery how often
// their memory is read: that of hundreds of them takes some of the time that is
// measured.
const (
	followEvery = time.Second
	memoryEvery = 10 * time.Second
)

// moment is what a server's processes were at one moment.
type moment struct {
	at        time.Duration // since the beginning
	sessions  int           // connections to it that are open
	processes int           // of the server
	mem       int64         // PSS of all processes, bytes; when it was last read
}

// followed is what a server's processes did.
type followed struct {
	moments []moment
	most    moment // the largest numbers, and the largest memory, not of one moment
}

type follower struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	result followed
}

// follow watches a server until stop.
func follow(ctx context.Context, d *servers.Dovecot) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel}
	f.group.Go(func() {
		began := time.Now()
		var measured time.Time
		var mem int64
		for {
			if t, err := meter.ReadTable(); err == nil {
				list := t.InGroup(d.Pid())
				m := moment{at: time.Since(began), processes: len(list)}
				m.sessions, _ = meter.Connections(d.Addr())
				fresh := time.Since(measured) >= memoryEvery
				if fresh {
					mem, measured = 0, time.Now()
				}
				for _, p := range list {
					if fresh {
						mem += meter.PSS(p.Pid)
					}
				}
				m.mem = mem
				f.result.most.sessions = max(f.result.most.sessions, m.sessions)
				f.result.most.processes = max(f.result.most.processes, m.processes)
				f.result.most.mem = max(f.result.most.mem, m.mem)
				f.result.moments = append(f.result.moments, m)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(followEvery):
			}
		}
	})
	return f
}

func (f *follower) stop() followed {
	f.cancel()
	f.group.Wait()
	return f.result
}

// overTime shows some of the moments: "10 s: 4, 9, 20".
func (f followed) overTime(points int) string {
	var out []string
	for i := range points {
		if len(f.moments) == 0 {
			break
		}
		m := f.moments[i*(len(f.moments)-1)/max(points-1, 1)]
		out = append(out, fmt.Sprintf("%.0f s: %d, %d, %.0f", m.at.Seconds(), m.sessions, m.processes, float64(m.mem)/1e6))
	}
	return strings.Join(out, "; ")
}

// listeningFigures are how long it took until every mailbox is listened to or
// read in turn, and what status said.
type listeningFigures struct {
	up     time.Duration // 0 if it never was
	minute string        // what status said after a minute, or when listening was up
	// instead is whether at that moment every mailbox was listened to or read in turn,
	// and status said why.
	instead bool
	last    string // what it said at the end
}

type listeningWait struct {
	done    chan struct{}
	cancel  context.CancelFunc
	figures listeningFigures
}

// awaitListening asks status from now on until every mailbox is listened to.
func (m *mailmirror) awaitListening(ctx context.Context, began time.Time, mailboxes int) *listeningWait {
	ctx, cancel := context.WithCancel(ctx)
	w := &listeningWait{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			covered, reached, text := m.listened(ctx)
			since := time.Since(began)
			if text != "" {
				w.figures.last = text
			}
			if w.figures.minute == "" && (since > time.Minute || covered >= mailboxes) {
				w.figures.minute, w.figures.instead = w.figures.last, reached >= mailboxes
			}
			if covered >= mailboxes {
				w.figures.up = since
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	}()
	return w
}

func (w *listeningWait) within(limit time.Duration) listeningFigures {
	select {
	case <-w.done:
	case <-time.After(limit):
	}
	w.cancel()
	<-w.done
	return w.figures
}

// listened is how many mailboxes are listened to or read in turn by shards that have
// all their connections, how many by all shards that say why it is as it is, and what
// status says of it.
func (m *mailmirror) listened(ctx context.Context) (mailboxes, reached int, text string) {
	out, err := m.command(ctx, "status", benchLink, "-o", "json").Output()
	if err != nil {
		return 0, 0, ""
	}
	var s []struct {
		Watchers []struct {
			Mode, Why, Trouble                    string
			Listened, Polled, Connections, Wanted int
			PollEvery                             time.Duration `json:"poll_every_ns"`
		}
	}
	if json.Unmarshal(out, &s) != nil || len(s) == 0 {
		return 0, 0, ""
	}
	listened, polled, open, wanted, slowest := 0, 0, 0, 0, time.Duration(0)
	mode, why, trouble := "", "", ""
	for _, w := range s[0].Watchers {
		// Notify that has no connection yet waits for the first compare.
		if w.Connections == w.Wanted && (w.Wanted > 0 || w.Mode != "notify") {
			mailboxes += w.Listened + w.Polled
		}
		if w.Why != "" {
			reached += w.Listened + w.Polled
		}
		listened, polled, open, wanted = listened+w.Listened, polled+w.Polled, open+w.Connections, wanted+w.Wanted
		mode, why, slowest = w.Mode, w.Why, max(slowest, w.PollEvery)
		if w.Trouble != "" {
			trouble = "; trouble: " + w.Trouble
		}
	}
	text = fmt.Sprintf("%s, %d of %d connections, %d heard of, %d read every %s; %s%s", mode, open, wanted, listened, polled,
		slowest.Round(time.Second), why, trouble)
	return mailboxes, reached, text
}
