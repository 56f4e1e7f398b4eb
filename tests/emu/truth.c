/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring has one producer and one consumer: `head` is written by the
 * former only, `tail` by the latter only. The consumer looks every 5 ms
 * instead of being woken: a wake-up would cost the producer a system call.
 */
#include "tests/emu/truth.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING (1U << 16) /* records: 3 s at 20,000 packets/s; power of 2 */
#define LOOK_NS (5 * NS_PER_MS)
#define LINE_OCTETS 512

struct slot {
	bool is_note;
	struct wall at; /* of a note */
	union {
		struct truth_rec rec;
		char note[TRUTH_NOTE];
	} u;
};

struct truth {
	const struct netconf *net; /* borrowed */
	FILE *file;                /* owned; the thread's until joined */
	struct slot *ring;         /* owned */
	_Atomic uint32_t head, tail;
	atomic_bool stop;
	int64_t missing; /* producer's */
	int write_errno; /* the thread's until joined */
	pthread_t thread;
};

int
truth_format(const struct truth_rec *r, const struct netconf *net, char *out,
             size_t size)
{
	static const char digit[] = "0123456789abcdef";
	char hex[2 * FRAME_PAYLOAD + 1] = "-";
	const bool sent = r->fate <= FATE_REORDERED;

	for (size_t i = 0; i < r->payload_octets; i++) {
		hex[2 * i] = digit[r->payload[i] >> 4];
		hex[2 * i + 1] = digit[r->payload[i] & 15];
		hex[2 * i + 2] = '\0';
	}
	return snprintf(
	    out, size,
	    "%lld %s %s %llu %s %lld %lld %lld %u %u %u %u %u %u %u %u %u %u "
	    "%s\n",
	    (long long)r->in.ns, net->site[r->src], net->site[r->dst],
	    (unsigned long long)r->index, fate_name(r->fate),
	    (long long)r->release.ns, (long long)(sent ? r->nominal.ns : 0),
	    (long long)(sent ? r->send_ns : 0), r->f.version, r->f.proto,
	    r->f.sport, r->f.dport, r->f.ip_octets, r->f.dscp, r->dscp_out,
	    r->f.ttl, r->ttl_out, r->overtaken, hex);
}

static void
write_slot(struct truth *t, const struct slot *s)
{
	char line[LINE_OCTETS];
	int n;

	if (s->is_note)
		n = snprintf(line, sizeof(line), "# %lld %s\n",
		             (long long)s->at.ns, s->u.note);
	else
		n = truth_format(&s->u.rec, t->net, line, sizeof(line));
	if (fwrite(line, 1, (size_t)n, t->file) != (size_t)n)
		t->write_errno = errno;
}

static void
drain(struct truth *t)
{
	const uint32_t head =
	    atomic_load_explicit(&t->head, memory_order_acquire);
	uint32_t tail = atomic_load_explicit(&t->tail, memory_order_relaxed);

	if (tail == head)
		return;
	for (; tail != head; tail++) {
		write_slot(t, &t->ring[tail % RING]);
		atomic_store_explicit(&t->tail, tail + 1, memory_order_release);
	}
	if (fflush(t->file) != 0)
		t->write_errno = errno;
}

static void *
writer(void *arg)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	struct truth *t = arg;
	bool last;

	do {
		last = atomic_load(&t->stop);
		drain(t);
		if (!last)
			(void)nanosleep(&pause, NULL);
	} while (!last);
	return NULL;
}

struct truth *
truth_open(const char *path, const struct netconf *net)
{
	struct truth *t = calloc(1, sizeof(*t));
	int err = ENOMEM;

	if (!t)
		goto out;
	t->net = net;
	t->ring = calloc(RING, sizeof(*t->ring));
	if (!t->ring)
		goto out;
	t->file = fopen(path, "we");
	if (!t->file) {
		err = errno;
		goto out;
	}
	(void)fprintf(t->file,
	              "# twmesh-emu truth 1\n"
	              "# in_ns src dst index fate release_ns nominal_ns "
	              "send_ns ip proto sport dport octets dscp_in dscp_out "
	              "ttl_in ttl_out overtaken payload\n");
	err = pthread_create(&t->thread, NULL, writer, t);
	if (err == 0)
		return t;
	(void)fclose(t->file);
out:
	if (t)
		free(t->ring);
	free(t);
	errno = err;
	return NULL;
}

/* A free slot, or NULL (counted). */
static struct slot *
claim(struct truth *t)
{
	const uint32_t head =
	    atomic_load_explicit(&t->head, memory_order_relaxed);
	const uint32_t tail =
	    atomic_load_explicit(&t->tail, memory_order_acquire);

	if (head - tail == RING) {
		t->missing++;
		return NULL;
	}
	return &t->ring[head % RING];
}

static void
publish(struct truth *t)
{
	atomic_fetch_add_explicit(&t->head, 1, memory_order_release);
}

void
truth_add(struct truth *t, const struct truth_rec *r)
{
	struct slot *s = t ? claim(t) : NULL;

	if (!s)
		return;
	s->is_note = false;
	s->u.rec = *r;
	publish(t);
}

void
truth_note(struct truth *t, struct wall at, const char *fmt, ...)
{
	struct slot *s = t ? claim(t) : NULL;
	va_list ap;

	if (!s)
		return;
	s->is_note = true;
	s->at = at;
	va_start(ap, fmt);
	(void)vsnprintf(s->u.note, sizeof(s->u.note), fmt, ap);
	va_end(ap);
	publish(t);
}

int64_t
truth_close(struct truth *t)
{
	int64_t result;

	if (!t)
		return 0;
	atomic_store(&t->stop, true);
	(void)pthread_join(t->thread, NULL);
	(void)fprintf(t->file, "# end missing=%lld\n", (long long)t->missing);
	if (fclose(t->file) != 0)
		t->write_errno = errno;
	result = t->write_errno ? -t->write_errno : t->missing;
	free(t->ring);
	free(t);
	return result;
}
