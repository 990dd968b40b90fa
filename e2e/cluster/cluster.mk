# Included by the Makefile: the two-node cluster of e2e/cluster, the image, the end-to-end tests.

.PHONY: cluster-up
cluster-up: ## Start a Kubernetes cluster of two nodes on this machine (root); then e2e/cluster/kubectl works
	@e2e/cluster/up

.PHONY: cluster-install
cluster-install: ## Build Plexus and install it on that cluster, as users do
	@e2e/cluster/plexus-image
	e2e/cluster/kubectl apply --server-side -k conf/base
	e2e/cluster/kubectl -n kube-system rollout status daemonset/plexus --timeout=90s

.PHONY: cluster-down
cluster-down: ## Stop that cluster, and remove all of it
	@e2e/cluster/down

.PHONY: image
image: ## Build the image, as an archive in target/plexus.tar (root, buildah)
	@e2e/cluster/build-image ghcr.io/plexus-cni/plexus:v$(version) $(target)/plexus.tar \
	    --file Containerfile --build-arg BINARIES=. "$$(e2e/cluster/build --shipped)"
	@ls -l $(target)/plexus.tar

.PHONY: e2e
e2e: ## Run the end-to-end tests e2e/cases on a cluster of their own (root)
	@e2e/run
