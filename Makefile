# Holdfast: every target does its own set-up. As root missing Debian packages are installed; without
# root the command to install them is printed.
#
#   make run            build, start both processes in the foreground; Ctrl-C ends them
#   make demo           one real call, recorded
#   make test           all tests            make test-e2e       those of the running system
#   make lint           what has to be clean make fmt            format the code
#   make test-coverage  line coverage        make env-test       what this machine can do
#   make perf           300 calls, 60 s
#   make soak           SOAK_SECONDS of 500 calls with random kills, after SOAK_SEEDS runs of each simulation
#   make profile        flame graphs of both processes under load
#   make bench          instructions (valgrind) and time of a packet in each stage of the engine
#   make fuzz           libFuzzer (else random tests with new seeds) for FUZZ_SECONDS
#   make setup          packages and toolchain for all of these
#   make certs          a demo authority with certificates for server and client, in var/certs
#   make install        as services (DESTDIR=, PREFIX=/usr/local); make uninstall takes it away again
#   make docker-up      in containers, with Prometheus and Grafana; make docker-down ends them
#   make clean          remove what was built (never recordings)
#
# Parameters: CONFIG=config/holdfast.toml PROFILE=release (or dev) FUZZ_SECONDS=300
# SOAK_SECONDS=7200 SOAK_SEEDS=5000 CARGO_FLAGS= (such as --locked, --offline). With SEED=… a test
# that draws random numbers repeats one run: SEED=7 make test

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

CONFIG ?= config/holdfast.toml
PROFILE ?= release
CARGO_FLAGS ?=
FUZZ_SECONDS ?= 300
SOAK_SECONDS ?= 7200
SOAK_SEEDS ?= 5000
PREFIX ?= /usr/local
DESTDIR ?=

# A toolchain of rustup's own installer lies outside the PATH of a plain shell.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Cargo's own tools that a target had to build.
export PATH := $(abspath $(TARGET_DIR))/tools/bin:$(PATH)
# cargo calls the folder of its dev profile "debug".
BIN_DIR := $(abspath $(TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE)))
# One stamp for each machine: a target folder may be shared.
STAMP = $(TARGET_DIR)/.setup/$(shell uname -n)-$(1)

.PHONY: help setup build run demo test test-e2e test-coverage fmt lint env-test perf profile bench soak fuzz certs clean \
  install uninstall docker-up docker-down

help:
	@sed -n '/^# *make /s/^# *//p' Makefile

setup: $(call STAMP,build) $(call STAMP,test) $(call STAMP,demo)

$(call STAMP,build) $(call STAMP,test) $(call STAMP,demo): scripts/setup Cargo.toml
	@scripts/setup $(lastword $(subst -, ,$(notdir $@)))
	@mkdir -p $(dir $@) && touch $@

build: $(call STAMP,build)
	cargo build --workspace --bins --profile $(PROFILE) $(CARGO_FLAGS)

run: build
	@BIN_DIR=$(BIN_DIR) scripts/run --config $(CONFIG)

demo: build $(call STAMP,demo)
	@BIN_DIR=$(BIN_DIR) CONFIG=$(CONFIG) perf/demo/run

# The tests of the running system start the binaries, so these are built first.
# What the compiler wrote goes to the disk before they run: they wait for it at each answer.
test: $(call STAMP,build) $(call STAMP,test)
	cargo build --workspace --bins $(CARGO_FLAGS)
	cargo test --workspace --no-run $(CARGO_FLAGS)
	sync
	cargo test --workspace $(CARGO_FLAGS)

# Test files of the running system are named e2e_*.rs, wherever they stand.
test-e2e: $(call STAMP,build) $(call STAMP,test)
	cargo build --workspace --bins $(CARGO_FLAGS)
	cargo test --workspace --test 'e2e_*' --no-run $(CARGO_FLAGS)
	sync
	cargo test --workspace --test 'e2e_*' $(CARGO_FLAGS)

# The tool is built once, beside what else is built; its profiles need the toolchain's own LLVM.
test-coverage: $(call STAMP,build) $(call STAMP,test)
	@cargo llvm-cov --version >/dev/null 2>&1 \
	  || cargo install --locked cargo-llvm-cov --root $(TARGET_DIR)/tools
	@! command -v rustup >/dev/null || rustup component add llvm-tools
	cargo build --workspace --bins $(CARGO_FLAGS)
	cargo llvm-cov --workspace --html $(CARGO_FLAGS)
	cargo llvm-cov report --summary-only

fmt: $(call STAMP,build)
	cargo fmt --all

lint: $(call STAMP,build)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features $(CARGO_FLAGS)
	@if cargo deny --version >/dev/null 2>&1; then \
	  cargo deny check licenses bans sources; \
	else \
	  echo "not checked: licences and sources (cargo install --locked cargo-deny)"; \
	fi
	@if command -v shellcheck >/dev/null; then \
	  shellcheck .ci/run scripts/*; \
	else \
	  echo "not checked: scripts (apt-get install shellcheck)"; \
	fi
	@scripts/lint-deploy

env-test:
	@CONFIG=$(CONFIG) BIN_DIR=$(BIN_DIR) scripts/env-test

perf: build $(call STAMP,demo)
	@BIN_DIR=$(BIN_DIR) perf/calls/run

# The counts first: no neighbour moves them. The times want an idle machine.
bench: $(call STAMP,build)
	nice cargo build --release -p holdfast-benches --bin stages $(CARGO_FLAGS)
	@BIN_DIR=$(abspath $(TARGET_DIR)/release) perf/instructions/run
	nice cargo bench -p holdfast-benches $(CARGO_FLAGS)

# The simulations first: shard, journal and recovery on disks that tear, reorder, fail and lie.
soak: build $(call STAMP,demo)
	SEEDS=$(SOAK_SEEDS) cargo test --release -p holdfast-journal -p holdfast-shard \
	  --test power_cut --test lying_disk --test crash_model $(CARGO_FLAGS) -- --nocapture
	@BIN_DIR=$(BIN_DIR) SOAK_SECONDS=$(SOAK_SECONDS) perf/soak/run

# Two small tools draw the graphs; they are built once, beside what else is built.
profile: build $(call STAMP,demo)
	@command -v inferno-flamegraph >/dev/null \
	  || cargo install --locked inferno --root $(TARGET_DIR)/tools --bin inferno-collapse-perf --bin inferno-flamegraph
	@BIN_DIR=$(BIN_DIR) perf/profile/run

fuzz: $(call STAMP,build)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz

# For trying out. NAMES="HOST ...": what the server is called beside localhost.
certs:
	@scripts/certs

install:
	@BIN_DIR=$(BIN_DIR) DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install

uninstall:
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install --uninstall

docker-up:
	docker compose up --build --detach

docker-down:
	docker compose down

clean:
	cargo clean
