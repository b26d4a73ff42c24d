package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figures are the medians over the rounds of one tool and case.
type figures struct {
	wall, tool, servers, postgres, temporal float64 // seconds
	peak, aboveIdle                         float64 // MB
	ratio                                   float64 // of the ceiling's time to this one's; 0 if there is no ceiling
	rounds                                  int
	faithful                                bool
	failure                                 string
}

func (b *bench) markdown(versions string) string {
	var out strings.Builder
	for _, st := range b.stages {
		fmt.Fprintf(&out, "%s: %s. ", strings.Join(caseNames(st.cases), ", "), st.amount)
	}
	serve := "one log-in each"
	if b.reuse {
		serve = "one log-in after the other"
	}
	fmt.Fprintf(&out, "%d mailboxes at a time; medians of %d rounds, tools in turn; %d processors; %s, whose imap processes serve %s.\n\n",
		b.parallel, b.rounds, runtime.NumCPU(), versions, serve)
	out.WriteString("| case | tool | seconds | messages/s | MB/s | ms per mailbox | CPU s: tool | CPU s: servers | CPU s: PostgreSQL + Temporal | peak memory MB | of the ceiling | faithful |\n")
	out.WriteString("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n")
	for _, st := range b.stages {
		for _, c := range st.cases {
			for _, name := range b.tools {
				out.WriteString(b.row(st.amount, c, name))
			}
		}
	}
	out.WriteString("\n" + b.notes())
	return out.String()
}

func caseNames(cases []benchCase) []string {
	var out []string
	for _, c := range cases {
		out = append(out, string(c))
	}
	return out
}

func (b *bench) row(a amount, c benchCase, name string) string {
	f := b.figures(c, name)
	if f.rounds == 0 {
		return fmt.Sprintf("| %s | %s | %s | | | | | | | | | |\n", c, name, f.failure)
	}
	rates := [3]string{"", "", fmt.Sprintf("%.2f", 1000*f.wall/float64(a.mailboxes))}
	if c == caseInitial || c == caseLarge {
		rates[0], rates[1] = fmt.Sprintf("%.0f", float64(a.messages)/f.wall), fmt.Sprintf("%.1f", float64(a.bytes)/1e6/f.wall)
	}
	behind := ""
	if name == toolMailmirror {
		behind = fmt.Sprintf("%.2f + %.2f", f.postgres, f.temporal)
	}
	peak := fmt.Sprintf("%.0f", f.peak)
	if f.aboveIdle > 0 {
		peak += fmt.Sprintf(" (%.0f above idle)", f.aboveIdle)
	}
	ratio := ""
	if f.ratio > 0 {
		ratio = fmt.Sprintf("%.2f", f.ratio)
	}
	faithful := "no"
	if f.faithful {
		faithful = "yes"
	}
	return fmt.Sprintf("| %s | %s | %.2f | %s | %s | %s | %.2f | %.2f | %s | %s | %s | %s |\n",
		c, name, f.wall, rates[0], rates[1], rates[2], f.tool, f.servers, behind, peak, ratio, faithful)
}

// figures takes the medians. The ratio is the median of the rounds' own
// ratios: what slows the machine down for a while slows a round's runs alike.
func (b *bench) figures(c benchCase, name string) figures {
	f := figures{faithful: true, failure: "not run"}
	var picked []usage
	var ratios []float64
	for _, r := range b.results {
		if r.Case != c || r.Tool != name {
			continue
		}
		if r.Failure != "" {
			f.failure = oneLine(r.Failure)
			continue
		}
		picked = append(picked, r.Usage)
		f.faithful = f.faithful && len(r.Differences) == 0
		if wall := b.ceilingWall(c, r.Round); wall > 0 {
			ratios = append(ratios, wall.Seconds()/r.Usage.Wall.Seconds())
		}
	}
	f.rounds = len(picked)
	seconds := func(of func(usage) time.Duration) float64 {
		return median(picked, func(u usage) float64 { return of(u).Seconds() })
	}
	f.wall = seconds(func(u usage) time.Duration { return u.Wall })
	f.tool = seconds(func(u usage) time.Duration { return u.Tool })
	f.servers = seconds(func(u usage) time.Duration { return u.Servers })
	f.postgres = seconds(func(u usage) time.Duration { return u.Postgres })
	f.temporal = seconds(func(u usage) time.Duration { return u.Temporal })
	f.peak = median(picked, func(u usage) float64 { return float64(u.Peak) / 1e6 })
	f.aboveIdle = median(picked, func(u usage) float64 { return float64(u.AboveIdle) / 1e6 })
	f.ratio = median(ratios, func(x float64) float64 { return x })
	return f
}

func (b *bench) ceilingWall(c benchCase, round int) time.Duration {
	for _, r := range b.results {
		if r.Case == c && r.Round == round && r.Tool == toolCeiling && r.Failure == "" {
			return r.Usage.Wall
		}
	}
	return 0
}

// median of what of says; 0 for nothing.
func median[T any](all []T, of func(T) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	mid := len(values) / 2
	if len(values)%2 == 1 {
		return values[mid]
	}
	return (values[mid-1] + values[mid]) / 2
}

// notes say how the tools were run, what was not faithful and how quiet the
// machine was.
func (b *bench) notes() string {
	var out strings.Builder
	for _, name := range b.tools {
		if t, err := newTool(name, b.options); err == nil {
			fmt.Fprintf(&out, "- **%s**: %s.\n", name, t.how(b.parallel))
		}
		for _, r := range b.results {
			if r.Tool == name && len(r.Differences) > 0 {
				fmt.Fprintf(&out, "  Not faithful: %s, round %d: %s.\n", r.Case, r.Round+1, summary(r.Differences))
				break
			}
		}
	}
	out.WriteString("- A small change is one new message in every tenth mailbox, new flags on two messages in every twentieth and one message removed in every twentieth; " +
		"it and the unchanged re-run look at all mailboxes. \"Of the ceiling\" is the ceiling's time divided by the tool's, the median over the rounds. " +
		"Memory is the proportional set size of all of a tool's processes together at its peak; above idle is the worker's exact peak of resident memory minus what it held before. " +
		"Faithful means that bytes, flags, dates, folders and subscriptions are the same on both sides afterwards, checked by a reader that shares no code with any tool.\n")
	noisy, worst, measured := 0, 0.0, 0
	for _, r := range b.results {
		if r.Failure != "" {
			continue
		}
		measured++
		if !r.Usage.Idle {
			noisy++
		}
		worst = max(worst, r.Usage.Others.Seconds()/r.Usage.Wall.Seconds()/float64(runtime.NumCPU()))
	}
	fmt.Fprintf(&out, "- Noise: of %d measured sections %d began on a machine that was not idle; at worst other programs used %.0f %% of the processors during one.\n",
		measured, noisy, 100*worst)
	if slices.Contains(b.tools, toolMailmirror) {
		out.WriteString(targetLines(b.targets()))
	}
	return out.String()
}

// summary counts the differences and shows one, that of a message rather than
// that of a folder. A message that was altered counts twice: it is missing on
// one side and too much on the other.
func summary(differences []string) string {
	messages, example := 0, differences[0]
	for _, d := range differences {
		if strings.Contains(d, " times: ") {
			if messages == 0 {
				example = d
			}
			messages++
		}
	}
	return fmt.Sprintf("%d differences of messages (times on the source / on the target), %d of folders and subscriptions, such as: %s",
		messages, len(differences)-messages, oneLine(example))
}

// oneLine makes a text fit into a table's cell.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "|", "/")), " ")
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}
