/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/emodel.h"
#include "tests/unit/lab.h"

#include <jansson.h>
#include <math.h>

#define VECTORS TEST_SRCDIR "/tests/vectors/vectors.json"

static double
num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	ck_assert_msg(json_is_number(v), "no number %s", key);
	return json_number_value(v);
}

/* The codec with those constants. */
static enum voice_codec
codec_by(double ie, double bpl)
{
	if (ie == 11 && bpl == 19.0)
		return VOICE_G729A;
	if (ie == 15 && bpl == 16.1)
		return VOICE_G7231;
	ck_assert(ie == 0 && (bpl == 4.3 || bpl == 25.1));
	return bpl == 4.3 ? VOICE_G711 : VOICE_G711_PLC;
}

START_TEST(the_vectors)
{
	json_t *root = json_load_file(VECTORS, 0, NULL), *c;
	const json_t *cases =
	    json_object_get(json_object_get(root, "emodel"), "cases");
	size_t i;

	ck_assert_uint_gt(json_array_size(cases), 5);
	json_array_foreach(cases, i, c)
	{
		const struct emodel e = emodel_rate(
		    codec_by(num(c, "Ie"), num(c, "Bpl")), num(c, "delay_ms"),
		    num(c, "loss_percent"), num(c, "BurstR"));

		ck_assert_double_eq_tol(e.r, num(c, "R"), 1e-9);
		ck_assert_double_eq_tol(e.mos, num(c, "MOS"), 1e-9);
	}
	json_decref(root);
}
END_TEST

START_TEST(more_delay_and_more_loss_are_never_better)
{
	for (int c = VOICE_G711; c < VOICE_CODECS; c++) {
		double last = 1e9;

		for (int ms = 0; ms < 2000; ms += 25) {
			const double r =
			    emodel_rate((enum voice_codec)c, ms, 0, 1).r;

			ck_assert(r < last);
			last = r;
		}
		last = 1e9;
		for (int pct = 0; pct <= 100; pct++) {
			const struct emodel e =
			    emodel_rate((enum voice_codec)c, 50, pct, 1);

			ck_assert(e.r < last);
			ck_assert(e.mos >= 1 && e.mos <= 4.5);
			last = e.r;
		}
	}
}
END_TEST

START_TEST(bursts_are_worse_and_less_than_one_counts_as_one)
{
	const double one = emodel_rate(VOICE_G711_PLC, 50, 5, 1).r;

	ck_assert(emodel_rate(VOICE_G711_PLC, 50, 5, 3).r < one);
	ck_assert_double_eq(emodel_rate(VOICE_G711_PLC, 50, 5, 0.2).r, one);
	/* nothing lost: nothing to come in bursts */
	ck_assert_double_eq(emodel_rate(VOICE_G711_PLC, 50, 0, 9).r,
	                    emodel_rate(VOICE_G711_PLC, 50, 0, 1).r);
}
END_TEST

START_TEST(mos_is_bounded)
{
	ck_assert_double_eq(emodel_rate(VOICE_G711, 5000, 100, 1).mos, 1);
	ck_assert(emodel_rate(VOICE_G711, 0, 0, 1).mos > 4.4);
}
END_TEST

START_TEST(a_codec_adds_its_own_delay)
{
	ck_assert_double_eq(emodel_codec_delay_ms(VOICE_G711), 20);
	ck_assert_double_eq(emodel_codec_delay_ms(VOICE_G729A), 25);
	ck_assert_double_eq(emodel_codec_delay_ms(VOICE_G7231), 37.5);
	/* a number of a later version is no reason to read out of bounds */
	ck_assert_double_eq(emodel_codec_delay_ms((enum voice_codec)200), 20);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, the_vectors);
	tcase_add_test(t, more_delay_and_more_loss_are_never_better);
	tcase_add_test(t, bursts_are_worse_and_less_than_one_counts_as_one);
	tcase_add_test(t, mos_is_bounded);
	tcase_add_test(t, a_codec_adds_its_own_delay);
}

int
main(void)
{
	return suite_main("emodel", add);
}
