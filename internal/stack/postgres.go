package stack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
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

// clusterSettings go into a new cluster's postgresql.conf, where the operator
// may change them afterwards. They suit a small machine that does other work
// as well. Durability stays at its defaults, since the exactly-once protocol
// rests on it.
const clusterSettings = `
# --- Mailmirror's settings for a small machine ---
max_connections = 150            # Temporal takes up to 30, the worker the rest
shared_buffers = 128MB
max_wal_size = 512MB
checkpoint_timeout = 15min       # fewer full-page writes
jit = off                        # short queries only
log_checkpoints = off
log_line_prefix = '%m [%p] %d '
timezone = 'UTC'
log_timezone = 'UTC'
`

// cluster is a private PostgreSQL cluster.
type cluster struct {
	layout layout
	user   identity
	// binDir holds initdb and postgres.
	binDir string
	port   int
	// socketDir holds the Unix socket, within the path length limit.
	socketDir string
	logger    *slog.Logger
	// noSync skips fsync; only for clusters that die with a test.
	noSync bool
}

// newCluster finds user and binaries for the cluster of a data directory and
// makes the folders that it needs.
func newCluster(l layout, port int, logger *slog.Logger) (*cluster, error) {
	c := &cluster{layout: l, port: port, logger: logger}
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

// findPostgres returns the folder of the PostgreSQL binaries: those of the
// release that made the cluster, for a cluster that exists; else the newest.
func findPostgres(dataDir string) (string, error) {
	installed := installedPostgres()
	hint := "install it, for instance: apt-get install postgresql"
	if len(installed) == 0 {
		return "", fault.Newf(fault.Config, "find PostgreSQL: no initdb and postgres in /usr/lib/postgresql/*/bin nor in PATH; %s", hint)
	}
	b, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if installed[0].major < lowestPostgres {
			return "", fault.New(fault.Config, "find PostgreSQL",
				fmt.Errorf("release %d in %s is too old, need %d or newer", installed[0].major, installed[0].dir, lowestPostgres), hint)
		}
		return installed[0].dir, nil
	}
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL: %w", err)
	}
	made := strings.TrimSpace(string(b))
	var found []string
	for _, p := range installed {
		if strconv.Itoa(p.major) == made {
			return p.dir, nil
		}
		found = append(found, strconv.Itoa(p.major))
	}
	return "", fault.New(fault.Config, "find PostgreSQL",
		fmt.Errorf("the cluster in %s was made by release %s, installed: %s", dataDir, made, strings.Join(found, ", ")),
		fmt.Sprintf("install release %s again, or move the cluster with pg_upgrade", made))
}

type postgresInstall struct {
	major int
	dir   string
}

// installedPostgres lists releases with the newest first: Debian keeps each in
// a folder of its own, others have one in PATH.
func installedPostgres() []postgresInstall {
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(real))
		}
	}
	var installed []postgresInstall
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		// Prints "postgres (PostgreSQL) 15.14 (Debian ...)".
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		fields := strings.Fields(string(out))
		if err != nil || len(fields) < 3 {
			continue
		}
		digits, _, _ := strings.Cut(fields[2], ".")
		if major, err := strconv.Atoi(digits); err == nil {
			installed = append(installed, postgresInstall{major, dir})
		}
	}
	slices.SortStableFunc(installed, func(a, b postgresInstall) int { return b.major - a.major })
	return installed
}

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

// initialise makes the cluster unless it exists. It is made under another name
// and renamed when complete, so a kill in the middle leaves nothing half done.
func (c *cluster) initialise(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(c.dataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	password, err := c.password()
	if err != nil {
		return fmt.Errorf("make password: %w", err)
	}
	unfinished := c.dataDir() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	// initdb reads the password as its own user, so this copy is that user's.
	passwordFile := filepath.Join(c.layout.postgres(), "password.new")
	if err := writeFile(passwordFile, []byte(password+"\n")); err != nil {
		return err
	}
	defer os.Remove(passwordFile)
	if c.user.switching {
		if err := os.Chown(passwordFile, c.user.uid, c.user.gid); err != nil {
			return err
		}
	}
	args := []string{
		"--pgdata", unfinished, "--username", postgresRole, "--pwfile", passwordFile,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--lc-ctype", "C.UTF-8",
	}
	if c.noSync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.binDir, "initdb"), args...)
	// Killed with us, lest it write on while a successor begins anew; the signal
	// is tied to the thread that forks (see spawner).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user.credential(), Pdeathsig: syscall.SIGKILL}
	cmd.Dir, cmd.Env = c.layout.postgres(), postgresEnvironment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fault.New(fault.Config, "make PostgreSQL cluster", err, strings.TrimSpace(string(out)))
	}
	if err := appendFile(filepath.Join(unfinished, "postgresql.conf"), clusterSettings); err != nil {
		return err
	}
	return os.Rename(unfinished, c.dataDir())
}

// postgresEnvironment is ours without PostgreSQL's own variables, which would
// lead its programs elsewhere, and with messages that we can rely on.
func postgresEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") })
	return append(env, "LC_MESSAGES=C")
}

// password returns the role's password, made at random the first time.
func (c *cluster) password() (string, error) {
	b, err := os.ReadFile(c.layout.passfile())
	if errors.Is(err, fs.ErrNotExist) {
		password := rand.Text()
		// A line of libpq's password file: host:port:database:user:password.
		return password, writeFile(c.layout.passfile(), []byte("*:*:*:"+postgresRole+":"+password+"\n"))
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(b))
	return line[strings.LastIndexByte(line, ':')+1:], nil
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// dsn is the connection string of a database, over the Unix socket. It names
// the password file, so that the password itself is in no process list.
func (c *cluster) dsn(database string) string {
	q := url.Values{
		"host":     {c.socketDir},
		"port":     {strconv.Itoa(c.port)},
		"passfile": {c.layout.passfile()},
		"sslmode":  {"disable"}, // it never leaves the machine
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
		if !sleep(ctx, nil, probeInterval) {
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
