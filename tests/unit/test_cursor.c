/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/cursor.h"

#include <check.h>
#include <stdlib.h>

START_TEST(test_reads)
{
	const uint8_t b[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct rcursor c = rcursor_init(b, sizeof(b));

	ck_assert_uint_eq(rcursor_u8(&c), 0x01);
	ck_assert_uint_eq(rcursor_u16(&c), 0x0203);
	ck_assert_uint_eq(rcursor_u32(&c), 0x04050607);
	ck_assert_uint_eq(rcursor_u64(&c), UINT64_C(0x08090a0b0c0d0e0f));
	ck_assert_uint_eq(c.left, 0);
	ck_assert(!c.failed);
	ck_assert_uint_eq(rcursor_u8(&c), 0);
	ck_assert(c.failed);
}
END_TEST

/* Past its end it stays failed, reads nothing and does not move. */
START_TEST(test_read_past_end)
{
	const uint8_t b[3] = {0xff, 0xff, 0xff};
	struct rcursor c = rcursor_init(b, sizeof(b));

	ck_assert_uint_eq(rcursor_u32(&c), 0);
	ck_assert(c.failed);
	ck_assert_uint_eq(c.left, 3);
	ck_assert_uint_eq(rcursor_u8(&c), 0);
	ck_assert_ptr_null(rcursor_take(&c, 0));
	c = rcursor_init(b, sizeof(b));
	rcursor_skip(&c, SIZE_MAX);
	ck_assert(c.failed);
	c = rcursor_init(b, sizeof(b));
	ck_assert_ptr_nonnull(rcursor_take(&c, 3));
	ck_assert(!c.failed);
	c = rcursor_init(NULL, 0);
	rcursor_skip(&c, 0);
	ck_assert(!c.failed);
	ck_assert_uint_eq(rcursor_u16(&c), 0);
	ck_assert(c.failed);
}
END_TEST

START_TEST(test_writes)
{
	const uint8_t want[] = {1,    2,   3,    4,    5,    6,    7,
	                        8,    9,   0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
	                        0x0f, 'a', 'b',  0,    0};
	uint8_t b[19];
	struct wcursor c = wcursor_init(b, sizeof(b));

	memset(b, 0xee, sizeof(b));
	wcursor_u8(&c, 1);
	wcursor_u16(&c, 0x0203);
	wcursor_u32(&c, 0x04050607);
	wcursor_u64(&c, UINT64_C(0x08090a0b0c0d0e0f));
	wcursor_bytes(&c, "ab", 2);
	wcursor_zero(&c, 2);
	ck_assert(!c.failed);
	ck_assert_uint_eq(c.left, 0);
	ck_assert_mem_eq(b, want, sizeof(want));
}
END_TEST

START_TEST(test_write_past_end)
{
	uint8_t b[4] = {0xaa, 0xaa, 0xaa, 0xaa};
	struct wcursor c = wcursor_init(b, 3);

	wcursor_u32(&c, 1);
	ck_assert(c.failed);
	wcursor_u8(&c, 1); /* would fit, but the cursor has failed */
	wcursor_bytes(&c, "x", 1);
	wcursor_zero(&c, 1);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(b[i], 0xaa);
	c = wcursor_init(b, 3);
	wcursor_bytes(&c, NULL, 0);
	ck_assert(!c.failed);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cursor");
	TCase *t = tcase_create("cursor");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_reads);
	tcase_add_test(t, test_read_past_end);
	tcase_add_test(t, test_writes);
	tcase_add_test(t, test_write_past_end);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
