# Included by the Makefile: the two-node cluster of e2e/cluster, the image, the end-to-end tests.

.PHONY: cluster-up
cluster-up: ## A Kubernetes cluster of two nodes on this machine (root); then e2e/cluster/kubectl works
	@e2e/cluster/up

.PHONY: cluster-install
cluster-install: ## Builds Plexus and installs it on that cluster, as users do
	@e2e/cluster/plexus-image
	e2e/cluster/kubectl apply --server-side -k conf/base
	e2e/cluster/kubectl -n kube-system rollout status daemonset/plexus --timeout=90s

.PHONY: cluster-down
cluster-down: ## Stops that cluster; nothing is left
	@e2e/cluster/down

.PHONY: image
image: ## The image, as an archive in target/plexus.tar (root, buildah)
	@e2e/cluster/build-image ghcr.io/plexus-cni/plexus:v0.1.0 $(target)/plexus.tar \
	    --file Containerfile --build-arg BINARIES=. "$$(e2e/cluster/build --shipped)"
	@ls -l $(target)/plexus.tar

.PHONY: e2e
e2e: ## The end-to-end tests: installs Plexus on a cluster of its own and runs e2e/cases (root)
	@e2e/run
