# SPDX-License-Identifier: BSD-2-Clause
# The checks. Each can be run alone; `make check` runs what belongs to a commit.

SRC_C = $(shell git ls-files -co --exclude-standard '*.c' '*.h' 2>/dev/null)

.PHONY: check unit system layers headers format format-check lint fuzz bench

check: layers headers format-check unit system

unit: $(UNIT_BIN)
	@ci/run-unit $(UNIT_BIN)

system: programs
	@BUILD_DIR=$(CURDIR)/$(B) ci/run-system $(TESTS)

layers:
	@ci/check-layers && ci/test-check-layers

headers: $(B)/proto/mesh.pb-c.h
	@set -e; n=0; for h in $(filter %.h,$(SRC_C)); do \
		$(CC) $(CPPFLAGS_ALL) -std=c17 $(WARN) -fsyntax-only -x c $$h \
			-Wno-unused-macros || { echo "$$h does not compile alone"; exit 1; }; \
		n=$$((n + 1)); done; echo "headers: $$n compile alone"

format:
	clang-format -i $(SRC_C)
format-check:
	@clang-format --dry-run -Werror $(SRC_C) && echo 'format: clean'

lint: $(B)/proto/mesh.pb-c.h
	@B=$(B) CPPFLAGS="$(CPPFLAGS_ALL)" ci/lint

FUZZ_S ?= 60
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer,asan,ubsan fuzz-bins
	@ci/run-fuzz build/clang-fuzzer-asan-ubsan $(FUZZ_S)
.PHONY: fuzz-bins
fuzz-bins: $(FUZZ_BIN)

bench: programs $(BENCH_BIN)
	@BUILD_DIR=$(CURDIR)/$(B) tests/bench/run
