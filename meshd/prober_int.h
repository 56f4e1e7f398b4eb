/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the prober; only its own thread touches what is here, except where
 * prober.h says otherwise.
 *
 *   prober.c        the thread: its loop, plans in, results out
 *   prober_table.c  what is probed: classes, peers, probes, plan changes
 *   prober_io.c     sockets: sending a slot, draining replies
 *   prober_sched.c  the heap of due slots
 *   prober_count.c  whether a target counts for itself
 *
 * A probe is one session: (peer, class). Its slots lie on an absolute
 * schedule; the earliest due is on top of the heap. Replies are not waited
 * for: the kernel stamps them, so the sockets are drained every few
 * milliseconds, which saves a wake-up per packet. After a drain, a slice of
 * the probes is advanced: packets time out, intervals close, results go out.
 */
#ifndef TWMESH_MESHD_PROBER_INT_H
#define TWMESH_MESHD_PROBER_INT_H

#include "lib/base/log.h"
#include "lib/base/rng.h"
#include "lib/net/txstamp.h"
#include "lib/net/udp.h"
#include "lib/stats/session.h"
#include "meshd/prober.h"

#include <pthread.h>

#define FLOWS_MAX 64

/* One test socket: class, flow and family. */
struct test_sock {
	struct probe_class *class_; /* borrowed: its owner */
	int fd;                     /* owned; -1: could not be opened */
	int family;
	unsigned flow;
	uint32_t flow_label; /* IPv6, of all its packets; 0: the kernel's */
	struct txstamp *tx;  /* owned; NULL: the kernel makes no stamps */
	bool tx_told;        /* a log line said that none arrive */
	uint32_t drops;      /* SO_RXQ_OVFL as last told */
};

struct probe_class {
	struct probe_class *next;
	struct roster_class conf;
	unsigned port_index; /* of its first flow, over the port base */
	unsigned flows;
	struct test_sock v4[FLOWS_MAX], v6[FLOWS_MAX]; /* by flow */
	double phase; /* of the latest probe's slots, in gaps */
	size_t probes;
	bool wanted; /* by the plan that is being applied */
};

/* An address and what it owes us: rule 24 holds for the address, whatever
 * number of sessions point there. On loopback, where whole meshes are tried
 * out, the port counts too. */
struct peer {
	struct peer *next;
	struct addr addr;
	size_t probes;
	size_t unanswered;     /* probes that it has not answered */
	struct mono last_sent; /* by such a probe */
};

enum counts { COUNTS_UNKNOWN, COUNTS_YES, COUNTS_NOT };

struct probe {
	struct probe *hash_next;
	struct session *session;    /* owned */
	struct probe_class *class_; /* borrowed */
	struct peer *peer;          /* borrowed */
	uint32_t node_id;
	enum node_kind kind; /* a target's packets are plainer and fewer */
	int64_t gap_ns; /* mean time between packets: the class's, or more */
	enum counts counts; /* of a target: proved for itself? */
	struct addr dst;
	struct addr local; /* where the latest reply came; len 0: none did */
	uint16_t ssid;
	bool answered, wanted;
	bool ending;           /* removed by a plan; out of heap and table */
	struct mono due;       /* of the next slot */
	struct mono last_sent; /* valid when sent_any */
	struct mono heard;     /* last answer, or start */
	bool sent_any;
	size_t heap_at, table_at;
	uint64_t who; /* of its transmit stamps: see struct probe_slot */
};

/*
 * Transmit stamps come back after the packet, perhaps after its probe. So they
 * carry no pointer but the number of a slot and the serial number of who held
 * it: serial << 32 | slot.
 */
struct probe_slot {
	struct probe *probe; /* borrowed; NULL: free */
	uint32_t serial;
};

/* A binary heap by due time. The times lie in the heap itself: probes are far
 * apart in memory, and a dozen are compared per send. */
struct sched_item {
	struct mono due;     /* the probe's, as it was at push or move */
	struct probe *probe; /* borrowed */
};
struct sched {
	struct sched_item *v; /* owned array */
	size_t n, cap;
};
bool sched_push(struct sched *h, struct probe *p)
    __attribute__((warn_unused_result));
void sched_remove(struct sched *h, struct probe *p);
/* p's due time became later (or earlier). */
void sched_move(struct sched *h, struct probe *p);
static inline struct probe *
sched_top(const struct sched *h)
{
	return h->n ? h->v[0].probe : NULL;
}

#define PROBE_HASH 4096U /* power of two */

struct held_list {
	struct letter *head, **tail; /* owned result letters, oldest first */
	size_t n;
};

struct prober {
	/* shared with the main thread */
	struct prober_opts opts; /* constant */
	pthread_t thread;
	bool started, joined; /* main thread's */
	struct mailbox *plans, *results;
	int stop_fd;
	_Atomic bool stop;
	struct prober_stats stats;

	/* the prober thread's own */
	int epoll_fd;
	struct udp_rx *rx;
	struct rng rng;
	struct hash_key key;
	uint64_t epoch;
	struct probe_class *classes; /* owned */
	struct peer *peers;          /* owned */
	struct probe **table;        /* owned array, owned probes */
	size_t table_n, table_cap;
	struct probe **ending; /* owned array, owned probes: removed by a plan,
	                        * to be finished in slices */
	size_t ending_n, ending_cap;
	struct count *counts; /* owned: throwaway sessions under way */
	struct probe *hash[PROBE_HASH];
	struct probe_slot *slot; /* owned array */
	size_t slot_n, slot_cap; /* used so far */
	uint32_t serial;         /* of the latest */
	struct sched sched;
	uint64_t ssid_used[1024]; /* bits */
	struct held_list held;
	size_t sweep_at, sweep_left; /* next probe; how many have their turn */
	struct mono last_sweep, last_drain, last_second, send_not_before;
	int64_t slept_ns;         /* the host, as the sessions know it */
	struct clock_pair before; /* read at the last drain */
	struct clock_quality quality;
	struct log_limit send_limit, hold_limit;
};

/* prober_table.c */
void table_apply(struct prober *p, const struct plan *plan,
                 struct clock_pair now);
struct probe *table_find(struct prober *p, const struct probe_class *c,
                         const struct addr *src, uint16_t ssid);
/* Whose stamp it is; NULL when the probe is gone. */
struct probe *table_by_who(const struct prober *p, uint64_t who);
/* Finishes, hands over the results and frees a removed probe. */
void table_end_some(struct prober *p, struct clock_pair now, size_t max);
void table_release(struct prober *p);
void probe_answered(struct probe *pr, struct mono now);

/* prober_io.c */
void io_open_sock(struct prober *p, struct probe_class *c, unsigned flow,
                  int family);
void io_close_class(struct probe_class *c);
/* The slot that is due of the probe: sent at `at`, which is waited for, or
 * withheld; and the next one becomes due. */
void io_slot(struct prober *p, struct probe *pr, struct mono at);
/* Tells slots that are too late to be sent; at most `max` of them. */
void io_skip_missed(struct prober *p, struct probe *pr, struct clock_pair now,
                    unsigned max);
void io_drain(struct prober *p);
/* Says so once of each socket whose transmit stamps do not arrive. */
void io_check_stamps(struct prober *p);

/* The address that the probe sends from on the flow, if it can be told. */
struct addr io_source(struct prober *p, const struct probe *pr, unsigned flow);

/* The source address of the family, port 0. */
struct addr io_source_any(const struct prober *p, int family);

/* prober_count.c */
/* Begins to ask; the session itself begins COUNT_LEAD_NS later. */
#define COUNT_LEAD_NS (4 * NS_PER_S)
void count_start(struct prober *p, struct probe *pr, struct mono now);
/* Reads answers and sends what is due. */
void count_turn(struct prober *p, struct mono now);
void count_forget(struct prober *p, const struct probe *pr);

/* prober.c */
/* Hands over all that its session has to tell. */
void prober_deliver(struct prober *p, struct probe *pr);

#endif
