package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// LinkEdit says what to change of a link; nil leaves a field as it is.
type LinkEdit struct {
	Bandwidth         *quota.Rate
	BandwidthWindows  *[]string
	BandwidthTimezone *string
}

// EditLink changes the bandwidth of a link and returns the link as it is now.
// What runs takes it up with its next mailbox or page.
func (c *Control) EditLink(ctx context.Context, name string, e LinkEdit) (_ site.Link, err error) {
	op := "edit link " + name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "link edit", Link: name, Detail: changes(LinkEdit{}, e)})
	if err != nil {
		return site.Link{}, err
	}
	defer end(&err)
	l, err := c.ports.Links.Link(ctx, name)
	if err != nil {
		return site.Link{}, err
	}
	set(&l.Bandwidth, e.Bandwidth)
	set(&l.BandwidthWindows, e.BandwidthWindows)
	set(&l.BandwidthTimezone, e.BandwidthTimezone)
	if err := malformed(op, bandwidthFaults(l)); err != nil {
		return site.Link{}, err
	}
	if err := c.ports.Links.SetBandwidth(ctx, l); err != nil {
		return site.Link{}, fault.Wrap(err, op)
	}
	return c.ports.Links.Link(ctx, name)
}

// bandwidthFaults lists everything that cannot be right in a link's bandwidth.
func bandwidthFaults(l site.Link) []error {
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
