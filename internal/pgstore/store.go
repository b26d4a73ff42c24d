package pgstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
)

// maxConns is the size of the pool where the address does not set
// pool_max_conns: a worker's mailboxes at a time, each of which may renew its
// lease while it saves.
const maxConns = 16

// connectTimeout holds where the address does not set connect_timeout.
const connectTimeout = 10 * time.Second

// minServer is the oldest PostgreSQL that is supported, as server_version_num
// tells it.
const minServer = 140000

// Store is the database. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	q    *sqlcgen.Queries
}

var (
	_ copier.Ledger = (*Store)(nil)
)

// Open connects to the database at dsn, a URL or a list of key=value words as
// libpq reads them, in which pool_max_conns may be set too. An address that
// cannot be read, a refused log-in and a missing database are Config faults;
// a server that does not answer is a Transient one.
func Open(ctx context.Context, dsn string) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The library's text repeats the address, which may hold a password in
		// a place where it does not look for one.
		return nil, fault.New(fault.Config, "read database address: it is neither a postgres:// URL nor key=value words", nil,
			"for instance host=/run/postgresql dbname=mailmirror user=mailmirror")
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = maxConns
	}
	if parameters := config.ConnConfig.RuntimeParams; parameters["application_name"] == "" {
		parameters["application_name"] = "mailmirror"
	}
	config.AfterConnect = tune
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}

	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, classify("open database", err)
	}
	if err := checkServer(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return &Store{pool: pool, q: sqlcgen.New(pool)}, nil
}

// tune sets what a connection's plans are made by. Every statement has its
// index and one good plan, to be made once and also while a first copy fills
// tables of which the server has no statistics yet; planning anew for each
// value took a third of a sync's time. Compiling a plan takes longer than
// running any of them. It is a statement and not a parameter of the log-in,
// since connection poolers refuse parameters that they do not know. Statements
// that wait for a lock count on seeing what the one before them has written,
// whatever the database's own default is. Neither a lease nor a suspension may be lost
// after it was answered for, so that commits wait for the disk.
func tune(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan; SET random_page_cost = 1.1; SET jit = off;"+
		"SET default_transaction_isolation = 'read committed';"+
		"SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// checkServer refuses a server that is older than what the statements need.
func checkServer(ctx context.Context, pool *pgxpool.Pool) error {
	var version int
	if err := pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer").Scan(&version); err != nil {
		return classify("open database", err)
	}
	if version < minServer {
		return fault.New(fault.Config, fmt.Sprintf("open database: PostgreSQL %d is too old", version/10000), nil,
			fmt.Sprintf("PostgreSQL %d or later is needed", minServer/10000))
	}
	return nil
}

// Close waits for statements under way and closes every connection.
func (s *Store) Close() { s.pool.Close() }

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	return classify("ask database", s.pool.Ping(ctx))
}

// inTx runs fn in one transaction, with the audit row of a command, and classifies what
// goes wrong with it.
func (s *Store) inTx(ctx context.Context, op string, fn func(*sqlcgen.Queries) error) error {
	return classify(op, s.inAuditedTx(ctx, fn))
}

// inLinksTx is inTx for what decides who may write to whom: it waits for the others that
// do so, and sees what they wrote.
func (s *Store) inLinksTx(ctx context.Context, op string, fn func(*sqlcgen.Queries) error) error {
	return s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := q.LockLinks(ctx); err != nil {
			return err
		}
		return fn(q)
	})
}
