/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/stats/seqwin.h"
#include "lib/stats/book.h"

#include <check.h>

START_TEST(only_packets_still_in_the_ring_are_found)
{
	struct seqwin w;

	ck_assert(seqwin_init(&w, 200, UINT32_MAX - 99));
	ck_assert_ptr_null(seqwin_find(&w, UINT32_MAX - 99));
	for (unsigned i = 0; i < 1000; i++) {
		const uint32_t seq = UINT32_MAX - 99 + i;
		struct pkt *p = seqwin_push(&w);

		ck_assert_uint_eq(p->seq, seq);
		ck_assert_ptr_eq(seqwin_find(&w, seq), p);
		ck_assert_ptr_null(seqwin_find(&w, seq + 1));
		ck_assert_ptr_null(seqwin_find(&w, UINT32_MAX - 100));
		if (i < 256)
			ck_assert_ptr_nonnull(seqwin_find(&w, UINT32_MAX - 99));
		else
			ck_assert_ptr_null(seqwin_find(&w, seq - 256));
		if (i >= 255) {
			ck_assert_ptr_nonnull(seqwin_oldest(&w));
			ck_assert_uint_eq(seqwin_oldest(&w)->seq, seq - 255);
			ck_assert_uint_eq(seqwin_first(&w), seq - 255);
		}
	}
	seqwin_release(&w);
}
END_TEST

START_TEST(low_stops_at_the_first_loss_that_waits_for_its_direction)
{
	struct book book = {.flows = 1};
	struct seqwin w;

	ck_assert(seqwin_init(&w, 256, 0));
	for (unsigned i = 0; i < 10; i++) {
		struct pkt *p = seqwin_push(&w);

		p->counted = i > 2; /* three of warm-up */
		p->book = &book;
		p->state = i == 5 ? PKT_LOST : PKT_RECEIVED;
	}
	seqwin_advance_low(&w);
	ck_assert_uint_eq(w.low, 5);
	seqwin_find(&w, 5)->dir = DIR_FWD; /* may still turn out backward */
	seqwin_advance_low(&w);
	ck_assert_uint_eq(w.low, 5);
	seqwin_find(&w, 5)->dir = DIR_BWD;
	seqwin_advance_low(&w);
	ck_assert_uint_eq(w.low, 10);
	seqwin_release(&w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("seqwin");
	TCase *t = tcase_create("seqwin");
	SRunner *sr;
	int failed;

	tcase_add_test(t, only_packets_still_in_the_ring_are_found);
	tcase_add_test(
	    t, low_stops_at_the_first_loss_that_waits_for_its_direction);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
