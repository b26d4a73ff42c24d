package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// scaleFigures are what was measured of one way; first and unchanged alone of the
// bare protocol.
type scaleFigures struct {
	way                        string
	first, unchanged           time.Duration
	listening                  listeningFigures
	production                 followed
	worker, postgres, temporal used
	notes                      []string
}

// The promises: how many times as long as the bare protocol a compare may take,
// and after how long listening is up.
const (
	firstTimes     = 1.5
	unchangedTimes = 1.15
	listeningLimit = time.Minute
)

// scaleTable is the result as Markdown.
func scaleTable(o scaleOptions, reference scaleFigures, all []scaleFigures) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d mailboxes with %d small messages, %d at a time; %d processors for both stores and all of Mailmirror. "+
		"Times in seconds, memory in MB, CPU in seconds; compares begin when the mailboxes join, and so does listening.\n\n",
		o.mailboxes, o.messages, o.parallel, runtime.NumCPU())
	out.WriteString("| production | first compare | unchanged compare | listening up after | production: most sessions, MB, CPU | worker MB, CPU | PostgreSQL MB, CPU | Temporal MB, CPU |\n")
	out.WriteString("| --- | --: | --: | --: | --: | --: | --: | --: |\n")
	fmt.Fprintf(&out, "| %s | %.1f | %.1f | | %s | | | |\n", reference.way, reference.first.Seconds(), reference.unchanged.Seconds(), reference.production.row())
	for _, f := range all {
		up := "never"
		if f.listening.up > 0 {
			up = fmt.Sprintf("%.0f", f.listening.up.Seconds())
		}
		fmt.Fprintf(&out, "| %s | %.1f (%.2f x) | %.1f (%.2f x) | %s | %s | %s | %s | %s |\n", f.way,
			f.first.Seconds(), times(f.first, reference.first), f.unchanged.Seconds(), times(f.unchanged, reference.unchanged),
			up, f.production.row(), f.worker.row(), f.postgres.row(), f.temporal.row())
	}
	for _, f := range all {
		fmt.Fprintf(&out, "\n%s\n- sessions and memory over time: %s\n- status after a minute, or when listening was up: %s\n- status at the end: %s\n",
			f.way, f.production.overTime(12), f.listening.minute, f.listening.last)
		for _, note := range f.notes {
			fmt.Fprintf(&out, "- %s\n", note)
		}
		for _, missed := range f.missed(reference) {
			fmt.Fprintf(&out, "- MISSED: %s\n", missed)
		}
	}
	return out.String()
}

// missed are the promises that were not kept.
func (f scaleFigures) missed(reference scaleFigures) []string {
	var list []string
	if t := times(f.first, reference.first); t > firstTimes {
		list = append(list, fmt.Sprintf("the first compare took %.2f times as long as the bare protocol, not %.2f", t, firstTimes))
	}
	if t := times(f.unchanged, reference.unchanged); t > unchangedTimes {
		list = append(list, fmt.Sprintf("an unchanged compare took %.2f times as long as the bare protocol, not %.2f", t, unchangedTimes))
	}
	if f.listening.up == 0 || f.listening.up > listeningLimit {
		list = append(list, fmt.Sprintf("not every mailbox was listened to or read in turn after %s", listeningLimit))
	}
	return list
}

func times(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return a.Seconds() / b.Seconds()
}

func (u used) row() string { return fmt.Sprintf("%.0f, %.1f", float64(u.mem)/1e6, u.cpu.Seconds()) }

func (f followed) row() string {
	return fmt.Sprintf("%d, %.0f, %.1f", f.most.sessions, float64(f.most.mem)/1e6, f.cpu.Seconds())
}
