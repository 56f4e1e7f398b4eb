# SPDX-License-Identifier: BSD-2-Clause
# lib/bus alone knows the generated protobuf code, so it carries it.
$(eval $(call library,bus))
$(B)/libbus.a: $(B)/proto/mesh.pb-c.o
$(LIB_bus_OBJ): $(B)/proto/mesh.pb-c.h
# The tests make bad messages with the generated code.
$(B)/tests/unit/test_msg.o $(B)/tests/unit/test_batch.o: $(B)/proto/mesh.pb-c.h
