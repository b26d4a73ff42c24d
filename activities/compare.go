package activities

import (
	"context"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
)

// BeginInput opens the record of a full compare.
type BeginInput struct {
	RunID   string    `json:"run_id"`
	Link    string    `json:"link"`
	Trigger string    `json:"trigger"`
	Started time.Time `json:"started"`
}

// BeginCompare records a compare and returns how many mailboxes it is about.
func (a *Activities) BeginCompare(ctx context.Context, in BeginInput) (int, error) {
	count, err := a.ports.Records.CountMailboxes(ctx, in.Link)
	if err != nil {
		return 0, applicationError(err, 0)
	}
	run := control.CompareRun{RunID: in.RunID, Link: in.Link, Trigger: in.Trigger, StartedAt: in.Started, Mailboxes: count}
	if err := a.ports.Records.StartCompare(ctx, run); err != nil {
		return 0, applicationError(err, 0)
	}
	return count, nil
}

// FinishCompare closes the record of a compare.
func (a *Activities) FinishCompare(ctx context.Context, runID string) error {
	if err := a.ports.Records.FinishCompare(ctx, runID); err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// PlanInput asks for the next pages of a link.
type PlanInput struct {
	Link string `json:"link"`
	// After is the last mailbox of the page before; "" from the start.
	After mailbox.Number `json:"after,omitempty"`
	// PageSize is how many mailboxes a page has, Pages how many pages to plan.
	PageSize int `json:"page_size"`
	Pages    int `json:"pages"`
}

// Page is a range of mailboxes by number: those after After up to Last.
type Page struct {
	After mailbox.Number `json:"after,omitempty"`
	Last  mailbox.Number `json:"last"`
}

// PlanPages cuts the mailboxes of a link into pages. Only their ends go into
// the workflow's history. Fewer pages than asked for mean that there are no
// more.
func (a *Activities) PlanPages(ctx context.Context, in PlanInput) ([]Page, error) {
	var pages []Page
	for after := in.After; len(pages) < in.Pages; {
		numbers, err := a.ports.Records.NumbersPage(ctx, in.Link, after, in.PageSize)
		if err != nil {
			return nil, applicationError(err, 0)
		}
		if len(numbers) == 0 {
			break
		}
		last := numbers[len(numbers)-1]
		pages = append(pages, Page{After: after, Last: last})
		if len(numbers) < in.PageSize {
			break
		}
		after = last
	}
	return pages, nil
}

// numbers lists the mailboxes of a page as they are now; those that joined the
// link since it was planned are among them.
func (a *Activities) numbers(ctx context.Context, link string, page Page) ([]mailbox.Number, error) {
	const chunk = 500
	var all []mailbox.Number
	for after := page.After; ; {
		numbers, err := a.ports.Records.NumbersPage(ctx, link, after, chunk)
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
