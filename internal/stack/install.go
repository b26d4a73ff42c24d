package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailmirror/internal/fault"
)

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
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(resolved))
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
