package quota_test

import (
	"testing"
	"time"

	"mailmirror/internal/quota"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]quota.Rate{
		"2MB/s": 2_000_000, "500kB/s": 500_000, "1.5MB/s": 1_500_000, "1B/s": 1, "3GB/s": 3_000_000_000, "unlimited": 0,
	} {
		got, err := quota.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
		if again, err := quota.ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%s is told as %s, which is read as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "2", "2MB", "MB/s", "-1MB/s", "0B/s", "NaNB/s", "infB/s", "2mb/s", "1e30B/s", "B/s"} {
		if got, err := quota.ParseRate(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestBandwidthAt(t *testing.T) {
	b, err := quota.ParseBandwidth(5_000_000, []string{
		"Mon-Fri 08:00-18:00 1MB/s", "Fri 22:00-02:00 unlimited", "Sat,Sun 00:00-24:00 9MB/s", "sun-mon 00:00-00:30 3MB/s"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		day, hour, minute int // of March 2026, which begins on a Sunday
		want              quota.Rate
	}{
		{2, 7, 59, 5_000_000}, {2, 8, 0, 1_000_000}, {2, 17, 59, 1_000_000}, {2, 18, 0, 5_000_000},
		{6, 21, 59, 5_000_000}, {6, 22, 0, 0}, {7, 1, 59, 0}, {7, 2, 0, 9_000_000},
		{7, 23, 59, 9_000_000}, {8, 0, 10, 9_000_000}, {9, 0, 10, 3_000_000}, {9, 0, 30, 5_000_000}, {3, 0, 10, 5_000_000},
	} {
		at := time.Date(2026, 3, test.day, test.hour, test.minute, 30, 0, time.UTC)
		if got := b.At(at); got != test.want {
			t.Errorf("%s: %s, want %s", at.Format("Mon 15:04"), got, test.want)
		}
	}
	if !b.Bounded() || (quota.Bandwidth{}).Bounded() {
		t.Error("Bounded is wrong")
	}
}

func TestParseWindowRefuses(t *testing.T) {
	for _, text := range []string{
		"", "Mon-Fri 08:00-18:00", "Mon-Fri 8:00-18:00 1MB/s", "Mo 08:00-18:00 1MB/s", "Mon-Fri 08:00 1MB/s",
		"Mon 24:00-01:00 1MB/s", "Mon 08:00-24:01 1MB/s", "Mon 08:00-08:00 1MB/s", "Mon 08:00-18:00 1MB", "Mon 08:00-18:00 1MB/s x",
	} {
		if _, err := quota.ParseWindow(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func FuzzParseWindow(f *testing.F) {
	f.Add("Mon-Fri 08:00-18:00 1MB/s")
	f.Fuzz(func(_ *testing.T, text string) {
		if w, err := quota.ParseWindow(text); err == nil {
			quota.Bandwidth{Windows: []quota.Window{w}}.At(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		}
	})
}
