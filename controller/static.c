/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/static.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (2U << 20)

static const struct {
	const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
};

static const char *
type_of(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t k = strlen(types[i].suffix);

		if (n > k && strcmp(name + n - k, types[i].suffix) == 0)
			return types[i].type;
	}
	return NULL;
}

static bool
name_is_plain(const char *name)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
	                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return *name && strchr("._-", *name) == NULL &&
	       name[strspn(name, set)] == '\0';
}

int
static_open(const char *dir, char *err, size_t err_size)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		(void)snprintf(err, err_size,
		               "web_dir: expected a directory, found %s: %s",
		               dir, strerror(errno));
		return -1;
	}
	if (fstatat(fd, "index.html", &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode)) {
		(void)snprintf(err, err_size,
		               "web_dir: expected the page, found no "
		               "index.html in %s",
		               dir);
		(void)close(fd);
		return -1;
	}
	return fd;
}

static struct blob *
read_all(int fd, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	struct blob *b = NULL;
	size_t n = 0;
	ssize_t k = 1;

	while (bytes && n < size && k > 0) {
		k = read(fd, bytes + n, size - n);
		if (k < 0 && errno == EINTR)
			k = 1;
		else if (k > 0)
			n += (size_t)k;
	}
	if (bytes && k >= 0)
		b = blob_new(bytes, n);
	free(bytes);
	return b;
}

struct blob *
static_read(int dirfd, const char *path, const char **type)
{
	const char *name;
	struct blob *b = NULL;
	struct stat st;
	int fd;

	if (path[0] != '/')
		return NULL;
	name = path[1] ? path + 1 : "index.html";
	*type = type_of(name);
	if (!*type || !name_is_plain(name))
		return NULL;
	fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size <= (off_t)FILE_MAX)
		b = read_all(fd, (size_t)st.st_size);
	(void)close(fd);
	return b;
}
