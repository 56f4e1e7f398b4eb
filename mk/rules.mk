# SPDX-License-Identifier: BSD-2-Clause
# How things are made; module.mk files only say what.

PROGRAMS :=
LIBS :=

# $(call library,NAME): lib/NAME/*.c -> $(B)/libNAME.a
define library
LIB_$(1)_OBJ := $$(patsubst %.c,$(B)/%.o,$$(wildcard lib/$(1)/*.c))
LIBS += $(B)/lib$(1).a
$(B)/lib$(1).a: $$(LIB_$(1)_OBJ)
endef

# $(call program,NAME,FOLDER,LIBS,PKGS): FOLDER/*.c -> $(B)/NAME.
# All but main.c also go into $(B)/FOLDER.a, so that unit tests can link them.
define program
PROG_$(2)_OBJ := $$(patsubst %.c,$(B)/%.o,$$(filter-out $(2)/main.c,$$(wildcard $(2)/*.c)))
PROGRAMS += $(B)/$(1)
$(B)/$(2).a: $$(PROG_$(2)_OBJ)
$(B)/$(1): $(B)/$(2)/main.o $(B)/$(2).a $$(foreach l,$(3),$(B)/lib$$(l).a)
	@echo '  LD      $$@'
	@$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(call pkg_libs,$$(foreach p,$(4),$$(PKG_$$(p)))) -lm
endef

# Objects are remade when compiler or flags change.
FLAGS_NOW := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)
$(B)/.flags: FORCE
	@mkdir -p $(B)
	@echo '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(FLAGS_NOW))' > $@
.PHONY: FORCE
FORCE:

$(B)/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	@echo '  CC      $<'
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(filter %.o,$^)

# Generated protobuf-c is compiled without our warnings.
$(B)/proto/%.pb-c.c $(B)/proto/%.pb-c.h &: proto/%.proto
	@mkdir -p $(B)/proto
	@echo '  PROTOC  $<'
	@protoc-c --c_out=$(B) $<
$(B)/proto/%.pb-c.o: $(B)/proto/%.pb-c.c $(B)/.flags
	@$(CC) $(CPPFLAGS_ALL) -std=c17 -g $(OPT) $(HARDEN) $(SAN_FLAGS) -w -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)
