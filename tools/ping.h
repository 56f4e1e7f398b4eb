/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh ping: an ad-hoc session from here to any STAMP or TWAMP Light
 * reflector. ping.c sends and receives, ping_sum.c keeps what came of it,
 * ping_count.c finds out whether a
 * foreign reflector counts for itself, ping_opts.c reads the command line,
 * ping_report.c and ping_json.c show; the measuring itself is
 * lib/stats/session.h, the same engine as in the mesh daemon.
 */
#ifndef TWMESH_TOOLS_PING_H
#define TWMESH_TOOLS_PING_H

#include "lib/base/addr.h"
#include "lib/base/lossrun.h"
#include "lib/base/result.h"
#include "lib/stats/session.h"
#include "tools/tool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ping_opts {
	const char *target; /* as typed; borrowed from argv */
	struct addr dst, source;
	int64_t count; /* packets; 0: until stopped */
	int64_t interval_ns, loss_timeout_ns;
	bool poisson; /* exponential gaps with interval_ns as mean */
	size_t size;  /* octets of UDP payload */
	int dscp;
	int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
	bool light; /* TWAMP Light: plain padding, no SSID, no TLVs */
	bool quiet, json;
};

/* Options, arguments and the resolved target. TOOL_GOOD with *done set after
 * --help; TOOL_USAGE after an error that was printed. */
int ping_opts_parse(const struct tool_cmd *cmd, int argc, char **argv,
                    struct ping_opts *o, bool *done);
extern const struct tool_opt ping_opt_table[];
extern const char ping_notes[];

/* Whether a reflector without our TLV numbers replies by a counter of its own:
 * what a throwaway session proved (tools/ping_count.h). */
enum ping_counts { PING_COUNTS_UNKNOWN, PING_COUNTS_YES, PING_COUNTS_NOT };

#define PING_RUNS_MAX 1000 /* loss runs kept, in order; more are counted */

/* What came of it. */
struct ping_sum {
	const struct ping_opts *o; /* borrowed */
	struct wall from, to;
	bool has_result; /* r is valid: something was sent and decided */
	struct result r;
	bool stepped;       /* our clock stepped: r is the longest piece */
	uint32_t under_way; /* sent, neither answered nor lost at the end */
	uint32_t altered, unknown, malformed, foreign; /* replies put aside */
	bool answered;
	bool is_twmesh; /* answered the receive-bitmap TLV */
	bool stateful;  /* it says so */
	uint64_t instance_id;
	bool no_tlvs;            /* answers plain packets, but none with TLVs */
	enum ping_counts counts; /* if no twmesh reflector */
	struct loss_run *run;    /* owned, without packets */
	size_t run_n, runs_more;
};
/* Loss runs so far, while it goes on. */
void ping_sum_take_runs(struct ping_sum *sum, struct session *s);
/* All that a finished session tells: its one result (if the wall clock stepped,
 * the longest piece), with what later replies told of it, and loss runs. */
void ping_sum_take(struct ping_sum *sum, struct session *s);
void ping_sum_clear(struct ping_sum *p);

void ping_print_head(FILE *out, const struct ping_opts *o);
/* One reply; colour only if `coloured`. */
void ping_print_reply(FILE *out, uint32_t seq, enum reply_verdict v,
                      const struct sample *s, bool coloured);
void ping_print_lost(FILE *out, uint32_t seq, bool coloured);
void ping_print_sum(FILE *out, const struct ping_sum *p, bool coloured);
/* Which of the stamps n (1 to 4) were the kernel's, in a word. */
const char *ping_stamp_source(int64_t stamps, unsigned n);
/* One JSON document. False when out of memory. */
bool ping_print_json(FILE *out, const struct ping_sum *p);

/* Measures until done, SIGINT or SIGTERM. 0 or -errno (no socket). */
int ping_measure(const struct ping_opts *o, FILE *out, struct ping_sum *sum);
/* What SIGINT does, for tests. */
void ping_stop(void);

#endif
