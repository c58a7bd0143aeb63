# SPDX-License-Identifier: GPL-2.0
#
# The user's entry. Kbuild builds the modules; scripts/krdma does all that needs the build root.
#
# Variables: V=1 shows all output; TESTS="GLOB.." picks node tests; KDIR=FOLDER builds against a
# kernel of the machine's own; KRDMA_CACHE, KRDMA_MIRROR, KRDMA_SERIES, KRDMA_SUITE as in
# Documentation/provisioning.rst; KRDMA_FLAVOR=strict takes the strict kernel (testing.rst).

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

V ?= 0
export V
Q := $(if $(filter 0,$(V)),@,)

# One output folder a variant of the build; kbuild wants the source tree free of outputs.
MO ?= $(CURDIR)/build/$(if $(filter strict,$(KRDMA_FLAVOR)),strict,modules)

# Inside the build root everything is at hand; outside, scripts/krdma goes there.
ifeq ($(KRDMA_INSIDE),1)
KDIR ?= $(KRDMA_KDIR)
endif

.PHONY: help demo bench test test-strict soak sim fuzz mutants coverage figures modules install docs clean distclean provision status shell

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'V=1 shows all output; TESTS="GLOB.." picks node tests; KDIR=FOLDER is a kernel of your own.'

demo: ## boot two nodes with rrds and one with the kernel's own RDS, show what they exchange
	$(Q)scripts/krdma demo

bench: ## measure rrds beside the C implementation, and raw verbs (BENCH_ROUNDS=N; see testing.rst)
	$(Q)scripts/krdma bench

test: ## run all checks and tests
	$(Q)scripts/krdma test

test-strict: ## run KUnit and the node tests on a kernel with KASAN, lockdep, kmemleak and more (built once)
	$(Q)KRDMA_FLAVOR=strict scripts/krdma test

soak: ## run the long tests, with their full counts
	$(Q)scripts/krdma soak
	$(Q)$(if $(TESTS),:,scripts/krdma killtest)

sim: ## simulate a billion steps of the protocol, in ten thousand worlds
	$(Q)scripts/krdma sim

fuzz: ## fuzz every parser and state machine of the protocol, ten minutes each (FUZZ_SECONDS=N)
	$(Q)scripts/krdma fuzz

mutants: ## break the protocol in many ways; each has to be noticed by a test or the simulator
	$(Q)scripts/krdma mutants

coverage: ## say how much of the protocol engine its own tests reach
	$(Q)scripts/krdma coverage

figures: ## draw what the link simulator measures; make docs takes the figures up
	$(Q)scripts/krdma figures

ifdef KDIR
modules: ## build the modules into build/modules (KDIR=FOLDER: for that kernel, with this machine's tools)
	$(Q)scripts/host/check-kdir '$(KDIR)' '$(MO)'
	$(Q)$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(abspath $(MO))' KBUILD_VERBOSE='$(V)' modules
else
modules:
	$(Q)scripts/krdma modules
endif

# Programs that node tests carry.
.SECONDEXPANSION:
build/programs/%: $$(wildcard tests/programs/%/*)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static -O2 -Wall -Werror -o $@ $(filter %.c,$^)

# A plugin of QEMU that counts a node's instructions.
build/insns.so: tools/insns/insns.c tools/insns/qemu-plugin.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -shared -fPIC -O2 -Wall -Wextra -Werror -o $@ $<

# Kbuild skips depmod where the kernel's build folder has no System.map, which headers packages have
# not; and it would sign with a key that only the kernel's own builder has.
install: KDIR ?= /lib/modules/$(shell uname -r)/build
install: ## build for KDIR (default: the running kernel) and install, INSTALL_MOD_PATH honoured
	$(Q)$(MAKE) modules KDIR='$(KDIR)'
	$(Q)$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(abspath $(MO))' KBUILD_VERBOSE='$(V)' \
		$(if $(wildcard $(KDIR)/certs/signing_key.*),,CONFIG_MODULE_SIG_ALL=) modules_install
	$(Q)PATH="$$PATH:/sbin:/usr/sbin" depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') \
		"$$(cat '$(KDIR)/include/config/kernel.release')"

docs: ## build the documentation into build/docs
	$(Q)scripts/krdma docs

clean: ## remove build/
	$(Q)rm -rf build

distclean: ## remove build/ and the cache (build root, kernel, downloads)
	$(Q)scripts/krdma distclean

provision: ## fill the cache and do no more
	$(Q)scripts/krdma provision

status: ## say what the cache holds
	$(Q)scripts/krdma status

shell: ## open a shell in the build root
	$(Q)scripts/krdma enter
