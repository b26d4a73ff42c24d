//go:build !integration

package stack

func integrationHelpers() map[string]func([]string) int { return nil }
