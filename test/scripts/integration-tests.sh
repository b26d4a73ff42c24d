#!/usr/bin/env bash
# Prints arguments of `go test`, one a line: the tests that need the tag
# integration, and their packages. Those that take longest come first, so that none
# of them runs alone at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^//go:build integration')
names=$(sed -n 's/^func \(Test[A-Z0-9][A-Za-z0-9_]*\)(t \*testing.T).*/\1/p' "${files[@]}" | sort -u | paste -sd '|')
longest=(test/e2e internal/imapstore test/hostile internal/ldapdir test/engine internal/pgstore)
printf -- '-run\n^(%s)$\n' "$names"
printf './%s\n' "${longest[@]}"
dirname "${files[@]}" | sort -u | grep -vxF "$(printf '%s\n' "${longest[@]}")" | sed 's|^|./|'
