# Included by the Makefile: the two-node cluster of e2e/cluster, the image, the end-to-end tests.

.PHONY: cluster-up cluster-down cluster-install image e2e

## cluster-up: start a two-node Kubernetes cluster on this machine (needs root); then e2e/cluster/kubectl works
cluster-up:
	e2e/cluster/up

## cluster-down: stop it and leave nothing
cluster-down:
	e2e/cluster/down

## cluster-install: build Plexus and install it on that cluster
cluster-install:
	e2e/cluster/plexus-image
	e2e/cluster/kubectl apply --server-side -k conf/base
	e2e/cluster/kubectl -n kube-system rollout status daemonset/plexus --timeout=90s

## image: the image as an archive, target/plexus.tar (needs root and buildah)
image:
	e2e/cluster/build-image ghcr.io/plexus-cni/plexus:v0.1.0 $(CURDIR)/target/plexus.tar \
	    --file Containerfile --build-arg BINARIES=. "$$(e2e/cluster/build)"

## e2e: the end-to-end tests on a cluster of their own (needs root)
e2e:
	e2e/run
