package control

import (
	"context"
	"fmt"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// VerifyRequest says what to compare.
type VerifyRequest struct {
	Link           site.Link
	Source, Target site.Store
	Numbers        []mailbox.Number
	// Deep reads and compares every body.
	Deep bool
}

// VerifyCounts counts messages.
type VerifyCounts struct {
	// Compared is how many the source holds.
	Compared int `json:"compared"`
	// Missing are on the source only, Extra on the target only.
	Missing int `json:"missing"`
	Extra   int `json:"extra"`
	// Flags, Dates and Content are on both sides and differ in it.
	Flags   int `json:"flags"`
	Dates   int `json:"dates"`
	Content int `json:"content"`
}

// Differing is the number of messages that are not the same on both sides.
// One that differs in several ways is counted for each.
func (v VerifyCounts) Differing() int {
	return v.Missing + v.Extra + v.Flags + v.Dates + v.Content
}

// Add returns the sum.
func (v VerifyCounts) Add(o VerifyCounts) VerifyCounts {
	return VerifyCounts{
		v.Compared + o.Compared, v.Missing + o.Missing, v.Extra + o.Extra,
		v.Flags + o.Flags, v.Dates + o.Dates, v.Content + o.Content,
	}
}

// VerifyFolder is what was found in one folder.
type VerifyFolder struct {
	Folder mailbox.FolderName `json:"folder"`
	Role   mailbox.Role       `json:"role"`
	// Trouble is a difference of the folder itself: "missing", "extra", or
	// "subscription"; "" where there is none.
	Trouble string `json:"trouble,omitempty"`
	VerifyCounts
}

// Equal reports whether both sides of the folder are the same.
func (f VerifyFolder) Equal() bool { return f.Trouble == "" && f.Differing() == 0 }

// VerifyResult is what was found in one mailbox.
type VerifyResult struct {
	Number mailbox.Number `json:"number"`
	// Folders are all folders of either side, by name.
	Folders []VerifyFolder `json:"folders"`
	// Bytes is what was read of bodies.
	Bytes int64 `json:"bytes"`
	// ErrorKind, Error and Hint are set where the mailbox could not be read to
	// the end; what Folders says is then no proof.
	ErrorKind string `json:"error_kind,omitempty"`
	Error     string `json:"error,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// Equal reports whether the mailbox was read to the end and is the same on
// both sides.
func (r VerifyResult) Equal() bool {
	for _, f := range r.Folders {
		if !f.Equal() {
			return false
		}
	}
	return r.Error == ""
}

// Totals sums the folders of each role.
func (r VerifyResult) Totals() (messages, greetings VerifyCounts) {
	for _, f := range r.Folders {
		if f.Role == mailbox.RoleGreetings {
			greetings = greetings.Add(f.VerifyCounts)
		} else {
			messages = messages.Add(f.VerifyCounts)
		}
	}
	return messages, greetings
}

// Verification sums up the results of all mailboxes.
type Verification struct {
	Link      string       `json:"link"`
	Deep      bool         `json:"deep"`
	Mailboxes int          `json:"mailboxes"`
	Equal     int          `json:"equal"`
	Differing int          `json:"differing"`
	Failed    int          `json:"failed"`
	Bytes     int64        `json:"bytes"`
	Messages  VerifyCounts `json:"messages"`
	Greetings VerifyCounts `json:"greetings"`
	// Results are those of the mailboxes that are not equal, by number.
	Results []VerifyResult `json:"results"`
}

// PlanVerify finds the stores and mailboxes of a link; without numbers all
// that take part.
func (c *Control) PlanVerify(ctx context.Context, link string, numbers []mailbox.Number, deep bool) (VerifyRequest, error) {
	op := "verify link " + link
	if err := checkNumbers(op, numbers); err != nil {
		return VerifyRequest{}, err
	}
	l, err := c.repo.Link(ctx, link)
	if err != nil {
		return VerifyRequest{}, err
	}
	r := VerifyRequest{Link: l, Deep: deep}
	if r.Source, err = c.repo.Store(ctx, l.Source); err != nil {
		return VerifyRequest{}, err
	}
	if r.Target, err = c.repo.Store(ctx, l.Target); err != nil {
		return VerifyRequest{}, err
	}
	if len(numbers) == 0 {
		all, err := c.repo.Mailboxes(ctx, link, "", 0)
		if err != nil {
			return VerifyRequest{}, err
		}
		for _, m := range all {
			r.Numbers = append(r.Numbers, m.Number)
		}
		return r, nil
	}
	for _, n := range numbers {
		if _, err := c.repo.Mailbox(ctx, mailbox.Key{Link: link, Number: n}); err != nil {
			return VerifyRequest{}, err
		}
	}
	r.Numbers = numbers
	return r, nil
}

// Verify carries the request out. progress, which may be nil, is called with
// the sums so far after each mailbox.
func (c *Control) Verify(ctx context.Context, r VerifyRequest, progress func(Verification)) (Verification, error) {
	v := Verification{Link: r.Link.Name, Deep: r.Deep, Results: []VerifyResult{}}
	err := c.verifier.Verify(ctx, r, func(result VerifyResult) {
		v.add(result)
		if progress != nil {
			progress(v)
		}
	})
	sortResults(v.Results)
	if err != nil {
		return v, err
	}
	// A verifier that forgets a mailbox must not be taken for one that found
	// it equal.
	if v.Mailboxes != len(r.Numbers) {
		return v, fmt.Errorf("verify link %s: %d of %d mailboxes were looked at", r.Link.Name, v.Mailboxes, len(r.Numbers))
	}
	return v, nil
}

func (v *Verification) add(r VerifyResult) {
	v.Mailboxes++
	v.Bytes += r.Bytes
	messages, greetings := r.Totals()
	v.Messages, v.Greetings = v.Messages.Add(messages), v.Greetings.Add(greetings)
	switch {
	case r.Error != "":
		v.Failed++
	case r.Equal():
		v.Equal++
		return
	default:
		v.Differing++
	}
	v.Results = append(v.Results, r)
}
