/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What http.c writes and whom it lets in: response heads with their security
 * headers, the JSON of errors, and the credentials of unix peers.
 */
#ifndef TWMESH_CONTROLLER_HTTPWIRE_H
#define TWMESH_CONTROLLER_HTTPWIRE_H

#include <stdbool.h>
#include <stddef.h>

#define HTTPWIRE_HEAD_MAX 2048
#define HTTPWIRE_JSON "application/json; charset=utf-8"

struct httpwire {
	int status;
	const char *type;    /* may be NULL */
	const char *etag;    /* may be NULL */
	const char *headers; /* whole lines; may be NULL */
	size_t length;       /* of the body (304: left out) */
	bool gzip;           /* Content-Encoding */
	bool vary;           /* there is a gzip form */
	bool close;          /* Connection: close */
};
/* Octets written; the texts are ours and fit. */
size_t httpwire_head(char *out, size_t size, const struct httpwire *w);
/* The message is escaped, and cut to fit. */
size_t httpwire_error_json(char *out, size_t size, int status,
                           const char *message);
/* Root, our own user, or a member of our own group? */
bool httpwire_peer_allowed(int fd);

#endif
