/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/api.h"

#include "lib/base/text.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 3L
#define TOTAL_TIMEOUT_S 30L
#define ANSWER_MAX (512U << 20) /* the matrix of 1,000 nodes, and room */
#define URL_BYTES 2048

static struct {
	const char *controller, *socket; /* borrowed; NULL: not given */
} given;

/* Where to ask: one of the two is set. */
struct where {
	const char *url, *socket; /* borrowed */
};

void
api_take_option(int code, const char *value)
{
	if (code == API_OPT_CONTROLLER) {
		given.controller = value;
		given.socket = NULL;
	} else {
		given.socket = value;
		given.controller = NULL;
	}
}

void
api_doc_clear(struct api_doc *d)
{
	json_decref(d->root);
	free(d->text);
	memset(d, 0, sizeof(*d));
}

static const char *
env_or_null(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static bool
find_where(const struct tool_cmd *cmd, struct where *w)
{
	*w = (struct where){given.controller, given.socket};
	if (!w->url && !w->socket)
		w->url = env_or_null("TWMESH_CONTROLLER");
	if (!w->url && !w->socket)
		w->socket = env_or_null("TWMESH_SOCKET");
	if (!w->url && !w->socket)
		w->socket = API_SOCKET_DEFAULT;
	if (w->url && strncmp(w->url, "http://", 7) != 0 &&
	    strncmp(w->url, "https://", 8) != 0) {
		(void)tool_error(cmd,
		                 "controller: expected http://HOST:PORT, found "
		                 "'%s'",
		                 w->url);
		return false;
	}
	if (w->socket && w->socket[0] == '\0') {
		(void)tool_error(cmd, "--socket: expected a path, found ''");
		return false;
	}
	return true;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct api_doc *d = arg;
	char *grown;

	n *= size;
	if (n > ANSWER_MAX - d->len)
		return 0; /* curl then fails with CURLE_WRITE_ERROR */
	grown = realloc(d->text, d->len + n + 1);
	if (!grown)
		return 0;
	memcpy(grown + d->len, data, n);
	d->text = grown;
	d->len += n;
	grown[d->len] = '\0';
	return n;
}

static int
unreachable(const struct tool_cmd *cmd, const struct where *w, const char *why)
{
	return tool_error(cmd,
	                  "no controller at %s: %s (name one by --controller "
	                  "URL or --socket PATH)",
	                  w->url ? w->url : w->socket, why);
}

static void
set_options(CURL *c, const struct where *w, const char *url, char *why,
            struct api_doc *out)
{
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	if (w->socket)
		(void)curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, w->socket);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT, TOTAL_TIMEOUT_S);
	(void)curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "twmesh/" TWMESH_VERSION);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
}

/* One exchange; *status becomes the HTTP status. */
static int
exchange(const struct tool_cmd *cmd, const struct where *w, const char *path,
         const char *body, struct api_doc *out, long *status)
{
	char why[CURL_ERROR_SIZE] = "", url[URL_BYTES];
	struct curl_slist *head = NULL;
	CURL *c = curl_easy_init();
	const char *base = w->url ? w->url : "http://localhost";
	size_t n = strlen(base);
	long os = 0;
	CURLcode rc;

	while (n > 0 && base[n - 1] == '/')
		n--;
	if (!c)
		return tool_error(cmd, "out of memory");
	(void)snprintf(url, sizeof(url), "%.*s%s", (int)n, base, path);
	set_options(c, w, url, why, out);
	if (body) {
		head =
		    curl_slist_append(NULL, "Content-Type: application/json");
		(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, head);
		(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	}
	rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
	else
		(void)curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &os);
	curl_slist_free_all(head);
	curl_easy_cleanup(c);
	if (rc == CURLE_COULDNT_CONNECT && w->socket && os != 0)
		return unreachable(cmd, w, strerror((int)os));
	if (rc != CURLE_OK)
		return unreachable(cmd, w, *why ? why : curl_easy_strerror(rc));
	return TOOL_GOOD;
}

/* {"error":{"status":404,"message":"..."}} */
static int
refused(const struct tool_cmd *cmd, const char *about, const struct where *w,
        long status, json_t *root)
{
	const char *msg = json_string_value(
	    json_object_get(json_object_get(root, "error"), "message"));

	(void)tool_error(cmd, "%s: %s (controller at %s, status %ld)", about,
	                 msg ? msg : "refused without a reason",
	                 w->url ? w->url : w->socket, status);
	return status >= 400 && status < 500 ? TOOL_BAD : TOOL_USAGE;
}

static int
ask(const struct tool_cmd *cmd, const char *about, const char *path,
    const char *body, struct api_doc *out)
{
	struct api_doc d = {NULL, NULL, 0};
	json_error_t je = {.text = ""};
	struct where w;
	long status = 0;
	int rc;

	if (!find_where(cmd, &w))
		return TOOL_USAGE;
	rc = exchange(cmd, &w, path, body, &d, &status);
	if (rc != TOOL_GOOD)
		goto out;
	d.root = json_loadb(d.text ? d.text : "", d.len, JSON_REJECT_DUPLICATES,
	                    &je);
	if (status != 200) {
		rc = refused(cmd, about, &w, status, d.root);
	} else if (!json_is_object(d.root)) {
		rc = tool_error(cmd,
		                "controller at %s: expected a JSON document, "
		                "found: %s",
		                w.url ? w.url : w.socket,
		                d.root ? "no object" : je.text);
	} else {
		*out = d;
		return TOOL_GOOD;
	}
out:
	api_doc_clear(&d);
	return rc;
}

int
api_get(const struct tool_cmd *cmd, const char *about, const char *path,
        struct api_doc *out)
{
	return ask(cmd, about, path, NULL, out);
}

int
api_post(const struct tool_cmd *cmd, const char *about, const char *path,
         json_t *body, struct api_doc *out)
{
	char *text = json_dumps(body, JSON_COMPACT);
	int rc;

	if (!text)
		return tool_error(cmd, "out of memory");
	rc = ask(cmd, about, path, text, out);
	free(text);
	return rc;
}

int
api_show(const struct tool_cmd *cmd, const char *about, const char *path,
         const struct api_view *v, api_show_fn *show, const void *arg)
{
	struct api_doc d = {NULL, NULL, 0};
	char err[API_ERR_MAX];
	int rc = api_get(cmd, about, path, &d);

	if (rc != TOOL_GOOD)
		return rc;
	if (v->json)
		rc = api_print(&d, stdout) ? TOOL_GOOD : TOOL_USAGE;
	else if (!show(d.root, v->csv, arg, err))
		rc = tool_error(cmd, "the controller's answer is malformed: %s",
		                err);
	api_doc_clear(&d);
	return rc;
}

bool
api_add_param(char *url, size_t size, const char *name, const char *value)
{
	const size_t at = strlen(url);
	char *coded = curl_easy_escape(NULL, value, 0);
	int n;

	if (!coded)
		return false;
	n = snprintf(url + at, size - at, "%c%s=%s",
	             strchr(url, '?') ? '&' : '?', name, coded);
	curl_free(coded);
	return n > 0 && (size_t)n < size - at;
}

/* Clean text, line by line (tabs are white space of JSON too). */
static bool
is_printable(const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		const size_t n = end ? (size_t)(end - text) : len;

		if (!text_is_clean(text, n))
			return false;
		text += n + (end ? 1 : 0);
		len -= n + (end ? 1 : 0);
	}
	return true;
}

/* Re-encoded in ASCII; jansson leaves DEL, which stands in strings only. */
static bool
print_ascii(const json_t *root, FILE *out)
{
	char *text = json_dumps(root, JSON_ENSURE_ASCII | JSON_INDENT(1) |
	                                  JSON_REAL_PRECISION(15));

	if (!text)
		return false;
	for (const char *p = text; *p; p++)
		(void)(*p == 0x7f ? fputs("\\u007f", out) : fputc(*p, out));
	free(text);
	return fputc('\n', out) != EOF;
}

bool
api_print(const struct api_doc *d, FILE *out)
{
	if (d->len == 0 || !is_printable(d->text, d->len))
		return print_ascii(d->root, out);
	return fwrite(d->text, 1, d->len, out) == d->len &&
	       (d->text[d->len - 1] == '\n' || fputc('\n', out) != EOF);
}
