//go:build integration

package pgstore_test

import (
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
)

// TestWitnesses: blocks of witnesses are replaced and removed, go with their folder,
// and one that was altered by hand says nothing.
func TestWitnesses(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	update := func(validity uint32, blocks ...copier.WitnessBlock) map[mailbox.UID]copier.Witness {
		t.Helper()
		save(t, s, keyOf("1"), copier.Update{Folders: []copier.FolderUpdate{
			{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: validity, Witnesses: blocks}}})
		return known(t, s, keyOf("1"))[0].Witnesses
	}
	large := copier.Witness{Size: 1<<32 - 1, Date: 1<<32 - 2}
	of := map[mailbox.UID]copier.Witness{1: {Size: 7, Date: 8}, 255: large}
	last := map[mailbox.UID]copier.Witness{1<<32 - 1: {Size: 1, Date: 2}, 1<<32 - 256: {}}
	all := map[mailbox.UID]copier.Witness{1: of[1], 255: large, 1<<32 - 1: {Size: 1, Date: 2}, 1<<32 - 256: {}}
	equal(t, "witnesses", update(5, copier.WitnessBlock{First: 0, Of: of}, copier.WitnessBlock{First: 1<<32 - 256, Of: last}), all)
	equal(t, "nothing new", update(5), all)
	equal(t, "one replaced, one removed", update(5, copier.WitnessBlock{First: 0, Of: map[mailbox.UID]copier.Witness{2: large}},
		copier.WitnessBlock{First: 1<<32 - 256}), map[mailbox.UID]copier.Witness{2: large})
	sql(t, dsn, `INSERT INTO ledger_witnesses SELECT folder_id, 256, '\x0102' FROM ledger_witnesses`,
		`INSERT INTO ledger_witnesses SELECT folder_id, 9, '\x010203040506070809' FROM ledger_witnesses WHERE first_uid = 0`,
		`INSERT INTO ledger_witnesses SELECT folder_id, 4294967296, '\x010203040506070809' FROM ledger_witnesses WHERE first_uid = 0`)
	equal(t, "beside broken ones", update(5), map[mailbox.UID]copier.Witness{2: large})
	equal(t, "another UIDVALIDITY", update(6), nil)
}

// TestWitnessMigration: what an earlier release knew is looked at once more, and
// neither its pairs nor its folders are lost.
func TestWitnessMigration(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	at := mailbox.Counters{UIDValidity: 1, UIDNext: 4, Messages: 3, HighestModSeq: 9}
	pairs := []mailbox.Run{{Source: 1, Target: 1, Length: 3}}
	save(t, s, keyOf("1"), copier.Update{Folders: []copier.FolderUpdate{
		{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 1, SourceAt: at, TargetAt: at, AddPairs: pairs, Former: firsts(2)}}})
	must(t, pgstore.MigrateTo(t.Context(), s, 15))
	must(t, pgtest.Migrate(t.Context(), s))
	confirm(t, s, dsn)
	equal(t, "states", known(t, s, keyOf("1")), []copier.FolderState{
		{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 1, SourceAt: at, TargetAt: mailbox.Counters{UIDNext: 4},
			Pairs: pairs, Former: firsts(2)}})
	sql(t, dsn, `SELECT FROM ledger_witnesses`)
}
