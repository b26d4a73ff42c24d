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

// begin does something while the caller goes on, and returns what waits for its
// end: the same error every time.
func (e *Engine) begin(do func() error) (wait func() error) {
	once := sync.OnceValue(do)
	if e.opts.InTurn {
		_ = once()
		return once
	}
	go func() {
		defer func() { _ = recover() }() // OnceValue hands a panic to whoever waits
		_ = once()
	}()
	return once
}
