package activities

import (
	"context"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Compare are the activities of full compares and of rebuilds of the ledger.
type Compare struct {
	*shared
	failures

	engine   Engine
	links    Links
	compares CompareRecords
	reviews  ReviewRecords
}

// BeginInput opens the record of a full compare.
type BeginInput struct {
	RunID   string    `json:"run_id"`
	Link    string    `json:"link"`
	Trigger string    `json:"trigger"`
	Started time.Time `json:"started"`
	// Kind is site.RunCompare where it is empty.
	Kind site.RunKind `json:"kind,omitempty"`
}

// BeginCompare records a compare and returns how many mailboxes it is about.
func (a *Compare) BeginCompare(ctx context.Context, in BeginInput) (int, error) {
	count, err := a.compares.CountMailboxes(ctx, in.Link)
	if err != nil {
		return 0, applicationError(err, 0)
	}
	run := site.CompareRun{RunID: in.RunID, Link: in.Link, Kind: in.Kind, Trigger: in.Trigger, StartedAt: in.Started, Mailboxes: count}
	if err := a.compares.StartCompare(ctx, run); err != nil {
		return 0, applicationError(err, 0)
	}
	return count, nil
}

// FinishInput says how a compare ended.
type FinishInput struct {
	RunID string       `json:"run_id"`
	Link  string       `json:"link"`
	Kind  site.RunKind `json:"kind,omitempty"`
	// ErrorKind, Error and Hint say why it broke off, in the words of the activity
	// that failed; Error is "" if it went through every mailbox.
	ErrorKind string `json:"error_kind,omitempty"`
	Error     string `json:"error,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// FinishCompare closes the record of a compare, and records whether it broke off:
// that is shown until the next one ends. It may be repeated.
func (a *Compare) FinishCompare(ctx context.Context, in FinishInput) error {
	if err := a.compares.FinishCompare(ctx, in.RunID); err != nil {
		return applicationError(err, 0)
	}
	if a.signs == nil {
		return nil
	}
	sign := background.Sign{Loop: background.LoopOf(in.Kind), Item: in.Link, Link: in.Link, Worker: a.identity,
		ErrorKind: in.ErrorKind, Error: in.Error, Hint: in.Hint}
	if err := a.signs.EndLoop(ctx, sign); err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// PlanInput asks for the next pages of a link.
type PlanInput struct {
	Link string `json:"link"`
	// After is the last mailbox of the page before; "" from the start.
	After mailbox.Number `json:"after,omitempty"`
	// PageSize is how many mailboxes with work a page has at most, Pages how
	// many pages to plan.
	PageSize int `json:"page_size"`
	Pages    int `json:"pages"`
	// Kind is that of the run: in a rebuild every mailbox is work.
	Kind site.RunKind `json:"kind,omitempty"`
}

// Page is a range of mailboxes by number: those after After up to Last.
type Page struct {
	After mailbox.Number `json:"after,omitempty"`
	Last  mailbox.Number `json:"last"`
}

// settledPerDue is how many mailboxes that were equal when last looked at make
// a page as long as one that is to be copied, where one command tells of all:
// the more mailboxes are asked for by it, the cheaper is each.
const settledPerDue = 100

// PlanPages cuts the mailboxes of a link into pages. Only their ends go into
// the workflow's history. Fewer pages than asked for mean that there are no
// more.
func (a *Compare) PlanPages(ctx context.Context, in PlanInput) ([]Page, error) {
	settled := 1
	if in.Kind != site.RunRebuild && a.offersOverview(ctx, in.Link) {
		settled = settledPerDue
	}
	var pages []Page
	for after := in.After; len(pages) < in.Pages; {
		last, err := a.compares.PageEnd(ctx, in.Link, after, in.PageSize, settled)
		if err != nil {
			return nil, applicationError(err, 0)
		}
		if last == "" {
			break
		}
		pages = append(pages, Page{After: after, Last: last})
		after = last
	}
	return pages, nil
}

// planLook bounds the look at the stores that planning takes.
const planLook = 5 * time.Second

// offersOverview reports whether both stores of a link show all mailboxes at
// once. It matters for the size of pages only: a store that does not answer
// counts as one that does not.
func (a *Compare) offersOverview(ctx context.Context, link string) bool {
	ctx, cancel := context.WithTimeout(ctx, planLook)
	defer cancel()
	stores, err := a.links.Stores(ctx, link)
	if err != nil {
		return false
	}
	if stores.Admit != nil {
		leave, err := stores.Admit(ctx)
		if err != nil {
			return false
		}
		defer leave()
	}
	for _, s := range []copier.Store{stores.Source, stores.Target} {
		o, can := s.(copier.Overviewer)
		if !can {
			return false
		}
		if offers, err := o.OffersOverview(ctx); err != nil || !offers {
			return false
		}
	}
	return true
}

// numbers lists the mailboxes of a page as they are now; those that joined the
// link since it was planned are among them.
func (a *Compare) numbers(ctx context.Context, link string, page Page) ([]mailbox.Number, error) {
	const chunk = 5000
	var all []mailbox.Number
	for after := page.After; ; {
		numbers, err := a.reviews.NumbersPage(ctx, link, after, chunk)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			if n > page.Last {
				return all, nil
			}
			all = append(all, n)
		}
		if len(numbers) < chunk {
			return all, nil
		}
		after = numbers[len(numbers)-1]
	}
}
