package dirsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// Sides are the open connections to both directories of a link.
type Sides struct {
	Source, Target               Session
	SourceMapping, TargetMapping directory.Mapping
	// Takers are those of the run.
	Takers map[string]string
	// Planning is true where nothing is carried out: a number that a change before
	// frees is taken for free.
	Planning bool
}

// Takers tells which of the source's entries, by id, take a number that another
// entry of the target has: that the source has the number is then no sign that
// the other's mailbox is back.
func Takers(changes []Change) map[string]string {
	takers := map[string]string{}
	for _, c := range changes {
		if c.Kind == directory.Renumber && c.Source.ID != "" {
			takers[c.Number] = c.Source.ID
		}
	}
	return takers
}

// Look is what both directories say of a change at this moment.
type Look struct {
	// Operations make the target's entry what the source's is, each by itself to
	// be carried out and looked after again; none where it is so already.
	Operations []directory.Operation
	// Moot says why nothing is to be done any more; "" where that is not so.
	Moot string
	// Source and Target are where the entries are found now; zero where a side
	// has none.
	Source, Target directory.Ref
	// TargetLogin is the IMAP log-in of the target's entry as it is now.
	TargetLogin string
	// TargetRule is the directory.Mapping.LoginRule that made it.
	TargetRule string
}

// Look reads both entries of a planned change again and plans it anew: what was
// compared may be minutes old, or hours, and production is the truth. Nothing is
// removed that production has, under whatever name.
func (s Sides) Look(ctx context.Context, c directory.Change) (Look, error) {
	switch c.Kind {
	case directory.Remove, directory.Unknown:
		return s.lookAtRemoval(ctx, c)
	case directory.Create, directory.Alter, directory.Renumber:
		return s.lookAtChange(ctx, c)
	case directory.Duplicate, directory.Protected, directory.Unreadable:
	}
	return Look{Moot: "it is only told"}, nil
}

func (s Sides) lookAtRemoval(ctx context.Context, c directory.Change) (Look, error) {
	const back = "the source has the mailbox again"
	if c.Source != (directory.Ref{}) {
		_, err := s.Source.Read(ctx, c.Source)
		switch {
		case err == nil:
			return Look{Moot: back}, nil
		case !errors.Is(err, directory.ErrNoEntry):
			return Look{}, err
		}
	}
	found, err := s.Source.Find(ctx, c.Number)
	switch {
	case err != nil:
		return Look{}, err
	case slices.ContainsFunc(found, func(e directory.Entry) bool { return e.ID == "" || e.ID != s.Takers[c.Number] }):
		return Look{Moot: back}, nil
	}
	target, err := s.Target.Read(ctx, c.Target)
	switch {
	case errors.Is(err, directory.ErrNoEntry):
		return Look{}, nil
	case err != nil:
		return Look{}, err
	case target.Protected:
		return Look{Moot: "the entry is protected"}, nil
	case target.Number != c.Number, c.Target.ID != "" && target.ID != c.Target.ID,
		// Without an id, what has the name may be what took it.
		c.Target.ID == "" && (target.Version != c.Target.Version || target.Version == "" && s.Takers[c.Number] != ""):
		return Look{Moot: "the target's entry is another by now"}, nil
	}
	return s.plan(c, nil, &target)
}

// plan makes a look of what both sides are.
func (s Sides) plan(c directory.Change, source, target *directory.Entry) (Look, error) {
	var look Look
	if source != nil {
		look.Source = source.Ref
	}
	if target != nil {
		look.Target, look.TargetLogin, look.TargetRule = target.Ref, target.Login, s.TargetMapping.LoginRule()
	}
	var err error
	look.Operations, err = s.TargetMapping.Plan(c, source, target, s.SourceMapping)
	if fault.Is(err, fault.Conflict) {
		return Look{Moot: err.Error()}, nil
	}
	return look, err
}

func (s Sides) lookAtChange(ctx context.Context, c directory.Change) (Look, error) {
	source, err := s.Source.Read(ctx, c.Source)
	switch {
	case errors.Is(err, directory.ErrNoEntry):
		return Look{Moot: "the mailbox is gone from the source meanwhile"}, nil
	case err != nil:
		return Look{}, err
	case source.Number != c.Number:
		return Look{Moot: "the source's entry has another number by now"}, nil
	case source.Protected:
		return Look{Moot: "the entry is protected"}, nil
	}
	target, err := s.target(ctx, c)
	switch {
	case err != nil:
		return Look{}, err
	case target != nil && target.Protected:
		return Look{Moot: "the entry is protected"}, nil
	}
	if c.Via != "" && target != nil && target.Number == c.Via {
		return Look{Source: source.Ref, Target: target.Ref}, nil // it is on its way
	}
	look, err := s.plan(c, &source, target)
	switch {
	case err != nil || len(look.Operations) == 0 || target == nil:
		return look, err
	case c.Kind == directory.Create && c.Target == (directory.Ref{}):
		// It may be another's, whose own change failed. One that was made equal by an
		// attempt before this has no operations.
		return Look{Moot: "the target has an entry with the number by now", Target: target.Ref}, nil
	case c.Kind == directory.Renumber && !s.Planning:
		return look, s.free(ctx, cmp.Or(c.Via, c.Number), *target)
	}
	return look, nil
}

// free refuses a number that another entry of the target has: servers let two
// entries have one.
func (s Sides) free(ctx context.Context, number string, but directory.Entry) error {
	found, err := s.Target.Find(ctx, number)
	if err != nil {
		return err
	}
	for _, e := range found {
		if e.DN != but.DN {
			return fault.New(fault.Conflict, "another entry of the target has the number", nil, "")
		}
	}
	return nil
}

// target finds the target's entry: the one that was compared, or the one that
// has the number; nil where there is none.
func (s Sides) target(ctx context.Context, c directory.Change) (*directory.Entry, error) {
	if c.Target != (directory.Ref{}) {
		target, err := s.Target.Read(ctx, c.Target)
		if !errors.Is(err, directory.ErrNoEntry) {
			return &target, err
		}
	}
	if s.Planning {
		return nil, nil
	}
	found, err := s.Target.Find(ctx, c.Number)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, fault.New(fault.Permanent, fmt.Sprintf("the target has %d entries with the number", len(found)), nil,
			"remove all but one of them")
	}
	return &found[0], nil
}
