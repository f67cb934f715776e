# Everything that is built, checked or measured here has a target in this file,
# and continuous integration runs these targets and nothing else.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

GO       ?= go
PKGS     ?= ./...
# Packages tested side by side, and the limit for one package.
P        ?= 2
TIMEOUT  ?= 15m
FUZZTIME ?= 30s
ROUNDS   ?= 3
BENCHTIME ?= 2s

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @

.PHONY: build
build: ## compile bin/nas-target
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/nas-target ./cmd/nas-target

.PHONY: run
run: ## serve the lab default from ./nas-data on 127.0.0.1:3260 (ARGS="…" adds flags)
	$(GO) run ./cmd/nas-target serve $(ARGS)

.PHONY: setup
setup: ## see that the programs the tests use are there; as root, install them
	@test/setup

.PHONY: test
test: setup ## all tests under the race detector, conformance and interoperability included
	@$(GO) run ./test/gotest -race -count=1 -p $(P) -timeout $(TIMEOUT) $(PKGS)

.PHONY: check
check: ## go vet, staticcheck, formatting and the repository's rules, known vulnerabilities, the other machine
	$(GO) test -count=1 ./test/policy
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build -o /dev/null ./cmd/nas-target
	@test/vulncheck

.PHONY: race
race: ## the goroutines' packages, many times over, under the race detector
	$(GO) test -race -count=$(or $(COUNT),5) -p 1 -timeout 30m ./internal/...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME, one after the other
	@FUZZTIME=$(FUZZTIME) test/fuzz $(PKGS)

.PHONY: conformance
conformance: export CONFORMANCE_DIGESTS ?= .
conformance: setup ## libiscsi's tests against the daemon (UPDATE=1 rewrites what is expected)
	$(GO) test -count=1 -timeout 30m -v -run TestLibiscsi ./test/conformance

.PHONY: interop
interop: setup ## initiators that are not ours against the daemon
	$(GO) test -count=1 -timeout 30m -v ./test/interop

.PHONY: bench
bench: setup ## nas-target, tgt and gotgt side by side (BENCHTIME, ROUNDS, ARGS)
	$(GO) run ./test/bench -time $(BENCHTIME) -rounds $(ROUNDS) $(ARGS)

.PHONY: benchcompare
benchcompare: ## Go benchmarks of commits OLD and NEW side by side (default: the last commit, and the working tree)
	test/benchcompare $(or $(OLD),HEAD) $(or $(NEW),.) $(filter-out ./...,$(PKGS))

# The campaigns of test/sim, long, for a machine that does nothing else. The
# variables set other sizes, and SIM_SEED repeats one of them.
.PHONY: fence linear model kill faults
fence linear model kill faults: export SIM_QUIET ?= 1
SIM = $(GO) test -race -count=1 -timeout 6h -v

fence: export FENCE_RACES ?= 10000
fence: export MUTUAL_ROUNDS ?= 10000
fence: export REINSTATE_ROUNDS ?= 10000
fence: export STORM_STEPS ?= 50000
fence: export CAW_ROUNDS ?= 100000
fence: export CAW_WIRE_ROUNDS ?= 100000
fence: export FENCE_LATENCY ?= 1000
fence: ## campaign: take rights away under fire (FENCE_RACES=10000)
	$(SIM) ./test/sim/fence

linear: export LINEAR_HISTORIES ?= 2000
linear: export LINEAR_OPS ?= 300
linear: ## campaign: concurrent histories have an order (LINEAR_HISTORIES=2000)
	$(SIM) ./test/sim/linear

model: export MODEL_LIVES ?= 10000
model: export MODEL_WIRE_LIVES ?= 1000
model: ## campaign: random lives of sessions against a model (MODEL_LIVES=10000)
	$(SIM) ./test/sim/model

faults: export FAULT_CUTS ?= 10000
faults: export FAULT_FLIPS ?= 100000
faults: export FAULT_SLICES ?= 5000
faults: export FAULT_CONNECTIONS ?= 1000
faults: export FLOOD_CONNECTIONS ?= 9000
faults: export FLOOD_SECONDS ?= 30
faults: export RESTART_SESSIONS ?= 100
faults: export RESTARTS ?= 20
faults: export LOGIN_DEPTH ?= 5
faults: ## campaign: broken networks and hostile peers (FAULT_CUTS=10000)
	$(SIM) ./test/sim/faults
	$(GO) test -count=1 -timeout 1h -v -run TestEveryLoginSequence ./internal/iscsi

.PHONY: memory
memory: export MEMORY_IDLE ?= 1024
memory: export MEMORY_BUSY ?= 256
memory: export MEMORY_SECONDS ?= 10
memory: ## what sessions cost the daemon, idle and busy (MEMORY_IDLE=1024)
	$(GO) test -count=1 -v -run TestMemoryOfSessions ./test/sim/faults

kill: export KILLS ?= 1000
kill: export FENCED_KILLS ?= 500
kill: export WRITE_KILLS ?= 500
kill: ## campaign: kill the daemon, see what it acknowledged (KILLS=1000)
	$(SIM) ./test/sim/kill

.PHONY: apply
apply: ## campaign: random configurations under load, good and bad ones (APPLIES=500)
	$(GO) test -race -count=1 -timeout 1h -v -run 'TestRandomApplies' ./internal/daemon -applies $(or $(APPLIES),500)

.PHONY: crash
crash: export CRASHES ?= 10000
crash: export KILLS ?= 1000
crash: ## campaign: cut the power under a disk, kill its process (CRASHES=10000 KILLS=1000)
	$(GO) test -count=1 -timeout 2h -v ./internal/backstore \
		-run 'TestPowerLoss|TestAtomicWritesAndPowerLoss|TestKill' -crashes $(CRASHES) -kills $(KILLS)

.PHONY: copy
copy: export COPY_MIB ?= 1024
copy: ## a copy inside a LUN: by the initiator, by EXTENDED COPY, by tokens (COPY_MIB=1024)
	$(GO) test -count=1 -timeout 30m -v -run TestCopyOffload ./test/interop

.PHONY: mutants
mutants: ## plant each deliberate defect in a copy and see a test fail
	$(GO) run ./test/mutants

.PHONY: screenshots
screenshots: setup ## take the pictures of the page that docs/operating.md shows
	mkdir -p docs/screenshots
	SHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -run TestPageFitsEveryScreen ./internal/admin

.PHONY: generate
generate: ## run the generators; fails if the tree is not what they write
	$(GO) generate ./...
	@git diff --exit-code --stat || { echo "commit what the generators wrote"; exit 1; }

.PHONY: deb release reproducible container
deb: ## Debian package into dist/ (ARCH=arm64 for another machine)
	@packaging/build deb $(ARCH)

release: ## archives, Debian packages, SBOMs and checksums into dist/, the same bytes every time
	@packaging/build release $(ARCH)

reproducible: ## build a release twice from empty caches, and compare
	RELEASE_FRESH=1 $(GO) test -count=1 -timeout 1h -v -run TestReleaseIsReproducible ./test/packaging

container: ## container image, by podman, buildah or docker
	@packaging/build container $(ARCH)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
