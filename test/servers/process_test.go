package servers_test

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"mailmirror/test/servers"
)

// TestStartOutlivesThreads starts children and ends threads of this process: they
// live on. Else what one test stops takes along what another one started.
func TestStartOutlivesThreads(t *testing.T) {
	for range 20 {
		cmd := exec.Command("cat")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan error)
		go func() { started <- servers.Start(cmd) }() // not on the main thread, which never ends
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		var locked, ended sync.WaitGroup
		locked.Add(8)
		for range 8 {
			ended.Go(func() {
				runtime.LockOSThread() // never unlocked: the thread ends
				locked.Done()
				locked.Wait()
			})
		}
		ended.Wait()
		_ = input.Close() // which ends it in order
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
