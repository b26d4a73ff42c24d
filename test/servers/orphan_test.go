//go:build integration

package servers_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailmirror/test/servers"
)

// TestServersEndWithTheirStarter kills a process that started servers, and
// expects nothing of them to be left: an aborted test run must not litter.
func TestServersEndWithTheirStarter(t *testing.T) {
	const mark = "MAILMIRROR_TEST_STARTER"
	if os.Getenv(mark) != "" {
		d := servers.DovecotT(t, servers.DovecotOptions{Dir: os.Getenv(mark) + "/d"})
		c := servers.CyrusT(t, servers.CyrusOptions{Dir: os.Getenv(mark) + "/c"})
		l := servers.SlapdT(t, servers.SlapdOptions{Dir: os.Getenv(mark) + "/l"})
		fmt.Printf("pids %d %d %d\n", d.Pid(), c.Pid(), l.Pid())
		select {} // until killed
	}
	dir, err := os.MkdirTemp("", "mailmirror-starter-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the servers' user has to get in
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersEndWithTheirStarter$")
	cmd.Env = append(os.Environ(), mark+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var groups []int
	for lines := bufio.NewScanner(out); len(groups) == 0 && lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "pids "); ok {
			for p := range strings.FieldsSeq(list) {
				pid, err := strconv.Atoi(p)
				if err != nil {
					t.Fatal(err)
				}
				groups = append(groups, pid)
			}
		}
	}
	if len(groups) != 3 {
		t.Fatalf("the starter named %v", groups)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	end := time.Now().Add(15 * time.Second)
	for _, g := range groups {
		for len(servers.GroupMembers(g)) > 0 {
			if time.Now().After(end) {
				t.Fatalf("left of group %d: %v", g, servers.GroupMembers(g))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}
