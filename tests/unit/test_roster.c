/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/rng.h"
#include "lib/bus/msg.h"
#include "meshd/roster_cache.h"

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDS 40

static struct rng rng;

static struct roster_node
node(uint32_t id, uint16_t port)
{
	struct roster_node n;

	memset(&n, 0, sizeof(n));
	n.node_id = id;
	(void)snprintf(n.name, sizeof(n.name), "n%u", (unsigned)id);
	n.reflector_port = port;
	n.address_n = 1;
	ck_assert(addr_parse_ip("192.0.2.1", port, &n.address[0]));
	return n;
}

/* Nodes whose bit is set in `in`, the port saying which version. */
static struct roster
make(uint64_t in, uint16_t port, uint64_t epoch)
{
	struct roster r = {.epoch = epoch};

	r.node = calloc(IDS + 1, sizeof(*r.node));
	for (uint32_t id = 1; id <= IDS; id++) {
		if (in >> id & 1)
			r.node[r.node_n++] = node(id, port);
	}
	return r;
}

START_TEST(a_delta_makes_what_a_model_makes)
{
	for (int round = 0; round < 2000; round++) {
		const uint64_t have = rng_u64(&rng), add = rng_u64(&rng),
		               odds = rng_u64(&rng),
		               gone = odds & rng_u64(&rng);
		struct roster r = make(have, 1, 7), up = make(add, 2, 0);
		uint32_t removed[IDS];
		struct roster_delta d = {.from_epoch = 7,
		                         .epoch = 8,
		                         .upsert = up.node,
		                         .upsert_n = up.node_n,
		                         .removed = removed};
		size_t n = 0;

		for (uint32_t id = 1; id <= IDS; id++) {
			if (gone >> id & 1)
				removed[d.removed_n++] = id;
		}
		ck_assert(roster_apply(&r, &d));
		ck_assert_uint_eq(r.epoch, 8);
		for (uint32_t id = 1; id <= IDS; id++) {
			const bool new = add >> id & 1;
			const bool old = (have >> id & 1) && !(gone >> id & 1);
			const struct roster_node *x = roster_node_by_id(&r, id);

			ck_assert_int_eq(x != NULL, new || old);
			if (!x)
				continue;
			ck_assert_uint_eq(x->reflector_port, new ? 2 : 1);
			ck_assert_ptr_eq(x, &r.node[n++]); /* sorted */
		}
		ck_assert_uint_eq(n, r.node_n);
		roster_clear(&r);
		roster_clear(&up);
	}
}
END_TEST

START_TEST(a_delta_of_another_epoch_changes_nothing)
{
	struct roster r = make(6, 1, 7);
	struct roster_delta d = {.from_epoch = 6, .epoch = 8};

	ck_assert(!roster_apply(&r, &d));
	ck_assert_uint_eq(r.epoch, 7);
	ck_assert_uint_eq(r.node_n, 2);
	roster_clear(&r);
}
END_TEST

START_TEST(a_copy_is_its_own)
{
	struct roster r = make(rng_u64(&rng), 1, 7), c;

	r.class_ = calloc(2, sizeof(*r.class_));
	r.class_n = 2;
	r.class_[1].class_id = 5;
	ck_assert(roster_copy(&c, &r));
	ck_assert_ptr_ne(c.node, r.node);
	ck_assert_uint_eq(c.node_n, r.node_n);
	ck_assert_mem_eq(c.node, r.node, r.node_n * sizeof(*r.node));
	roster_clear(&r);
	ck_assert_ptr_nonnull(roster_class_by_id(&c, 5));
	ck_assert_ptr_null(roster_class_by_id(&c, 6));
	roster_clear(&c);
}
END_TEST

START_TEST(meshes_say_who_measures_whom)
{
	struct roster_node a = node(1, 862), b = node(2, 862), t = node(3, 862);
	struct roster_class c = {.class_id = 1};
	struct roster r = {.epoch = 1};

	t.kind = NODE_STAMP;
	ck_assert(roster_has_session(&r, &a, &b, &c));
	ck_assert(!roster_has_session(&r, &a, &a, &c));
	ck_assert(roster_has_session(&r, &a, &t, &c));
	ck_assert(!roster_has_session(&r, &t, &a, &c));
	r.planned = true;
	ck_assert(!roster_has_session(&r, &a, &b, &c));
	a.mesh = b.mesh = 6;
	c.mesh = 2;
	ck_assert(!roster_has_session(&r, &a, &b, &c)); /* two spokes */
	b.hub = 2;
	ck_assert(roster_has_session(&r, &a, &b, &c));
	ck_assert(roster_has_session(&r, &b, &a, &c));
	b.hub = 4; /* of a mesh that the class does not run in */
	ck_assert(!roster_has_session(&r, &a, &b, &c));
	c.mesh = 1 << 5;
	a.hub = b.hub = 7;
	ck_assert(!roster_has_session(&r, &a, &b, &c));
}
END_TEST

static size_t
octets_of(const struct roster *r)
{
	struct msg m = {.kind = MESH_ROSTER};
	uint8_t *bytes;
	size_t n;

	m.u.roster = *r; /* borrowed */
	ck_assert(msg_encode(&m, &bytes, &n));
	free(bytes);
	return n;
}

START_TEST(a_full_mesh_of_1000_costs_four_octets_a_node)
{
	struct roster r = {.epoch = 1, .node_n = 1000};
	size_t plain;

	r.node = calloc(r.node_n, sizeof(*r.node));
	for (uint32_t i = 0; i < 1000; i++)
		r.node[i] = node(i + 1, 862);
	plain = octets_of(&r);
	r.planned = true;
	for (size_t i = 0; i < r.node_n; i++)
		r.node[i].mesh = r.node[i].hub = 1;
	ck_assert_uint_le(octets_of(&r), plain + 4 * r.node_n + 8);
	ck_assert_uint_lt(octets_of(&r), 40 * r.node_n);
	roster_clear(&r);
}
END_TEST

/* ---- on disk ---- */

static char path[] = "/tmp/test_roster.XXXXXX";

/* The same file under the name of another version, its digest made anew. */
static int
rewrite_as(char version, uint32_t *self, struct roster *back)
{
	uint8_t bytes[65536];
	FILE *f = fopen(path, "r+");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	ck_assert_uint_gt(n, 40);
	ck_assert_uint_eq(bytes[7], '2');
	bytes[7] = (uint8_t)version;
	SHA256(bytes, n - 32, bytes + n - 32);
	rewind(f);
	ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
	(void)fclose(f);
	n = (size_t)roster_cache_load(path, self, back);
	if (version == '1')
		ck_assert_int_eq(roster_cache_save(path, 3, back), 0);
	return (int)n;
}

START_TEST(a_cached_roster_comes_back_and_any_damage_is_seen)
{
	struct roster r = make(0x55, 862, 9), back;
	uint32_t self = 0;
	long size;
	FILE *f;

	close(mkstemp(path));
	ck_assert_int_eq(roster_cache_save(path, 3, &r), 0);
	ck_assert_int_eq(roster_cache_load(path, &self, &back), 0);
	ck_assert_uint_eq(self, 3);
	ck_assert_uint_eq(back.epoch, 9);
	ck_assert_uint_eq(back.node_n, r.node_n);
	ck_assert_str_eq(back.node[0].name, r.node[0].name);
	roster_clear(&back);
	/* a file of the version before meshes: everyone measures everyone */
	ck_assert(!rewrite_as('1', &self, &back));
	ck_assert(!back.planned);
	roster_clear(&back);
	ck_assert_int_eq(rewrite_as('3', &self, &back), -EBADMSG);
	ck_assert_int_eq(roster_cache_save(path, 3, &r), 0);
	f = fopen(path, "r+");
	(void)fseek(f, 0, SEEK_END);
	size = ftell(f);
	for (long i = 0; i < size; i++) {
		int c;

		(void)fseek(f, i, SEEK_SET);
		c = fgetc(f);
		(void)fseek(f, i, SEEK_SET);
		(void)fputc(c ^ 0x10, f);
		(void)fflush(f);
		ck_assert_int_eq(roster_cache_load(path, &self, &back),
		                 -EBADMSG);
		(void)fseek(f, i, SEEK_SET);
		(void)fputc(c, f);
		(void)fflush(f);
	}
	(void)fclose(f);
	for (long i = 0; i < size; i++) {
		ck_assert_int_eq(truncate(path, size - 1 - i), 0);
		ck_assert_int_eq(roster_cache_load(path, &self, &back),
		                 -EBADMSG);
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(roster_cache_load(path, &self, &back), -ENOENT);
	ck_assert_int_eq(roster_cache_save("/nonexistent/x", 3, &r), -ENOENT);
	roster_clear(&r);
}
END_TEST

int
main(void)
{
	const char *env = getenv("TEST_SEED");
	const uint64_t seed = env ? strtoull(env, NULL, 0) : random_u64();
	Suite *s = suite_create("roster");
	TCase *t = tcase_create("roster");
	SRunner *sr;
	int failed;

	printf("seed %" PRIu64 "\n", seed);
	rng_seed(&rng, seed);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_delta_makes_what_a_model_makes);
	tcase_add_test(t, a_delta_of_another_epoch_changes_nothing);
	tcase_add_test(t, a_copy_is_its_own);
	tcase_add_test(t, meshes_say_who_measures_whom);
	tcase_add_test(t, a_full_mesh_of_1000_costs_four_octets_a_node);
	tcase_add_test(t, a_cached_roster_comes_back_and_any_damage_is_seen);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
