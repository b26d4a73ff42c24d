package quota

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is a speed in bytes per second; 0 means without a bound.
type Rate int64

// units are what a rate may be given in.
const (
	kilo = 1000
	mega = 1000 * kilo
	giga = 1000 * mega
)

// ParseRate reads "2MB/s", "500kB/s", "1.5MB/s", "1000000B/s" or "unlimited".
// Units are powers of 1000.
func ParseRate(text string) (Rate, error) {
	if text == "unlimited" {
		return 0, nil
	}
	wrong := fmt.Errorf("bandwidth %q: want for instance 2MB/s, 500kB/s or unlimited", text)
	number, ok := strings.CutSuffix(text, "B/s")
	if !ok || number == "" {
		return 0, wrong
	}
	unit := 1.0
	switch number[len(number)-1] {
	case 'k':
		unit = kilo
	case 'M':
		unit = mega
	case 'G':
		unit = giga
	}
	if unit > 1 {
		number = number[:len(number)-1]
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(value) || value*unit < 1 || value*unit > 1000*giga {
		return 0, wrong
	}
	return Rate(value * unit), nil
}

// String gives a rate as ParseRate reads it.
func (r Rate) String() string {
	switch {
	case r <= 0:
		return "unlimited"
	case r%giga == 0:
		return fmt.Sprintf("%dGB/s", r/giga)
	case r%mega == 0:
		return fmt.Sprintf("%dMB/s", r/mega)
	case r%kilo == 0:
		return fmt.Sprintf("%dkB/s", r/kilo)
	default:
		return fmt.Sprintf("%dB/s", int64(r))
	}
}

// Window is a part of the week in which another rate holds.
type Window struct {
	days [7]bool // by time.Weekday: the days on which it begins
	// from and to are minutes of the day; to at or before from is on the next.
	from, to int
	rate     Rate
}

// ParseWindow reads "Mon-Fri 08:00-18:00 1MB/s" and "Sat,Sun 00:00-24:00
// unlimited". A window that ends before it begins lasts into the next day.
func ParseWindow(text string) (Window, error) {
	wrong := func(why string) (Window, error) {
		return Window{}, fmt.Errorf("bandwidth window %q: %s; want for instance \"Mon-Fri 08:00-18:00 1MB/s\"", text, why)
	}
	words := strings.Fields(text)
	if len(words) != 3 {
		return wrong("want days, times and a rate")
	}
	var w Window
	if err := w.parseDays(words[0]); err != nil {
		return wrong(err.Error())
	}
	begin, end, ok := strings.Cut(words[1], "-")
	if !ok {
		return wrong("no end of the times")
	}
	var err error
	if w.from, err = minuteOfDay(begin); err != nil || w.from == 24*60 {
		return wrong("no time of day: " + begin)
	}
	if w.to, err = minuteOfDay(end); err != nil {
		return wrong("no time of day: " + end)
	}
	if w.from == w.to {
		return wrong("it ends when it begins")
	}
	if w.rate, err = ParseRate(words[2]); err != nil {
		return wrong(err.Error())
	}
	return w, nil
}

var errDays = errors.New("days are Mon, Tue, Wed, Thu, Fri, Sat, Sun")

func (w *Window) parseDays(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		first, last, several := strings.Cut(part, "-")
		a, ok := weekday(first)
		b := a
		if several {
			var known bool
			b, known = weekday(last)
			ok = ok && known
		}
		if !ok {
			return errDays
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	return nil
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(name, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}

// minuteOfDay reads "08:00" up to "24:00".
func minuteOfDay(text string) (int, error) {
	hours, minutes, ok := strings.Cut(text, ":")
	h, errH := strconv.Atoi(hours)
	m, errM := strconv.Atoi(minutes)
	if !ok || errH != nil || errM != nil || len(hours) != 2 || len(minutes) != 2 ||
		h < 0 || h > 24 || m < 0 || m > 59 || (h == 24 && m > 0) {
		return 0, errors.New("no time of day")
	}
	return h*60 + m, nil
}

// holds reports whether a moment lies in the window. The clock on the wall
// decides: an hour that summer time skips is in no window, one that it repeats
// is in it twice.
func (w Window) holds(t time.Time) bool {
	day, minute := t.Weekday(), t.Hour()*60+t.Minute()
	if w.from < w.to {
		return w.days[day] && minute >= w.from && minute < w.to
	}
	yesterday := (day + 6) % 7
	return (w.days[day] && minute >= w.from) || (w.days[yesterday] && minute < w.to)
}

// Bandwidth is how fast a link may copy.
type Bandwidth struct {
	Rate    Rate
	Windows []Window
}

// ParseBandwidth reads the windows of a link beside its rate, and reports every
// fault of them.
func ParseBandwidth(rate Rate, windows []string) (Bandwidth, error) {
	b := Bandwidth{Rate: rate}
	var faults []error
	for _, text := range windows {
		w, err := ParseWindow(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		b.Windows = append(b.Windows, w)
	}
	return b, errors.Join(faults...)
}

// At is the rate that holds at a moment, which is given in the zone that the
// windows are meant in. The first window that it lies in decides; in none of
// them it is the link's own rate.
func (b Bandwidth) At(t time.Time) Rate {
	for _, w := range b.Windows {
		if w.holds(t) {
			return w.rate
		}
	}
	return b.Rate
}

// Bounded reports whether the link is ever bounded.
func (b Bandwidth) Bounded() bool {
	if b.Rate > 0 {
		return true
	}
	for _, w := range b.Windows {
		if w.rate > 0 {
			return true
		}
	}
	return false
}
