/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/svc/classconf.h"

#include "lib/base/clock.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THRESHOLD_MAX_MS 60000.0
#define FACTOR_MAX 100.0
#define HYSTERESIS_MAX 100

static const char *const metric_names[] = {
    [THRESHOLD_LOSS] = "loss_pct",
    [THRESHOLD_RTT] = "rtt_ms",
    [THRESHOLD_JITTER] = "jitter_ms",
    [THRESHOLD_DELAY] = "delay_ms",
};
static_assert(sizeof(metric_names) / sizeof(metric_names[0]) ==
                  THRESHOLD_METRICS,
              "one name each");

static const char *const over_names[] = {
    [THRESHOLD_NONE] = "",
    [THRESHOLD_VALUE] = "value",
    [THRESHOLD_PLUS] = "floor plus",
    [THRESHOLD_TIMES] = "floor times",
};

const char *
threshold_metric_str(enum threshold_metric m)
{
	return metric_names[m];
}

const char *
threshold_level_str(enum threshold_level l)
{
	return l == THRESHOLD_CRIT ? "crit" : "warn";
}

const char *
threshold_over_str(enum threshold_over o)
{
	return over_names[o];
}

/* ---- checks of single keys ---- */

bool
classconf_parse_rate(const char *text, int64_t *gap_ns)
{
	char *end = NULL;
	double rate;

	if (!*text || text[strspn(text, "0123456789.")] != '\0')
		return false;
	rate = strtod(text, &end);
	if (*end != '\0' || !(rate >= 0.1 && rate <= 1000.0))
		return false;
	*gap_ns = (int64_t)(1e9 / rate + 0.5);
	return true;
}

static bool
check_rate(const char *v, const char **expected)
{
	int64_t gap;

	*expected = "packets per second, 0.1 to 1000";
	return classconf_parse_rate(v, &gap);
}

static bool
check_interval(const char *v, const char **expected)
{
	int64_t ns;

	*expected = "0s (automatic) or a duration of 1s to 1h";
	return text_parse_duration(v, NS_PER_S, 0, 3600 * NS_PER_S, &ns) &&
	       (ns == 0 || ns >= NS_PER_S) && ns % NS_PER_MS == 0;
}

bool
classconf_check_ms(const char *v, const char **expected)
{
	int64_t ns;

	*expected = "whole milliseconds";
	return text_parse_duration(v, NS_PER_S, 0, 3600 * NS_PER_S, &ns) &&
	       ns % NS_PER_MS == 0;
}

/* ---- thresholds ---- */

/* A plain decimal number in (0, max], with `unit` behind it. */
static bool
parse_number(const char *text, const char *unit, double max, double *out)
{
	const size_t n = strspn(text, "0123456789.");
	char *end = NULL;
	double v;

	if (n == 0 || n > 12 || strcmp(text + n, unit) != 0)
		return false;
	v = strtod(text, &end);
	if (end != text + n || !(v > 0 && v <= max))
		return false;
	*out = v;
	return true;
}

static bool
parse_ms(const char *text, double *out)
{
	int64_t ns;

	/* A bare number would be taken for milliseconds by some, and for
	 * seconds by others. */
	if (!*text || strchr("0123456789.", text[strlen(text) - 1]) ||
	    text[strspn(text, "0123456789.nusmhd")] != '\0' ||
	    !text_parse_duration(text, NS_PER_S, 1000,
	                         (int64_t)(THRESHOLD_MAX_MS * 1e6), &ns))
		return false;
	*out = (double)ns / 1e6;
	return true;
}

static const char *
skip_spaces(const char *p)
{
	return p + strspn(p, " ");
}

bool
threshold_parse(const char *text, enum threshold_metric m,
                struct threshold *out)
{
	struct threshold t = {.over = THRESHOLD_VALUE};
	bool ok;

	if (m == THRESHOLD_LOSS) {
		ok = parse_number(text, "%", 100.0, &t.value);
	} else if (strncmp(text, "floor", 5) != 0) {
		ok = parse_ms(text, &t.value);
	} else {
		text = skip_spaces(text + 5);
		t.over = *text == '+' ? THRESHOLD_PLUS : THRESHOLD_TIMES;
		ok = *text == '+' ? parse_ms(skip_spaces(text + 1), &t.value)
		                  : *text == '*' &&
		                        parse_number(skip_spaces(text + 1), "",
		                                     FACTOR_MAX, &t.value) &&
		                        t.value >= 1;
	}
	if (ok)
		*out = t;
	return ok;
}

char *
threshold_format(const struct threshold *t, enum threshold_metric m,
                 char out[THRESHOLD_TEXT_MAX])
{
	switch (t->over) {
	case THRESHOLD_NONE:
		(void)snprintf(out, THRESHOLD_TEXT_MAX, "none");
		break;
	case THRESHOLD_VALUE:
		(void)snprintf(out, THRESHOLD_TEXT_MAX, "%.9g%s", t->value,
		               m == THRESHOLD_LOSS ? "%" : "ms");
		break;
	case THRESHOLD_PLUS:
		(void)snprintf(out, THRESHOLD_TEXT_MAX, "floor + %.9gms",
		               t->value);
		break;
	case THRESHOLD_TIMES:
		(void)snprintf(out, THRESHOLD_TEXT_MAX, "floor * %.9g",
		               t->value);
		break;
	}
	return out;
}

static bool
check_loss(const char *v, const char **expected)
{
	struct threshold t;

	*expected = "a share over 0% up to 100%, as 5%";
	return threshold_parse(v, THRESHOLD_LOSS, &t);
}

static bool
check_time(const char *v, const char **expected)
{
	struct threshold t;

	*expected = "a time as 200ms (at most 60s), or over the path's own "
	            "floor: floor + 30ms, or floor * 1.5 (1 to 100)";
	return threshold_parse(v, THRESHOLD_RTT, &t);
}

/* ---- the tables ---- */

static const char *const schedule_choices[] = {"periodic", "poisson", NULL};
static const char *const family_choices[] = {"0", "4", "6", NULL};
static const char *const codec_choices[] = {"none",  "g711",   "g711-plc",
                                            "g729a", "g723.1", NULL};

/* clang-format off */
#define PACKET_KEYS \
	{.name = "family", .type = CONF_CHOICE, .def = "0", \
	 .choices = family_choices, \
	 .help = "address family: 4, 6, or 0 for either (IPv4 first)"}, \
	{.name = "dscp", .type = CONF_INT, .def = "0", .max = 63, \
	 .help = "differentiated services code point of the test packets"}, \
	{.name = "size", .type = CONF_INT, .def = "128", .min = 84, \
	 .max = 1472, .unit = "octets", \
	 .help = "UDP payload of a test packet; below 128 there is no room " \
	         "for every TLV"}, \
	{.name = "rate", .type = CONF_STRING, .def = "10", \
	 .unit = "packets/s", .check = check_rate, \
	 .help = "mean rate of one session, 0.1 to 1000; its flows share it"}, \
	{.name = "schedule", .type = CONF_CHOICE, .def = "periodic", \
	 .choices = schedule_choices, \
	 .help = "gaps between packets: equal, with a random phase, or " \
	         "Poisson"}, \
	{.name = "flows", .type = CONF_INT, .def = "1", .min = 1, .max = 64, \
	 .help = "source ports a session takes in turn, to sample ECMP " \
	         "paths"}, \
	{.name = "interval", .type = CONF_DURATION, .def = "0s", \
	 .max = 3600 * NS_PER_S, .check = check_interval, \
	 .help = "time one result covers; 0s: 10 s up to 50 nodes, 60 s " \
	         "above"}, \
	{.name = "loss_timeout", .type = CONF_DURATION, .def = "2s", \
	 .min = 100 * NS_PER_MS, .max = 30 * NS_PER_S, .check = classconf_check_ms, \
	 .help = "a packet not answered within it is lost"}, \
	{.name = "ship_spread", .type = CONF_DURATION, .def = "3s", \
	 .max = 60 * NS_PER_S, .check = classconf_check_ms, \
	 .help = "nodes ship their results spread over this time"}, \
	{.name = "detail", .type = CONF_BOOL, .def = "true", \
	 .help = "report percentiles and histograms of each way as well: " \
	         "some 340 octets more per result in the database"}, \
	{.name = "codec", .type = CONF_CHOICE, .def = "none", \
	 .choices = codec_choices, \
	 .help = "makes it a voice class, with R and MOS of this codec; " \
	         "needs detail"}, \
	{.name = "jitter_buffer", .type = CONF_DURATION, .def = "60ms", \
	 .max = 10 * NS_PER_S, .check = classconf_check_ms, \
	 .help = "voice: packets later than this beyond the fastest count " \
	         "as lost"}

#define THRESHOLD_KEY(n, chk, text) \
	{.name = (n), .type = CONF_STRING, .check = (chk), .words = true, \
	 .help = (text)}
/* clang-format on */

const struct conf_key classconf_keys[] = {
    PACKET_KEYS,
    {.type = CONF_END},
};

const struct conf_key classconf_mesh_keys[] = {
    PACKET_KEYS,
    THRESHOLD_KEY("warn_loss", check_loss, "loss of a direction, as 1%"),
    THRESHOLD_KEY("crit_loss", check_loss, "the same, worse"),
    THRESHOLD_KEY("warn_rtt", check_time,
                  "mean round trip: 200ms; or over the path's own median "
                  "of 7 days: floor + 30ms, floor * 1.5"),
    THRESHOLD_KEY("crit_rtt", check_time, "the same, worse"),
    THRESHOLD_KEY("warn_jitter", check_time, "mean |IPDV| of a direction"),
    THRESHOLD_KEY("crit_jitter", check_time, "the same, worse"),
    THRESHOLD_KEY("warn_delay", check_time,
                  "mean one-way delay of a direction"),
    THRESHOLD_KEY("crit_delay", check_time, "the same, worse"),
    {.name = "hysteresis",
     .type = CONF_INT,
     .def = "2",
     .min = 1,
     .max = HYSTERESIS_MAX,
     .unit = "intervals",
     .help = "in a row over a threshold, or below, that change the state"},
    {.type = CONF_END},
};

/* ---- reading ---- */

static void
read_thresholds(const struct conf *s, struct classconf *out)
{
	static const char *const keys[THRESHOLD_LEVELS][THRESHOLD_METRICS] = {
	    [THRESHOLD_WARN] = {"warn_loss", "warn_rtt", "warn_jitter",
	                        "warn_delay"},
	    [THRESHOLD_CRIT] = {"crit_loss", "crit_rtt", "crit_jitter",
	                        "crit_delay"},
	};

	for (unsigned l = 0; l < THRESHOLD_LEVELS; l++) {
		for (unsigned m = 0; m < THRESHOLD_METRICS; m++) {
			const char *text = conf_str(s, keys[l][m]);
			struct threshold *t = &out->threshold[l][m];

			if (*text &&
			    !threshold_parse(text, (enum threshold_metric)m, t))
				t->over = THRESHOLD_NONE; /* it was checked */
		}
	}
	out->hysteresis = (unsigned)conf_int(s, "hysteresis");
}

void
classconf_read(const struct conf *s, const char *name, struct classconf *out)
{
	*out = (struct classconf){
	    .family = conf_str(s, "family")[0] - '0',
	    .dscp = (uint8_t)conf_int(s, "dscp"),
	    .size_octets = (uint16_t)conf_int(s, "size"),
	    .poisson = strcmp(conf_str(s, "schedule"), "poisson") == 0,
	    .flows = (uint32_t)conf_int(s, "flows"),
	    .interval_ns = conf_int(s, "interval"),
	    .loss_timeout_ns = conf_int(s, "loss_timeout"),
	    .ship_spread_ns = conf_int(s, "ship_spread"),
	    .detail = conf_bool(s, "detail"),
	    .codec = voice_codec_by_name(conf_str(s, "codec")),
	    .jitter_buffer_ns = conf_int(s, "jitter_buffer"),
	    .hysteresis = 2,
	};
	(void)snprintf(out->name, sizeof(out->name), "%s", name);
	if (!classconf_parse_rate(conf_str(s, "rate"), &out->gap_ns))
		out->gap_ns = 100 * NS_PER_MS; /* not reached: checked */
	if (conf_has_key(s, "hysteresis"))
		read_thresholds(s, out);
}

static bool
fault(struct classconf_fault *out, const char *key, const char *expected,
      const char *found)
{
	*out = (struct classconf_fault){key, expected, found};
	return false;
}

bool
classconf_check(const struct classconf *c, struct classconf_fault *out)
{
	static const char *const warn_keys[] = {"warn_loss", "warn_rtt",
	                                        "warn_jitter", "warn_delay"};

	if (c->codec != VOICE_NONE && !c->detail)
		return fault(out, "codec", "detail = true with it", "false");
	for (unsigned m = 0; m < THRESHOLD_METRICS; m++) {
		const struct threshold *w = &c->threshold[THRESHOLD_WARN][m];
		const struct threshold *k = &c->threshold[THRESHOLD_CRIT][m];

		if (w->over != THRESHOLD_NONE && w->over == k->over &&
		    w->value > k->value)
			return fault(out, warn_keys[m],
			             "at most the threshold of crit", "more");
	}
	return true;
}
