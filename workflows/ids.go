package workflows

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mailmirror/internal/mailbox"
)

// SweepID is the id of the sweep's schedule; its runs append the time.
const SweepID = "sweep"

// RetentionID is the id of the schedule of Retention; its runs append the time.
const RetentionID = "retention"

// ControlID is the id of the one MirrorControl.
const ControlID = "mirror-control"

// ControlIDOf is the id of the LinkControl of a link, or of MirrorControl for "".
func ControlIDOf(link string) string {
	if link == "" {
		return ControlID
	}
	return id(ControlID, link)
}

// SyncID is the id of the one MailboxSync of a mailbox.
func SyncID(key mailbox.Key) string { return id("mailbox-sync", key.Link, string(key.Number)) }

// CompareID is the id of the one FullCompare of a link, and of its schedule.
func CompareID(link string) string { return id("full-compare", link) }

// ScheduledCompareID is the id from which the runs of a link's compare schedule
// get theirs, by appending the time.
func ScheduledCompareID(link string) string { return id("scheduled-compare", link) }

// RebuildID is the id of the one LedgerRebuild of a link, and of its schedule.
func RebuildID(link string) string { return id("ledger-rebuild", link) }

// ScheduledRebuildID is to RebuildID what ScheduledCompareID is to CompareID.
func ScheduledRebuildID(link string) string { return id("scheduled-rebuild", link) }

// DirectoryID is the id of the one DirectorySync of a link, and of its schedule.
func DirectoryID(link string) string { return id("directory-sync", link) }

// ScheduledDirectoryID is to DirectoryID what ScheduledCompareID is to CompareID.
func ScheduledDirectoryID(link string) string { return id("scheduled-directory", link) }

// WatchID is the id of the one WatchEvents of a link.
func WatchID(link string) string { return id("watch-events", link) }

// VerifyID is the id of the one Verify of a link.
func VerifyID(link string) string { return id("verify", link) }

// CheckID is the id of the one CheckStore of a store.
func CheckID(store string) string { return id("check-store", store) }

// id is the one place where names become the id of a workflow or a schedule.
//
// Clients send ids as gRPC headers, which may hold printable ASCII only, and
// Temporal keeps ids on PostgreSQL in columns of 255 characters: a longer one is
// answered by silence. So every other byte of a name, a slash and
// a percent sign are written as %XX, and of a name that is too long only the
// beginning stays, with a digest of all of it. Two different lists of names
// never get the same id. Names that hold letters, digits and the usual
// punctuation of ASCII stay as they are.
func id(kind string, names ...string) string {
	for _, name := range names {
		kind += "/" + idPart(name)
	}
	return kind
}

// maxIDPart is how many bytes of an id one name may take: with the kind and the
// name of a link, of up to 63 bytes, a mailbox's id stays below 255.
const maxIDPart = 150

func idPart(name string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(name) {
		if c > ' ' && c < 0x7f && c != '%' && c != '/' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	part := b.String()
	if len(part) <= maxIDPart {
		return part
	}
	// Nothing else holds "%~", so that no name is written like this digest.
	digest := sha256.Sum256([]byte(name))
	suffix := "%~" + hex.EncodeToString(digest[:])
	return part[:maxIDPart-len(suffix)] + suffix
}

// maxShown is how many characters of a mailbox number a summary shows. Temporal
// bounds a summary to 400 bytes and rejects the whole request beyond.
const maxShown = 40

// shown is a mailbox number for a summary.
func shown(number mailbox.Number) string {
	n := 0
	for i := range number {
		if n++; n > maxShown {
			return string(number[:i]) + "…"
		}
	}
	return string(number)
}
