/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/emu/linkconf.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_NS (60 * NS_PER_S)
#define GAP_DEFAULT 1
#define GAP_MAX 1000
#define QUEUE_DEFAULT_BYTES 65536
#define TIME_MAX_NS (86400 * NS_PER_S)

void
linkconf_init(struct linkconf *c)
{
	memset(c, 0, sizeof(*c));
	c->reorder_gap = GAP_DEFAULT;
	c->queue_bytes = QUEUE_DEFAULT_BYTES;
	for (unsigned i = 0; i < 64; i++)
		c->dscp[i] = (uint8_t)i;
}

static bool
parse_time(const char *s, int64_t max_ns, int64_t *out)
{
	return text_parse_duration(s, NS_PER_MS, 0, max_ns, out);
}

/* "1.5%" */
static bool
parse_pct(const char *s, double *out)
{
	char *end;
	double v;

	if (s[0] < '0' || s[0] > '9')
		return false;
	v = strtod(s, &end);
	if (strcmp(end, "%") != 0 || !(v >= 0 && v <= 100))
		return false;
	*out = v / 100;
	return true;
}

/* "1%", "1/100", "0" */
static bool
parse_chance(const char *s, struct chance *out)
{
	struct chance c = {0};
	int64_t n;

	if (strncmp(s, "1/", 2) == 0) {
		if (!text_parse_i64(s + 2, 1, UINT32_MAX, &n))
			return false;
		c.every = (uint32_t)n;
	} else if (strcmp(s, "0") != 0 && !parse_pct(s, &c.p)) {
		return false;
	}
	*out = c;
	return true;
}

/* The part of s before the first `sep`, cut off in place; the rest or NULL. */
static char *
cut(char *s, char sep)
{
	char *at = strchr(s, sep);

	if (!at)
		return NULL;
	*at = '\0';
	return at + 1;
}

static bool
set_delay(struct linkconf *c, char *v)
{
	return parse_time(v, DELAY_MAX_NS, &c->delay_ns);
}

static bool
set_jitter(struct linkconf *c, char *v)
{
	char *width = cut(v, ':');

	if (strcmp(v, "0") == 0 && !width) {
		c->jitter = JITTER_NONE;
		return true;
	}
	if (strcmp(v, "uniform") == 0)
		c->jitter = JITTER_UNIFORM;
	else if (strcmp(v, "normal") == 0)
		c->jitter = JITTER_NORMAL;
	else
		return false;
	return width && parse_time(width, DELAY_MAX_NS, &c->jitter_ns);
}

static bool
set_order(struct linkconf *c, char *v)
{
	c->free_order = strcmp(v, "free") == 0;
	return c->free_order || strcmp(v, "kept") == 0;
}

static bool
set_loss(struct linkconf *c, char *v)
{
	return parse_chance(v, &c->loss);
}

static bool
set_gilbert(struct linkconf *c, char *v)
{
	struct gilbert g = {.on = true, .bad = 1};
	char *r = cut(v, ':'), *bad = r ? cut(r, ':') : NULL;
	char *good = bad ? cut(bad, ':') : NULL;

	if (strcmp(v, "0") == 0 && !r) {
		c->gilbert.on = false;
		return true;
	}
	if (!r || !parse_pct(v, &g.to_bad) || !parse_pct(r, &g.to_good) ||
	    (bad && !parse_pct(bad, &g.bad)) ||
	    (good && !parse_pct(good, &g.good)))
		return false;
	c->gilbert = g;
	return true;
}

/* "5s-7s", "5s-7s/10s" */
static bool
parse_window(char *v, struct window *w)
{
	char *end = cut(v, '-'), *period = end ? cut(end, '/') : NULL;

	if (!end || !parse_time(v, TIME_MAX_NS, &w->start_ns) ||
	    !parse_time(end, TIME_MAX_NS, &w->end_ns) ||
	    w->end_ns <= w->start_ns)
		return false;
	w->period_ns = 0;
	return !period || (parse_time(period, TIME_MAX_NS, &w->period_ns) &&
	                   w->period_ns > w->end_ns - w->start_ns);
}

static bool
set_blackout(struct linkconf *c, char *v)
{
	c->down_n = 0;
	if (strcmp(v, "0") == 0)
		return true;
	for (char *next; v; v = next) {
		next = cut(v, ',');
		if (c->down_n == LINK_WINDOWS ||
		    !parse_window(v, &c->down[c->down_n]))
			return false;
		c->down_n++;
	}
	return true;
}

static bool
set_dup(struct linkconf *c, char *v)
{
	return parse_chance(v, &c->dup);
}

static bool
set_reorder(struct linkconf *c, char *v)
{
	char *gap = cut(v, ':');
	int64_t n = GAP_DEFAULT;

	if (gap && !text_parse_i64(gap, 1, GAP_MAX, &n))
		return false;
	c->reorder_gap = (uint32_t)n;
	return parse_chance(v, &c->reorder);
}

static const struct {
	const char *suffix;
	int64_t factor;
} scales[] = {
    {"gbit", 1000000000}, {"mbit", 1000000}, {"kbit", 1000}, {"bit", 1},
    {"kb", 1000},         {"mb", 1000000},   {"b", 1}};

/* A whole number with one of scales[first .. last]. */
static bool
parse_scaled(const char *v, size_t first, size_t last, int64_t *out)
{
	char number[16] = "";
	const size_t n = strspn(v, "0123456789");
	int64_t i;

	if (n == 0 || n >= sizeof(number))
		return false;
	memcpy(number, v, n);
	for (size_t s = first; s <= last; s++) {
		if (strcmp(v + n, scales[s].suffix) != 0)
			continue;
		if (!text_parse_i64(number, 0, INT64_C(1000000000), &i))
			return false;
		*out = i * scales[s].factor;
		return true;
	}
	return false;
}

static bool
set_rate(struct linkconf *c, char *v)
{
	if (strcmp(v, "0") == 0) {
		c->rate_bps = 0;
		return true;
	}
	return parse_scaled(v, 0, 3, &c->rate_bps) && c->rate_bps >= 1000;
}

static bool
set_queue(struct linkconf *c, char *v)
{
	return parse_scaled(v, 4, 6, &c->queue_bytes);
}

static bool
set_dscp(struct linkconf *c, char *v)
{
	for (char *next; v; v = next) {
		int64_t from, to;
		char *colon;

		next = cut(v, ',');
		colon = cut(v, ':');
		if (!text_parse_i64(colon ? colon : v, 0, 63, &to) ||
		    (colon && !text_parse_i64(v, 0, 63, &from)))
			return false;
		if (colon)
			c->dscp[from] = (uint8_t)to;
		else
			memset(c->dscp, (int)to, sizeof(c->dscp));
	}
	return true;
}

static bool
set_hops(struct linkconf *c, char *v)
{
	int64_t n;

	if (!text_parse_i64(v, 0, 64, &n))
		return false;
	c->hops = (uint8_t)n;
	return true;
}

static bool
parse_port(const char *v, uint16_t *out)
{
	int64_t n;

	if (!text_parse_i64(v, 0, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool
set_sport(struct linkconf *c, char *v)
{
	return parse_port(v, &c->sport);
}

static bool
set_dport(struct linkconf *c, char *v)
{
	return parse_port(v, &c->dport);
}

static bool
set_link(struct linkconf *c, char *v)
{
	c->off = strcmp(v, "off") == 0;
	return c->off || strcmp(v, "on") == 0;
}

static const struct {
	const char *key;
	bool (*set)(struct linkconf *c,
	            char *v); /* may cut v, and c on error */
	const char *expected;
} keys[] = {
    {"delay", set_delay, "a duration up to 60s (80ms)"},
    {"jitter", set_jitter, "uniform:WIDTH, normal:SIGMA or 0"},
    {"order", set_order, "kept or free"},
    {"loss", set_loss, "a percentage (1%), 1/N or 0"},
    {"gilbert", set_gilbert, "TO_BAD%:TO_GOOD%[:LOSS_BAD%[:LOSS_GOOD%]] or 0"},
    {"blackout", set_blackout, "START-END[/PERIOD][,...], at most 8, or 0"},
    {"dup", set_dup, "a percentage (1%), 1/N or 0"},
    {"reorder", set_reorder, "CHANCE[:GAP], a chance being 1%, 1/N or 0"},
    {"rate", set_rate, "a rate (500kbit, 10mbit) of 1kbit or more, or 0"},
    {"queue", set_queue, "octets (20000b, 64kb)"},
    {"dscp", set_dscp, "0 to 63 for all, or FROM:TO[,...]"},
    {"hops", set_hops, "0 to 64"},
    {"sport", set_sport, "a port, 0 for any"},
    {"dport", set_dport, "a port, 0 for any"},
    {"link", set_link, "on or off"},
};

bool
linkconf_set(struct linkconf *c, const char *setting, char *err,
             size_t err_size)
{
	struct linkconf changed = *c;
	const char *eq = strchr(setting, '=');
	char value[256];

	if (!eq || strlen(eq + 1) >= sizeof(value)) {
		(void)snprintf(err, err_size, "expected KEY=VALUE, found '%s'",
		               setting);
		return false;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const size_t n = (size_t)(eq - setting);

		if (strlen(keys[i].key) != n ||
		    memcmp(keys[i].key, setting, n) != 0)
			continue;
		memcpy(value, eq + 1, strlen(eq + 1) + 1);
		if (!keys[i].set(&changed, value)) {
			(void)snprintf(err, err_size,
			               "%s: expected %s, found '%s'",
			               keys[i].key, keys[i].expected, eq + 1);
			return false;
		}
		*c = changed;
		return true;
	}
	(void)snprintf(err, err_size,
	               "expected a key such as delay or loss, found '%s'",
	               setting);
	return false;
}
