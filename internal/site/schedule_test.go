package site_test

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/site"
)

func TestScheduleSpec(t *testing.T) {
	for _, c := range []struct {
		spec  site.ScheduleSpec
		text  string
		fault string // "" where it is valid
	}{
		{site.ScheduleSpec{Every: 4 * time.Hour}, "every 4h", ""},
		{site.ScheduleSpec{Every: 90 * time.Minute}, "every 1h30m", ""},
		{site.ScheduleSpec{Every: time.Minute}, "every 1m", ""},
		{site.ScheduleSpec{Every: 10 * time.Second}, "every 10s", ""},
		{site.ScheduleSpec{Cron: "0 3 * * 1"}, "cron 0 3 * * 1 UTC", ""},
		{site.ScheduleSpec{Cron: "0 3 * * 1", Timezone: "Asia/Tokyo"}, "cron 0 3 * * 1 Asia/Tokyo", ""},
		{site.ScheduleSpec{At: []string{"01:00", "07:30"}, Timezone: "Europe/Berlin"}, "at 01:00, 07:30 Europe/Berlin", ""},
		{site.ScheduleSpec{}, "never", "want one of"},
		{site.ScheduleSpec{Every: time.Hour, Cron: "0 3 * * 1"}, "every 1h", "want one of"},
		{site.ScheduleSpec{Every: time.Second}, "every 1s", "10s or more"},
		{site.ScheduleSpec{Every: -time.Hour}, "never", "10s or more"},
		{site.ScheduleSpec{Every: time.Minute + time.Millisecond}, "every 1m0.001s", "whole seconds"},
		{site.ScheduleSpec{Every: time.Hour, Timezone: "Asia/Tokyo"}, "every 1h", "no time zone"},
		{site.ScheduleSpec{Cron: "0 3 * *"}, "cron 0 3 * * UTC", "4 fields"},
		{site.ScheduleSpec{At: []string{"01:00", "7:00"}}, "at 01:00, 7:00 UTC", `"7:00"`},
		{site.ScheduleSpec{At: []string{"24:00"}}, "at 24:00 UTC", `"24:00"`},
	} {
		if got := c.spec.String(); got != c.text {
			t.Errorf("%+v reads %q, want %q", c.spec, got, c.text)
		}
		err := c.spec.Validate()
		if (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.text, err, c.fault)
		}
	}
}
