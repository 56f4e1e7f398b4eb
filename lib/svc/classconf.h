/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A class as people write it: the section "class" of the controller's
 * configuration and of the mesh file. Both know the same packets; the mesh file
 * has thresholds besides.
 */
#ifndef TWMESH_SVC_CLASSCONF_H
#define TWMESH_SVC_CLASSCONF_H

#include "lib/base/text.h"
#include "lib/base/voice.h"
#include "lib/svc/conf.h"

#include <stdbool.h>
#include <stdint.h>

/* Keys of the section, without and with thresholds. */
extern const struct conf_key classconf_keys[];
extern const struct conf_key classconf_mesh_keys[];

/* What a threshold is about, and how bad it is to be over it. */
enum threshold_metric {
	THRESHOLD_LOSS, /* per cent */
	THRESHOLD_RTT,  /* the others: milliseconds */
	THRESHOLD_JITTER,
	THRESHOLD_DELAY,
	THRESHOLD_METRICS
};
enum threshold_level { THRESHOLD_WARN, THRESHOLD_CRIT, THRESHOLD_LEVELS };
const char *threshold_metric_str(enum threshold_metric m); /* "rtt_ms" */
const char *threshold_level_str(enum threshold_level l);   /* "warn" */

/* The floor is the path's own median over 7 days. */
enum threshold_over {
	THRESHOLD_NONE,  /* there is no such threshold */
	THRESHOLD_VALUE, /* over the value */
	THRESHOLD_PLUS,  /* over floor + value */
	THRESHOLD_TIMES  /* over floor * value */
};
const char *threshold_over_str(enum threshold_over o); /* "", "value", ... */

struct threshold {
	enum threshold_over over;
	double value; /* per cent, milliseconds, or a factor */
};

struct classconf {
	char name[NAME_MAX_CHARS + 1];
	int family; /* 0 either (IPv4 first), 4, 6 */
	uint8_t dscp;
	uint16_t size_octets;
	int64_t gap_ns; /* mean time between packets of one session */
	bool poisson;
	uint32_t flows;
	int64_t interval_ns; /* 0: by the size of the mesh */
	int64_t loss_timeout_ns, ship_spread_ns;
	bool detail;
	enum voice_codec codec;
	int64_t jitter_buffer_ns;
	/* Of the mesh file: */
	struct threshold threshold[THRESHOLD_LEVELS][THRESHOLD_METRICS];
	unsigned hysteresis; /* intervals in a row that change a state */
};

/* Of a section with one of the two tables. */
void classconf_read(const struct conf *section, const char *name,
                    struct classconf *out);
/* What single keys cannot know. False: *key is the one at fault, with what was
 * expected and found; static texts. */
struct classconf_fault {
	const char *key, *expected, *found;
};
bool classconf_check(const struct classconf *c, struct classconf_fault *out)
    __attribute__((warn_unused_result));

/* "10", "0.5": packets per second in 0.1 .. 1000 -> the gap between packets. */
bool classconf_parse_rate(const char *text, int64_t *gap_ns);
/* "5%" (loss); "200ms", "floor + 30ms", "floor * 1.5" (the others). */
bool threshold_parse(const char *text, enum threshold_metric m,
                     struct threshold *out);
/* As it would be written in a mesh file; returns out. "none" for none. */
#define THRESHOLD_TEXT_MAX 48
char *threshold_format(const struct threshold *t, enum threshold_metric m,
                       char out[THRESHOLD_TEXT_MAX]);

/* Results of auto intervals: 10 s up to 50 nodes, 60 s above. */
#define CLASSCONF_AUTO_NODES 50
#define CLASSCONF_AUTO_SMALL_MS 10000
#define CLASSCONF_AUTO_LARGE_MS 60000

/* A conf_key's check: a duration of whole milliseconds, at most an hour. */
bool classconf_check_ms(const char *v, const char **expected);

#endif
