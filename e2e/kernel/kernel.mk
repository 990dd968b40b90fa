# Included by the Makefile: the contract of delegates on a stock Debian kernel. release.mk runs it on an arm64 kernel.

.PHONY: kernel-test
kernel-test: deps ## Compare built-in and reference plugins on a Debian kernel in QEMU: ipvlan, bridge VLANs
	e2e/kernel/run
