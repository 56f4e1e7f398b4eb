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

/* "none", "g711", "g711-plc", "g729a", "g723.1": in configuration and
 * database. */
const char *voice_codec_str(enum voice_codec c);
/* VOICE_NONE for what is no codec, and for NULL. */
enum voice_codec voice_codec_by_name(const char *text);

#endif
