package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"mailmirror/internal/copier"
	"mailmirror/internal/site"
)

const (
	outputTable = "table"
	outputJSON  = "json"
)

// show writes value as JSON where that is asked for, and otherwise calls table.
func (c *cli) show(value any, table func(w io.Writer)) error {
	if c.output != outputJSON {
		table(&c.out)
		return nil
	}
	e := json.NewEncoder(&c.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// answer is standard output, which remembers that it could not be written: a
// command whose answer is lost has failed, as on a full disk.
type answer struct {
	w   io.Writer
	err error
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("write answer: %w", err)
	}
	return n, err
}

// list is a slice that JSON shows as [] and not as null where it is empty.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// say writes one line for people; programs get their answer from show.
func (c *cli) say(format string, args ...any) {
	fmt.Fprintf(&c.out, "%s\n", clean(fmt.Sprintf(format, args...)))
}

// warn writes one line to standard error, whatever the output format.
func (c *cli) warn(format string, args ...any) {
	fmt.Fprintf(c.env.Stderr, "warning: %s\n", clean(fmt.Sprintf(format, args...)))
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colours reports whether stdout takes them (https://no-color.org).
func (c *cli) colours() bool {
	if value, _ := c.env.LookupEnv("NO_COLOR"); value != "" || c.noColor {
		return false
	}
	kind, _ := c.env.LookupEnv("TERM")
	return kind != "dumb" && isTerminal(c.env.Stdout)
}

// table is aligned text: every column but the last is as wide as its widest
// cell, numbers stand right.
type table struct {
	header []string
	right  []bool
	rows   [][]string
	colour bool
}

// newTable takes the column titles; one that begins with ">" is of numbers.
func (c *cli) newTable(titles ...string) *table {
	t := &table{colour: c.colours()}
	for _, title := range titles {
		name, right := strings.CutPrefix(title, ">")
		t.header = append(t.header, name)
		t.right = append(t.right, right)
	}
	return t
}

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = strings.ReplaceAll(clean(fmt.Sprint(cell)), "\n", "; ")
		if row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) {
	lines := append([][]string{t.header}, t.rows...)
	widths := make([]int, len(t.header))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			shown := cell
			if n > 0 && t.colour {
				shown = paint(cell)
			}
			switch last := i == len(line)-1; {
			case t.right[i]:
				b.WriteString(pad + shown)
			case last:
				b.WriteString(shown)
			default:
				b.WriteString(shown + pad)
			}
			if i < len(line)-1 {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(w, b.String())
}

// paint colours the words that an operator looks for.
func paint(cell string) string {
	switch {
	case cell == string(site.StateEqual), cell == string(copier.Equal):
		return "\x1b[32m" + cell + "\x1b[0m"
	case slices.Contains([]string{string(site.StateDiffering), string(site.StateDirty), string(site.StateHeld), string(copier.Differing)}, cell):
		return "\x1b[33m" + cell + "\x1b[0m"
	case slices.Contains([]string{string(site.StateParked), string(copier.Failed)}, cell):
		return "\x1b[31m" + cell + "\x1b[0m"
	}
	return cell
}

// pairs writes "name: value" lines, aligned, leaving out empty values.
func pairs(w io.Writer, namesAndValues ...any) {
	width := 0
	for pair := range slices.Chunk(namesAndValues, 2) {
		width = max(width, len(pair[0].(string)))
	}
	for pair := range slices.Chunk(namesAndValues, 2) {
		value := strings.ReplaceAll(clean(fmt.Sprint(pair[1])), "\n", "; ")
		if value == "" {
			continue
		}
		fmt.Fprintf(w, "%-*s  %s\n", width+1, pair[0].(string)+":", value)
	}
}

// moment shows a time in the operator's zone; zero times are "-".
func (c *cli) moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(c.env.Now().Location()).Format("2006-01-02 15:04:05")
}

// attempt shows when something is tried again: "due" if that moment is past.
func (c *cli) attempt(t time.Time) string {
	if !t.IsZero() && !t.After(c.env.Now()) {
		return "due"
	}
	return c.moment(t)
}

// ago shows how long a time is past.
func (c *cli) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(c.env.Now().Sub(t)) + " ago"
}

// span shows a duration in its two largest units: "3d4h", "5m12s", "0.4s".
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), "m", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "m")
	default:
		return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
	}
}

func twoUnits(large int, largeUnit string, small int, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d%s", large, largeUnit)
	}
	return fmt.Sprintf("%d%s%d%s", large, largeUnit, small, smallUnit)
}

// size shows bytes in decimal units.
func size(n int64) string {
	const units = "kMGTP"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n) / 1000
	unit := 0
	for value >= 999.95 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}

// waits is the verb of n things.
func waits(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// counted spells a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "x"); ok {
		return fmt.Sprintf("%d %sxes", n, stem)
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
