/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/clock.h"
#include "lib/svc/meshfile.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef TEST_SRCDIR
#define TEST_SRCDIR "."
#endif

static char *said;

static struct meshfile *
parse(const char *text)
{
	size_t len = 0;
	FILE *f;
	struct meshfile *m;

	free(said);
	said = NULL;
	f = open_memstream(&said, &len);
	ck_assert_ptr_nonnull(f);
	m = meshfile_parse("m", text, f);
	ck_assert_int_eq(fclose(f), 0);
	return m;
}

#define BASE                                           \
	"site a { group = west }\nsite b {}\n"         \
	"node a1 { site = a }\nnode a2 { site = a }\n" \
	"node b1 { site = b group = lab }\n"           \
	"target r1 { address = 192.0.2.1 site = b }\n" \
	"class x {}\nclass y { rate = 1 }\n"

START_TEST(the_sample_is_read)
{
	struct meshfile *m =
	    meshfile_load(TEST_SRCDIR "/dist/mesh.conf.sample", stderr);

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->site_n, 3);
	ck_assert_uint_eq(m->node_n, 4);
	ck_assert_uint_eq(m->class_n, 2);
	ck_assert_uint_eq(m->mesh_n, 2);
	ck_assert_str_eq(m->node[2].group, "branch");
	ck_assert_str_eq(m->node[3].group, "europe");
	ck_assert_int_eq(m->node[3].protocol, MF_STAMP);
	ck_assert_uint_eq(addr_port(&m->node[3].address), 862);
	meshfile_free(m);
}
END_TEST

START_TEST(a_full_mesh_has_every_pair_but_none_from_targets)
{
	struct meshfile *m = parse(
	    BASE "mesh all { members = {group:west, b1, r1} classes = {x} }\n");
	unsigned n = 0;

	ck_assert_msg(m, "%s", said);
	for (uint32_t s = 0; s < 4; s++) {
		for (uint32_t d = 0; d < 4; d++) {
			const bool has = mf_mesh_has(m, &m->mesh[0], s, d);

			ck_assert_int_eq(has, s != d && s != 3);
			n += has;
		}
	}
	ck_assert_uint_eq(n, 9);
	ck_assert_uint_eq(m->mesh[0].classes, 1);
	meshfile_free(m);
}
END_TEST

START_TEST(spokes_measure_hubs_and_hubs_measure_all)
{
	struct meshfile *m =
	    parse(BASE "mesh h { members = {site:a, site:b} type = hub "
	               "hubs = {b1} classes = {y, x} }\n");

	ck_assert_msg(m, "%s", said);
	ck_assert_uint_eq(m->mesh[0].member_n, 4);
	ck_assert(mf_mesh_has(m, &m->mesh[0], 0, 2));
	ck_assert(mf_mesh_has(m, &m->mesh[0], 2, 0));
	ck_assert(mf_mesh_has(m, &m->mesh[0], 2, 3));
	ck_assert(!mf_mesh_has(m, &m->mesh[0], 0, 1));
	ck_assert(!mf_mesh_has(m, &m->mesh[0], 0, 3));
	ck_assert_uint_eq(m->mesh[0].classes, 3);
	meshfile_free(m);
}
END_TEST

START_TEST(equal_files_have_equal_texts)
{
	struct meshfile *a =
	    parse(BASE "mesh m { members = {a1, b1} classes = {x} }\n");
	struct meshfile *b =
	    parse("# other words\n" BASE
	          "mesh \"m\" {\n\tclasses = {\"x\"} type = 'full' hubs = {}\n"
	          "\tmembers = {a1,\n b1} }\n");
	struct meshfile *c;

	ck_assert_ptr_nonnull(a);
	ck_assert_msg(b, "%s", said);
	ck_assert_str_eq(a->text, b->text);
	c = parse(b->text);
	ck_assert_msg(c, "%s", said);
	ck_assert_str_eq(a->text, c->text);
	meshfile_free(a);
	meshfile_free(b);
	meshfile_free(c);
}
END_TEST

START_TEST(thresholds_are_values_or_over_the_floor)
{
	static const struct {
		const char *text;
		enum threshold_metric m;
		enum threshold_over over;
		double value;
	} good[] = {
	    {"200ms", THRESHOLD_RTT, THRESHOLD_VALUE, 200},
	    {"1.5s", THRESHOLD_RTT, THRESHOLD_VALUE, 1500},
	    {"250us", THRESHOLD_JITTER, THRESHOLD_VALUE, 0.25},
	    {"floor + 30ms", THRESHOLD_RTT, THRESHOLD_PLUS, 30},
	    {"floor+30ms", THRESHOLD_DELAY, THRESHOLD_PLUS, 30},
	    {"floor * 1.5", THRESHOLD_RTT, THRESHOLD_TIMES, 1.5},
	    {"5%", THRESHOLD_LOSS, THRESHOLD_VALUE, 5},
	    {"0.25%", THRESHOLD_LOSS, THRESHOLD_VALUE, 0.25},
	};
	static const char *const bad[] = {"",
	                                  "200",
	                                  "-5ms",
	                                  "61s",
	                                  "0ms",
	                                  "floor",
	                                  "floor +",
	                                  "floor + 30",
	                                  "floor * 0.5",
	                                  "floor * 101",
	                                  "floor - 1",
	                                  "floor*1ms",
	                                  "ceil + 30ms",
	                                  "nan",
	                                  "inf",
	                                  "1e3ms",
	                                  "0x10ms",
	                                  "5%",
	                                  "floor * ",
	                                  "200ms 1"};
	struct threshold t;
	char text[THRESHOLD_TEXT_MAX];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct threshold again;

		ck_assert_msg(threshold_parse(good[i].text, good[i].m, &t),
		              "%s", good[i].text);
		ck_assert_int_eq(t.over, good[i].over);
		ck_assert(fabs(t.value - good[i].value) < 1e-9);
		ck_assert(threshold_parse(threshold_format(&t, good[i].m, text),
		                          good[i].m, &again));
		ck_assert(again.over == t.over &&
		          fabs(again.value - t.value) < 1e-9);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!threshold_parse(bad[i], THRESHOLD_RTT, &t), "%s",
		              bad[i]);
	ck_assert(!threshold_parse("5", THRESHOLD_LOSS, &t));
	ck_assert(!threshold_parse("101%", THRESHOLD_LOSS, &t));
	ck_assert(!threshold_parse("floor + 1%", THRESHOLD_LOSS, &t));
}
END_TEST

START_TEST(a_threshold_is_written_without_quotes)
{
	struct meshfile *m =
	    parse(BASE "class z { crit_rtt = floor + 30ms # of 7 days\n"
	               "warn_loss = 1% }\n"
	               "mesh m { members = {a1, b1} classes = {z} }\n");

	ck_assert_msg(m, "%s", said);
	ck_assert_int_eq(
	    m->class_[2].threshold[THRESHOLD_CRIT][THRESHOLD_RTT].over,
	    THRESHOLD_PLUS);
	ck_assert_int_eq(
	    m->class_[2].threshold[THRESHOLD_WARN][THRESHOLD_LOSS].over,
	    THRESHOLD_VALUE);
	meshfile_free(m);
}
END_TEST

#define MESH "mesh m { members = {a1, b1} classes = {x} }\n"

/* What is wrong, and all that is said of it. */
static const struct {
	const char *text, *said;
} wrong[] = {
    {"", "m: class: expected at least 1 section, found 0\n"
         "m: mesh: expected at least 1 section, found 0\n"},
    {BASE, "m: mesh: expected at least 1 section, found 0\n"},
    {BASE "mesh m {}\n",
     "m:9: mesh \"m\": expected members = {...}, found none\n"
     "m:9: mesh \"m\": expected classes = {...}, found none\n"},
    {BASE "mesh m { members = {a1, b2} classes = {x,\nz} }\n",
     "m:9: members: expected a node or target of this file, found 'b2'\n"
     "m:10: classes: expected a class of this file, found 'z'\n"},
    {BASE "mesh m { members = {group:east, site:c} classes = {x} }\n",
     "m:9: members: expected a site or group that nodes of this file have, "
     "found 'group:east'\n"
     "m:9: members: expected a site or group that nodes of this file have, "
     "found 'site:c'\n"},
    {BASE "mesh m { members = {rack:1} classes = {x} }\n",
     "m:9: members: expected the name of a node or target, group:NAME or "
     "site:NAME, found 'rack:1'\n"},
    {BASE "mesh m { members = {a1} classes = {x} }\n",
     "m:9: members: expected at least two, one of them a node, found 1 node "
     "and 0 targets\n"},
    {BASE "mesh m { members = {a1, b1} type = hub classes = {x} }\n",
     "m:9: type: expected hubs = {...} with it, found none\n"},
    {BASE "mesh m { members = {a1, b1} hubs = {a1} classes = {x} }\n",
     "m:9: hubs: expected type = \"hub\" with it, found \"full\"\n"},
    {BASE "mesh m { members = {a1, b1} type = hub\nhubs = {a2} classes = {x} "
          "}\n",
     "m:10: hubs: expected members of the mesh, found 'a2'\n"},
    {BASE MESH "node c1 { site = c }\n",
     "m:10: site: expected a site of this file, found 'c'\n"},
    {BASE MESH "target a1 { address = 192.0.2.2 }\n",
     "m:10: target: expected a name of its own, found 'a1', which is a node "
     "too\n"},
    {BASE MESH "target t {}\n",
     "m:10: address: expected in section target \"t\", found none\n"},
    {BASE MESH "target t { address = 0.0.0.0 }\n",
     "m:10: address: expected an IP address to send to, as 192.0.2.1 or "
     "2001:db8::1, found '0.0.0.0'\n"},
    {BASE MESH "target t { address = 192.0.2.2 port = 0 }\n",
     "m:10: port: expected an integer from 1 to 65535, found '0'\n"},
    {BASE MESH "site c { latitude = 91 longitude = 181 }\n",
     "m:10: latitude: expected degrees north, -90 to 90, as 52.37, found "
     "'91'\n"
     "m:10: longitude: expected degrees east, -180 to 180, as 4.9, found "
     "'181'\n"},
    {BASE MESH "site c {\nlatitude = 1 }\n",
     "m:11: site \"c\": expected latitude and longitude, found only one\n"},
    {BASE MESH "class v {\ncodec = g711\ndetail = false }\n",
     "m:11: class \"v\": codec: expected detail = true with it, found "
     "false\n"},
    {BASE MESH "class v {\nwarn_rtt = 20ms\ncrit_rtt = 10ms }\n",
     "m:11: class \"v\": warn_rtt: expected at most the threshold of crit, "
     "found more\n"},
    {BASE MESH "class v { crit_loss = 5 }\n",
     "m:10: crit_loss: expected a share over 0% up to 100%, as 5%, found "
     "'5'\n"},
    {BASE MESH "class X {}\n",
     "m:10: class: expected a name: 1 to 63 of a-z, 0-9 and '-', beginning "
     "and ending with a letter or digit as title, found 'X'\n"},
    {BASE MESH "node a1 {}\n",
     "m:10: node: expected a title of its own, found 'a1' a second time\n"},
    {BASE MESH "nodes { x = 1 }\n",
     "m:10: nodes: expected a known key (site, node, target, class, mesh), "
     "found 'nodes'\n"},
};

START_TEST(what_is_wrong_is_told_with_its_line)
{
	struct meshfile *m = parse(wrong[_i].text);

	ck_assert_ptr_null(m);
	ck_assert_str_eq(said, wrong[_i].said);
}
END_TEST

START_TEST(a_mesh_of_4096_is_read_within_a_second)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct meshfile *m;

	ck_assert_ptr_nonnull(f);
	(void)fputs("site s { group = g }\nclass x {}\n", f);
	for (unsigned i = 0; i < MESHFILE_NODES_MAX; i++)
		(void)fprintf(f, "node n%u { site = s }\n", i);
	(void)fputs("mesh m { members = {group:g} classes = {x} }\n", f);
	ck_assert_int_eq(fclose(f), 0);
	m = parse(text);
	ck_assert_msg(m, "%s", said);
	ck_assert_uint_eq(m->mesh[0].member_n, MESHFILE_NODES_MAX);
	ck_assert(strlen(m->text) < 300000);
	meshfile_free(m);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("meshfile");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(t, the_sample_is_read);
	tcase_add_test(t, a_full_mesh_has_every_pair_but_none_from_targets);
	tcase_add_test(t, spokes_measure_hubs_and_hubs_measure_all);
	tcase_add_test(t, equal_files_have_equal_texts);
	tcase_add_test(t, thresholds_are_values_or_over_the_floor);
	tcase_add_test(t, a_threshold_is_written_without_quotes);
	tcase_add_loop_test(t, what_is_wrong_is_told_with_its_line, 0,
	                    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, a_mesh_of_4096_is_read_within_a_second);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	free(said);
	return failed ? 1 : 0;
}
