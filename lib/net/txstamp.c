/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/net/txstamp.h"

#include "lib/base/clock_read.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Younger than the headers of our oldest system (Linux 6.12). Without it a
 * socket that reports software stamps gets a second one of each receipt. */
#define OPT_RX_FILTER (1U << 17)

#define DRAIN_BATCH 16
/* Batches of foreign messages that one drain skips. */
#define DRAIN_BATCHES_MAX 64
/* Stamps and the clocks they are judged by are read at different instants. */
#define SLACK_NS (100 * NS_PER_US)
/* A packet that was to find the kernel's ids again, and got no stamp. */
#define SYNC_TIMEOUT_NS NS_PER_S

#define ERR_CONTROL_BYTES                              \
	(CMSG_SPACE(sizeof(struct scm_timestamping)) + \
	 CMSG_SPACE(sizeof(struct timespec)) +         \
	 CMSG_SPACE(sizeof(struct in6_pktinfo)) +      \
	 CMSG_SPACE(sizeof(struct sock_extended_err) + \
	            sizeof(struct sockaddr_in6)) +     \
	 4 * CMSG_SPACE(sizeof(int)))

struct request {
	uint64_t who;
	struct mono before;
	uint32_t seq, id;
	bool used; /* ever */
	bool owed; /* no software stamp yet */
};

/* Where the kernel's ids are:
 *   SYNCED --failed--> LOST --ask--> ASKED --sent--> SENT --stamp--> SYNCED
 *                        ^             |failed         |timeout, rejected
 *                        +-------------+---------------+
 */
enum sync { SYNC_OK, SYNC_LOST, SYNC_ASKED, SYNC_SENT };

struct txstamp {
	int fd; /* borrowed */
	bool gives_ids;
	uint32_t tx_flags;
	enum sync sync;       /* SYNC_OK when the ids are ours */
	uint32_t next;        /* id */
	struct request lone;  /* SYNC_SENT: the one without an id */
	struct request *ring; /* owned */
	size_t mask, owed;
	struct txstamp_stats stats;
};

static bool
set_flags(int fd, unsigned flags)
{
	return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags,
	                  sizeof(flags)) == 0;
}

/* Does the kernel take our ids? It is asked with a socket of its own, since a
 * packet has to be sent for it: from that socket to itself. */
static bool
takes_ids(void)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr a;
	struct udp_send s = {.tos = -1,
	                     .data = (const uint8_t *)"",
	                     .stamp_flags = SOF_TIMESTAMPING_TX_SOFTWARE,
	                     .stamp_has_id = true};
	bool ok;

	if (fd < 0)
		return false;
	ok = addr_parse_ip("127.0.0.1", 0, &a) &&
	     bind(fd, &a.u.sa, a.len) == 0 &&
	     getsockname(fd, &a.u.sa, &a.len) == 0 &&
	     set_flags(fd, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
	                       SOF_TIMESTAMPING_OPT_TSONLY);
	s.dst = a;
	ok = ok && udp_send_one(fd, &s) == 0;
	(void)close(fd);
	return ok;
}

struct txstamp *
txstamp_new(int fd, unsigned flags, size_t ring, int *error)
{
	const bool hw = flags & TXSTAMP_HARDWARE;
	const unsigned report =
	    SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
	    SOF_TIMESTAMPING_OPT_TSONLY |
	    (hw ? SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_RX_HARDWARE |
	              SOF_TIMESTAMPING_OPT_TX_SWHW
	        : 0);
	struct txstamp *t;

	if (!set_flags(fd, report | OPT_RX_FILTER) && !set_flags(fd, report)) {
		*error = -errno;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (t)
		t->ring = calloc(ring, sizeof(*t->ring));
	if (!t || !t->ring) {
		free(t);
		*error = -ENOMEM;
		return NULL;
	}
	t->fd = fd;
	t->mask = ring - 1;
	t->tx_flags = SOF_TIMESTAMPING_TX_SOFTWARE |
	              (hw ? SOF_TIMESTAMPING_TX_HARDWARE : 0);
	t->gives_ids = !(flags & TXSTAMP_KERNEL_IDS) && takes_ids();
	return t;
}

void
txstamp_free(struct txstamp *t)
{
	if (!t)
		return;
	free(t->ring);
	free(t);
}

/* --- sending ------------------------------------------------------------ */

bool
txstamp_ask(struct txstamp *t, struct udp_send *s, struct mono now)
{
	s->stamp_flags = 0;
	s->stamp_has_id = false;
	if (t->sync == SYNC_SENT &&
	    mono_diff_ns(now, t->lone.before) > SYNC_TIMEOUT_NS)
		t->sync = SYNC_LOST;
	if (t->sync == SYNC_ASKED || t->sync == SYNC_SENT)
		return false;
	if (t->sync == SYNC_LOST)
		t->sync = SYNC_ASKED;
	s->stamp_flags = t->tx_flags;
	s->stamp_has_id = t->gives_ids;
	if (t->gives_ids)
		s->stamp_id = t->next++;
	return true;
}

static void
remember(struct txstamp *t, struct request r, uint32_t id)
{
	struct request *slot = &t->ring[id & t->mask];

	t->owed += !slot->owed; /* the one that is forgotten owes no more */
	r.id = id;
	*slot = r;
}

void
txstamp_sent(struct txstamp *t, const struct udp_send *s, struct mono before,
             uint64_t who, uint32_t seq)
{
	const struct request r = {.who = who,
	                          .before = before,
	                          .seq = seq,
	                          .used = true,
	                          .owed = true};

	t->stats.asked++;
	if (t->sync == SYNC_OK) {
		remember(t, r, t->gives_ids ? s->stamp_id : t->next++);
		return;
	}
	t->lone = r;
	t->sync = SYNC_SENT;
}

void
txstamp_failed(struct txstamp *t, const struct udp_send *s)
{
	if (s->stamp_flags && !t->gives_ids)
		t->sync = SYNC_LOST;
}

/* --- what comes back ---------------------------------------------------- */

struct stamp {
	uint32_t id;
	bool is_stamp; /* neither an ICMP error nor another kind of stamp */
	struct scm_timestamping ts;
};

static void
read_error(const struct cmsghdr *cm, struct stamp *out)
{
	struct sock_extended_err ee;

	if (cm->cmsg_len < CMSG_LEN(sizeof(ee)))
		return;
	memcpy(&ee, CMSG_DATA(cm), sizeof(ee));
	out->id = ee.ee_data;
	out->is_stamp = ee.ee_origin == SO_EE_ORIGIN_TIMESTAMPING &&
	                ee.ee_errno == ENOMSG && ee.ee_info == SCM_TSTAMP_SND;
}

static bool
read_stamp(struct msghdr *h, struct stamp *out)
{
	bool has_time = false;

	memset(out, 0, sizeof(*out));
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm;
	     cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level == SOL_SOCKET &&
		    cm->cmsg_type == SO_TIMESTAMPING &&
		    cm->cmsg_len >= CMSG_LEN(sizeof(out->ts))) {
			memcpy(&out->ts, CMSG_DATA(cm), sizeof(out->ts));
			has_time = true;
		} else if ((cm->cmsg_level == IPPROTO_IP &&
		            cm->cmsg_type == IP_RECVERR) ||
		           (cm->cmsg_level == IPPROTO_IPV6 &&
		            cm->cmsg_type == IPV6_RECVERR)) {
			read_error(cm, out);
		}
	}
	return has_time && out->is_stamp;
}

static bool
is_set(struct timespec ts)
{
	return ts.tv_sec != 0 || ts.tv_nsec != 0;
}

/* Whose stamp it is, or NULL. */
static struct request *
request_of(struct txstamp *t, uint32_t id)
{
	struct request *r = &t->ring[id & t->mask];

	if (r->used && r->id == id)
		return r;
	if (t->sync != SYNC_SENT || (int32_t)(id - t->next) < 0)
		return NULL;
	/* the only one that can have a number that high */
	t->next = id + 1;
	t->sync = SYNC_OK;
	t->stats.resyncs++;
	remember(t, t->lone, id);
	return r;
}

/* The kernel's ids and ours differ after all. */
static void
lose_sync(struct txstamp *t)
{
	if (t->gives_ids)
		return;
	for (size_t i = 0; i <= t->mask; i++)
		t->ring[i].used = t->ring[i].owed = false;
	t->owed = 0;
	t->sync = SYNC_LOST;
}

static bool
take_stamp(struct txstamp *t, const struct stamp *st, struct clock_pair now,
           struct tx_event *out)
{
	struct request *r = request_of(t, st->id);
	struct tx_event e = {.nic_ns = NS_UNKNOWN};

	if (!r) {
		t->stats.unknown++;
		return false;
	}
	e.who = r->who;
	e.seq = r->seq;
	if (is_set(st->ts.ts[2]))
		e.nic_ns =
		    st->ts.ts[2].tv_sec * NS_PER_S + st->ts.ts[2].tv_nsec;
	if (is_set(st->ts.ts[0])) {
		t->owed -= r->owed;
		r->owed = false;
		e.software = true;
		e.wall = clock_wall_from_kernel(st->ts.ts[0]);
		e.mono = wall_to_mono(e.wall, now);
		if (mono_diff_ns(e.mono, r->before) < -SLACK_NS ||
		    mono_diff_ns(e.mono, now.mono) > SLACK_NS) {
			t->stats.rejected++;
			lose_sync(t);
			return false;
		}
		if (mono_diff_ns(e.mono, now.mono) > 0)
			e.mono = now.mono;
		t->stats.stamped++;
	}
	*out = e;
	return e.software || e.nic_ns != NS_UNKNOWN;
}

struct err_slot {
	_Alignas(struct cmsghdr) uint8_t bytes[ERR_CONTROL_BYTES];
};

/* Up to `max` messages: true when there may be more. */
static bool
read_queue(int fd, struct stamp *out, int max, int *n_stamps)
{
	struct mmsghdr msg[DRAIN_BATCH];
	struct err_slot control[DRAIN_BATCH];
	const int want = max < DRAIN_BATCH ? max : DRAIN_BATCH;
	int n, got = 0;

	for (int i = 0; i < want; i++)
		msg[i].msg_hdr =
		    (struct msghdr){.msg_control = control[i].bytes,
		                    .msg_controllen = sizeof(control[i])};
	n = recvmmsg(fd, msg, (unsigned)want, MSG_ERRQUEUE | MSG_DONTWAIT,
	             NULL);
	for (int i = 0; i < n; i++)
		got += read_stamp(&msg[i].msg_hdr, &out[got]);
	*n_stamps = got;
	return n == want; /* there may be more */
}

int
txstamp_drain(struct txstamp *t, struct tx_event *out, int max)
{
	int n = 0;
	bool more = max > 0;

	for (int i = 0; more && n < max && i < DRAIN_BATCHES_MAX; i++) {
		struct stamp stamp[DRAIN_BATCH];
		struct clock_pair now;
		int got;

		more = read_queue(t->fd, stamp, max - n, &got);
		if (got == 0)
			continue;
		now = clock_now();
		for (int k = 0; k < got; k++)
			n += take_stamp(t, &stamp[k], now, &out[n]);
	}
	return n;
}

void
txstamp_join_nic(struct tx_event *e, int n)
{
	for (int i = 0; i < n; i++) {
		if (e[i].software || e[i].nic_ns == NS_UNKNOWN)
			continue;
		/* it is made later than the software's */
		for (int k = i - 1; k >= 0; k--) {
			if (e[k].software && e[k].who == e[i].who &&
			    e[k].seq == e[i].seq) {
				e[k].nic_ns = e[i].nic_ns;
				break;
			}
		}
	}
}

bool
txstamp_pending(const struct txstamp *t)
{
	return t->owed > 0 || t->sync == SYNC_SENT;
}

bool
txstamp_gives_ids(const struct txstamp *t)
{
	return t->gives_ids;
}

const struct txstamp_stats *
txstamp_stats(const struct txstamp *t)
{
	return &t->stats;
}
