package pgstore

import (
	"context"
	"encoding/json"
	"slices"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
)

// Logins implements control.DirectoryConfig.
func (s *Store) Logins(ctx context.Context, store string) (*directory.Logins, int64, error) {
	op := "read log-ins of store " + store
	// The rule first: log-ins that are newer than the version are read once more.
	row, err := s.q.GetLoginRule(ctx, store)
	if err != nil {
		return nil, 0, unlessMissing(op, err, unknownStore(store))
	}
	var m directory.Mapping
	if row.Mapping != nil {
		if err := kept(op, row.Mapping, &m); err != nil {
			return nil, 0, err
		}
	}
	if m.LoginIsNumber() {
		return directory.NumberLogins(), row.LoginsVersion, nil
	}
	rows, err := s.q.StoreLogins(ctx, store)
	if err != nil {
		return nil, 0, classify(op, err)
	}
	of := make(map[string]string, len(rows))
	for _, r := range rows {
		of[r.Number] = r.Login
	}
	return directory.NewLogins(m.Login, of), row.LoginsVersion, nil
}

// stagedLogin is a log-in as it is kept. One that no text column holds as it is
// would be another's: it is none.
func stagedLogin(login string) string {
	if plain(login) != login {
		return ""
	}
	return login
}

// loginStore is a store whose log-ins are not the numbers.
type loginStore struct {
	name    string
	mapping directory.Mapping
	side    dirsync.Side
	extract []byte // what its extract told of itself, as it is kept
}

// settleLogins makes the log-ins of both stores those that the run's extracts
// show. It comes when they are believed and is no part of a dry run.
func (c *comparer) settleLogins(ctx context.Context) error {
	row, err := c.q.DirectoryMappings(ctx, c.run.Link)
	if err != nil {
		return err
	}
	// In the order of names, so that runs of two links do not wait for each other;
	// the mappings after that, as whoever changes one waits, or was before us.
	for _, store := range slices.Sorted(slices.Values([]string{row.Source, row.Target})) {
		if err := c.q.LockLogins(ctx, store); err != nil {
			return err
		}
	}
	if row, err = c.q.DirectoryMappings(ctx, c.run.Link); err != nil {
		return err
	}
	sides := []loginStore{
		{name: row.Source, side: dirsync.SourceSide, extract: c.run.SourceExtract},
		{name: row.Target, side: dirsync.TargetSide, extract: c.run.TargetExtract},
	}
	for i, text := range [][]byte{row.SourceMapping, row.TargetMapping} {
		if text == nil {
			continue // it was taken away while the run was at it
		}
		if err := kept("settle log-ins", text, &sides[i].mapping); err != nil {
			return err
		}
	}
	for _, side := range sides {
		if side.mapping.LoginIsNumber() || !side.extractedByRule() {
			continue
		}
		changed, err := c.q.SettleLogins(ctx, sqlcgen.SettleLoginsParams{RunID: c.run.RunID, Side: string(side.side), Store: side.name})
		if err != nil {
			return err
		}
		if err := loginsChanged(ctx, c.q, side.name, changed); err != nil {
			return err
		}
	}
	return nil
}

// extractedByRule reports whether the log-ins that were extracted were made by the
// rule that holds now. A release before this one made none.
func (l loginStore) extractedByRule() bool {
	var told directory.Extracted
	return l.extract != nil && json.Unmarshal(l.extract, &told) == nil && told.Rule == l.mapping.LoginRule()
}

// loginsChanged has the log-ins of a store read anew by whoever has them, and the
// mailboxes looked at.
func loginsChanged(ctx context.Context, q *sqlcgen.Queries, store string, numbers []string) error {
	if len(numbers) == 0 {
		return nil
	}
	if err := q.DueByLogin(ctx, sqlcgen.DueByLoginParams{Store: store, Numbers: numbers}); err != nil {
		return err
	}
	return q.LoginsChanged(ctx, store)
}

// writtenLogins are those of the target's entries that were just written.
type writtenLogins struct {
	of   map[string]writtenLogin // by number
	gone []string                // numbers that no entry has by that
}

type writtenLogin struct{ login, rule string }

func (w *writtenLogins) put(number, login, rule string) {
	if w.of == nil {
		w.of = map[string]writtenLogin{}
	}
	w.of[number] = writtenLogin{stagedLogin(login), rule}
}

// save records them, where the target's rule is not the number: what was created
// is to be opened before the next extract shows it.
func (w *writtenLogins) save(ctx context.Context, q *sqlcgen.Queries, link string) error {
	if len(w.of)+len(w.gone) == 0 {
		return nil
	}
	store, err := q.DirectoryMappings(ctx, link)
	if err != nil {
		return err
	}
	if err := q.LockLogins(ctx, store.Target); err != nil {
		return err
	}
	// Only now, as whoever changes the rule waits for the lock, or was before us.
	_, mapping, err := mappings(ctx, q, link)
	if fault.Is(err, fault.NotFound) {
		return nil // a directory was taken away while the run was at it
	}
	if err != nil || mapping.LoginIsNumber() {
		return err
	}
	// Numbers that were freed first: one may be another's by now.
	changed, err := q.DropLogins(ctx, sqlcgen.DropLoginsParams{Store: store.Target, Link: link, Numbers: listOrEmpty(w.gone)})
	if err != nil {
		return err
	}
	p := sqlcgen.PutLoginsParams{Store: store.Target}
	for number, l := range w.of {
		if l.rule == mapping.LoginRule() {
			p.Numbers, p.Logins = append(p.Numbers, number), append(p.Logins, l.login)
		}
	}
	if len(p.Numbers) > 0 {
		put, err := q.PutLogins(ctx, p)
		if err != nil {
			return err
		}
		changed = append(changed, put...)
	}
	return loginsChanged(ctx, q, store.Target, changed)
}
