#!/usr/bin/env bash
# Prints arguments of `go test`, one a line: the tests that need the tag
# integration, and their packages. The longest package comes first.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^//go:build integration')
names=$(sed -n 's/^func \(Test[A-Z0-9][A-Za-z0-9_]*\)(t \*testing.T).*/\1/p' "${files[@]}" | sort -u | paste -sd '|')
printf -- '-run\n^(%s)$\n./test/e2e\n' "$names"
dirname "${files[@]}" | sort -u | grep -vx 'test/e2e' | sed 's|^|./|'
