/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/roster_cache.h"

#include "lib/base/cursor.h"

#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A meshd that did not know of meshes and targets must not take what it does
 * not see for a full mesh: it refuses the newer name. The older is read: then
 * everyone measured everyone. */
#define MAGIC "TWMROST2"
#define MAGIC_OLD "TWMROST1"
#define MAGIC_BYTES 8
#define HEAD_BYTES (MAGIC_BYTES + 8)
#define FILE_MAX_BYTES (HEAD_BYTES + MSG_MAX_BYTES + SHA256_DIGEST_LENGTH)

/* The whole file's octets; NULL when out of memory or not encodable. */
static uint8_t *
make_file(uint32_t self_id, const struct roster *r, size_t *len)
{
	struct msg m = {.kind = MESH_ROSTER};
	uint8_t *bytes, *file;
	struct wcursor c;
	size_t n;

	m.u.roster = *r; /* borrowed: not cleared */
	if (!msg_encode(&m, &bytes, &n))
		return NULL;
	*len = HEAD_BYTES + n + SHA256_DIGEST_LENGTH;
	file = malloc(*len);
	if (file) {
		c = wcursor_init(file, HEAD_BYTES + n);
		wcursor_bytes(&c, MAGIC, MAGIC_BYTES);
		wcursor_u32(&c, self_id);
		wcursor_u32(&c, (uint32_t)n);
		wcursor_bytes(&c, bytes, n);
		SHA256(file, HEAD_BYTES + n, file + HEAD_BYTES + n);
	}
	free(bytes);
	return file;
}

static int
write_whole(int fd, const uint8_t *p, size_t left)
{
	while (left > 0) {
		const ssize_t n = write(fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		left -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int
roster_cache_save(const char *path, uint32_t self_id, const struct roster *r)
{
	size_t len;
	uint8_t *file = make_file(self_id, r, &len);
	char *tmp = NULL;
	int fd = -1, rc = -ENOMEM;

	if (!file || asprintf(&tmp, "%s.tmp", path) < 0) {
		tmp = NULL;
		goto out;
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	rc = fd < 0 ? -errno : write_whole(fd, file, len);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	if (rc != 0 && fd >= 0)
		(void)unlink(tmp);
out:
	if (fd >= 0)
		close(fd);
	free(tmp);
	free(file);
	return rc;
}

static int
read_whole(const char *path, uint8_t **out, size_t *len)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t got = 0;
	int rc = -EBADMSG;

	*out = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size < HEAD_BYTES + SHA256_DIGEST_LENGTH ||
	    st.st_size > (off_t)FILE_MAX_BYTES)
		goto out;
	*len = (size_t)st.st_size;
	*out = malloc(*len);
	rc = *out ? 0 : -ENOMEM;
	while (rc == 0 && got < *len) {
		const ssize_t n = read(fd, *out + got, *len - got);

		if (n > 0)
			got += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rc = -EBADMSG;
	}
out:
	close(fd);
	return rc;
}

static int
parse_file(const uint8_t *file, size_t len, uint32_t *self_id, struct roster *r)
{
	const size_t body = len - SHA256_DIGEST_LENGTH;
	struct rcursor c = rcursor_init(file, body);
	uint8_t sha[SHA256_DIGEST_LENGTH];
	const uint8_t *magic, *bytes;
	uint32_t id, n;
	struct msg m;

	SHA256(file, body, sha);
	if (memcmp(sha, file + body, sizeof(sha)) != 0)
		return -EBADMSG;
	magic = rcursor_take(&c, MAGIC_BYTES);
	id = rcursor_u32(&c);
	n = rcursor_u32(&c);
	bytes = rcursor_take(&c, n);
	if (c.failed || c.left != 0 ||
	    (memcmp(magic, MAGIC, MAGIC_BYTES) != 0 &&
	     memcmp(magic, MAGIC_OLD, MAGIC_BYTES) != 0))
		return -EBADMSG;
	if (msg_decode(bytes, n, &m, NULL) != MSG_OK)
		return -EBADMSG;
	if (m.kind != MESH_ROSTER) {
		msg_clear(&m);
		return -EBADMSG;
	}
	*r = m.u.roster;
	*self_id = id;
	return 0;
}

int
roster_cache_load(const char *path, uint32_t *self_id, struct roster *r)
{
	uint8_t *file = NULL;
	size_t len = 0;
	int rc = read_whole(path, &file, &len);

	if (rc == 0 && file)
		rc = parse_file(file, len, self_id, r);
	free(file);
	return rc;
}
