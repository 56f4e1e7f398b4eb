# SPDX-License-Identifier: BSD-2-Clause
# One Check program per tests/unit/test_MODULE.c, linked with all archives.
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst %.c,$(B)/%,$(UNIT_SRC))
# what the unit tests share: the measurement engine's laboratory
LAB_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
$(B)/lab.a: $(LAB_OBJ)
TEST_AR := $(B)/lab.a $(B)/emu.a $(B)/reflector.a $(B)/meshd.a $(B)/controller.a $(B)/tools.a $(LIBS)
TEST_PKGS := $(ALL_PKGS) $(PKG_event_pthreads)

$(B)/tests/%.o: CPPFLAGS_ALL += $(call sys_cflags,$(PKG_check)) -DTEST_SRCDIR='"$(CURDIR)"'

# unit tests link only the archives of the layer they test plus below; the
# linker picks what is referenced.
$(UNIT_BIN): $(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(TEST_AR)
	@echo '  LD      $@'
	@$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		$(call pkg_libs,$(PKG_check) $(TEST_PKGS)) -lm
.SECONDARY: $(patsubst %.c,$(B)/%.o,$(UNIT_SRC))

# benchmarks and fuzzers
BENCH_BIN := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/bench_*.c))
$(BENCH_BIN): $(B)/tests/bench/bench_%: $(B)/tests/bench/bench_%.o $(TEST_AR)
	@echo '  LD      $@'
	@$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		$(call pkg_libs,$(TEST_PKGS)) -lm
FUZZ_BIN := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(FUZZ_BIN): $(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(TEST_AR)
	@echo '  LD      $@'
	@$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		$(call pkg_libs,$(TEST_PKGS)) -lm

# the network emulator of the system tests and the demo (docs/EMULATOR.md)
EMU_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out tests/emu/main.c,$(wildcard tests/emu/*.c)))
$(B)/emu.a: $(EMU_OBJ)
emu: $(B)/twmesh-emu
.PHONY: emu
$(B)/twmesh-emu: $(B)/tests/emu/main.o $(B)/emu.a $(B)/libsvc.a $(B)/libbase.a
	@echo '  LD      $@'
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ -lm
