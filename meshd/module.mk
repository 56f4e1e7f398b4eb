# SPDX-License-Identifier: BSD-2-Clause
$(eval $(call program,twmesh-meshd,meshd,net twamp stats bus svc base,event zmq protobuf sqlite crypto))
