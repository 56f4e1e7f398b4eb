# SPDX-License-Identifier: BSD-2-Clause
$(eval $(call program,twmesh-controller,controller,bus pg stats svc base,event event_pthreads zmq protobuf pq jansson crypto z))
$(B)/controller/config.o: CPPFLAGS_ALL += -DTWMESH_PREFIX='"$(PREFIX)"'
# Remade when PREFIX changes: `make && make install PREFIX=/usr/local`.
$(B)/controller/config.o: $(B)/.prefix
$(B)/.prefix: FORCE
	@mkdir -p $(B)
	@echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' > $@
