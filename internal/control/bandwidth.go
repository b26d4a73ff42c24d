package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/quota"
)

// LinkEdit says what to change of a link; nil leaves a field as it is.
type LinkEdit struct {
	Bandwidth         *quota.Rate
	BandwidthWindows  *[]string
	BandwidthTimezone *string
}

// EditLink changes the bandwidth of a link and returns the link as it is now.
// What runs takes it up with its next mailbox or page.
func (c *Control) EditLink(ctx context.Context, name string, e LinkEdit) (Link, error) {
	op := "edit link " + name
	l, err := c.repo.Link(ctx, name)
	if err != nil {
		return Link{}, err
	}
	set(&l.Bandwidth, e.Bandwidth)
	set(&l.BandwidthWindows, e.BandwidthWindows)
	set(&l.BandwidthTimezone, e.BandwidthTimezone)
	if err := malformed(op, bandwidthFaults(l)); err != nil {
		return Link{}, err
	}
	if err := c.repo.SetBandwidth(ctx, l); err != nil {
		return Link{}, fault.Wrap(err, op)
	}
	return c.repo.Link(ctx, name)
}

// bandwidthFaults lists everything that cannot be right in a link's bandwidth.
func bandwidthFaults(l Link) []error {
	var faults []error
	if _, err := quota.ParseBandwidth(l.Bandwidth, l.BandwidthWindows); err != nil {
		faults = append(faults, err)
	}
	if _, err := time.LoadLocation(l.BandwidthTimezone); err != nil || l.BandwidthTimezone == "Local" {
		faults = append(faults, fmt.Errorf("time zone %q: is unknown; want for instance Europe/Berlin", l.BandwidthTimezone))
	}
	if l.Bandwidth < 0 {
		faults = append(faults, errors.New("bandwidth: must not be negative"))
	}
	return faults
}

// BandwidthSettings tells the bandwidth in a line: "2MB/s; Mon-Fri 08:00-18:00
// 1MB/s (Europe/Berlin)".
func (l Link) BandwidthSettings() string {
	text := strings.Join(append([]string{l.Bandwidth.String()}, l.BandwidthWindows...), "; ")
	if len(l.BandwidthWindows) > 0 {
		zone := l.BandwidthTimezone
		if zone == "" {
			zone = "UTC"
		}
		text += " (" + zone + ")"
	}
	return text
}
