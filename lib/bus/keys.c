/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The secret file holds one line: the secret key in base32. The public key is
 * computed from it, so that the two cannot disagree.
 */
#include "lib/bus/keys.h"

#include "lib/base/text.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <zmq.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define Z85_SIZE 41 /* 40 characters for 32 octets, and a NUL */
#define FINGERPRINT_BYTES 10
#define FINGERPRINT_CHARS 16 /* BASE32_LEN(10), without the dashes */

static bool
from_z85(const char *z85, uint8_t key[KEYS_BYTES])
{
	return zmq_z85_decode(key, z85) != NULL;
}

bool
keys_generate(struct keys *out)
{
	char public_z85[Z85_SIZE], secret_z85[Z85_SIZE];
	const bool ok = zmq_curve_keypair(public_z85, secret_z85) == 0 &&
	                from_z85(public_z85, out->public_key) &&
	                from_z85(secret_z85, out->secret_key);

	OPENSSL_cleanse(secret_z85, sizeof(secret_z85));
	return ok;
}

static bool
derive_public(struct keys *k)
{
	char public_z85[Z85_SIZE], secret_z85[Z85_SIZE];
	const bool ok = zmq_z85_encode(secret_z85, k->secret_key, KEYS_BYTES) &&
	                zmq_curve_public(public_z85, secret_z85) == 0 &&
	                from_z85(public_z85, k->public_key);

	OPENSSL_cleanse(secret_z85, sizeof(secret_z85));
	return ok;
}

void
keys_wipe(struct keys *k)
{
	OPENSSL_cleanse(k, sizeof(*k));
}

void
keys_text(const uint8_t key[KEYS_BYTES], char *out)
{
	base32_encode(key, KEYS_BYTES, out);
}

bool
keys_parse(const char *text, uint8_t key[KEYS_BYTES])
{
	return base32_decode(text, key, KEYS_BYTES);
}

static void
fingerprint_format(const uint8_t b[FINGERPRINT_BYTES], char *out)
{
	char flat[FINGERPRINT_CHARS + 1];

	base32_encode(b, FINGERPRINT_BYTES, flat);
	(void)snprintf(out, KEYS_FINGERPRINT_SIZE, "%.4s-%.4s-%.4s-%.4s", flat,
	               flat + 4, flat + 8, flat + 12);
}

void
keys_fingerprint(const uint8_t key[KEYS_BYTES], char *out)
{
	uint8_t sha[SHA256_DIGEST_LENGTH];

	SHA256(key, KEYS_BYTES, sha);
	fingerprint_format(sha, out);
}

bool
keys_fingerprint_parse(const char *typed, char *out)
{
	uint8_t b[FINGERPRINT_BYTES];

	if (!base32_decode(typed, b, sizeof(b)))
		return false;
	fingerprint_format(b, out);
	return true;
}

/* Its errors are told with the path in front. */
static bool
fail(char *err, size_t size, const char *path, const char *what)
{
	(void)snprintf(err, size, "%s: %s", path, what);
	return false;
}

static bool
check_mode(int fd, const char *path, char *err, size_t err_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(err, err_size, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(err, err_size, path,
		            "expected a regular file with a secret key");
	if (st.st_uid != geteuid() && geteuid() != 0) {
		(void)snprintf(err, err_size,
		               "%s: expected to be owned by user %u, found %u",
		               path, (unsigned)geteuid(), (unsigned)st.st_uid);
		return false;
	}
	if (st.st_mode & 077) {
		(void)snprintf(err, err_size,
		               "%s: expected mode 0600 (a secret key), found "
		               "%04o; run: chmod 600 %s",
		               path, (unsigned)st.st_mode & 07777, path);
		return false;
	}
	return true;
}

bool
keys_load(const char *path, struct keys *out, char *err, size_t err_size)
{
	char text[128] = "";
	bool ok = false;
	struct keys k;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return fail(err, err_size, path, strerror(errno));
	if (!check_mode(fd, path, err, err_size))
		goto out;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0) {
		(void)fail(err, err_size, path, strerror(errno));
		goto out;
	}
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (!base32_decode(text, k.secret_key, KEYS_BYTES) ||
	    !derive_public(&k)) {
		(void)fail(err, err_size, path,
		           "expected a secret key (52 characters of base32)");
		goto out;
	}
	*out = k;
	ok = true;
out:
	OPENSSL_cleanse(text, sizeof(text));
	keys_wipe(&k);
	close(fd);
	return ok;
}

static bool
write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		const ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

/* The rename itself must survive a power loss. */
static bool
sync_folder_of(const char *path)
{
	char *copy = strdup(path);
	bool ok = false;
	int fd;

	if (!copy)
		return false;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		ok = fsync(fd) == 0;
		close(fd);
	}
	free(copy);
	return ok;
}

/* Of two programs that make a key at once (a daemon and its --show-key), the
 * first wins and the other finds EEXIST: a link never replaces. */
static bool
put_in_place(const char *tmp, const char *path, bool replace)
{
	if (replace)
		return rename(tmp, path) == 0;
	return link(tmp, path) == 0 && unlink(tmp) == 0;
}

/* errno tells on failure. */
static bool
write_file(const char *path, mode_t mode, const char *text, bool replace)
{
	char *tmp = NULL;
	bool ok = false;
	int fd = -1;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return false;
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		goto out;
	ok = fchmod(fd, mode) == 0 && write_all(fd, text) && fsync(fd) == 0 &&
	     put_in_place(tmp, path, replace) && sync_folder_of(path);
	if (!ok) {
		const int saved = errno;

		(void)unlink(tmp);
		errno = saved;
	}
	close(fd);
out:
	free(tmp);
	return ok;
}

static bool
create(const char *path, struct keys *out, char *err, size_t err_size)
{
	char text[KEYS_TEXT_SIZE + 1];
	bool ok = false;
	struct keys k;

	if (!keys_generate(&k))
		return fail(err, err_size, path, "this libzmq has no CURVE");
	keys_text(k.secret_key, text);
	text[KEYS_TEXT_SIZE - 1] = '\n';
	text[KEYS_TEXT_SIZE] = '\0';
	if (write_file(path, 0600, text, false)) {
		*out = k;
		ok = true;
	} else if (errno == EEXIST) {
		ok = keys_load(path, out, err, err_size);
	} else {
		(void)fail(err, err_size, path, strerror(errno));
	}
	OPENSSL_cleanse(text, sizeof(text));
	keys_wipe(&k);
	return ok;
}

static bool
write_public(const char *path, const struct keys *k)
{
	char text[KEYS_TEXT_SIZE + 1], now[KEYS_TEXT_SIZE + 1] = "";
	FILE *f = fopen(path, "re");

	keys_text(k->public_key, text);
	text[KEYS_TEXT_SIZE - 1] = '\n';
	text[KEYS_TEXT_SIZE] = '\0';
	if (f) {
		if (!fgets(now, sizeof(now), f))
			now[0] = '\0';
		(void)fclose(f);
	}
	return strcmp(text, now) == 0 || write_file(path, 0644, text, true);
}

bool
keys_load_or_create(const char *path, const char *public_path, struct keys *out,
                    char *err, size_t err_size)
{
	if (access(path, F_OK) < 0 && errno == ENOENT) {
		if (!create(path, out, err, err_size))
			return false;
	} else if (!keys_load(path, out, err, err_size)) {
		return false;
	}
	if (write_public(public_path, out))
		return true;
	return fail(err, err_size, public_path, strerror(errno));
}
