/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codecs of voice classes, for the E-model (lib/stats/emodel.h). The numbers
 * are on the wire (proto/mesh.proto, Class.codec) and never change.
 */
#ifndef TWMESH_BASE_VOICE_H
#define TWMESH_BASE_VOICE_H

enum voice_codec {
	VOICE_NONE = 0,
	VOICE_G711 = 1,
	VOICE_G711_PLC = 2,
	VOICE_G729A = 3,
	VOICE_G7231 = 4,
	VOICE_CODECS
};

#endif
