# Included by the Makefile: the contract of delegates on a stock Debian kernel.

.PHONY: kernel-test
kernel-test: deps ## Natives against reference plugins on a Debian kernel in QEMU: ipvlan, bridge VLANs
	e2e/kernel/run
