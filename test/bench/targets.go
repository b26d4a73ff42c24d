package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What mailmirror must reach.
const (
	minOfCeiling   = 0.7 // of the bare protocol's speed
	minSharedGain  = 10  // times faster than the bare protocol that logs in to each mailbox
	maxAboveIdleMB = 64  // for one large message

	// Latency, from the server's announcement to readable on DR.
	maxEventMedian = 150 * time.Millisecond
	maxEvent99     = time.Second
	// From the end of the deposit: Dovecot announces only after half a second.
	maxDepositDovecot = 900 * time.Millisecond
	maxDepositCyrus   = 250 * time.Millisecond
)

// target is one thing that mailmirror must reach, and whether it did.
type target struct {
	what string
	met  bool
}

// errTargetMissed ends a run with -check.
var errTargetMissed = errors.New("a target was missed")

// targets judges the results. Where mailmirror or what it is compared with has
// no figures, the target is not met.
func (b *bench) targets() []target {
	var out []target
	for _, c := range []benchCase{caseInitial, caseUnchanged, caseMany} {
		f := b.figures(c, toolMailmirror)
		if f.rounds == 0 {
			out = append(out, target{fmt.Sprintf("%s: no figures", c), false})
			continue
		}
		out = append(out, target{fmt.Sprintf("%s: at least %.1f of the ceiling (%.2f)", c, minOfCeiling, f.ratio), f.ratio >= minOfCeiling})
		for _, name := range []string{toolDsync, toolMbsync} {
			if peer := b.figures(c, name); peer.rounds > 0 {
				out = append(out, target{fmt.Sprintf("%s: ahead of %s (%.2f s, %.2f s)", c, name, f.wall, peer.wall), f.wall < peer.wall})
			}
		}
	}
	shared, loggingIn := b.figures(caseShared, toolMailmirror), b.figures(caseMany, toolCeiling)
	if shared.rounds == 0 || loggingIn.rounds == 0 {
		out = append(out, target{"shared namespace: no figures", false})
	} else {
		gain := loggingIn.wall / shared.wall
		out = append(out, target{fmt.Sprintf("shared namespace: at least %d times faster than the ceiling that logs in to each mailbox (%.1f)",
			minSharedGain, gain), gain >= minSharedGain})
	}
	if large := b.figures(caseLarge, toolMailmirror); large.rounds > 0 {
		out = append(out, target{fmt.Sprintf("one large message: at most %d MB above idle (%.0f)", maxAboveIdleMB, large.aboveIdle), large.aboveIdle <= maxAboveIdleMB})
	}
	faithful := true
	for _, r := range b.results {
		if r.Tool == toolMailmirror && (len(r.Differences) > 0 || r.Failure != "") {
			faithful = false
		}
	}
	return append(out, target{"faithful after every case of every round", faithful})
}

// targetLines are the targets as a list for the notes.
func targetLines(all []target) string {
	var out strings.Builder
	for _, t := range all {
		answer := "missed"
		if t.met {
			answer = "met"
		}
		fmt.Fprintf(&out, "- target %s: %s.\n", answer, t.what)
	}
	return out.String()
}

// latencyTargets judges what was measured of listening. A deposit that never was
// readable is slower than any.
func latencyTargets(o latencyOptions, all []latencyFigures) []target {
	var out []target
	for _, f := range all {
		if f.events == "poll" || o.deposits == 0 {
			continue // nobody promises anything
		}
		judge := func(what string, times []time.Duration, p float64, limit time.Duration) {
			got, ok := percentile(times, o.deposits, p)
			text := fmt.Sprintf("%s: %s under %s (%s)", f.way, what, limit, got.Round(time.Millisecond))
			if !ok {
				text = fmt.Sprintf("%s: %s under %s (only %d of %d)", f.way, what, limit, len(times), o.deposits)
			}
			out = append(out, target{text, ok && got < limit})
		}
		judge("median from the announcement to readable on DR", f.event, 0.5, maxEventMedian)
		judge("99th percentile of that", f.event, 0.99, maxEvent99)
		limit := maxDepositDovecot
		if f.way.server == "cyrus" {
			limit = maxDepositCyrus
		}
		judge("median from the end of the deposit to readable on DR", f.deposit, 0.5, limit)
	}
	return out
}
