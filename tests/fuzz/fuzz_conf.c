/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_load() of any octets. A file is refused with at least one whole line
 * of printable text, or accepted; then what -p prints is accepted again and
 * prints the same.
 */
#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "lib/svc/conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static const char *const schedules[] = {"periodic", "poisson", NULL};

static bool
check_name(const char *value, const char **expected)
{
	*expected = "a name (" NAME_RULE ")";
	return name_is_valid(value);
}

static const struct conf_key class_keys[] = {
    {.name = "size",
     .type = CONF_INT,
     .def = "128",
     .min = 80,
     .max = 1472,
     .help = "octets"},
    {.name = "schedule",
     .type = CONF_CHOICE,
     .def = "periodic",
     .choices = schedules,
     .help = "gaps"},
    {.name = "interval",
     .type = CONF_DURATION,
     .def = "10s",
     .max = 3600 * NS_PER_S,
     .help = "each"},
    {.name = "key", .type = CONF_STRING, .min = 1, .help = "needed"},
    {.type = CONF_END},
};

static const struct conf_key table[] = {
    {.name = "address",
     .type = CONF_LIST,
     .def = "{\"0.0.0.0\", \"::\"}",
     .max = 4,
     .help = "where"},
    {.name = "port",
     .type = CONF_INT,
     .def = "862",
     .max = 65535,
     .help = "port"},
    {.name = "socket", .type = CONF_STRING, .def = "", .help = "path"},
    {.name = "stateful", .type = CONF_BOOL, .def = "true", .help = "state"},
    {.name = "idle",
     .type = CONF_DURATION,
     .def = "900s",
     .min = 1,
     .max = INT64_MAX,
     .help = "timeout"},
    {.name = "class",
     .type = CONF_SECTION,
     .sub = class_keys,
     .max = 3,
     .check = check_name,
     .help = "traffic"},
    {.type = CONF_END},
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* A file that exists only as a descriptor, opened again by its name. */
static struct conf *
load(const void *bytes, size_t size, char **err, size_t *err_len)
{
	const int fd = memfd_create("conf", MFD_CLOEXEC);
	FILE *f = open_memstream(err, err_len);
	struct conf *c;
	char path[64];

	must(fd >= 0 && f != NULL);
	must(size == 0 || write(fd, bytes, size) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	c = conf_load(path, table, f);
	must(fclose(f) == 0);
	(void)close(fd);
	return c;
}

static char *
printed(const struct conf *c, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	must(f != NULL);
	conf_print(c, f);
	must(fclose(f) == 0);
	return text;
}

static void
round_trip(const struct conf *c)
{
	char *first, *second, *err = NULL;
	size_t first_len = 0, second_len = 0, err_len = 0;
	struct conf *again;

	first = printed(c, &first_len);
	again = load(first, first_len, &err, &err_len);
	must(again != NULL);
	second = printed(again, &second_len);
	must(strcmp(first, second) == 0);
	conf_free(again);
	free(first);
	free(second);
	free(err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	char *err = NULL;
	size_t err_len = 0;
	struct conf *c = load(in, size, &err, &err_len);

	if (c) {
		must(err_len == 0);
		round_trip(c);
		conf_free(c);
	} else {
		must(err_len > 0 && err[err_len - 1] == '\n');
		for (char *p = err, *end; *p; p = end + 1) {
			end = strchr(p, '\n');
			must(end && text_is_clean(p, (size_t)(end - p)));
		}
	}
	free(err);
	return 0;
}
