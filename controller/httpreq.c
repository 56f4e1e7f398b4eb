/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/httpreq.h"

#include "lib/base/addr.h"
#include "lib/base/text.h"

#include <string.h>
#include <strings.h>

/* A run of bytes inside the head; never owns. */
struct span {
	const char *p;
	size_t n;
};

/* State while reading headers: what may come only once. */
struct seen {
	bool host, length, minor_1;
};

static bool
is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-decoding into out (size octets with NUL). False: too long, a bad
 * escape, or not clean text. plus: '+' means a space (query strings). */
static bool
decode(struct span s, bool plus, char *out, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			int h = s.n - i > 2 ? hex(s.p[i + 1]) : -1;
			int l = s.n - i > 2 ? hex(s.p[i + 2]) : -1;

			if (h < 0 || l < 0)
				return false;
			c = (char)(h << 4 | l);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		if (o + 1 >= size)
			return false;
		out[o++] = c;
	}
	out[o] = '\0';
	return text_is_clean(out, o);
}

static struct span
cut(struct span *rest, char at)
{
	const char *e = memchr(rest->p, at, rest->n);
	struct span s = {rest->p, e ? (size_t)(e - rest->p) : rest->n};
	size_t used = e ? s.n + 1 : s.n;

	rest->p += used;
	rest->n -= used;
	return s;
}

static bool
parse_query(struct span q, struct httpreq *out)
{
	while (q.n > 0) {
		struct span value = cut(&q, '&');
		struct span name;
		struct httpreq_param *p = &out->param[out->param_n];

		if (value.n == 0)
			continue;
		if (out->param_n == HTTPREQ_PARAMS_MAX)
			return false;
		name = cut(&value, '=');
		if (!decode(name, true, p->name, sizeof(p->name)) ||
		    !decode(value, true, p->value, sizeof(p->value)) ||
		    httpreq_param(out, p->name))
			return false;
		out->param_n++;
	}
	return true;
}

static int
parse_target(struct span target, struct httpreq *out, const char **why)
{
	struct span path = cut(&target, '?');

	if (path.n == 0 || path.p[0] != '/') {
		*why = "the request target must begin with /";
		return 400;
	}
	if (path.n >= sizeof(out->path)) {
		*why = "the path is too long";
		return 414;
	}
	if (!decode(path, false, out->path, sizeof(out->path))) {
		*why = "the path holds a bad escape or unclean text";
		return 400;
	}
	if (!parse_query(target, out)) {
		*why = "the query holds a bad escape, unclean text, a "
		       "parameter twice, or too many or too long ones";
		return 400;
	}
	return 0;
}

static int
parse_request_line(struct span line, struct httpreq *out, struct seen *seen,
                   const char **why)
{
	struct span method = cut(&line, ' ');
	struct span target = cut(&line, ' ');

	out->method = HTTP_OTHER;
	if (method.n == 3 && memcmp(method.p, "GET", 3) == 0)
		out->method = HTTP_GET;
	else if (method.n == 4 && memcmp(method.p, "HEAD", 4) == 0)
		out->method = HTTP_HEAD;
	else if (method.n == 4 && memcmp(method.p, "POST", 4) == 0)
		out->method = HTTP_POST;
	*why = "not an HTTP request line";
	if (method.n == 0 || line.n != 8 || memcmp(line.p, "HTTP/", 5) != 0)
		return 400;
	for (size_t i = 0; i < method.n; i++) {
		if (!is_token_char((unsigned char)method.p[i]))
			return 400;
	}
	if (memcmp(line.p, "HTTP/1.", 7) != 0 ||
	    (line.p[7] != '0' && line.p[7] != '1')) {
		*why = "expected HTTP/1.1 or HTTP/1.0";
		return 505;
	}
	seen->minor_1 = line.p[7] == '1';
	out->keep_alive = seen->minor_1;
	return parse_target(target, out, why);
}

static bool
is(struct span s, const char *lower)
{
	return s.n == strlen(lower) && strncasecmp(s.p, lower, s.n) == 0;
}

static bool
copy_text(struct span s, char *out, size_t size)
{
	if (s.n >= size || !text_is_clean(s.p, s.n))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static bool
parse_length(struct span v, uint64_t *out)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > 18)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	*out = n;
	return true;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Is `what` in the comma-separated list, and not refused by ;q=0? */
static bool
list_has(struct span list, const char *what)
{
	while (list.n > 0) {
		struct span item = cut(&list, ',');
		struct span name = trim(cut(&item, ';'));

		if (!is(name, what))
			continue;
		item = trim(item);
		if (item.n < 3 || strncasecmp(item.p, "q=0", 3) != 0)
			return true;
		for (size_t i = 3; i < item.n; i++) {
			if (item.p[i] >= '1' && item.p[i] <= '9')
				return true;
		}
		return false;
	}
	return false;
}

static int
take_header(struct span name, struct span value, struct httpreq *out,
            struct seen *seen, const char **why)
{
	if (is(name, "host")) {
		*why = "expected one Host of at most 255 clean octets";
		if (seen->host ||
		    !copy_text(value, out->host, sizeof(out->host)))
			return 400;
		seen->host = true;
	} else if (is(name, "content-length")) {
		*why = "expected one Content-Length in decimal";
		if (seen->length || !parse_length(value, &out->content_length))
			return 400;
		seen->length = true;
	} else if (is(name, "transfer-encoding")) {
		*why = "Transfer-Encoding is not offered: send Content-Length";
		return 501;
	} else if (is(name, "connection")) {
		if (list_has(value, "close"))
			out->keep_alive = false;
		else if (list_has(value, "keep-alive"))
			out->keep_alive = true;
	} else if (is(name, "accept-encoding")) {
		out->accept_gzip = list_has(value, "gzip");
	} else if (is(name, "if-none-match")) {
		if (!copy_text(value, out->if_none_match,
		               sizeof(out->if_none_match)))
			out->if_none_match[0] = '\0';
	}
	return 0;
}

static int
parse_header(struct span line, struct httpreq *out, struct seen *seen,
             const char **why)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct span name = {line.p, colon ? (size_t)(colon - line.p) : 0};
	struct span value;

	*why = "a header line is malformed";
	if (name.n == 0)
		return 400;
	for (size_t i = 0; i < name.n; i++) {
		if (!is_token_char((unsigned char)name.p[i]))
			return 400;
	}
	value = trim((struct span){colon + 1, line.n - name.n - 1});
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return 400;
	}
	return take_header(name, value, out, seen, why);
}

/* The next line without its CRLF; false on a bare LF or CR. */
static bool
next_line(struct span *rest, struct span *line)
{
	*line = cut(rest, '\n');
	if (line->n == 0 || line->p[line->n - 1] != '\r')
		return false;
	line->n--;
	return !memchr(line->p, '\r', line->n);
}

int
httpreq_parse(const char *head, size_t len, struct httpreq *out,
              const char **why)
{
	struct span rest = {head, len}, line;
	struct seen seen = {false, false, false};
	struct httpreq r = {.method = HTTP_OTHER};
	size_t headers = 0;
	int status;

	*why = "lines must end in CR LF";
	if (!next_line(&rest, &line))
		return 400;
	status = parse_request_line(line, &r, &seen, why);
	while (status == 0) {
		*why = "lines must end in CR LF";
		if (!next_line(&rest, &line))
			return 400;
		if (line.n == 0)
			break;
		*why = "too many header lines";
		if (++headers > HTTPREQ_HEADERS_MAX)
			return 431;
		status = parse_header(line, &r, &seen, why);
	}
	if (status != 0)
		return status;
	if (rest.n != 0 || (seen.minor_1 && !seen.host)) {
		*why = rest.n ? "bytes after the head" : "expected a Host";
		return 400;
	}
	*out = r;
	return 0;
}

const char *
httpreq_param(const struct httpreq *r, const char *name)
{
	for (size_t i = 0; i < r->param_n; i++) {
		if (strcmp(r->param[i].name, name) == 0)
			return r->param[i].value;
	}
	return NULL;
}

bool
httpreq_host_is_local(const char *host)
{
	static const char suffix[] = ".localhost";
	struct addr a;
	char name[256];
	size_t n;
	char *colon;

	if (addr_parse(host, 80, &a))
		return addr_is_loopback(&a);
	n = strlen(host);
	if (n == 0 || n >= sizeof(name))
		return false;
	memcpy(name, host, n + 1);
	colon = strchr(name, ':');
	if (colon) {
		int64_t port;

		if (!text_parse_i64(colon + 1, 1, 65535, &port))
			return false;
		*colon = '\0';
	}
	n = strlen(name);
	if (strcasecmp(name, "localhost") == 0)
		return true;
	return n > sizeof(suffix) - 1 &&
	       strcasecmp(name + n - (sizeof(suffix) - 1), suffix) == 0;
}

bool
httpreq_etag_matches(const char *if_none_match, const char *etag)
{
	struct span list = {if_none_match, strlen(if_none_match)};

	if (strncmp(etag, "W/", 2) == 0)
		etag += 2;
	while (list.n > 0) {
		struct span one = trim(cut(&list, ','));

		if (one.n == 1 && one.p[0] == '*')
			return true;
		if (one.n > 2 && strncmp(one.p, "W/", 2) == 0) {
			one.p += 2;
			one.n -= 2;
		}
		if (one.n == strlen(etag) && memcmp(one.p, etag, one.n) == 0)
			return true;
	}
	return false;
}
