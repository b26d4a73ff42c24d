package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"mailmirror/internal/fault"
)

// identity is who PostgreSQL runs as. It refuses to run as root.
type identity struct {
	name     string
	uid, gid int
	// switching says that we are root and must change to it.
	switching bool
}

// choosePostgresUser returns the user for the cluster in dataDir: ourselves
// unless we are root; else the owner of the cluster where there is one; else
// the user postgres of the installed package; else nobody.
func choosePostgresUser(dataDir string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{name: "uid " + strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	info, err := os.Stat(dataDir)
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		if owner.Uid == 0 {
			return identity{}, fault.New(fault.Config, "choose user for PostgreSQL",
				fmt.Errorf("%s belongs to root", dataDir), "give it to the user that made the cluster, usually postgres")
		}
		return identity{name: "uid " + strconv.Itoa(int(owner.Uid)), uid: int(owner.Uid), gid: int(owner.Gid), switching: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return identity{}, fmt.Errorf("choose user for PostgreSQL: %w", err)
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return identity{name: name, uid: uid, gid: gid, switching: true}, nil
		}
	}
	return identity{}, fault.Newf(fault.Config, "choose user for PostgreSQL: neither postgres nor nobody exists, and it refuses to run as root")
}

// credential is what a child process needs to run as the identity.
func (i identity) credential() *syscall.Credential {
	if !i.switching {
		return nil
	}
	return &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)}
}

// ownDir makes a directory that belongs to the identity and to nobody else.
func (i identity) ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !i.switching {
		return nil
	}
	return os.Chown(dir, i.uid, i.gid)
}

// checkReach fails when the identity cannot pass through one of the folders
// that lead to dir. The data directory itself is opened for passing, since
// everything in it protects itself; folders above it are the operator's.
func (i identity) checkReach(dataDir string) error {
	if !i.switching {
		return nil
	}
	for dir := dataDir; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !i.mayPass(info) {
			if dir != dataDir {
				return fault.New(fault.Config, "prepare data directory",
					fmt.Errorf("PostgreSQL runs as user %s, who may not pass through %s", i.name, dir),
					fmt.Sprintf("choose a data directory elsewhere, such as /var/lib/mailmirror, or allow it: chmod o+x %s", dir))
			}
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// mayPass applies the permission bits; access control lists are not looked at.
func (i identity) mayPass(info fs.FileInfo) bool {
	owner := info.Sys().(*syscall.Stat_t)
	switch {
	case int(owner.Uid) == i.uid:
		return info.Mode().Perm()&0o100 != 0
	case int(owner.Gid) == i.gid:
		return info.Mode().Perm()&0o010 != 0
	default:
		return info.Mode().Perm()&0o001 != 0
	}
}
