package pgtest

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Search returns the rows, of all tables of a database, that hold one of the words:
// in a text without regard to case, or among the bytes of a bytea as it is written.
// Each row is cut.
func Search(t testing.TB, dsn string, words ...string) (found []string) {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return search(t, conf, words)
}

func search(t testing.TB, conf *pgx.ConnConfig, words []string) (found []string) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tables := column(t, conn, `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if len(tables) == 0 {
		t.Error("the database has no tables")
	}
	for _, table := range tables {
		for _, word := range words {
			query := fmt.Sprintf(`SELECT left(t::text, 500) FROM %s t WHERE t::text ILIKE $1 OR t::text LIKE $2`, table)
			for _, row := range column(t, conn, query, "%"+word+"%", "%"+hex.EncodeToString([]byte(word))+"%") {
				found = append(found, table+": "+strings.ToValidUTF8(row, "?"))
			}
		}
	}
	return found
}

// SearchAll is Search in all databases of a server.
func SearchAll(t testing.TB, dsn string, words ...string) (found []string) {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	names := column(t, conn, `SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'`)
	_ = conn.Close(t.Context())
	for _, name := range names {
		conf.Database = name
		found = append(found, search(t, conf, words)...)
	}
	return found
}

func column(t testing.TB, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}
