# What there is to do, and how. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(PATH):/usr/sbin:/sbin:$(HOME)/.cargo/bin
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
plugin := $(target)/plugin/plexus
programs := $(target)/debug

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: plugin programs ## See it work: two pods on four networks, without a cluster and without touching this machine (root)
	@e2e/demo/run $(plugin) $(programs)

.PHONY: test
test: deps assets plugin ## Every test; installs what the tests need (root, for the tests of the kernel)
	PLEXUS_PLUGIN=$(plugin) cargo test --no-fail-fast

.PHONY: build
build: plugin ## Everything as it is shipped: plugin (static), daemon and tool
	CARGO_ENCODED_RUSTFLAGS="$$(e2e/plugin/flags)" cargo build --release --bins
	@ls -l $(plugin) $(target)/release/plexusd $(target)/release/plexusctl

.PHONY: plugin
plugin: ## The plugin as it is shipped, into target/plugin
	@e2e/plugin/build $(plugin)

.PHONY: programs
programs: ## Daemon and tool for development, into target/debug
	cargo build --bin plexusd --bin plexusctl

.PHONY: check
check: ## Format and lints, with and without the cluster
	cargo fmt --check
	cargo clippy --lib --bin plexus --no-default-features -- -D warnings
	cargo clippy --all-targets -- -D warnings

.PHONY: deps
deps: ## What building and testing needs beside Rust and Go: Debian packages (root), Rust components
	e2e/assets/get packages
	e2e/plugin/build --target >/dev/null
	rustup --quiet component add rustfmt clippy || true

.PHONY: assets
assets: ## What the tests run against: reference plugins, etcd, Kubernetes (5 to 15 minutes, once)
	e2e/assets/get plugins
	e2e/assets/get etcd
	e2e/assets/get kubernetes

.PHONY: size
size: plugin ## Is the plugin small, static, stripped and free of the daemon's libraries?
	@e2e/plugin/check $(plugin)

include e2e/cluster/cluster.mk
include e2e/kernel/kernel.mk
include fuzz/fuzz.mk

.PHONY: deny
deny: ## Licences, banned and duplicate dependencies
	cargo test --quiet --test policy -- --nocapture

.PHONY: crd
crd: ## Generates crd/ from the Rust type; a test compares
	cargo run --quiet --bin plexusctl -- crd >crd/network-attachment-definitions.yaml.new
	mv crd/network-attachment-definitions.yaml.new crd/network-attachment-definitions.yaml
	git diff --stat crd

.PHONY: bench
bench: plugin ## What the shipped programs cost here: VERSION, ADD and DEL, memory (root)
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --bench shipped
	cargo bench --no-default-features --bench teardown

.PHONY: outage
outage: plugin ## Daemon and API server away for ten minutes, in real time (root)
	PLEXUS_PLUGIN=$(plugin) PLEXUS_OUTAGE_SECONDS=600 cargo test --test outage -- --nocapture

.PHONY: bench-multus
bench-multus: plugin ## The same beside Multus 4.3, whose programs are in MULTUS_BIN_DIR (root)
	@test -n "$$MULTUS_BIN_DIR" || { echo "MULTUS_BIN_DIR must name the folder of multus-daemon and multus-shim" >&2; exit 2; }
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --bench multus

.PHONY: bench-delegates
bench-delegates: plugin ## ADD and DEL by natives, by the reference programs and by the kernel alone, side by side (root)
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --profile dev --bench delegates

.PHONY: ci
ci: ## What decides whether a change is good; also .ci/run
	.ci/run

.PHONY: clean
clean: ## Removes what was built here; assets stay in the user's cache
	cargo clean
