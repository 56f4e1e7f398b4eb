# SPDX-License-Identifier: BSD-2-Clause
# Compiler, flags and dependencies: the one place that names them.

ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
PKG_CONFIG ?= pkg-config
SAN ?=
VERSION := 0.1.0

comma := ,
empty :=
space := $(empty) $(empty)
VARIANT := $(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))
B := build/$(VARIANT)

# Third-party headers are -isystem, so that our warnings stay ours.
sys_cflags = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(1)))
pkg_libs = $(shell $(PKG_CONFIG) --libs $(1))

PKG_event := libevent
PKG_event_pthreads := libevent_pthreads
PKG_crypto := libcrypto
PKG_zmq := libzmq
PKG_protobuf := libprotobuf-c
PKG_pq := libpq
PKG_sqlite := sqlite3
PKG_jansson := jansson
PKG_curl := libcurl
PKG_check := check
PKG_z := zlib

ALL_PKGS := $(PKG_event) $(PKG_crypto) $(PKG_zmq) \
	$(PKG_protobuf) $(PKG_pq) $(PKG_sqlite) $(PKG_jansson) $(PKG_curl) \
	$(PKG_z)
SYS_CFLAGS := $(call sys_cflags,$(ALL_PKGS))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wcast-qual -Wcast-align -Wwrite-strings -Wformat=2 -Wundef -Wvla \
	-Wconversion -Wsign-conversion -Wdouble-promotion \
	-Wimplicit-fallthrough -Wswitch-enum -Wnull-dereference \
	-Wredundant-decls -Werror

OPT ?= -O2
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection
endif

san_flag_asan := -fsanitize=address
san_flag_ubsan := -fsanitize=undefined
san_flag_tsan := -fsanitize=thread
san_flag_fuzzer := -fsanitize=fuzzer-no-link
SANS := $(subst $(comma),$(space),$(SAN))
ifneq ($(SANS),)
SAN_FLAGS := $(foreach s,$(SANS),$(or $(san_flag_$(s)),$(error unknown \
	sanitizer '$(s)': expected asan, ubsan, tsan or fuzzer))) \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
OPT := -O1
# gcc's flow analysis misfires on sanitizer instrumentation.
WARN += -Wno-null-dereference -Wno-maybe-uninitialized
ifeq ($(notdir $(CC)),clang)
WARN += -Wno-unknown-warning-option
endif
else
HARDEN += -D_FORTIFY_SOURCE=3
endif

CPPFLAGS_ALL := -D_GNU_SOURCE -DTWMESH_VERSION='"$(VERSION)"' -I. -isystem $(B) \
	$(SYS_CFLAGS)
CFLAGS_ALL := -std=c17 -g $(OPT) $(WARN) $(HARDEN) $(SAN_FLAGS) -pthread $(CFLAGS)
LDFLAGS_ALL := $(HARDEN_LD) $(SAN_FLAGS) -pthread $(LDFLAGS)
