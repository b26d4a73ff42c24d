package pgstore

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// witnessBytes is the length of one witness in a block; see the schema.
const witnessBytes = 9

// witnessData is a block as it is stored.
func witnessData(b copier.WitnessBlock) []byte {
	data := make([]byte, 0, witnessBytes*len(b.Of))
	for _, uid := range slices.Sorted(maps.Keys(b.Of)) {
		w := b.Of[uid]
		data = append(data, byte(uid-b.First))
		data = binary.BigEndian.AppendUint32(data, w.Size)
		data = binary.BigEndian.AppendUint32(data, w.Date)
	}
	return data
}

// readWitnesses adds the witnesses of a block. Of one that cannot be read nothing is
// known.
func readWitnesses(into map[mailbox.UID]copier.Witness, first int64, data []byte) {
	if first < 0 || first%copier.WitnessSpan != 0 || first > 1<<32-copier.WitnessSpan || len(data)%witnessBytes != 0 {
		return
	}
	for w := range slices.Chunk(data, witnessBytes) {
		into[mailbox.UID(first)+mailbox.UID(w[0])] = copier.Witness{
			Size: binary.BigEndian.Uint32(w[1:]), Date: binary.BigEndian.Uint32(w[5:])}
	}
}

func (r *ledgerReader) witnessRows(rows pgx.Rows) error {
	r.witnesses = map[int64]map[mailbox.UID]copier.Witness{}
	var folder, first int64
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&folder, &first, &data}, func() error {
		if r.witnesses[folder] == nil {
			r.witnesses[folder] = map[mailbox.UID]copier.Witness{}
		}
		readWitnesses(r.witnesses[folder], first, data)
		return nil
	})
	return err
}

// witnesses replaces blocks of witnesses.
func (w *ledgerWriter) witnesses(ctx context.Context, updates []copier.FolderUpdate) {
	down := sqlcgen.DeleteWitnessesParams{Link: w.link, Number: w.number}
	up := sqlcgen.UpsertWitnessesParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		for _, b := range f.Witnesses {
			if len(b.Of) == 0 {
				down.Folders = append(down.Folders, string(f.Name))
				down.FirstUids = append(down.FirstUids, int64(b.First))
				continue
			}
			up.Folders = append(up.Folders, string(f.Name))
			up.FirstUids = append(up.FirstUids, int64(b.First))
			up.Data = append(up.Data, witnessData(b))
		}
	}
	if len(down.Folders) > 0 {
		w.do(w.q.DeleteWitnesses(ctx, down))
	}
	if len(up.Folders) > 0 {
		w.do(w.q.UpsertWitnesses(ctx, up))
	}
}
