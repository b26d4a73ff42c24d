package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"mailmirror/internal/fault"
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

// accessRules are the cluster's pg_hba.conf. Over the Unix socket the kernel
// says who connects, so no command needs a password, and none in its
// environment (PGPASSWORD) can get in the way.
const accessRules = `# TYPE  DATABASE  USER  ADDRESS       METHOD
local   all       all                 peer map=mailmirror
host    all       all   127.0.0.1/32  scram-sha-256
`

// initialise makes the cluster unless it exists. It is made under another name
// and renamed when complete, so a kill in the middle leaves nothing half done.
func (c *cluster) initialise(ctx context.Context) (err error) {
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
	defer func() { err = errors.Join(err, os.Remove(passwordFile)) }()
	if c.user.switching {
		if err := os.Chown(passwordFile, c.user.uid, c.user.gid); err != nil {
			return err
		}
	}
	args := []string{
		"--pgdata", unfinished, "--username", postgresRole, "--pwfile", passwordFile,
		"--auth-local", "peer", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--lc-ctype", "C.UTF-8",
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
	if err := configure(unfinished); err != nil {
		return fmt.Errorf("configure cluster: %w", err)
	}
	return os.Rename(unfinished, c.dataDir())
}

// configure writes the settings of a new cluster: root and whoever runs us may
// act as the role that owns everything, over the Unix socket.
func configure(dataDir string) error {
	self, err := user.Current()
	if err != nil {
		return fmt.Errorf("find own user name: %w", err)
	}
	var users strings.Builder
	users.WriteString("# MAP  SYSTEM-USER  ROLE\n")
	for _, name := range slices.Compact([]string{"root", self.Username}) {
		fmt.Fprintf(&users, "mailmirror %q %s\n", name, postgresRole)
	}
	return errors.Join(
		appendFile(filepath.Join(dataDir, "postgresql.conf"), clusterSettings),
		overwriteFile(filepath.Join(dataDir, "pg_hba.conf"), accessRules),
		overwriteFile(filepath.Join(dataDir, "pg_ident.conf"), users.String()),
	)
}

// overwriteFile replaces the content of an existing file, keeping its owner.
func overwriteFile(path, text string) error {
	if err := os.Truncate(path, 0); err != nil {
		return err
	}
	return appendFile(path, text)
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
