/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Voice quality of one direction by the E-model, ITU-T G.107 in its usual
 * simplification: R = 93.2 - Id - Ie,eff, and MOS from R.
 */
#ifndef TWMESH_STATS_EMODEL_H
#define TWMESH_STATS_EMODEL_H

#include "lib/base/voice.h"

struct emodel {
	double r;   /* may be below 0 or above 100 */
	double mos; /* 1 .. 4.5 */
};

/*
 * delay_ms: mouth to ear, that is network, jitter buffer and codec together;
 * >= 0. loss_pct: 0 .. 100, with what came too late for the buffer. burst_r:
 * >= 1 (1: losses are independent; less counts as 1). `codec` is a codec.
 */
struct emodel emodel_rate(enum voice_codec codec, double delay_ms,
                          double loss_pct, double burst_r);
/* What the codec itself adds at both ends (frame and look-ahead), ms. */
double emodel_codec_delay_ms(enum voice_codec codec);

#endif
