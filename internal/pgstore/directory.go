package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// DirectoryStore implements control.DirectoryConfig.
func (s *Store) DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error) {
	op := "read directory of store " + store
	row, err := s.q.GetDirectoryStore(ctx, store)
	if errors.Is(err, pgx.ErrNoRows) {
		return site.Directory{}, false, nil
	}
	if err != nil {
		return site.Directory{}, false, classify(op, err)
	}
	d := site.Directory{Store: row.Store, Address: row.Address, Security: site.Security(row.Security), CAFile: row.CaFile,
		BindDN: row.BindDn, SealedPassword: row.SealedPassword, UpdatedAt: row.UpdatedAt}
	return d, true, kept(op, row.Mapping, &d.Mapping)
}

// PutDirectoryStore implements control.DirectoryConfig; the database sets the time.
func (s *Store) PutDirectoryStore(ctx context.Context, d site.Directory) error {
	op := "set directory of store " + d.Store
	mapping, err := json.Marshal(d.Mapping)
	if err != nil {
		return fault.New(fault.Config, op, err, "")
	}
	p := sqlcgen.PutDirectoryStoreParams{Store: d.Store, Address: d.Address, Security: string(d.Security),
		CaFile: d.CAFile, BindDn: d.BindDN, SealedPassword: bytesOrEmpty(d.SealedPassword), Mapping: mapping}
	addresses := d.Addresses
	if addresses == nil {
		addresses = listOrEmpty(site.ServerAddresses(d.Address, nil))
	}
	return s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := q.PutDirectoryStore(ctx, p); err != nil {
			return directoryValues(op, d.Store, err)
		}
		if err := q.DropDirectoryAddresses(ctx, sqlcgen.DropDirectoryAddressesParams{Store: d.Store, Addresses: addresses}); err != nil {
			return err
		}
		if _, err := q.AddDirectoryAddresses(ctx, sqlcgen.AddDirectoryAddressesParams{Store: d.Store, Addresses: addresses}); err != nil {
			return err
		}
		return s.rejectNewConflicts(ctx, q, op)
	})
}

// directoryValues classifies what the schema does not accept of a directory.
func directoryValues(op, store string, err error) error {
	switch {
	case violates(err, foreignKeyViolation, "directory_stores_store"):
		return unknownStore(store)
	case violates(err, checkViolation, ""):
		return fault.New(fault.Config, op+": unknown kind of security", nil, "it is none, starttls or tls")
	}
	return err
}

// DirectoryFound records addresses at which the directory of a store was found, besides
// those that are recorded. It returns whether the links that may write to directories
// are others since.
func (s *Store) DirectoryFound(ctx context.Context, store string, addresses []string) (changed bool, err error) {
	op := "record the directory server of store " + store
	known, err := s.q.DirectoryAddresses(ctx, store)
	if err != nil {
		return false, classify(op, err)
	}
	if !slices.ContainsFunc(addresses, func(a string) bool { return !slices.Contains(known, a) }) {
		return false, nil
	}
	err = s.inLinksTx(ctx, op, func(q *sqlcgen.Queries) error {
		before, err := q.DirectoryConflicts(ctx)
		if err != nil {
			return err
		}
		n, err := q.AddDirectoryAddresses(ctx, sqlcgen.AddDirectoryAddressesParams{Store: store, Addresses: listOrEmpty(addresses)})
		if err != nil || n == 0 {
			return err
		}
		after, err := q.DirectoryConflicts(ctx)
		changed = !slices.Equal(before, after)
		return err
	})
	return changed, err
}

// DirectoryRefusal implements control.DirectoryConfig.
func (s *Store) DirectoryRefusal(ctx context.Context, link string) error {
	op := "write to the directory of link " + link
	why, err := s.q.DirectoryRefusal(ctx, link)
	if err == nil && why != "" {
		return refusedDirectory(op, why)
	}
	return classify(op, err)
}

// refusedDirectory is the fault of a link that must not write to its target's directory.
func refusedDirectory(op, why string) error {
	hint := refusedHint
	if of, off := strings.CutSuffix(why, " is switched off"); off {
		hint = "mailmirror link edit " + strings.TrimPrefix(of, "the directory of link ") + " --directory on"
	}
	return fault.New(fault.Config, op, errors.New(why), hint)
}

// RemoveDirectoryStore implements control.DirectoryConfig.
func (s *Store) RemoveDirectoryStore(ctx context.Context, store string) error {
	return s.inTx(ctx, "remove directory of store "+store, func(q *sqlcgen.Queries) error { return q.DeleteDirectoryStore(ctx, store) })
}

// HasDirectory implements temporalrunner.Book.
func (s *Store) HasDirectory(ctx context.Context, link string) (bool, error) {
	has, err := s.q.HasDirectory(ctx, link)
	return has, classify("look for directories of link "+link, err)
}

// DirectorySettings implements control.DirectoryConfig.
func (s *Store) DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error) {
	op := "read directory settings of link " + link
	text, err := s.q.GetDirectorySettings(ctx, link)
	if errors.Is(err, pgx.ErrNoRows) {
		return dirsync.DefaultSettings(), nil
	}
	if err != nil {
		return dirsync.Settings{}, classify(op, err)
	}
	// What a release to come adds has its default where it was not set.
	settings := dirsync.DefaultSettings()
	settings.Numbers = nil
	return settings, kept(op, text, &settings)
}

// SetDirectorySettings implements control.DirectoryConfig.
func (s *Store) SetDirectorySettings(ctx context.Context, link string, settings dirsync.Settings) error {
	op := "set directory settings of link " + link
	text, err := json.Marshal(settings)
	if err != nil {
		return fault.New(fault.Config, op, err, "")
	}
	p := sqlcgen.SetDirectorySettingsParams{Link: link, Settings: text}
	err = s.inAuditedTx(ctx, func(q *sqlcgen.Queries) error { return q.SetDirectorySettings(ctx, p) })
	if violates(err, foreignKeyViolation, "directory_settings_link") {
		return unknownLink(link)
	}
	return classify(op, err)
}

// kept reads what a column holds as JSON.
func kept(op string, text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fault.New(fault.Permanent, op, fmt.Errorf("what the database holds: %w", err), "")
	}
	return nil
}

// mappings are those of a link's stores; a NotFound fault where one has none.
func mappings(ctx context.Context, q *sqlcgen.Queries, link string) (source, target directory.Mapping, err error) {
	op := "read mappings of link " + link
	row, err := q.DirectoryMappings(ctx, link)
	if errors.Is(err, pgx.ErrNoRows) {
		return source, target, unknownLink(link)
	}
	if err != nil {
		return source, target, err
	}
	for _, side := range []struct {
		store string
		text  []byte
		into  *directory.Mapping
	}{{row.Source, row.SourceMapping, &source}, {row.Target, row.TargetMapping, &target}} {
		if side.text == nil {
			return source, target, fault.New(fault.NotFound, "store "+side.store+" has no directory", nil,
				"mailmirror store edit "+side.store+" --ldap HOST:PORT and what belongs to it")
		}
		if err := kept(op, side.text, side.into); err != nil {
			return source, target, err
		}
	}
	return source, target, nil
}
