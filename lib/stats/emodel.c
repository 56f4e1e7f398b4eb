/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ie and Bpl: ITU-T G.113 Appendix I. Codec delays: one frame (or 20 ms of
 * samples) to fill a packet, and the look-ahead.
 */
#include "lib/stats/emodel.h"

#include <assert.h>

static const struct codec {
	double ie, bpl, delay_ms;
} codecs[] = {
    [VOICE_NONE] = {0, 4.3, 20},      [VOICE_G711] = {0, 4.3, 20},
    [VOICE_G711_PLC] = {0, 25.1, 20}, [VOICE_G729A] = {11, 19.0, 25},
    [VOICE_G7231] = {15, 16.1, 37.5},
};
static_assert(sizeof(codecs) / sizeof(codecs[0]) == VOICE_CODECS, "one each");

static const struct codec *
codec_of(enum voice_codec codec)
{
	return &codecs[(unsigned)codec < VOICE_CODECS ? codec : VOICE_G711];
}

double
emodel_codec_delay_ms(enum voice_codec codec)
{
	return codec_of(codec)->delay_ms;
}

static double
mos_of(double r)
{
	double mos;

	if (r <= 0)
		return 1;
	if (r >= 100)
		return 4.5;
	mos = 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r);
	return mos < 1 ? 1 : mos; /* the cubic dips below 1 for small R */
}

struct emodel
emodel_rate(enum voice_codec codec, double delay_ms, double loss_pct,
            double burst_r)
{
	const struct codec *c = codec_of(codec);
	const double burst = burst_r < 1 ? 1 : burst_r;
	double id = 0.024 * delay_ms, ie = c->ie;
	struct emodel e;

	if (delay_ms > 177.3)
		id += 0.11 * (delay_ms - 177.3);
	if (loss_pct > 0)
		ie += (95 - c->ie) * loss_pct / (loss_pct / burst + c->bpl);
	e.r = 93.2 - id - ie;
	e.mos = mos_of(e.r);
	return e;
}
