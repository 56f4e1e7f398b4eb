/* SPDX-License-Identifier: BSD-2-Clause */
/* What sessions cannot show in a test's time: numbers that go round. */
#include "lib/stats/lossdir.h"
#include "tests/unit/lab.h"

struct half {
	struct seqwin w;
	struct books books;
	struct lossdir d;
	struct lossbook b;
	uint32_t distinct;
};

static void
half_open(struct half *h)
{
	*h = (struct half){.distinct = 0};
	ck_assert(seqwin_init(&h->w, 128, 0));
	h->b = (struct lossbook){.win = &h->w, .books = &h->books};
}

static void
half_send(struct half *h, uint32_t n)
{
	while (n-- > 0)
		seqwin_push(&h->w)->counted = true;
}

/* So many packets later, all of them long gone. */
static void
half_skip(struct half *h, uint32_t n)
{
	h->w.next += n;
	h->w.tail = h->w.low = h->w.next;
	half_send(h, 128);
}

/* The latest packet is answered; of the 63 before it, all but the one `gone`
 * before. */
static void
half_answer(struct half *h, uint32_t gone)
{
	h->distinct += 1000;
	lossdir_learn(&h->d, &h->b,
	              &(struct lossdir_report){.instance_id = 7,
	                                       .bitmap = ~(UINT64_C(1) << gone),
	                                       .highest = h->w.next - 1,
	                                       .distinct = h->distinct});
}

START_TEST(a_session_that_goes_on_for_ever_keeps_its_directions)
{
	struct half h;

	half_open(&h);
	half_send(&h, 128);
	half_answer(&h, 3);
	for (unsigned i = 0; i < 12; i++) { /* three times round */
		half_skip(&h, UINT32_MAX / 4);
		half_answer(&h, 5);
		ck_assert_int_eq(seqwin_find(&h.w, h.w.next - 6)->dir, DIR_FWD);
		ck_assert_int_eq(seqwin_find(&h.w, h.w.next - 5)->dir, DIR_BWD);
	}
	ck_assert_uint_eq(h.d.lives, 1);
	seqwin_release(&h.w);
}
END_TEST

START_TEST(the_same_by_a_foreign_reflectors_numbers)
{
	struct half h;

	half_open(&h);
	half_send(&h, 128);
	lossdir_count(&h.d, &h.b, 127, 0);
	for (uint32_t i = 0; i < 12; i++) {
		half_skip(&h, UINT32_MAX / 4);
		lossdir_count(&h.d, &h.b, h.w.next - 20,
		              h.d.rseq + UINT32_MAX / 4);
		lossdir_count(&h.d, &h.b, h.w.next - 18, h.d.rseq + 1);
		ck_assert_int_eq(seqwin_find(&h.w, h.w.next - 19)->dir,
		                 DIR_FWD);
		lossdir_count(&h.d, &h.b, h.w.next - 16, h.d.rseq + 2);
		ck_assert_int_eq(seqwin_find(&h.w, h.w.next - 17)->dir,
		                 DIR_BWD);
	}
	ck_assert_uint_eq(h.d.lives, 1);
	seqwin_release(&h.w);
}
END_TEST

START_TEST(what_was_answered_long_ago_overtakes_nothing)
{
	struct half h;

	half_open(&h);
	half_send(&h, 10);
	h.w.high = 9;
	h.w.any = true;
	for (unsigned i = 0; i < 8; i++) {
		half_skip(&h, UINT32_MAX / 4);
		ck_assert(!h.w.any || seq_diff(h.w.high, h.w.next) < 0);
	}
	seqwin_release(&h.w);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, a_session_that_goes_on_for_ever_keeps_its_directions);
	tcase_add_test(t, the_same_by_a_foreign_reflectors_numbers);
	tcase_add_test(t, what_was_answered_long_ago_overtakes_nothing);
}

int
main(void)
{
	return suite_main("lossdir", add);
}
