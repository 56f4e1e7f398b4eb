/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/httpwire.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* frame-ancestors does what X-Frame-Options did; no inline script or style,
 * nothing from elsewhere, and nobody may read us across origins. */
#define SECURITY_HEADERS                                                    \
	"Content-Security-Policy: default-src 'self'; base-uri 'none'; "    \
	"form-action 'none'; frame-ancestors 'none'; object-src 'none'\r\n" \
	"X-Content-Type-Options: nosniff\r\n"                               \
	"X-Frame-Options: DENY\r\n"                                         \
	"Referrer-Policy: no-referrer\r\n"                                  \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

#define PEER_GROUPS_MAX 256

static const char *
reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} table[] = {
	    {200, "OK"},
	    {304, "Not Modified"},
	    {400, "Bad Request"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {409, "Conflict"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {421, "Misdirected Request"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {503, "Service Unavailable"},
	    {505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status)
			return table[i].text;
	}
	return "Status";
}

static void
line(char *out, size_t size, size_t *n, const char *name, const char *value)
{
	int k;

	if (!value || *n >= size)
		return;
	k = snprintf(out + *n, size - *n, "%s: %s\r\n", name, value);
	if (k > 0 && (size_t)k < size - *n)
		*n += (size_t)k; /* a line that does not fit is left out */
	else
		out[*n] = '\0';
}

size_t
httpwire_head(char *out, size_t size, const struct httpwire *w)
{
	char date[40] = "", length[32];
	time_t now = time(NULL);
	struct tm tm;
	int k = snprintf(out, size, "HTTP/1.1 %d %s\r\n" SECURITY_HEADERS "%s",
	                 w->status, reason(w->status),
	                 w->headers ? w->headers : "");
	size_t n = k > 0 && (size_t)k < size ? (size_t)k : 0;

	if (gmtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
		               &tm);
	(void)snprintf(length, sizeof(length), "%zu", w->length);
	line(out, size, &n, "Date", date);
	if (w->status != 304) {
		line(out, size, &n, "Content-Type", w->type);
		line(out, size, &n, "Content-Length", length);
		line(out, size, &n, "Content-Encoding",
		     w->gzip ? "gzip" : NULL);
	}
	line(out, size, &n, "ETag", w->etag);
	line(out, size, &n, "Vary", w->vary ? "Accept-Encoding" : NULL);
	line(out, size, &n, "Connection", w->close ? "close" : "keep-alive");
	if (n + 2 < size) {
		memcpy(out + n, "\r\n", 3);
		n += 2;
	}
	return n;
}

size_t
httpwire_error_json(char *out, size_t size, int status, const char *message)
{
	static const char tail[] = "\"}}\n";
	int k = snprintf(out, size, "{\"error\":{\"status\":%d,\"message\":\"",
	                 status);
	size_t n = k > 0 ? (size_t)k : 0;

	for (const char *p = message; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (n + 8 + sizeof(tail) > size)
			break;
		if (c == '"' || c == '\\')
			out[n++] = '\\';
		if (c < 0x20) {
			n += (size_t)snprintf(out + n, 7, "\\u%04x", c);
			continue;
		}
		out[n++] = (char)c;
	}
	memcpy(out + n, tail, sizeof(tail));
	return n + sizeof(tail) - 1;
}

bool
httpwire_peer_allowed(int fd)
{
	struct ucred u;
	gid_t groups[PEER_GROUPS_MAX];
	socklen_t len = sizeof(u);
	gid_t ours = getegid();

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) != 0)
		return false;
	if (u.uid == 0 || u.uid == geteuid() || u.gid == ours)
		return true;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++) {
		if (groups[i] == ours)
			return true;
	}
	return false;
}
