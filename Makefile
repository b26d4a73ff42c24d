# The two commands of the README are `make demo` and `make test`. Everything
# below installs and starts what it needs by itself.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO      ?= go
BIN     := bin
# Not below the checkout: the servers run as users of their own, who could not
# reach it below a home directory.
DATA    ?= /var/tmp/mailmirror-demo
DEMO    ?=
SEEDS   ?= 2000
BENCH   ?=
SOAK    ?= -rounds 1
RELEASE ?=

# Temporal's server is a module of its own: 1.5 GB of downloads and minutes of
# compiling the first time, so only what needs it builds it.
TEMPORAL_DIR := internal/stack/temporalserver
TEMPORAL_SRC := $(wildcard $(TEMPORAL_DIR)/*.go) $(TEMPORAL_DIR)/go.mod $(TEMPORAL_DIR)/go.sum

.PHONY: build demo test test-unit test-simulation test-integration check soak olddata lint generate bench bench-copy bench-latency bench-directory bench-scale clean

build: $(BIN)/mailmirror-temporal ## build the programs into bin/
	$(GO) build -o $(BIN)/mailmirror ./starter
	$(GO) build -o $(BIN)/mailmirror-worker ./worker

$(BIN)/mailmirror-temporal: $(TEMPORAL_SRC)
	@echo "building Temporal's server: minutes the first time, seconds later"
	cd $(TEMPORAL_DIR) && $(GO) build -ldflags '-s -w' -o $(CURDIR)/$@ .
	@touch $@

demo: ## see it work: two stores, 50 mailboxes, until Ctrl-C (DEMO=once ends after the proof)
	@test/scripts/install-servers.sh demo
	@$(MAKE) --no-print-directory build
	@$(GO) build -o $(BIN)/mailmirror-demo ./test/demo
	@exec $(BIN)/mailmirror-demo -bin $(BIN) -dir $(DATA) $(if $(filter once,$(DEMO)),-once)

test: ## everything, each test once: unit with the race detector, simulation, real servers, replay
	@test/scripts/install-servers.sh bench
	@$(MAKE) --no-print-directory build test-unit test-simulation test-integration

test-unit: ## needs no server
	$(GO) vet ./...
	$(GO) test -race -shuffle=on ./...

test-simulation: ## both engines over simulated stores and directories; SEEDS=20000 for more
	$(GO) test ./internal/copier/copiersim -count=1 -seeds $(SEEDS)
	$(GO) test ./internal/dirsync/dirsim -count=1 -seeds $$(($(SEEDS) / 4))

test-integration: build ## on real Dovecot, Cyrus, PostgreSQL and Temporal; test-unit has run the others
	test/scripts/integration-tests.sh | xargs -d '\n' $(GO) test -tags integration -shuffle=on -timeout 60m -p 2
	cd $(TEMPORAL_DIR) && $(GO) vet ./... && $(GO) test ./...

check: lint test ## what a change must pass

soak: build ## tests again and again, and a table of what they found (SOAK='-for 1h', '-rounds 5', '-run PATTERN')
	@test/scripts/install-servers.sh bench
	$(GO) run ./test/soak $(SOAK)

olddata: build ## what this release leaves: a dump and the stores' mail, for the test of later ones (RELEASE=2026-11)
	@if [ -z '$(RELEASE)' ]; then echo 'name the release: make olddata RELEASE=2026-11' >&2; exit 2; fi
	@test/scripts/install-servers.sh demo
	$(GO) run ./test/olddata/make -bin $(BIN) -to test/olddata/testdata/$(RELEASE)

lint: ## format, generated code, linters, workflow determinism
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w"; exit 1; }
	cd internal/tools && $(GO) build -o $(CURDIR)/$(BIN)/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint go.temporal.io/sdk/contrib/tools/workflowcheck github.com/sqlc-dev/sqlc/cmd/sqlc
	cd internal/pgstore && $(CURDIR)/$(BIN)/sqlc diff
	$(BIN)/workflowcheck ./workflows/...
	$(BIN)/golangci-lint run --build-tags integration ./...

generate: ## write the query code anew
	cd internal/tools && $(GO) build -o $(CURDIR)/$(BIN)/ github.com/sqlc-dev/sqlc/cmd/sqlc
	cd internal/pgstore && $(CURDIR)/$(BIN)/sqlc generate

bench: ## all three benchmarks; the next three take options, as in BENCH='-rounds 1'
	@if [ -n '$(BENCH)' ]; then echo 'options are for one of bench-copy, bench-latency and bench-directory' >&2; exit 2; fi
	@$(MAKE) --no-print-directory bench-copy
	@$(MAKE) --no-print-directory bench-latency
	@$(MAKE) --no-print-directory bench-directory

$(BIN)/mailmirror-bench: build
	@test/scripts/install-servers.sh bench
	@$(GO) build -o $@ ./test/bench

bench-copy: $(BIN)/mailmirror-bench ## copying beside mbsync, dsync and the bare protocol (BENCH='-mailboxes 200' and the like)
	$(BIN)/mailmirror-bench $(BENCH)

bench-latency: $(BIN)/mailmirror-bench ## from deposit and announcement to readable on DR, and the listener's memory: a quarter of an hour (BENCH='-mailboxes 50 -deposits 200 -memory 100' for less)
	$(BIN)/mailmirror-bench latency $(BENCH)

bench-directory: $(BIN)/mailmirror-bench ## the directory beside OpenLDAP's syncrepl (BENCH='-entries 10000' for less)
	$(BIN)/mailmirror-bench directory $(BENCH)

bench-scale: $(BIN)/mailmirror-bench ## the load on a production of 5,000 mailboxes, beside the bare protocol: a quarter of an hour on an idle machine (BENCH='-mailboxes 300' for less)
	$(BIN)/mailmirror-bench scale $(BENCH)

clean: ## the programs; the demo's data stays
	rm -rf $(BIN)
