# Commands for development. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(PATH):/usr/sbin:/sbin:$(HOME)/.cargo/bin
target := $(abspath $(or $(CARGO_TARGET_DIR),target))
plugin := $(target)/plugin/plexus
programs := $(target)/debug
version := $(shell sed -n '0,/^version = /s/^version = "\(.*\)"$$/\1/p' Cargo.toml)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: plugin programs ## Run two pods on four networks, without a cluster; installs missing packages (root)
	@e2e/demo/run $(plugin) $(programs)

# Twice the processors: most tests wait most of the time.
test_threads := $(or $(RUST_TEST_THREADS),$(shell expr 2 '*' $$(nproc)))

.PHONY: test
test: deps assets plugin ## Run all tests; installs what they need (root)
	PLEXUS_PLUGIN=$(plugin) RUST_TEST_THREADS=$(test_threads) cargo test --no-fail-fast

.PHONY: build
build: plugin ## Build everything as it is shipped: plugin (static), daemon and tool
	CARGO_ENCODED_RUSTFLAGS="$$(e2e/plugin/flags)" cargo build --release --bins
	@ls -l $(plugin) $(target)/release/plexusd $(target)/release/plexusctl

.PHONY: plugin
plugin: ## Build the shipped plugin into target/plugin
	@e2e/plugin/build $(plugin)

.PHONY: programs
programs: ## Build daemon and tool for development into target/debug
	cargo build --bin plexusd --bin plexusctl

.PHONY: check
check: ## Check format and lints, with and without the cluster
	cargo fmt --check
	cargo clippy --lib --bin plexus --no-default-features -- -D warnings
	cargo clippy --all-targets -- -D warnings

.PHONY: deps
deps: ## Install build and test dependencies other than Rust and Go: Debian packages (root), Rust components
	e2e/assets/get packages
	e2e/release/get packages
	e2e/plugin/build --target >/dev/null
	rustup --quiet component add rustfmt clippy || true

.PHONY: assets
assets: ## Build test dependencies: reference plugins, etcd, Kubernetes, Helm, Prometheus (5 to 20 minutes, once)
	e2e/assets/get plugins
	e2e/assets/get etcd
	e2e/assets/get kubernetes
	e2e/assets/get helm
	e2e/assets/get whereabouts
	e2e/assets/get prometheus

.PHONY: size
size: plugin ## Check that the plugin is small, static, stripped and free of the daemon's libraries
	@e2e/plugin/check $(plugin)

include e2e/cluster/cluster.mk
include e2e/kernel/kernel.mk
include e2e/release/release.mk
include fuzz/fuzz.mk

.PHONY: deny
deny: ## Check licences, banned dependencies, and the words of documents and messages
	cargo test --quiet --test policy -- --nocapture

.PHONY: crd
crd: ## Generate crd/ from the Rust type; a test compares
	cargo run --quiet --bin plexusctl -- crd >crd/network-attachment-definitions.yaml.new
	mv crd/network-attachment-definitions.yaml.new crd/network-attachment-definitions.yaml
	git diff --stat crd

# Each test that compares a page or file with the code it is made of; with UPDATE it writes it first.
generated := the_file_is the_page_ the_published the_table_is the_copies_in the_chart_checks the_output_that
.PHONY: pages
pages: ## Write the pages, schemas and files that are made of the code and its tests, and show what changed
	UPDATE=1 cargo test --quiet --no-fail-fast --lib --test clauses --test conformance --test contract --test differential \
		--test documents --test faults --test lint --test manifests --test natives --test primaries --test reliability \
		--test schemas --test topology -- $(generated)
	git status --short

.PHONY: bench
bench: plugin ## Measure the shipped programs: VERSION, ADD and DEL, memory (root)
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --bench shipped
	cargo bench --no-default-features --bench teardown

.PHONY: prove
prove: plugin ## Break things: random runs with 20 new seeds, kills before each change, former releases (root)
	e2e/assets/get plugins >/dev/null
	e2e/assets/get etcd >/dev/null
	e2e/assets/get kubernetes >/dev/null
	PLEXUS_PLUGIN=$(plugin) PLEXUS_PROVE=$(or $(SEEDS),20) e2e/prove/run

.PHONY: simulate
simulate: ## Simulate 10,000 clusters (SEEDS) with pools of addresses, ten more with 5,000 nodes; leave each rule out; try all plans of the models
	PLEXUS_SIMULATION=$(or $(SEEDS),10000) cargo test --no-default-features --profile simulate --test simulation -- --nocapture --test-threads 1
	PLEXUS_MODELS=full cargo test --no-default-features --profile simulate --lib -- model:: --nocapture

.PHONY: put-back
put-back: ## Put faults back that Plexus once had, and show that `make prove` finds each (root)
	e2e/assets/get plugins >/dev/null
	e2e/assets/get etcd >/dev/null
	e2e/assets/get kubernetes >/dev/null
	e2e/prove/put-back

.PHONY: soak
soak: plugin ## Let pods come and go for twice 30 minutes (MINUTES), and measure that nothing grows (root)
	PLEXUS_PLUGIN=$(plugin) PLEXUS_SOAK_MINUTES=$(or $(MINUTES),30) cargo bench --bench soak
	e2e/prove/soak $(or $(MINUTES),30)

.PHONY: outage
outage: plugin ## Run without daemon and API server for ten minutes, in real time (root)
	PLEXUS_PLUGIN=$(plugin) PLEXUS_OUTAGE_SECONDS=600 cargo test --test outage -- --nocapture

.PHONY: bench-multus
bench-multus: plugin ## Measure side by side with Multus 4.3, whose programs are in MULTUS_BIN_DIR (root)
	@test -n "$$MULTUS_BIN_DIR" || { echo "MULTUS_BIN_DIR must name the folder of multus-daemon and multus-shim" >&2; exit 2; }
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --bench multus

.PHONY: bench-delegates
bench-delegates: plugin ## Measure ADD and DEL of built-in plugins, reference programs and the kernel alone (root)
	e2e/assets/get plugins >/dev/null
	PLEXUS_PLUGIN=$(plugin) cargo bench --bench delegates

.PHONY: bench-status
bench-status: ## Measure how long the daemon takes to write a network-status, next to the bare request (root)
	e2e/assets/get etcd >/dev/null
	e2e/assets/get kubernetes >/dev/null
	CARGO_ENCODED_RUSTFLAGS="$$(e2e/plugin/flags)" cargo build --release --bin plexusd
	PLEXUSD=$(or $(PLEXUSD),$(target)/release/plexusd) cargo bench --bench status

.PHONY: bench-scale
bench-scale: ## Measure what NODES daemons cost one API server (root)
	e2e/assets/get etcd >/dev/null
	e2e/assets/get kubernetes >/dev/null
	CARGO_ENCODED_RUSTFLAGS="$$(e2e/plugin/flags)" cargo build --release --bin plexusd
	PLEXUSD=$(target)/release/plexusd PLEXUS_SCALE_NODES=$(or $(NODES),100) cargo bench --profile dev --bench scale

.PHONY: bench-leases
bench-leases: ## Measure what NODES daemons with POOLS pools of addresses cost one API server, and check every address (root)
	e2e/assets/get etcd >/dev/null
	e2e/assets/get kubernetes >/dev/null
	CARGO_ENCODED_RUSTFLAGS="$$(e2e/plugin/flags)" cargo build --release --bin plexusd
	PLEXUSD=$(target)/release/plexusd PLEXUS_SCALE_NODES=$(or $(NODES),100) PLEXUS_SCALE_POOLS=$(or $(POOLS),10) cargo bench --profile dev --bench leases

.PHONY: ci
ci: ## Decide whether a change is good; also .ci/run
	.ci/run

.PHONY: clean
clean: ## Remove build results; assets stay in the user's cache
	cargo clean
