/* SPDX-License-Identifier: BSD-2-Clause */
/* What twmesh plan says: from the controller's document and a mesh file. */
#include "lib/base/clock.h"
#include "tools/plan.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_X                                                        \
	"{\"name\":\"x\",\"version\":2,\"running\":true,\"family\":0," \
	"\"dscp\":0,\"size\":128,\"gap_ns\":100000000,"                \
	"\"schedule\":\"periodic\",\"flows\":1,\"interval_ms\":10000," \
	"\"interval_auto\":true,\"loss_timeout_ms\":2000,"             \
	"\"ship_spread_ms\":3000,\"detail\":true,\"codec\":\"none\","  \
	"\"jitter_buffer_ms\":60}"
#define CLASS_OLD                                                         \
	"{\"name\":\"old\",\"version\":4,\"running\":false,\"family\":0," \
	"\"dscp\":0,\"size\":128,\"gap_ns\":50000000,"                    \
	"\"schedule\":\"periodic\",\"flows\":1,\"interval_ms\":10000,"    \
	"\"interval_auto\":false,\"loss_timeout_ms\":2000,"               \
	"\"ship_spread_ms\":3000,\"detail\":true,\"codec\":\"none\","     \
	"\"jitter_buffer_ms\":60}"
#define NODE(name, joined)                                         \
	"{\"name\":\"" name "\",\"kind\":\"node\",\"site\":\"s\"," \
	"\"joined\":" joined "}"

static struct plan_now
now_of(const char *content, int base)
{
	json_t *doc = json_loads(
	    "{\"epoch\":9,\"nodes\":[" NODE("a", "true") "," NODE(
	        "b", "true") "," NODE("c", "false") "],\"classes\":[" CLASS_X
	                                            "," CLASS_OLD "]}",
	    0, NULL);
	struct plan_now now;
	char err[PLAN_ERR_MAX] = "";

	ck_assert_ptr_nonnull(doc);
	(void)json_object_set_new(doc, "base", json_integer(base));
	if (content)
		(void)json_object_set_new(doc, "content", json_string(content));
	ck_assert_msg(plan_now_read(doc, &now, err), "%s", err);
	json_decref(doc);
	return now;
}

static struct meshfile *
file_of(const char *text)
{
	struct meshfile *f = meshfile_parse("f", text, stderr);

	ck_assert_ptr_nonnull(f);
	return f;
}

/* "+ node d: has not joined yet|..." in order; malloc'd. */
static char *
said(const struct plan_now *now, const char *text)
{
	struct meshfile *f = file_of(text);
	struct plan_diff d;
	char *out = NULL;
	size_t len = 0;
	FILE *o = open_memstream(&out, &len);

	plan_diff_make(now, f, &d);
	ck_assert(!d.failed && o != NULL);
	for (size_t i = 0; i < d.n; i++)
		(void)fprintf(o, "%c %s %s%s%s|", d.change[i].op,
		              d.change[i].kind, d.change[i].name,
		              *d.change[i].what ? ": " : "", d.change[i].what);
	(void)fclose(o);
	plan_diff_clear(&d);
	meshfile_free(f);
	return out;
}

#define BASE                                                     \
	"site s { group = g }\nnode a { site = s }\nnode b {}\n" \
	"target t { address = 192.0.2.1 }\n"                     \
	"class x { crit_loss = 5% }\nclass y { rate = 2 }\n"     \
	"mesh m { members = {a, b, t} classes = {x} }\n"         \
	"mesh h { members = {a, b, t} type = hub hubs = {a} classes = {y} }\n"

static const struct {
	const char *from, *to, *said;
} cases[] = {
    {BASE, BASE, ""},
    {NULL, BASE,
     "+ site s|~ node a: group none -> g|+ target t|- node c|~ class x: crit "
     "loss_pct none -> 5%|+ class y: version 1|+ mesh m: full, 3 members|+ "
     "mesh h: hub and spoke, 3 members|- mesh everyone: that runs without a "
     "mesh file|"},
    {BASE,
     "site s { latitude = 1 longitude = 2 }\nnode a { site = s }\nnode d {}\n"
     "node b { group = z }\ntarget t { address = 192.0.2.2 port = 5000 "
     "protocol = light }\nclass x { crit_loss = 5% }\nclass y { rate = 2 }\n"
     "mesh m { members = {a, b, t} classes = {x} }\nmesh h { members = {a, b, "
     "t} type = hub hubs = {a} classes = {y} }\n",
     "~ site s: latitude none -> 1; longitude none -> 2; group g -> none|~ "
     "node a: group g -> none|+ node d: has not joined yet|~ node b: group "
     "none -> z|~ target t: address 192.0.2.1:862 -> 192.0.2.2:5000; protocol "
     "stamp -> light|"},
    {BASE,
     "site s { group = g }\nnode a { site = s }\nnode c {}\n"
     "class x { rate = 20 warn_rtt = floor * 1.5 }\nclass old { rate = 20 }\n"
     "mesh m { members = {a, c} classes = {x, old} }\n"
     "mesh h { members = {a, c} classes = {x} }\n",
     "+ node c: has not joined yet|- node b: stays, in no mesh: nobody "
     "measures it|- target t|~ class x: rate 10 -> 20; warn rtt_ms none -> "
     "floor * 1.5; crit loss_pct 5% -> none; other packets: version 3|+ class "
     "old: version 4 comes back|- class y|~ mesh m: with c; without b, t; "
     "runs class old|~ mesh h: type hub -> full; with c; without b, t; runs "
     "class x; runs no class y|"},
    {BASE,
     "site s { group = g }\nnode a { site = s }\nnode b {}\n"
     "target t { address = 192.0.2.1 }\n"
     "class x { crit_loss = 5% }\nclass y { rate = 2 interval = 30s "
     "hysteresis = 3 }\n"
     "mesh m { members = {a, b, t} classes = {x} }\n"
     "mesh h { members = {a, b, t} type = hub hubs = {b} classes = {y} }\n",
     "~ class y: interval no longer automatic; hysteresis 2 -> 3|~ mesh h: "
     "new hub b; no hub any more a|"},
};

START_TEST(the_difference_is_told)
{
	struct meshfile *from = cases[_i].from ? file_of(cases[_i].from) : NULL;
	struct plan_now now = now_of(from ? from->text : NULL, from ? 7 : 0);
	char *text = said(&now, cases[_i].to);

	ck_assert_str_eq(text, cases[_i].said);
	free(text);
	plan_now_clear(&now);
	meshfile_free(from);
}
END_TEST

START_TEST(the_cost_counts_each_session_once)
{
	struct meshfile *f =
	    file_of("node a {}\nnode b {}\nnode c {}\n"
	            "target t { address = 192.0.2.1 }\n"
	            "class x { rate = 10 size = 100 interval = 10s }\n"
	            "class v { family = 6 rate = 50 size = 200 interval = 60s "
	            "flows = 4 detail = false }\n"
	            "mesh m { members = {a, b, t} classes = {x} }\n"
	            "mesh n { members = {a, b, c} classes = {x, v} }\n");
	struct plan_cost c;

	ck_assert(plan_cost_make(f, 0, &c));
	/* x: 6 pairs of a, b, c (a-b by both meshes), 2 to t; v: 6 */
	ck_assert(c.total.sessions == 14);
	ck_assert(c.total.packets_s == 6 * 10 + 2 * 1 + 6 * 50);
	ck_assert(fabs(c.total.bits_s - 2 * 8 * (62 * 166.0 + 300 * 286.0)) <
	          1e-6);
	ck_assert(c.total.rows_day == 8 * 8640 + 6 * 1440 * 5);
	ck_assert(c.total.bytes_day ==
	          8 * 8640 * 544.0 + 6 * 1440 * (204 + 4 * 120.0));
	ck_assert_str_eq(c.node, "a");
	ck_assert(c.busiest.sessions == 5);
	/* it sends to b, c (x, v) and t, and answers b and c */
	ck_assert(c.busiest.packets_s == 20 + 100 + 1 + 20 + 100);
	meshfile_free(f);
	f = file_of("node a {}\nnode b {}\nclass x {}\n"
	            "mesh m { members = {a, b} classes = {x} }\n");
	ck_assert(plan_cost_make(f, 48, &c));
	ck_assert(c.total.rows_day == 2 * 8640);
	ck_assert(plan_cost_make(f, 49, &c));
	ck_assert(c.total.rows_day == 2 * 1440);
	meshfile_free(f);
}
END_TEST

START_TEST(a_full_mesh_of_4096_is_counted_within_seconds)
{
	char *text = NULL;
	size_t len = 0;
	FILE *o = open_memstream(&text, &len);
	struct meshfile *f;
	struct plan_cost c;

	(void)fputs("site s { group = g }\nclass x { interval = 60s }\n", o);
	for (unsigned i = 0; i < 4096; i++)
		(void)fprintf(o, "node n%u { site = s }\n", i);
	(void)fputs("mesh m { members = {group:g} classes = {x} }\n", o);
	(void)fclose(o);
	f = file_of(text);
	ck_assert(plan_cost_make(f, 0, &c));
	ck_assert(c.total.sessions == 4096.0 * 4095);
	meshfile_free(f);
	free(text);
}
END_TEST

START_TEST(documents_that_are_not_plans_are_refused)
{
	static const char *const bad[] = {
	    "{}",
	    "{\"epoch\":1,\"base\":0}",
	    "{\"epoch\":1,\"base\":-1,\"nodes\":[],\"classes\":[]}",
	    "{\"epoch\":1,\"base\":0,\"nodes\":[{}],\"classes\":[]}",
	    "{\"epoch\":1,\"base\":0,\"nodes\":[],\"classes\":[{}]}",
	    "{\"epoch\":1,\"base\":3,\"nodes\":[],\"classes\":[]}",
	    ("{\"epoch\":1,\"base\":3,\"nodes\":[],\"classes\":[],"
	     "\"content\":\"x\"}"),
	    "{\"epoch\":1,\"base\":0,\"nodes\":{},\"classes\":[]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *doc = json_loads(bad[i], 0, NULL);
		struct plan_now now;
		char err[PLAN_ERR_MAX] = "";

		ck_assert_ptr_nonnull(doc);
		ck_assert_msg(!plan_now_read(doc, &now, err), "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(err, "expected"));
		json_decref(doc);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, the_difference_is_told, 0,
	                    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(t, the_cost_counts_each_session_once);
	tcase_add_test(t, a_full_mesh_of_4096_is_counted_within_seconds);
	tcase_add_test(t, documents_that_are_not_plans_are_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
