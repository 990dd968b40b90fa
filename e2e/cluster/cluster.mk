# Included by the Makefile: the two-node cluster of e2e/cluster, by hand.

.PHONY: cluster-up cluster-down

## cluster-up: start a two-node Kubernetes cluster on this machine (needs root); then e2e/cluster/kubectl works
cluster-up:
	e2e/cluster/up

## cluster-down: stop it and leave nothing
cluster-down:
	e2e/cluster/down
