# SPDX-License-Identifier: BSD-2-Clause
# twmesh: one non-recursive make. `make help` lists what it can do.
#
# Everything made goes below build/VARIANT/, where VARIANT says compiler and
# sanitizers, so that variants live side by side:
#   make                      build/gcc/
#   make CC=clang             build/clang/
#   make SAN=asan,ubsan check build/gcc-asan-ubsan/

all: programs

include mk/config.mk
include mk/rules.mk

include lib/base/module.mk
include lib/net/module.mk
include lib/twamp/module.mk
include lib/stats/module.mk
include lib/svc/module.mk
include lib/bus/module.mk
include lib/pg/module.mk

include reflector/module.mk
include meshd/module.mk
include controller/module.mk
include tools/module.mk
include tests/module.mk

include mk/check.mk
include mk/install.mk

programs: $(PROGRAMS)

.PHONY: all programs clean help
clean:
	rm -rf build

help:
	@echo 'make                  build the four programs'
	@echo 'make unit             unit tests (Check)'
	@echo 'make system           system tests (real daemons, ZeroMQ, PostgreSQL)'
	@echo 'make truth            every number against an emulated network (root)'
	@echo 'make check            layers, headers, format, unit and system tests'
	@echo 'make SAN=asan,ubsan check   the same under sanitizers (also SAN=tsan)'
	@echo 'make lint             clang-tidy, cppcheck, shellcheck, mandoc'
	@echo 'make format-check     clang-format in check mode (make format rewrites)'
	@echo 'make layers headers   include directions; each header compiles alone'
	@echo 'make fuzz [FUZZ_S=60] every decoder under libFuzzer'
	@echo 'make emu              the network emulator (docs/EMULATOR.md)'
	@echo 'make bench            ratios against baselines run in the same call'
	@echo 'make install [DESTDIR= PREFIX=/usr]'
	@echo 'make clean'
