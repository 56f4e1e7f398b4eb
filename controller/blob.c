/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/blob.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* largest window, gzip framing */
#define GZIP_LEVEL 4          /* 1,000-node matrices: speed before size */

struct blob *
blob_new(const void *bytes, size_t len)
{
	struct blob *b = malloc(sizeof(*b) + len + 1);

	if (!b)
		return NULL;
	b->refs = 1;
	b->len = len;
	if (len > 0)
		memcpy(b->b, bytes, len);
	b->b[len] = '\0';
	return b;
}

struct blob *
blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

void
blob_unref(struct blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

struct blob *
blob_gzip(const struct blob *b)
{
	struct blob *z = NULL;
	z_stream s = {.zalloc = Z_NULL};
	int rc;

	if (b->len > INT_MAX ||
	    deflateInit2(&s, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	z = malloc(sizeof(*z) + b->len + 1);
	if (!z)
		goto out;
	z->refs = 1;
	s.next_in = b->b;
	s.avail_in = (uInt)b->len;
	s.next_out = z->b;
	s.avail_out = (uInt)b->len; /* not smaller: not worth it */
	rc = deflate(&s, Z_FINISH);
	z->len = s.total_out;
	if (rc != Z_STREAM_END) {
		free(z);
		z = NULL;
	}
out:
	(void)deflateEnd(&s);
	return z;
}
