/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of an HTTP/1.1 request (RFC 9112), read strictly: a pure function
 * from bytes to struct httpreq or to the status that refuses them. What two
 * readers could understand differently is refused: bare CR, folded lines,
 * spaces before the colon, two Content-Length or Host lines, any
 * Transfer-Encoding (no request of ours needs one).
 */
#ifndef TWMESH_CONTROLLER_HTTPREQ_H
#define TWMESH_CONTROLLER_HTTPREQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPREQ_HEAD_MAX 8192 /* octets of request line and headers */
#define HTTPREQ_PATH_MAX 128
#define HTTPREQ_PARAMS_MAX 8
#define HTTPREQ_PARAM_MAX 96
#define HTTPREQ_HEADERS_MAX 64

enum httpreq_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

struct httpreq_param {
	char name[32];
	char value[HTTPREQ_PARAM_MAX];
};

struct httpreq {
	enum httpreq_method method;
	char path[HTTPREQ_PATH_MAX]; /* decoded, clean UTF-8, begins with / */
	struct httpreq_param param[HTTPREQ_PARAMS_MAX]; /* decoded */
	size_t param_n;
	char host[256]; /* "" if absent */
	char if_none_match[256];
	bool accept_gzip;
	bool keep_alive;
	uint64_t content_length; /* 0 if absent */
};

/* 0 and *out; or 400, 414, 431, 501, 505 and one line in *why (static).
 * `head` ends with the empty line (CRLF CRLF). */
int httpreq_parse(const char *head, size_t len, struct httpreq *out,
                  const char **why) __attribute__((warn_unused_result));
/* NULL when absent. */
const char *httpreq_param(const struct httpreq *r, const char *name);

/* Is this Host a name that no stranger's DNS can point at us: localhost,
 * *.localhost, 127.0.0.0/8, [::1], with or without a port? (DNS rebinding) */
bool httpreq_host_is_local(const char *host);
/* Does the If-None-Match value name this ETag (weak comparison)? */
bool httpreq_etag_matches(const char *if_none_match, const char *etag);

#endif
