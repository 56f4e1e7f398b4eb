/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/voice.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char *const name[] = {"none", "g711", "g711-plc", "g729a",
                                   "g723.1"};
static_assert(sizeof(name) / sizeof(name[0]) == VOICE_CODECS, "a name each");

const char *
voice_codec_str(enum voice_codec c)
{
	return (unsigned)c < VOICE_CODECS ? name[c] : "?";
}

enum voice_codec
voice_codec_by_name(const char *text)
{
	for (unsigned i = 0; text && i < VOICE_CODECS; i++) {
		if (strcmp(text, name[i]) == 0)
			return (enum voice_codec)i;
	}
	return VOICE_NONE;
}
