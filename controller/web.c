/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/web.h"

#include "controller/admin.h"
#include "controller/answers.h"
#include "controller/http.h"
#include "controller/httpwire.h"
#include "controller/letters.h"
#include "controller/static.h"
#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define INBOX_MAX 256
#define CONNECTIONS_MAX 256
#define ADMIN_CONNECTIONS_MAX 32
#define BODY_MAX 65536
#define ADMIN_BODY_MAX (4 << 20) /* a mesh file of 1 MiB, as a JSON string */
#define SINCE_DEFAULT "3600"
#define SINCE_MAX_S 2678400 /* 31 days */
#define OUTAGES_SINCE_DEFAULT "86400"
#define OUTAGES_SINCE_MAX_S 34560000 /* 400 days */
#define OUTAGES_MAX 1000
#define NO_STORE "Cache-Control: no-store\r\n"
#define REVALIDATE "Cache-Control: no-cache\r\n"

struct web {
	struct event_base *base;  /* owned */
	struct http *tcp, *admin; /* owned; admin may be NULL */
	struct addr address;
	struct answers *answers; /* owned */
	struct keep keep;
	struct mailbox *inbox;            /* owned */
	struct mailbox *to_writer;        /* borrowed */
	struct event *on_inbox, *on_stop; /* owned */
	int web_dirfd, stop_fd;
	pthread_t thread;
	bool running;
};

struct route {
	const char *path;
	void (*fn)(struct web *w, struct http_call *c);
	bool post;
	bool admin;            /* only on the admin socket; all of POST is */
	const char *params[7]; /* allowed ones, NULL-terminated */
};

static void bad_request(struct http_call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
bad_request(struct http_call *c, const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	http_answer_error(c, 400, message, NO_STORE);
}

/* A parameter that must be a name; true when it is there and one, or absent
 * and not needed. Answers 400 itself otherwise. */
static bool
name_param(struct http_call *c, const char *key, bool needed, const char **out)
{
	const char *v = httpreq_param(http_call_req(c), key);

	*out = v && *v ? v : NULL;
	if (!*out && needed) {
		bad_request(c, "%s: expected %s, found nothing", key,
		            NAME_RULE);
		return false;
	}
	if (*out && !name_is_valid(v)) {
		bad_request(c, "%s: expected %s, found '%.70s'", key, NAME_RULE,
		            v);
		return false;
	}
	return true;
}

static void
answer_document(struct web *w, struct http_call *c, enum answer_kind kind,
                const char *const arg[ANSWER_ARGS_MAX], const char *missing)
{
	struct answer a = answers_get(w->answers, kind, arg, clock_mono());
	char message[512];

	if (a.status == 404) {
		http_answer_error(c, 404, missing, NO_STORE);
		return;
	}
	if (a.status != 200) {
		(void)snprintf(message, sizeof(message), "%s: %.400s",
		               answers_database_ok(w->answers)
		                   ? "the database refused that"
		                   : "the database is away",
		               a.reason);
		http_answer_error(c, a.status, message, NO_STORE);
		return;
	}
	http_answer(c, &(struct http_answer){.status = 200,
	                                     .type = HTTPWIRE_JSON,
	                                     .body = a.body,
	                                     .gzip = a.gzip,
	                                     .etag = a.etag,
	                                     .headers = NO_STORE});
}

static void
get_matrix(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	if (name_param(c, "class", false, &arg[0]))
		answer_document(w, c, ANSWER_MATRIX, arg, "no such class");
}

static void
get_nodes(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	answer_document(w, c, ANSWER_NODES, arg, "no nodes");
}

static void
get_path(struct web *w, struct http_call *c)
{
	const char *since = httpreq_param(http_call_req(c), "since_s");
	const char *arg[ANSWER_ARGS_MAX] = {NULL};
	int64_t s;

	if (!name_param(c, "src", true, &arg[0]) ||
	    !name_param(c, "dst", true, &arg[1]) ||
	    !name_param(c, "class", false, &arg[2]))
		return;
	if (since && !text_parse_i64(since, 1, SINCE_MAX_S, &s)) {
		bad_request(c,
		            "since_s: expected whole seconds, 1 to %d, found "
		            "'%.40s'",
		            SINCE_MAX_S, since);
		return;
	}
	arg[3] = since ? since : SINCE_DEFAULT;
	answer_document(w, c, ANSWER_PATH, arg,
	                "no such path: src, dst or class is not in the plan");
}

/* A whole number, or absent. Answers 400 itself otherwise. */
static bool
number_param(struct http_call *c, const char *key, int64_t min, int64_t max,
             const char **out)
{
	int64_t n;

	*out = httpreq_param(http_call_req(c), key);
	if (!*out || text_parse_i64(*out, min, max, &n))
		return true;
	bad_request(c,
	            "%s: expected a whole number, %" PRId64 " to %" PRId64
	            ", found '%.40s'",
	            key, min, max, *out);
	return false;
}

/* 2026-11-27T10:02:14Z, and a day that is in the calendar: no 30 February,
 * which PostgreSQL would refuse. */
static bool
is_instant(const char *text)
{
	struct tm t = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t);
	char again[40];

	if (!end || *end != '\0' || timegm(&t) == -1 || t.tm_year <= -1900)
		return false;
	return strftime(again, sizeof(again), "%Y-%m-%dT%H:%M:%SZ", &t) == 20 &&
	       strcmp(again, text) == 0;
}

/* An instant, or whole seconds ago: arg[0] or arg[1]. */
static bool
since_param(struct http_call *c, const char *arg[2])
{
	const char *v = httpreq_param(http_call_req(c), "since");
	int64_t s;

	if (!v) {
		arg[1] = OUTAGES_SINCE_DEFAULT;
		return true;
	}
	if (is_instant(v)) {
		arg[0] = v;
		return true;
	}
	if (text_parse_i64(v, 1, OUTAGES_SINCE_MAX_S, &s)) {
		arg[1] = v;
		return true;
	}
	bad_request(c,
	            "since: expected whole seconds, 1 to %d, or an instant as "
	            "2026-11-27T10:02:14Z, found '%.40s'",
	            OUTAGES_SINCE_MAX_S, v);
	return false;
}

static void
get_outages(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	if (name_param(c, "src", false, &arg[0]) &&
	    name_param(c, "dst", false, &arg[1]) &&
	    name_param(c, "class", false, &arg[2]) &&
	    number_param(c, "longer_than_ms", 0, 86400000, &arg[3]) &&
	    since_param(c, &arg[4]) &&
	    number_param(c, "limit", 1, OUTAGES_MAX, &arg[6]))
		answer_document(w, c, ANSWER_OUTAGES, arg,
		                "no such node or class");
}

static void
get_incidents(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	if (name_param(c, "class", false, &arg[0]) && since_param(c, &arg[1]) &&
	    number_param(c, "limit", 1, OUTAGES_MAX, &arg[3]))
		answer_document(w, c, ANSWER_INCIDENTS, arg, "no such class");
}

/* By what is kept here, unless the question is another. */
static void
get_db_size(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};
	const int own[] = {w->keep.raw, w->keep.five, w->keep.hour};
	char days[3][24];

	if (!number_param(c, "keep_raw", 1, KEEP_MAX, &arg[0]) ||
	    !number_param(c, "keep_5min", 1, KEEP_MAX, &arg[1]) ||
	    !number_param(c, "keep_1h", 1, KEEP_MAX, &arg[2]))
		return;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(days[i], sizeof(days[i]), "%d", own[i]);
		if (!arg[i])
			arg[i] = days[i];
	}
	answer_document(w, c, ANSWER_DB_SIZE, arg, "no database");
}

static void
get_evidence(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};
	const char *run = httpreq_param(http_call_req(c), "run");

	if (!run || strlen(run) != 16 ||
	    strspn(run, "0123456789abcdefABCDEF") != 16) {
		bad_request(
		    c, "run: expected 16 hexadecimal digits, found '%.40s'",
		    run ? run : "");
		return;
	}
	arg[0] = run;
	answer_document(w, c, ANSWER_EVIDENCE, arg, "no such loss run");
}

static void
get_health(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};
	struct answer a =
	    answers_get(w->answers, ANSWER_NODES, arg, clock_mono());
	bool ok = answers_database_ok(w->answers);
	json_t *doc = NULL;
	struct blob *b;
	char text[96];
	int n;

	if (a.status == 200)
		doc = json_loadb((const char *)a.body->b, a.body->len, 0, NULL);
	n = snprintf(text, sizeof(text),
	             "{\"ok\":%s,\"database\":%s,\"nodes\":%zu}\n",
	             ok ? "true" : "false", ok ? "true" : "false",
	             json_array_size(json_object_get(doc, "nodes")));
	json_decref(doc);
	b = blob_new(text, n > 0 ? (size_t)n : 0);
	http_answer(c, &(struct http_answer){.status = ok ? 200 : 503,
	                                     .type = HTTPWIRE_JSON,
	                                     .body = b,
	                                     .headers = NO_STORE});
	blob_unref(b);
}

static void
get_tokens(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	answer_document(w, c, ANSWER_TOKENS, arg, "no tokens");
}

static void
get_plan(struct web *w, struct http_call *c)
{
	const char *arg[ANSWER_ARGS_MAX] = {NULL};

	answer_document(w, c, ANSWER_PLAN, arg, "no plan");
}

static const struct {
	const char *path;
	enum ask_kind kind;
} posts[] = {
    {"/api/v1/nodes/approve", ASK_APPROVE},
    {"/api/v1/nodes/remove", ASK_REMOVE},
    {"/api/v1/tokens/create", ASK_TOKEN_CREATE},
    {"/api/v1/tokens/revoke", ASK_TOKEN_REVOKE},
    {"/api/v1/plan/apply", ASK_APPLY},
    {"/api/v1/nodes/maintenance", ASK_MAINTENANCE},
};

/* Of a call that came by a POST route. */
static enum ask_kind
admin_kind(const struct http_call *c)
{
	size_t i = 0;

	while (strcmp(posts[i].path, http_call_req(c)->path) != 0)
		i++;
	return posts[i].kind;
}

static void
post_admin(struct web *w, struct http_call *c)
{
	char err[256];
	size_t len;
	const char *body = http_call_body(c, &len);
	struct ask *a;

	if (!answers_writer_ok(w->answers)) {
		http_answer_error(c, 503,
		                  "the database is away: nothing was changed",
		                  NO_STORE);
		return;
	}
	a = admin_parse(admin_kind(c), body, len, err, sizeof(err));
	if (!a) {
		http_answer_error(c, 400, err, NO_STORE);
		return;
	}
	a->token = http_call_id(c);
	if (!mailbox_put(w->to_writer, &a->letter)) {
		ask_free(a);
		http_answer_error(c, 503, "too busy: nothing was changed",
		                  NO_STORE);
	}
}

static const struct route routes[] = {
    {"/api/v1/matrix", get_matrix, false, false, {"class"}},
    {"/api/v1/nodes", get_nodes, false, false, {NULL}},
    {"/api/v1/path",
     get_path,
     false,
     false,
     {"src", "dst", "class", "since_s"}},
    {"/api/v1/outages",
     get_outages,
     false,
     false,
     {"src", "dst", "class", "longer_than_ms", "since", "limit"}},
    {"/api/v1/incidents",
     get_incidents,
     false,
     false,
     {"class", "since", "limit"}},
    {"/api/v1/db/size",
     get_db_size,
     false,
     false,
     {"keep_raw", "keep_5min", "keep_1h"}},
    {"/api/v1/evidence", get_evidence, false, false, {"run"}},
    {"/healthz", get_health, false, false, {NULL}},
    {"/api/v1/tokens", get_tokens, false, true, {NULL}},
    {"/api/v1/nodes/approve", post_admin, true, true, {NULL}},
    {"/api/v1/nodes/remove", post_admin, true, true, {NULL}},
    {"/api/v1/tokens/create", post_admin, true, true, {NULL}},
    {"/api/v1/tokens/revoke", post_admin, true, true, {NULL}},
    {"/api/v1/plan", get_plan, false, false, {NULL}},
    {"/api/v1/plan/apply", post_admin, true, true, {NULL}},
    {"/api/v1/nodes/maintenance", post_admin, true, true, {NULL}},
};

static void
get_static(struct web *w, struct http_call *c)
{
	const struct httpreq *r = http_call_req(c);
	const char *type;
	struct blob *b = static_read(w->web_dirfd, r->path, &type), *z = NULL;
	char etag[ANSWER_ETAG_MAX];

	if (!b) {
		http_answer_error(c, 404, "no such page", NO_STORE);
		return;
	}
	if (r->method != HTTP_GET && r->method != HTTP_HEAD) {
		http_answer_error(c, 405, "expected GET or HEAD",
		                  "Allow: GET, HEAD\r\n" NO_STORE);
		goto out;
	}
	if (r->accept_gzip && b->len > 1024)
		z = blob_gzip(b);
	answers_etag((const char *)b->b, b->len, etag);
	http_answer(c, &(struct http_answer){.status = 200,
	                                     .type = type,
	                                     .body = b,
	                                     .gzip = z,
	                                     .etag = etag,
	                                     .headers = REVALIDATE});
out:
	blob_unref(z);
	blob_unref(b);
}

static bool
method_ok(struct web *w, struct http_call *c, const struct route *t)
{
	enum httpreq_method m = http_call_req(c)->method;

	(void)w;
	if (t->admin && strcmp(http_call_tag(c), "admin") != 0) {
		http_answer_error(c, t->post ? 405 : 403,
		                  "this listener is read-only: administration "
		                  "goes by the admin socket",
		                  t->post ? "Allow: \r\n" NO_STORE : NO_STORE);
		return false;
	}
	if (t->post ? m == HTTP_POST : m == HTTP_GET || m == HTTP_HEAD)
		return true;
	http_answer_error(c, 405,
	                  t->post ? "expected POST" : "expected GET or HEAD",
	                  t->post ? "Allow: POST\r\n" NO_STORE
	                          : "Allow: GET, HEAD\r\n" NO_STORE);
	return false;
}

static bool
params_ok(struct http_call *c, const struct route *t)
{
	const struct httpreq *r = http_call_req(c);

	for (size_t i = 0; i < r->param_n; i++) {
		bool known = false;

		for (size_t k = 0; t->params[k]; k++)
			known |= strcmp(t->params[k], r->param[i].name) == 0;
		if (!known) {
			bad_request(c, "unknown parameter '%.32s'",
			            r->param[i].name);
			return false;
		}
	}
	return true;
}

static void
on_call(void *arg, struct http_call *c)
{
	struct web *w = arg;
	const struct httpreq *r = http_call_req(c);

	if (strcmp(http_call_tag(c), "admin") != 0 &&
	    !httpreq_host_is_local(r->host)) {
		http_answer_error(c, 421,
		                  "expected a Host of this machine (localhost, "
		                  "127.0.0.1, [::1])",
		                  NO_STORE);
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, r->path) != 0)
			continue;
		if (method_ok(w, c, &routes[i]) && params_ok(c, &routes[i]))
			routes[i].fn(w, c);
		return;
	}
	get_static(w, c);
}

static void
admin_told(struct web *w, const struct tell *t)
{
	struct http_call *c =
	    w->admin ? http_call_find(w->admin, t->token) : NULL;
	struct blob *b;

	if (!c)
		return; /* the asker is gone */
	if (t->u.admin.status != 200) {
		http_answer_error(c, t->u.admin.status, t->u.admin.reason,
		                  NO_STORE);
		return;
	}
	answers_changed(w->answers);
	b = admin_answer(admin_kind(c), t);
	http_answer(c, &(struct http_answer){.status = 200,
	                                     .type = HTTPWIRE_JSON,
	                                     .body = b,
	                                     .headers = NO_STORE});
	blob_unref(b);
}

static void
on_letters(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;
	struct letter *l, *next;

	(void)fd;
	(void)what;
	for (l = mailbox_take_all(w->inbox); l; l = next) {
		struct tell *t = (struct tell *)(void *)l;

		next = l->next;
		if (t->kind == TELL_DATABASE)
			answers_database(w->answers, t->u.database.ok,
			                 t->u.database.since,
			                 t->u.database.reason);
		else if (t->kind == TELL_ADMIN)
			admin_told(w, t);
		tell_free(t);
	}
}

static void
on_stop_fd(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;

	(void)fd;
	(void)what;
	(void)event_base_loopbreak(w->base);
}

static void *
web_main(void *arg)
{
	struct web *w = arg;

	(void)event_base_dispatch(w->base);
	return NULL;
}

static bool
listen_all(struct web *w, const struct web_opts *o, char *err, size_t err_size)
{
	struct http_opts h = {.base = w->base,
	                      .connections_max = CONNECTIONS_MAX,
	                      .body_max = BODY_MAX,
	                      .fn = on_call,
	                      .arg = w,
	                      .tag = "http"};
	char at[ADDR_TEXT_MAX];
	int rc = 0;

	w->tcp = http_listen_tcp(&h, &o->http, &w->address, &rc);
	if (!w->tcp) {
		(void)snprintf(err, err_size, "http: cannot listen on %s: %s",
		               addr_format(&o->http, at), strerror(-rc));
		return false;
	}
	if (!o->socket[0])
		return true;
	h.tag = "admin";
	h.connections_max = ADMIN_CONNECTIONS_MAX;
	h.body_max = ADMIN_BODY_MAX;
	w->admin = http_listen_unix(&h, o->socket, 0660, &rc);
	if (!w->admin)
		(void)snprintf(err, err_size, "socket: cannot listen on %s: %s",
		               o->socket, strerror(-rc));
	return w->admin != NULL;
}

struct web *
web_new(const struct web_opts *o, char *err, size_t err_size)
{
	struct web *w = calloc(1, sizeof(*w));

	(void)snprintf(err, err_size, "web: out of memory or descriptors");
	if (!w)
		return NULL;
	w->web_dirfd = w->stop_fd = -1;
	w->keep = o->keep;
	w->base = event_base_new();
	w->inbox = mailbox_new(INBOX_MAX);
	w->answers = answers_new(o->database);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!w->base || !w->inbox || !w->answers || w->stop_fd < 0)
		goto out;
	w->on_inbox = event_new(w->base, mailbox_fd(w->inbox),
	                        EV_READ | EV_PERSIST, on_letters, w);
	w->on_stop = event_new(w->base, w->stop_fd, EV_READ, on_stop_fd, w);
	if (!w->on_inbox || !w->on_stop || event_add(w->on_inbox, NULL) != 0 ||
	    event_add(w->on_stop, NULL) != 0)
		goto out;
	w->web_dirfd = static_open(o->web_dir, err, err_size);
	if (w->web_dirfd >= 0 && listen_all(w, o, err, err_size))
		return w;
out:
	web_free(w);
	return NULL;
}

struct mailbox *
web_inbox(struct web *w)
{
	return w->inbox;
}

const struct addr *
web_address(const struct web *w)
{
	return &w->address;
}

int
web_start(struct web *w, struct mailbox *to_writer)
{
	int rc;

	w->to_writer = to_writer;
	rc = pthread_create(&w->thread, NULL, web_main, w);
	w->running = rc == 0;
	return -rc;
}

static void
drop_tell(struct letter *l)
{
	tell_free((struct tell *)(void *)l);
}

void
web_stop(struct web *w)
{
	const uint64_t one = 1;

	if (!w->running)
		return;
	(void)!write(w->stop_fd, &one, sizeof(one));
	(void)pthread_join(w->thread, NULL);
	w->running = false;
}

void
web_free(struct web *w)
{
	if (!w)
		return;
	http_free(w->tcp);
	http_free(w->admin);
	if (w->on_inbox)
		event_free(w->on_inbox);
	if (w->on_stop)
		event_free(w->on_stop);
	answers_free(w->answers);
	mailbox_free(w->inbox, drop_tell);
	if (w->base)
		event_base_free(w->base);
	if (w->web_dirfd >= 0)
		(void)close(w->web_dirfd);
	if (w->stop_fd >= 0)
		(void)close(w->stop_fd);
	free(w);
}
