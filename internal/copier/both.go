package copier

import "sync"

// both does at the same time what does not depend on each other on the source
// and on the target, and waits for both. Of two errors it returns the one after
// which a session is not used again. A panic reaches the caller.
func (e *Engine) both(source, target func() error) error {
	if e.opts.InTurn {
		if err := target(); err != nil {
			return err
		}
		return source()
	}
	var sourceErr error
	var panicked any
	var group sync.WaitGroup
	group.Go(func() {
		defer func() { panicked = recover() }()
		sourceErr = source()
	})
	targetErr := target()
	group.Wait()
	if panicked != nil {
		panic(panicked)
	}
	if targetErr == nil || (sourceErr != nil && !staysInFolder(sourceErr)) {
		return sourceErr
	}
	return targetErr
}
