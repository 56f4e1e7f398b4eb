/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/admin.h"

#include "lib/base/text.h"
#include "lib/bus/keys.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	json_t *doc; /* owned */
	char *err;
	size_t err_size;
};

static bool fail(struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
fail(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->err, r->err_size, fmt, ap);
	va_end(ap);
	text_make_printable(r->err);
	return false;
}

/* Every key of the document is one of `known` (NULL-terminated). */
static bool
only_known(struct reader *r, const char *const *known)
{
	const char *key;
	json_t *value;

	json_object_foreach(r->doc, key, value)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return fail(r, "unknown member \"%.40s\"", key);
	}
	return true;
}

/* NULL: absent. False: there, but no string. */
static bool
get_string(struct reader *r, const char *key, const char **out)
{
	json_t *v = json_object_get(r->doc, key);

	*out = NULL;
	if (!v || json_is_null(v))
		return true;
	if (!json_is_string(v))
		return fail(r, "%s: expected a string", key);
	*out = json_string_value(v);
	return true;
}

static bool
get_name(struct reader *r, const char *key, bool needed, char *out)
{
	const char *v;

	if (!get_string(r, key, &v))
		return false;
	if (!v || (!needed && v[0] == '\0')) {
		out[0] = '\0';
		return !needed || fail(r, "%s: expected %s, found nothing", key,
		                       NAME_RULE);
	}
	if (!name_is_valid(v))
		return fail(r, "%s: expected %s, found \"%.70s\"", key,
		            NAME_RULE, v);
	memcpy(out, v, strlen(v) + 1);
	return true;
}

static bool
get_addresses(struct reader *r, struct ask_approve *out)
{
	json_t *list = json_object_get(r->doc, "addresses");
	size_t n = json_array_size(list);

	if (!list || json_is_null(list))
		return true;
	if (!json_is_array(list) || n > MSG_ADDRS_MAX)
		return fail(r, "addresses: expected a list of at most %d",
		            MSG_ADDRS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text || !addr_parse_ip(text, 0, &out->consent[i]))
			return fail(r,
			            "addresses: expected an IP address, found "
			            "\"%.60s\"",
			            text ? text : "no string");
	}
	out->consent_n = n;
	return true;
}

static bool
read_approve(struct reader *r, struct ask_approve *out)
{
	static const char *const known[] = {
	    "fingerprint", "name", "replace", "site", "addresses", NULL};
	json_t *replace = json_object_get(r->doc, "replace");
	const char *typed;

	if (!only_known(r, known) || !get_string(r, "fingerprint", &typed))
		return false;
	if (!typed || !keys_fingerprint_parse(typed, out->fingerprint))
		return fail(r,
		            "fingerprint: expected 16 characters as "
		            "ABCD-EFGH-IJKL-MNOP, found \"%.60s\"",
		            typed ? typed : "nothing");
	if (replace && !json_is_boolean(replace))
		return fail(r, "replace: expected true or false");
	out->replace = json_is_true(replace);
	return get_name(r, "name", true, out->name) &&
	       get_name(r, "site", false, out->site) && get_addresses(r, out);
}

static bool
read_remove(struct reader *r, char *name)
{
	static const char *const known[] = {"name", NULL};

	return only_known(r, known) && get_name(r, "name", true, name);
}

static bool
get_int(struct reader *r, const char *key, int64_t min, int64_t max,
        int64_t *out)
{
	json_t *v = json_object_get(r->doc, key);

	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max)
		return fail(r, "%s: expected an integer from %lld to %lld", key,
		            (long long)min, (long long)max);
	*out = json_integer_value(v);
	return true;
}

static bool
read_token_create(struct reader *r, struct ask_token *out)
{
	static const char *const known[] = {"uses", "expires_s", NULL};

	return only_known(r, known) &&
	       get_int(r, "uses", 1, TOKEN_USES_MAX, &out->uses) &&
	       get_int(r, "expires_s", 1, TOKEN_EXPIRES_MAX_S, &out->expires_s);
}

static bool
read_token_revoke(struct reader *r, struct ask_token *out)
{
	static const char *const known[] = {"token_id", NULL};

	return only_known(r, known) &&
	       get_int(r, "token_id", 1, INT32_MAX, &out->token_id);
}

static bool
read_ask(struct reader *r, struct ask *a)
{
	switch ((int)a->kind) {
	case ASK_APPROVE:
		return read_approve(r, &a->u.approve);
	case ASK_REMOVE:
		return read_remove(r, a->u.remove.name);
	case ASK_TOKEN_CREATE:
		return read_token_create(r, &a->u.token);
	case ASK_TOKEN_REVOKE:
		return read_token_revoke(r, &a->u.token);
	default:
		return fail(r, "nothing that can be asked for");
	}
}

struct ask *
admin_parse(enum ask_kind kind, const char *body, size_t len, char *err,
            size_t err_size)
{
	struct reader r = {.err = err, .err_size = err_size};
	struct ask *a = calloc(1, sizeof(*a));
	json_error_t je = {.line = 0};
	bool ok = false;

	if (!a) {
		(void)fail(&r, "out of memory");
		return NULL;
	}
	a->kind = kind;
	r.doc = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, &je);
	if (!r.doc)
		(void)fail(&r, "expected JSON, found: %.100s", je.text);
	else if (!json_is_object(r.doc))
		(void)fail(&r, "expected a JSON object");
	else
		ok = read_ask(&r, a);
	json_decref(r.doc);
	if (ok)
		return a;
	free(a);
	return NULL;
}

struct blob *
admin_answer(enum ask_kind kind, const struct tell *t)
{
	char json[256];
	struct blob *b;
	int n;

	/* Names are [a-z0-9-], keys base32: nothing to escape. */
	if (kind == ASK_APPROVE)
		n = snprintf(json, sizeof(json),
		             "{\"node\":\"%s\",\"node_id\":%u}\n",
		             t->u.admin.name, t->u.admin.node_id);
	else if (kind == ASK_TOKEN_CREATE)
		n = snprintf(json, sizeof(json),
		             "{\"token_id\":%lld,\"token\":\"%s\",\"uses\":"
		             "%lld,\"expires_at\":\"%s\"}\n",
		             (long long)t->u.admin.token_id, t->u.admin.secret,
		             (long long)t->u.admin.uses, t->u.admin.expires_at);
	else if (kind == ASK_TOKEN_REVOKE)
		n = snprintf(json, sizeof(json), "{\"revoked\":%lld}\n",
		             (long long)t->u.admin.token_id);
	else
		n = snprintf(json, sizeof(json), "{\"removed\":\"%s\"}\n",
		             t->u.admin.name);
	b = n > 0 ? blob_new(json, (size_t)n) : NULL;
	explicit_bzero(json, sizeof(json));
	return b;
}
