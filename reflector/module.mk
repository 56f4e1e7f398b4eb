# SPDX-License-Identifier: BSD-2-Clause
$(eval $(call program,twmesh-reflector,reflector,net twamp svc base,event crypto))
