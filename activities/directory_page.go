package activities

import (
	"sync/atomic"
	"time"

	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

// directoryPage is one page of changes that is being carried out.
type directoryPage struct {
	a              *Directory
	in             ApplyDirectoryInput
	state          dirsync.ChangeState // of the changes that are taken up
	source, target connection
	writing        lease.Deadline    // none is sent at or after it
	takers         map[string]string // see dirsync.Takers
	result         ApplyDirectoryResult
	looked         atomic.Int64
	// unsure is true once the outcome of a write was not known.
	unsure bool
	// barred is why no connection can be made although trying again would be in
	// vain, unopened why none could be made the last time.
	barred, unopened error
	// unsaved are results that are not recorded yet.
	unsaved []dirsync.Change
	saved   time.Time
	// row are the failures in a row that say the same, of the kind rowKind. kind is
	// that of the last; it was lost if the server ended the connection, and silent if
	// the server did not answer in time. rest is how many other changes of the run
	// were not tried yet, as far as the page knows.
	row           []dirsync.Change
	kind, rowKind fault.Kind
	lost, silent  bool
	silences      int // changes that the server did not answer to, in this page
	rest          int
	// losses are the changes at which connections ended, lostInRow those of them since
	// the target last accepted a write, and aside those that are tried again when all
	// others are done.
	losses    map[int64]*loss
	lostInRow map[int64]bool
	aside     []dirsync.Change
	// accepted counts the writes that the target accepted. own are the failures that
	// turned out to be the entries' own, by what they say, and ahead what was carried
	// out before its turn to find that out.
	accepted int
	own      map[string]bool
	ahead    map[int64]bool
}

// leasePatience is how long a page waits for the lease that a dead worker left,
// beyond its own time, or for another page.
const leasePatience = time.Minute
