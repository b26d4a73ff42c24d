package meter

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "42 (a (b) c) S 7 9 9 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7"
	p, ok := parseStat([]byte(line))
	want := Process{Pid: 42, Parent: 7, Group: 9, Name: "a (b) c", CPU: 127 * tick}
	if !ok || p != want {
		t.Errorf("parseStat = %+v, %t; want %+v", p, ok, want)
	}
	for _, bad := range []string{"", "42", "42 (x)", "x (y) S 1 2 3"} {
		if _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was taken for a process", bad)
		}
	}
}

func TestParseMachine(t *testing.T) {
	busy, idle, err := parseMachine([]byte("cpu  10 1 5 100 50 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"))
	if err != nil || busy != 25*tick || idle != 150*tick {
		t.Errorf("parseMachine = %s, %s, %v", busy, idle, err)
	}
	if _, _, err := parseMachine([]byte("intr 5\n")); err == nil {
		t.Error("no error for another line")
	}
}

func TestBelow(t *testing.T) {
	table := Table{1: {Pid: 1}, 2: {Pid: 2, Parent: 1}, 3: {Pid: 3, Parent: 2, CPU: 5}, 4: {Pid: 4, Parent: 1}}
	if got := table.Below(2); len(got) != 2 || CPU(got) != 5 {
		t.Errorf("Below(2) = %+v", got)
	}
	if got := table.Below(9); len(got) != 0 {
		t.Errorf("Below of nobody = %+v", got)
	}
}

// TestCountsEndedChildren measures a shell whose child works and ends while
// the shell goes on: the child's time must still be there.
func TestCountsEndedChildren(t *testing.T) {
	shell := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo done; read wait`)
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil || !strings.HasPrefix(string(said), "done") {
		t.Fatalf("shell said %q, %v", said, err)
	}
	table, err := ReadTable()
	if err != nil {
		t.Fatal(err)
	}
	if below := table.Below(shell.Process.Pid); len(below) != 1 || CPU(below) < 50*time.Millisecond {
		t.Errorf("Below = %+v, want one process with its child's time", below)
	}
	_ = in.Close()
	_ = shell.Wait() // read fails at the end of its input
}

// TestPeakIsExact takes and frees memory: the peak must show it, and must be
// forgotten when reset.
func TestPeakIsExact(t *testing.T) {
	if err := ResetPeak(os.Getpid()); err != nil {
		t.Fatalf("the kernel does not let its peak be reset: %v", err)
	}
	before := PeakRSS(os.Getpid())
	if rss, pss := RSS(os.Getpid()), PSS(os.Getpid()); rss == 0 || pss == 0 || before < rss/2 {
		t.Fatalf("RSS %d, PSS %d, peak %d", rss, pss, before)
	}
	block := make([]byte, 64<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	if grown := PeakRSS(os.Getpid()) - before; grown < 60<<20 {
		t.Errorf("the peak grew by %d bytes after taking %d", grown, len(block))
	}
}

func TestSamplerSeesTheLargest(t *testing.T) {
	s := Sample(t.Context(), func() []int { return []int{os.Getpid(), os.Getpid()} })
	if peak, one := s.Stop(), PSS(os.Getpid()); peak < one {
		t.Errorf("peak of this process twice = %d, once = %d", peak, one)
	}
}

func TestAwaitIdleGivesUp(t *testing.T) {
	begin := time.Now()
	if idle, err := AwaitIdle(t.Context(), 0); idle || err != nil {
		t.Errorf("AwaitIdle = %t, %v", idle, err)
	}
	if time.Since(begin) > time.Second {
		t.Error("waited beyond the limit")
	}
}
