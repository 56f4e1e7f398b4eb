/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The measurement engine of one session, without sockets and clocks: it is
 * told what was sent and what came back, with stamps, and yields one struct
 * result per interval. meshd's prober and `twmesh ping` drive the same engine.
 *
 *   session_slot()      a send slot came up (decides its interval)
 *   session_sent()      the kernel accepted it      -> outstanding
 *   session_reply()     a reply was read            -> received, late, dup, ...
 *   session_advance()   time passed AND the socket was drained: packets older
 *                       than the loss timeout are lost, intervals close
 *   session_take()      results that closed, oldest first
 *   session_take_run()  news of loss runs; session_take_revision(): losses
 *                       whose direction was decided after their result
 *
 * Flows. The packets of a session are spread over its flows (source ports) in
 * turn. A flow has sequence numbers of its own, since a reflector knows it as
 * a session of its own; IPDV and jitter are taken within a flow, loss runs in
 * the order of sending over all flows.
 *
 * Stamps. session_sent() is told T1 as read in user space; the kernel's own
 * stamp follows by session_tx_stamp(), before the reply is told. T3 of a
 * reply is corrected by the next reply (Follow-Up Telemetry, RFC 8972 4.7):
 * samples wait for that, in order of arrival, at most until their interval
 * closes.
 *
 * Rules (docs/MEASUREMENT.md): a packet belongs to the interval of its
 * scheduled send time; an interval closes at its end + loss timeout + 0.5 s;
 * lateness is judged by stamps; RTT = (T4 - T1) - (T3 - T2) with T4 - T1 in
 * monotonic time and T3 - T2 accepted only within 0 .. T4 - T1; lost =
 * forward + backward + undetermined always; a direction is decided per packet
 * by the receive bitmap, for runs beyond its 64 by the reflector's counters.
 *
 * Steps. A jump of the wall clock cuts the open intervals, and everything that
 * was not taken yet is dated anew, as if the clock had always been what it is
 * now: starts of intervals, loss runs with our own stamps of their packets.
 * Delays stay by the clock of their samples.
 */
#ifndef TWMESH_STATS_SESSION_H
#define TWMESH_STATS_SESSION_H

#include "lib/base/clock.h"
#include "lib/base/lossrun.h"
#include "lib/base/result.h"
#include "lib/base/voice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session_params {
	uint32_t dst_id, class_id; /* copied into results */
	int64_t interval_ns;       /* > 0; wall-clock aligned */
	int64_t loss_timeout_ns;   /* > 0 */
	int64_t gap_ns;  /* mean time between packets, sizes the window */
	uint32_t warmup; /* first packets sent but not counted (3) */
	bool align;      /* false: one single interval until session_finish() */
	uint32_t first_seq;     /* 0, except in tests of the wrap */
	unsigned flows;         /* 1..64; 0: 1 */
	bool detail;            /* percentiles and histograms of each way */
	enum voice_codec codec; /* VOICE_NONE: no R and MOS */
	int64_t jitter_buffer_ns;
	int dscp;          /* as sent, 0..63; -1: not known */
	uint64_t run_seed; /* random: run ids are made of it */
};

struct session;

/* NULL when out of memory. `epoch` goes into results (session_set_epoch). */
struct session *session_new(const struct session_params *p);
void session_free(struct session *s);
void session_set_epoch(struct session *s, uint64_t epoch);

/* The flow of the next send: they take turns. */
unsigned session_next_flow(const struct session *s);
/* The sequence number that the next accepted send on the flow carries. */
uint32_t session_next_seq(const struct session *s, unsigned flow);

/*
 * A slot scheduled at `sched` came up; opens intervals as needed. A slot that
 * was missed is told here too, and then neither sent nor failed. Every call
 * with a clock_pair also looks for a step of the wall clock against the
 * monotonic one (over 10 ms): that cuts the running interval, flagged
 * RESULT_CLOCK_STEP; the next one begins at the step.
 */
void session_slot(struct session *s, struct clock_pair sched);
/* It was sent at t1 (both clocks, user space; t1_wire as in the packet).
 * Advances the flow's sequence number, and the turn. */
void session_sent(struct session *s, unsigned flow, struct clock_pair sched,
                  struct clock_pair t1, uint64_t t1_wire);
/* The kernel's stamp of a packet that was sent, to be told before its reply.
 * One outside [T1 of the send call, now or the reply] is rejected: false.
 * nic_ns: the NIC's own clock as well, or NS_UNKNOWN; only ever compared with
 * the NIC stamp of the reply. */
bool session_tx_stamp(struct session *s, unsigned flow, uint32_t seq,
                      struct clock_pair t1, int64_t nic_ns,
                      struct clock_pair now);
/* The kernel refused it: the next flow has its turn. */
void session_send_failed(struct session *s, struct clock_pair sched);
/* Our own socket dropped n packets (SO_RXQ_OVFL): host-limited. */
void session_local_drops(struct session *s, uint32_t n);
/* A slot was withheld by the not-a-weapon rule: flags the result. */
void session_withheld(struct session *s, struct clock_pair sched);

struct session_reply {
	uint32_t seq, reflector_seq;
	uint64_t t1_wire; /* must equal the stored one */
	struct wall t2, t3;
	struct clock_pair t4;
	bool t4_is_kernel;
	int64_t t4_nic_ns; /* NIC clock; NS_UNKNOWN (0 is a value) */
	int sender_ttl;    /* -1 unknown */
	int ttl;           /* of the reply as received, -1 unknown */
	int tos;           /* of the reply as received, -1 unknown */
	/* Class of Service TLV, answered (U = 0): DSCP and ECN as received by
	 * the reflector, and the DSCP it sent the reply with; -1 unknown. */
	int fwd_dscp, fwd_ecn, reply_dscp;
	/* Follow-Up Telemetry TLV, answered: this reply corrects the T3 of
	 * the reply whose reflector_seq is follow_up_seq. */
	bool has_follow_up; /* the TLV was answered at all */
	bool follow_up;     /* it holds a stamp */
	uint32_t follow_up_seq;
	struct wall follow_up_t3;
	int64_t sender_error_ns, reflector_error_ns; /* NS_UNKNOWN */
	bool sender_synchronised, reflector_synchronised;
	bool has_bitmap;
	bool stateful;     /* the reflector says it counts for itself */
	bool duplicate;    /* it had received this packet before: a copy */
	bool t2_is_kernel; /* it says so */
	uint64_t instance_id;
	uint32_t bitmap_highest;
	uint64_t bitmap;
	uint32_t bitmap_duplicates, bitmap_received;
};

enum reply_verdict {
	REPLY_OK,
	REPLY_DUPLICATE,
	REPLY_LATE,    /* after the loss timeout, by the stamps */
	REPLY_UNKNOWN, /* never sent, or long forgotten */
	REPLY_ALTERED, /* T1 differs from the stored one: not measured */
	REPLY_N
};
const char *reply_verdict_str(enum reply_verdict v);

/* What one packet measured, for live display. NS_UNKNOWN where not known. */
struct sample {
	int64_t rtt_ns, raw_rtt_ns, fwd_ns, bwd_ns;
	int fwd_hops, bwd_hops; /* -1 unknown */
	bool counted;           /* false: warm-up */
};
/* `out` may be NULL; written for REPLY_OK only. */
enum reply_verdict session_reply(struct session *s, unsigned flow,
                                 const struct session_reply *r,
                                 struct sample *out);
/* A reflector without the private TLV was proved to count for itself (or not):
 * loss gets its direction from its sequence numbers (rule 7). */
void session_set_counting(struct session *s, bool counting);

/* The socket was drained at `now`. lost (may be NULL) is told each packet that
 * this call finds lost, with its direction so far. */
typedef void session_lost_fn(void *arg, unsigned flow, uint32_t seq);
void session_advance(struct session *s, struct clock_pair now,
                     session_lost_fn *lost, void *arg);
/* Next instant at which session_advance() has something to do. */
struct mono session_deadline(const struct session *s);
/* Closes what is open now (stop, removal): `flag` goes into results whose
 * interval is not over, and RESULT_PARTIAL into all that end up shorter;
 * packets younger than the timeout are not counted as scheduled and sent. The
 * session may go on afterwards. */
void session_finish(struct session *s, struct clock_pair now, uint32_t flag);
/* The oldest closed result; false when none. */
bool session_take(struct session *s, struct result *out);
/* News of loss runs, oldest first; the packets of *out are the caller's
 * (loss_run_clear()). src and dst are left unset. */
bool session_take_run(struct session *s, struct loss_run *out);
/* *clock_ns (unless NULL): session_clock_ns() when its result was taken, by
 * which it is dated too. */
bool session_take_revision(struct session *s, struct revision *out,
                           int64_t *clock_ns);
/* The host slept for so long: the wall clock went on, the monotonic one did
 * not. It cuts as a step does, but what was dated before was dated right. */
void session_slept(struct session *s, int64_t ns);
/* The clock by which results and runs taken now are dated: wall - monotonic,
 * as it was last told. NS_UNKNOWN before that. */
int64_t session_clock_ns(const struct session *s);

bool session_answered(const struct session *s); /* ever, in this session */
uint32_t session_outstanding(const struct session *s);

#endif
