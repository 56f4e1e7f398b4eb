# SPDX-License-Identifier: BSD-2-Clause
DESTDIR ?=
PREFIX ?= /usr
.PHONY: install
install: programs
	@ci/install-files '$(DESTDIR)' '$(PREFIX)' '$(B)'
