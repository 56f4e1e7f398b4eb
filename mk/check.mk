# SPDX-License-Identifier: BSD-2-Clause
# The checks. Each can be run alone; `make check` runs what belongs to a commit.

SRC_C = $(shell find lib reflector meshd controller tools tests -name '*.[ch]' | sort)

.PHONY: check unit unit-bins unit-threads system truth layers headers format \
	format-check lint fuzz fuzz-bins bench

check: layers headers format-check unit system truth

unit-bins: $(UNIT_BIN)
unit: $(UNIT_BIN)
	@ci/run-unit $(UNIT_BIN)

# What has threads, for ThreadSanitizer: the tests that start some. Without
# address randomisation, which this compiler's TSan cannot bear at high entropy.
THREAD_SRC = $(shell grep -lE 'pthread_create|truth_open|(prober|writer|web|bus)_start|/(mirror|writerbox)\.h' $(UNIT_SRC) /dev/null)
THREAD_BIN = $(patsubst %.c,$(B)/%,$(THREAD_SRC))
unit-threads:
	@$(MAKE) --no-print-directory $(THREAD_BIN)
	@setarch -R true 2>/dev/null && r='setarch -R' || r=; $$r ci/run-unit $(THREAD_BIN)

system: programs $(B)/twmesh-emu
	@BUILD_DIR=$(CURDIR)/$(B) ci/run-system $(TESTS)

# Every number against the emulator's truth file: apart from the others, since
# time is what they measure and two of them keep two cores busy.
truth: programs $(B)/twmesh-emu
	@TEST_JOBS=$${TEST_JOBS:-2} BUILD_DIR=$(CURDIR)/$(B) ci/run-system tests/system/test_truth.py \
		tests/system/test_truth_events.py \
		tests/system/test_truth_rate.py

layers:
	@ci/check-layers && ci/test-check-layers

headers: $(B)/proto/mesh.pb-c.h
	@set -e; n=0; for h in $(filter %.h,$(SRC_C)); do \
		$(CC) $(CPPFLAGS_ALL) $(call sys_cflags,$(PKG_check)) \
			-DTEST_SRCDIR='"$(CURDIR)"' -std=c17 $(WARN) \
			-fsyntax-only -x c $$h -Wno-unused-macros || \
			{ echo "$$h does not compile alone"; exit 1; }; \
		n=$$((n + 1)); done; echo "headers: $$n compile alone"

format:
	clang-format -i $(SRC_C)
format-check:
	@clang-format --dry-run -Werror $(SRC_C) && echo 'format: clean'

lint: $(B)/proto/mesh.pb-c.h programs
	@B=$(B) CPPFLAGS="$(filter-out -DTWMESH_VERSION=%,$(CPPFLAGS_ALL)) $(call sys_cflags,$(PKG_check))" ci/lint

FUZZ_S ?= 60
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer,asan,ubsan fuzz-bins
	@ci/run-fuzz build/clang-fuzzer-asan-ubsan $(FUZZ_S)
fuzz-bins: $(FUZZ_BIN)

bench: programs $(BENCH_BIN)
	@BUILD_DIR=$(CURDIR)/$(B) tests/bench/run
