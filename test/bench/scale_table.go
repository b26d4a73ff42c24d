package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// scaleResult is what one run measured.
type scaleResult struct {
	bare []bareFigures // as of scale.references
	ways []wayFigures
}

// reference is the bare protocol that a way is judged against: it has the same kind of
// servers, number of mailboxes at a time and bound of logins.
func (r scaleResult) reference(way string) bareFigures {
	for _, b := range r.bare {
		if b.bounded && b.shared == sharesNamespace(way) {
			return b
		}
	}
	return bareFigures{}
}

// The promises: how many times as long as the bare protocol a compare may take,
// and after how long listening is up.
const (
	firstTimes     = 1.5
	unchangedTimes = 1.15
	listeningLimit = time.Minute
)

// scaleTable is the result as Markdown.
func scaleTable(o scaleOptions, result scaleResult) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d mailboxes with 3 folders and %d small messages, %d at a time, by at most %d logins to production a second (%d at once after ten "+
		"seconds without); %d processors for both stores and all of Mailmirror. Times and CPU in seconds, memory in MB. In brackets: times as long as the bare "+
		"protocol going by login with the same bound of logins on the same kind of servers. Mailmirror begins to listen when it begins the first compare. "+
		"A compare of unchanged mailboxes begins after ten seconds of rest, that of Mailmirror when listening is up.\n\n",
		o.mailboxes, o.messages, o.parallel, o.logins, int(loginBurst.Seconds())*o.logins, runtime.NumCPU())
	out.WriteString("| | took | CPU of production | DR | worker, or the bare protocol | PostgreSQL | Temporal | all | memory of worker, PostgreSQL, Temporal | " +
		"production: most sessions, processes, memory |\n")
	out.WriteString("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, b := range result.bare {
		b.first.row(&out, b.String()+": first", seconds(b.first.took), b.production)
		b.unchanged.row(&out, b.String()+": unchanged", seconds(b.unchanged.took), followed{})
	}
	for _, f := range result.ways {
		reference := result.reference(f.way)
		beside := func(p, reference scalePhase) string {
			return fmt.Sprintf("%s (%.2f)", seconds(p.took), times(p.took, reference.took))
		}
		up := "never"
		if f.listening.up > 0 {
			up = seconds(f.listening.up)
		}
		f.first.row(&out, f.way+": first compare", beside(f.first, reference.first), f.production)
		f.after.row(&out, f.way+": listening up after", up, followed{})
		f.unchanged.row(&out, f.way+": unchanged compare", beside(f.unchanged, reference.unchanged), followed{})
	}
	for _, f := range result.ways {
		fmt.Fprintf(&out, "\n%s\n- production's sessions, processes and memory over time: %s\n- status after a minute, or when listening was up: %s\n- status at the end: %s\n",
			f.way, f.production.overTime(12), f.listening.minute, f.listening.last)
		for _, note := range f.notes {
			fmt.Fprintf(&out, "- %s\n", note)
		}
		for _, missed := range f.missed(result.reference(f.way)) {
			fmt.Fprintf(&out, "- MISSED: %s\n", missed)
		}
	}
	return out.String()
}

// row writes one row of the table. Nothing is said of a server that was not
// followed, and of memory that was not measured.
func (p scalePhase) row(out *strings.Builder, name, took string, server followed) {
	fmt.Fprintf(out, "| %s | %s |", name, took)
	for _, t := range p.cpu {
		fmt.Fprintf(out, " %s |", seconds(t))
	}
	fmt.Fprintf(out, " %s |", seconds(p.cpu.sum()))
	if p.mem[partTool] > 0 {
		fmt.Fprintf(out, " %s, %s, %s", megabytes(p.mem[partTool]), megabytes(p.mem[partPostgres]), megabytes(p.mem[partTemporal]))
	}
	out.WriteString(" |")
	if most := server.most; most.processes > 0 {
		fmt.Fprintf(out, " %d, %d, %s", most.sessions, most.processes, megabytes(most.mem))
	}
	out.WriteString(" |\n")
}

// missed are the promises that were not kept.
func (f wayFigures) missed(reference bareFigures) []string {
	var list []string
	if t := times(f.first.took, reference.first.took); t > firstTimes {
		list = append(list, fmt.Sprintf("the first compare took %.2f times as long as the bare protocol, not %.2f", t, firstTimes))
	}
	if t := times(f.unchanged.took, reference.unchanged.took); t > unchangedTimes {
		list = append(list, fmt.Sprintf("an unchanged compare took %.2f times as long as the bare protocol, not %.2f", t, unchangedTimes))
	}
	if !f.listening.instead && (f.listening.up == 0 || f.listening.up > listeningLimit) {
		list = append(list, fmt.Sprintf("after %s not every mailbox was listened to, or read in turn with the reason in status", listeningLimit))
	}
	if most := f.production.most.sessions; f.sessions > 0 && most > f.sessions {
		list = append(list, fmt.Sprintf("production had %d sessions, and its bound is %d", most, f.sessions))
	}
	return list
}

func times(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return a.Seconds() / b.Seconds()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1e6) }
