/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/admin.h"

#include "lib/base/text.h"
#include "lib/bus/keys.h"
#include "lib/svc/meshfile.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Clean text of at most `size` - 1 octets. */
static bool
get_text(struct reader *r, const char *key, char *out, size_t size)
{
	const char *v;

	if (!get_string(r, key, &v))
		return false;
	if (v && (strlen(v) >= size || !text_is_clean(v, strlen(v))))
		return fail(r,
		            "%s: expected at most %zu octets of text without "
		            "control characters",
		            key, size - 1);
	(void)snprintf(out, size, "%s", v ? v : "");
	return true;
}

static bool
get_by(struct reader *r, char out[BY_MAX])
{
	if (!get_text(r, "by", out, BY_MAX))
		return false;
	if (!out[0])
		(void)snprintf(out, BY_MAX, "somebody");
	return true;
}

/* What the reader of mesh files found wrong first. */
static bool
fail_first_line(struct reader *r, const char *said)
{
	return fail(r, "%.*s", (int)strcspn(said, "\n"), said);
}

static bool
read_apply(struct reader *r, struct ask_apply *out)
{
	static const char *const known[] = {"base", "content", "by", NULL};
	char *said = NULL;
	const char *text;
	size_t len = 0;
	FILE *f;

	if (!only_known(r, known) || !get_string(r, "content", &text) ||
	    !get_int(r, "base", 0, INT64_MAX, &out->base) ||
	    !get_by(r, out->by))
		return false;
	if (!text)
		return fail(r, "content: expected a mesh file, found nothing");
	f = open_memstream(&said, &len);
	if (!f)
		return fail(r, "out of memory");
	out->file = meshfile_parse("mesh file", text, f);
	(void)fclose(f);
	if (!out->file)
		(void)fail_first_line(r, said ? said : "out of memory");
	free(said);
	return out->file != NULL;
}

/* 2026-11-28T10:00:00Z, as twmesh sends it: the database reads the rest. */
static bool
is_instant(const char *text)
{
	struct tm t;
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t);

	return end && *end == '\0' && strlen(text) == 20;
}

static bool
read_maintenance(struct reader *r, struct ask_maintenance *out)
{
	static const char *const known[] = {"name",   "on", "until", "for_s",
	                                    "reason", "by", NULL};
	json_t *on = json_object_get(r->doc, "on");

	if (!only_known(r, known) || !get_name(r, "name", true, out->name) ||
	    !get_text(r, "until", out->until, sizeof(out->until)) ||
	    !get_text(r, "reason", out->reason, sizeof(out->reason)) ||
	    !get_by(r, out->by))
		return false;
	if (!json_is_boolean(on))
		return fail(r, "on: expected true or false");
	out->on = json_is_true(on);
	if (out->until[0] && !is_instant(out->until))
		return fail(r,
		            "until: expected an instant as "
		            "2026-11-28T10:00:00Z, found \"%.30s\"",
		            out->until);
	if (json_object_get(r->doc, "for_s") &&
	    !get_int(r, "for_s", 1, MAINTENANCE_MAX_S, &out->for_s))
		return false;
	if (out->until[0] && out->for_s)
		return fail(r, "expected until or for_s, found both");
	return true;
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
	case ASK_APPLY:
		return read_apply(r, &a->u.apply);
	case ASK_MAINTENANCE:
		return read_maintenance(r, &a->u.maintenance);
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
	ask_free(a);
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
	else if (kind == ASK_APPLY)
		n = snprintf(json, sizeof(json),
		             "{\"epoch\":%lld,\"changed\":%s}\n",
		             (long long)t->u.admin.epoch,
		             t->u.admin.changed ? "true" : "false");
	else if (kind == ASK_MAINTENANCE)
		n = snprintf(
		    json, sizeof(json),
		    "{\"node\":\"%s\",\"on\":%s,\"until\":%s%s%s}\n",
		    t->u.admin.name, t->u.admin.changed ? "true" : "false",
		    t->u.admin.expires_at[0] ? "\"" : "",
		    t->u.admin.expires_at[0] ? t->u.admin.expires_at : "null",
		    t->u.admin.expires_at[0] ? "\"" : "");
	else
		n = snprintf(json, sizeof(json), "{\"removed\":\"%s\"}\n",
		             t->u.admin.name);
	b = n > 0 ? blob_new(json, (size_t)n) : NULL;
	explicit_bzero(json, sizeof(json));
	return b;
}
