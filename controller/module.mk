# SPDX-License-Identifier: BSD-2-Clause
$(eval $(call program,twmesh-controller,controller,bus pg stats svc base,event event_pthreads zmq protobuf pq jansson crypto z))
$(B)/controller/config.o: CPPFLAGS_ALL += -DTWMESH_PREFIX='"$(PREFIX)"'
