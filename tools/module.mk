# SPDX-License-Identifier: BSD-2-Clause
$(eval $(call program,twmesh,tools,net twamp stats svc base,event curl jansson crypto))
