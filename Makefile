# SPDX-License-Identifier: GPL-2.0
# The one entry point; every target is a script in scripts/ that has a --help.

ARCH ?= x86_64
MODEL ?= 2 1 2 1
CONFIG ?= $(if $(filter arm64,$(ARCH)),arm64,release)
export GMEM_CACHE KSRC

ifneq ($(ARCH),x86_64)
ifneq ($(strip $(ARCH) $(CONFIG) $(filter-out test prepare,$(MAKECMDGOALS))),arm64 arm64)
$(error ARCH=$(ARCH): only "make test ARCH=arm64", of the release kernel, is there)
endif
endif

.PHONY: help run test test-faults test-power stress bench bench-oversub bench-nonusers model shell check stat series clean prepare
.NOTPARALLEL:

help:
	@echo 'GMEM for Linux. Targets:'
	@echo '  run      build all that is needed, boot the guest and run the demo'
	@echo '  test     host tests, KUnit and kselftests in the guest'
	@echo '             CONFIG=debug   under KASAN, lockdep, DEBUG_VM ...'
	@echo '             ARCH=arm64     the release kernel for arm64, in its own guest'
	@echo '             TEST=REGEX     only the kselftest programs that match'
	@echo '             LONG=1         storms of 60 s instead of 10 s'
	@echo '             FAIL=SITE      while fail_gmem_SITE makes GMEM fail now and then'
	@echo '  test-faults  that with each site; takes hours'
	@echo '  test-power  break the kernel in many ways, one by one: the tests have to notice'
	@echo '             MINUTES=N      start no more after N minutes; it goes on next time'
	@echo '  stress   random operations on memory whose every byte is known, then stress-ng'
	@echo '             MINUTES=N      so long each (10)'
	@echo '             SEED=N         the same operations again'
	@echo '             SERIAL=1       one process at a time, counting instructions: all repeats'
	@echo '  bench    measure against the HMM test device; build/bench.json and a table'
	@echo '  bench-oversub  jobs over more memory than the device has, against bars;'
	@echo '             build/oversub.json, a plot and a table'
	@echo '  model    explore all states of the coherence protocol (tools/gmem/gmem-model)'
	@echo '             MODEL="THREADS PAGES DEVICES FORK"   the bound'
	@echo '  bench-nonusers  what a kernel with GMEM costs who has no device, against an'
	@echo '             unpatched one; build/nonusers.json and a table'
	@echo '  shell    a shell in the guest, over the host'"'"'s root (writes are lost)'
	@echo '  check    style, lints, panic gate, the series applies, size budget'
	@echo '             SERIES=1   each commit of the series builds, too (takes hours)'
	@echo '  stat     changed lines of existing files, sizes, unsafe and call lines'
	@echo '  series   build/series: a git branch with the work as mailable commits'
	@echo '  clean    remove build/ (the cache stays; GMEM_CACHE, see scripts/lib.sh)'
	@echo 'Variables: KSRC=tree or tarball of Linux 7.2.y, GMEM_CACHE=directory, JOBS=N'

prepare:
	@scripts/prepare $(CONFIG)

run: prepare
	@scripts/run-demo --kernel $(CONFIG)

test: prepare
	@scripts/run-tests --config $(CONFIG) $(if $(TEST),--test '$(TEST)') $(if $(FAIL),--fail $(FAIL)) $(ARGS)

test-faults: prepare
	@scripts/test-faults $(CONFIG) $(if $(TEST),--test '$(TEST)') $(ARGS)

test-power: prepare
	@scripts/test-power $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

stress: prepare
	@scripts/setup stress
	@scripts/run-stress --config $(CONFIG) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(filter 1,$(SERIAL)),--serial) $(ARGS)

bench: prepare
	@scripts/run-bench

bench-oversub: prepare
	@scripts/run-bench oversub $(ARGS)

model:
	@cd tools/gmem && CARGO_TARGET_DIR='$(CURDIR)/build/cargo/host' \
		cargo run --release --quiet --package gmem-model -- $(MODEL)

bench-nonusers: prepare
	@scripts/bench-nonusers

shell: prepare
	@scripts/boot-guest --kernel $(CONFIG) --share-root --append gmem.nodes=4 --shell -- /bin/sh

check:
	@scripts/setup
	@SERIES='$(SERIES)' scripts/check

stat:
	@scripts/stat

series:
	@scripts/series

clean:
	rm -rf build
