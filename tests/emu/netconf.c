/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/netconf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 64
#define LINE_OCTETS 1024

void
netconf_init(struct netconf *net)
{
	memset(net, 0, sizeof(*net));
	net->seed = 1;
	for (unsigned s = 0; s < NET_SITES; s++) {
		for (unsigned d = 0; d < NET_SITES; d++)
			linkconf_init(&net->link[s][d]);
	}
}

int
netconf_site(const struct netconf *net, const char *name)
{
	for (unsigned i = 0; i < net->n; i++) {
		if (strcmp(net->site[i], name) == 0)
			return (int)i;
	}
	return -1;
}

char *
netconf_v4(unsigned i, char *out)
{
	(void)snprintf(out, 32, "10.77.0.%u", i + 1);
	return out;
}

char *
netconf_v6(unsigned i, char *out)
{
	(void)snprintf(out, 32, "fd77::%x", i + 1);
	return out;
}

static bool
add_sites(struct netconf *net, char **w, unsigned n, char *err, size_t size)
{
	if (n < 2) {
		(void)snprintf(err, size, "site: expected names, found none");
		return false;
	}
	for (unsigned i = 1; i < n; i++) {
		if (!name_is_valid(w[i]) || netconf_site(net, w[i]) >= 0) {
			(void)snprintf(err, size,
			               "site: expected a new name (" NAME_RULE
			               "), found '%s'",
			               w[i]);
			return false;
		}
		if (net->n == NET_SITES) {
			(void)snprintf(err, size,
			               "site: expected at most %d sites",
			               NET_SITES);
			return false;
		}
		memcpy(net->site[net->n++], w[i], strlen(w[i]) + 1);
	}
	return true;
}

/* "*" or a name: the range [*from, *to]. */
static bool
site_range(const struct netconf *net, const char *word, unsigned *from,
           unsigned *to, char *err, size_t size)
{
	const int i = netconf_site(net, word);

	if (i < 0 && strcmp(word, "*") != 0) {
		(void)snprintf(err, size,
		               "expected a site named before or *, found '%s'",
		               word);
		return false;
	}
	*from = i < 0 ? 0 : (unsigned)i;
	*to = i < 0 ? NET_SITES - 1 : (unsigned)i;
	return true;
}

/* Every setting must parse before any link changes. */
static bool
settings_parse(char **w, unsigned n, char *err, size_t size)
{
	struct linkconf trial;

	linkconf_init(&trial);
	for (unsigned i = 0; i < n; i++) {
		if (!linkconf_set(&trial, w[i], err, size))
			return false;
	}
	return true;
}

static bool
set_range(struct netconf *net, const char *src, const char *dst, char **w,
          unsigned n, char *err, size_t size)
{
	unsigned s0, s1, d0, d1;

	if (!site_range(net, src, &s0, &s1, err, size) ||
	    !site_range(net, dst, &d0, &d1, err, size) ||
	    !settings_parse(w, n, err, size))
		return false;
	for (unsigned s = s0; s <= s1; s++) {
		for (unsigned d = d0; d <= d1; d++) {
			net->touched[s][d] = true;
			for (unsigned i = 0; i < n; i++) {
				if (!linkconf_set(&net->link[s][d], w[i], err,
				                  size))
					return false;
			}
		}
	}
	return true;
}

static bool
set_links(struct netconf *net, char **w, unsigned n, bool both, char *err,
          size_t size)
{
	if (n < 4) {
		(void)snprintf(err, size,
		               "%s: expected SRC DST KEY=VALUE ..., found %u "
		               "words",
		               w[0], n - 1);
		return false;
	}
	return set_range(net, w[1], w[2], w + 3, n - 3, err, size) &&
	       (!both || set_range(net, w[2], w[1], w + 3, n - 3, err, size));
}

static bool
set_star(struct netconf *net, char **w, unsigned n, char *err, size_t size)
{
	const int hub = n == 2 ? netconf_site(net, w[1]) : -1;

	if (hub < 0) {
		(void)snprintf(err, size,
		               "star: expected one site named before");
		return false;
	}
	net->star = true;
	net->hub = (unsigned)hub;
	for (unsigned s = 0; s < NET_SITES; s++) {
		for (unsigned d = 0; d < NET_SITES; d++)
			net->link[s][d].off = s != net->hub && d != net->hub;
	}
	return true;
}

static bool
set_seed(struct netconf *net, char **w, unsigned n, char *err, size_t size)
{
	int64_t v;

	if (n != 2 || !text_parse_i64(w[1], 0, INT64_MAX, &v)) {
		(void)snprintf(err, size, "seed: expected a number from 0");
		return false;
	}
	net->seed = (uint64_t)v;
	return true;
}

static unsigned
split(char *line, char **w)
{
	char *save = NULL;
	unsigned n = 0;

	for (char *t = strtok_r(line, " \t\r\n", &save); t && n < WORDS_MAX;
	     t = strtok_r(NULL, " \t\r\n", &save))
		w[n++] = t;
	return n;
}

bool
netconf_line(struct netconf *net, char *line, char *err, size_t size)
{
	char *w[WORDS_MAX], *hash = strchr(line, '#');
	unsigned n;

	if (hash)
		*hash = '\0';
	n = split(line, w);
	if (n == 0)
		return true;
	if (strcmp(w[0], "site") == 0)
		return add_sites(net, w, n, err, size);
	if (strcmp(w[0], "star") == 0)
		return set_star(net, w, n, err, size);
	if (strcmp(w[0], "seed") == 0)
		return set_seed(net, w, n, err, size);
	if (strcmp(w[0], "link") == 0 || strcmp(w[0], "set") == 0)
		return set_links(net, w, n, false, err, size);
	if (strcmp(w[0], "both") == 0)
		return set_links(net, w, n, true, err, size);
	if (strcmp(w[0], "default") == 0)
		return set_range(net, "*", "*", w + 1, n - 1, err, size);
	(void)snprintf(err, size,
	               "expected site, star, seed, default, link or both, "
	               "found '%s'",
	               w[0]);
	return false;
}

bool
netconf_load(struct netconf *net, const char *path, char *err, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[LINE_OCTETS], why[512] = "";
	unsigned no = 0;
	bool ok = true;

	if (!f) {
		(void)snprintf(err, size, "%s: %s", path, strerror(errno));
		return false;
	}
	netconf_init(net);
	while (ok && fgets(line, sizeof(line), f)) {
		no++;
		if (strlen(line) == sizeof(line) - 1) {
			(void)snprintf(why, sizeof(why),
			               "expected a line of at most %d octets",
			               LINE_OCTETS - 2);
			ok = false;
		} else {
			ok = netconf_line(net, line, why, sizeof(why));
		}
	}
	if (ok && ferror(f)) {
		(void)snprintf(why, sizeof(why), "%s", strerror(errno));
		ok = false;
	}
	(void)fclose(f);
	if (ok && net->n < 2) {
		(void)snprintf(why, sizeof(why),
		               "expected at least two sites, found %u", net->n);
		ok = false;
	}
	if (!ok)
		(void)snprintf(err, size, "%s:%u: %s", path, no, why);
	return ok;
}
