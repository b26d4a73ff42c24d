package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// linkShown is the answer to `link show`.
type linkShown struct {
	site.Link
	Guard     guard.Settings    `json:"guard"`
	Directory *dirsync.Settings `json:"directory,omitempty"`
}

// keepFlags say what becomes of deleted messages; only those that were given
// change anything.
type keepFlags struct {
	period daysValue
	folder string
	set    *pflag.FlagSet
}

func (k *keepFlags) add(f *pflag.FlagSet) {
	k.set = f
	f.Var(&k.period, "keep-deleted", "`time`, such as 14d, for which deleted messages stay on the target; 0 deletes at once")
	f.StringVar(&k.folder, "deleted-folder", "", "`folder` of the target where they stay; it is never mirrored (default \""+string(guard.DefaultDeletedFolder)+"\")")
}

func (k *keepFlags) given() bool {
	return k.set.Changed("keep-deleted") || k.set.Changed("deleted-folder")
}

func (k *keepFlags) apply(s *guard.Settings) {
	if k.set.Changed("keep-deleted") {
		s.KeepDeleted = time.Duration(k.period)
	}
	if k.set.Changed("deleted-folder") {
		s.DeletedFolder = mailbox.FolderName(k.folder)
	}
}

// daysValue is a duration that also takes days: "14d", "36h", "0".
type daysValue time.Duration

func (d *daysValue) String() string { return daysText(time.Duration(*d)) }
func (d *daysValue) Type() string   { return "time" }

func (d *daysValue) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("want days such as 14d, or hours such as 36h")
		}
		*d = daysValue(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("want days such as 14d, or hours such as 36h")
	}
	*d = daysValue(parsed)
	return nil
}

func daysText(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return span(d)
}

// applyKeep changes what was given, and returns the settings in force.
func (c *cli) applyKeep(ctx context.Context, ctl *control.Control, link string, keep keepFlags) (guard.Settings, error) {
	if keep.given() {
		return ctl.EditGuard(ctx, link, keep.apply)
	}
	g, err := ctl.Guard(ctx, link)
	return g.Settings, err
}

func keptText(s guard.Settings) string {
	switch {
	case s.KeepDeleted > 0:
		return fmt.Sprintf("kept for %s in %s on the target", daysText(s.KeepDeleted), s.DeletedFolder)
	case s.DeletedFolder != "":
		return fmt.Sprintf("deleted at once; %s on the target is left as it is", s.DeletedFolder)
	default:
		return "deleted at once"
	}
}
