package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

const (
	// postgresRole owns the private cluster and everything in it.
	postgresRole = "mailmirror"
	// databaseName is Mailmirror's own database.
	databaseName = "mailmirror"
	// lowestPostgres is the oldest major release that Mailmirror supports.
	lowestPostgres = 14
	// socketPathMax is what fits into a sockaddr_un, without the final NUL.
	socketPathMax = 107
	probeInterval = 25 * time.Millisecond
)

// cluster is a private PostgreSQL cluster.
type cluster struct {
	layout layout
	user   identity
	// binDir holds initdb and postgres.
	binDir string
	port   int
	// socketDir holds the Unix socket, within the path length limit.
	socketDir string
	// noSync skips fsync; only for clusters that die with a test.
	noSync bool
}

// newCluster finds user and binaries for the cluster of a data directory and
// makes the folders that it needs.
func newCluster(l layout, port int) (*cluster, error) {
	c := &cluster{layout: l, port: port}
	var err error
	if c.user, err = choosePostgresUser(c.dataDir()); err != nil {
		return nil, err
	}
	if c.binDir, err = findPostgres(c.dataDir()); err != nil {
		return nil, err
	}
	if err := c.user.checkReach(l.dir); err != nil {
		return nil, err
	}
	if err := c.user.ownDir(l.postgres()); err != nil {
		return nil, fmt.Errorf("prepare cluster folder: %w", err)
	}
	if c.socketDir, err = c.chooseSocketDir(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cluster) dataDir() string { return filepath.Join(c.layout.postgres(), "data") }

// chooseSocketDir returns the cluster's own folder, or a short one for a data
// directory whose path is too long for a Unix socket.
func (c *cluster) chooseSocketDir() (string, error) {
	if socketFits(c.layout.postgres()) {
		return c.layout.postgres(), nil
	}
	base := os.TempDir()
	if runtimeDir := os.Getenv("XDG_RUNTIME_DIR"); runtimeDir != "" && !c.user.switching {
		base = runtimeDir
	}
	dir := filepath.Join(base, "mailmirror-"+shortHash(c.layout.dir))
	if !socketFits(dir) {
		return "", fault.New(fault.Config, "choose socket folder",
			fmt.Errorf("both %s and %s are too long for a Unix socket", c.layout.postgres(), dir),
			"choose a shorter --data directory")
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		return dir, c.user.ownDir(dir)
	} else if !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make socket folder: %w", err)
	}
	// Others can write to the temporary folder, so what is there already must
	// be a true folder of PostgreSQL's user, or it is a trap.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make socket folder: %w", err)
	}
	if !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != c.user.uid || info.Mode().Perm() != 0o700 {
		return "", fault.New(fault.Config, "make socket folder",
			fmt.Errorf("%s exists and does not belong to user %s alone", dir, c.user.name), "remove it")
	}
	return dir, nil
}

// shortHash names a folder after a path that is too long itself.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func socketFits(dir string) bool {
	return len(filepath.Join(dir, ".s.PGSQL.65535")) <= socketPathMax
}

// postgresEnvironment is ours without PostgreSQL's own variables, which would
// lead its programs elsewhere, and with messages that we can rely on.
func postgresEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") })
	return append(env, "LC_MESSAGES=C")
}

// dsn is the connection string of a database, over the Unix socket. It needs
// no password; over TCP, for tools that know no sockets, the one in
// secrets/pgpass does.
func (c *cluster) dsn(database string) string {
	q := url.Values{
		"host":    {c.socketDir},
		"port":    {strconv.Itoa(c.port)},
		"sslmode": {"disable"}, // it never leaves the machine
	}
	u := url.URL{Scheme: "postgres", User: url.User(postgresRole), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// child says how the server is run.
func (c *cluster) child() Child {
	args := []string{
		"-D", c.dataDir(), "-p", strconv.Itoa(c.port),
		"-c", "listen_addresses=" + loopback,
		"-c", "unix_socket_directories=" + c.socketDir,
		"-c", "unix_socket_permissions=0700",
		"-c", "logging_collector=off", // standard error is our log file
	}
	if c.noSync {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	return Child{
		Name: "postgres", Path: filepath.Join(c.binDir, "postgres"), Args: args,
		Env: postgresEnvironment(), Dir: c.layout.postgres(), Credential: c.user.credential(),
		Prepare: c.settlePredecessor,
		Ready:   c.ready,
		// Long: it includes the recovery after a crash.
		ReadyTimeout: 5 * time.Minute,
		// Fast shutdown, then immediate shutdown, which recovers at the next start.
		StopSignals: []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT},
		Grace:       20 * time.Second,
		DeathSignal: syscall.SIGINT,
	}
}

// ready returns when the server answers a query.
func (c *cluster) ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, c.dsn("postgres"))
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT 1")
			conn.Close(context.WithoutCancel(ctx))
		}
		if err == nil {
			return nil
		}
		if !sleep.For(ctx, probeInterval) {
			return err
		}
	}
}

// createDatabase makes a database unless it exists.
func (c *cluster) createDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}
