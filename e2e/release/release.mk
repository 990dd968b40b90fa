# Included by the Makefile: the files of a release.

.PHONY: release
release: ## Build a release into target/release-files: programs, image, chart, manifests, for amd64 and arm64 (root for packages)
	@e2e/release/get cross
	@for architecture in amd64 arm64; do e2e/release/build $$architecture $(target)/release-programs/$$architecture; done
	@e2e/release/pack $(target)/release-programs $(target)/release-files
	@cat $(target)/release-files/SHA256SUMS

.PHONY: release-check
release-check: release ## Build the release twice, and check that both are the same bytes
	@e2e/release/check $(target)/release-files $(target)/release-check

.PHONY: release-check-plugin
release-check-plugin: ## Build the plugin twice for amd64 and arm64, and check that both are the same bytes
	@e2e/release/check --plugin $(target)/release-check

.PHONY: release-arm64
release-arm64: deps ## Run the arm64 plugin in QEMU: versions, then on an arm64 kernel the contract, clauses and kills (root)
	@e2e/release/get cross
	@e2e/release/build arm64 $(target)/release-programs/arm64 plugin
	@e2e/release/emulated $(target)/release-programs/arm64/plexus
	e2e/kernel/run --arch arm64 --plugin $(target)/release-programs/arm64/plexus
