// Package app is the one place that constructs adapters and ties them
// together: the worker, the operator's commands, and the one-machine stack.
//
// It holds no rule of its own. It does not touch signals, so that tests start
// several instances in one process.
package app
