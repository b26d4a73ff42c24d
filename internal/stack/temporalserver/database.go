package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/iancoleman/strcase"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql/driver"
	"go.temporal.io/server/tools/common/schema"
	"go.temporal.io/server/tools/sql"
)

// store is one of Temporal's two databases.
type store struct {
	// database is its name in PostgreSQL.
	database string
	// schemaName is its folder in the schema that the server embeds.
	schemaName string
	// maxConns bounds its pool; both pools together must leave room for
	// Mailmirror's own within max_connections.
	maxConns int
}

// stores returns the main store and the visibility store, in this order.
func stores() [2]store {
	return [2]store{
		{database: "temporal", schemaName: "postgresql/v12/temporal", maxConns: 20},
		{database: "temporal_visibility", schemaName: "postgresql/v12/visibility", maxConns: 10},
	}
}

// databaseURL is the connection string of another database on the same server.
func databaseURL(dsn, database string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("parse --database: not a URL") // the cause would quote a password
	}
	u.Path = "/" + database
	return u.String(), nil
}

// sqlConfig describes s to Temporal. The connection is made by our own function
// from the whole URL, since Temporal's fields know neither Unix sockets nor
// password files; address and protocol are there only to satisfy its checks.
func (s store) sqlConfig(dsn string) *config.SQL {
	return &config.SQL{
		PluginName:      postgresql.PluginNamePGX,
		DatabaseName:    s.database,
		ConnectAddr:     "127.0.0.1:0",
		ConnectProtocol: "tcp",
		Connect: func(cfg *config.SQL) (*sqlx.DB, error) {
			target, err := databaseURL(dsn, cfg.DatabaseName)
			if err != nil {
				return nil, err
			}
			db, err := (&driver.PGXDriver{}).CreateConnection(target)
			if err != nil {
				return nil, fmt.Errorf("connect to database %s: %w", cfg.DatabaseName, err)
			}
			db.SetMaxOpenConns(s.maxConns)
			db.SetMaxIdleConns(s.maxConns)
			db.SetConnMaxLifetime(time.Hour)
			db.MapperFunc(strcase.ToSnake)
			return db, nil
		},
	}
}

// prepareDatabases creates what is missing and brings both schemas up to date.
// A process killed at any line of it goes on where it stopped: the database is
// looked at before each step, and Temporal's update takes "already exists" for
// done.
func prepareDatabases(ctx context.Context, dsn string, logger log.Logger) error {
	for _, s := range stores() {
		if err := s.createDatabase(ctx, dsn); err != nil {
			return fmt.Errorf("create database %s: %w", s.database, err)
		}
		if err := s.prepareSchema(ctx, dsn, logger); err != nil {
			return fmt.Errorf("prepare schema of database %s: %w", s.database, err)
		}
	}
	return nil
}

// createDatabase makes the database unless it is there. It is done here because
// Temporal's own tool reports no error for a server that it cannot reach.
func (s store) createDatabase(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", s.database).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{s.database}.Sanitize())
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && pgErr.Code == "42P04" {
		return nil // duplicate_database: another process was faster
	}
	return err
}

// schemaVersion returns the version that the database records, or "" when no
// schema was set up yet. Only a clear answer counts: setting up again after a
// mere connection error would put the recorded version back to 0.0.
func (s store) schemaVersion(ctx context.Context, dsn string) (string, error) {
	target, err := databaseURL(dsn, s.database)
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, target)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var table *string
	if err := conn.QueryRow(ctx, "SELECT to_regclass('schema_version')::text").Scan(&table); err != nil || table == nil {
		return "", err
	}
	var version string
	err = conn.QueryRow(ctx,
		"SELECT curr_version FROM schema_version WHERE version_partition = 0 AND db_name = $1", s.database).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return version, err
}

func (s store) prepareSchema(ctx context.Context, dsn string, logger log.Logger) error {
	version, err := s.schemaVersion(ctx, dsn)
	if err != nil {
		return err
	}
	conn, err := sql.NewConnection(s.sqlConfig(dsn), logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	if version == "" {
		setup := &schema.SetupConfig{InitialVersion: "0.0"}
		if err := schema.NewSetupSchemaTask(conn, setup, logger).Run(); err != nil {
			return err
		}
	}
	update := &schema.UpdateConfig{SchemaName: s.schemaName}
	return schema.NewUpdateSchemaTask(conn, update, logger).Run()
}
