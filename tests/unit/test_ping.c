/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twmesh ping against reflectors made here: a thread with a socket that
 * answers, drops, doubles, delays or alters as told. Loss follows a pattern,
 * never chance, so that counts are exact.
 */
#include "tools/ping.h"

#include "lib/base/clock_read.h"
#include "lib/base/metric.h"
#include "lib/net/udp.h"
#include "lib/twamp/ntp64.h"
#include "lib/twamp/testpkt.h"

#include <check.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind {
	TWMESH,     /* STAMP with the receive-bitmap TLV */
	STAMP,      /* stateless: copies TLVs with U set, and our numbers */
	COUNTER,    /* the same, with numbers of its own for each session */
	LIGHT,      /* TWAMP Light of old: base reply, no SSID */
	HATES_TLVS, /* drops what carries any */
	LIAR,       /* alters T1 */
	GARBAGE,    /* answers nonsense */
	MUTE
};

static struct {
	enum kind kind;
	uint32_t drop_fwd, drop_bwd; /* bit i: sequence number i */
	bool twice;
	int fd, stop[2];
	uint16_t port;
	pthread_t thread;
	_Atomic uint32_t got, tlvs;
	_Atomic int64_t min_gap_ns;
	_Atomic size_t shortest;
	_Atomic int tos;
	struct recv_bitmap state;
	struct {
		uint16_t port; /* 0: free */
		uint32_t next;
	} session[8];
	bool early_t3; /* 5 ms, which follow-ups tell */
	uint64_t t3;   /* true one of the latest reply */
} refl;

static uint32_t *
counter_of(uint16_t port)
{
	size_t i = 0;

	while (refl.session[i].port && refl.session[i].port != port)
		ck_assert_uint_lt(++i, 8);
	refl.session[i].port = port;
	return &refl.session[i].next;
}

static void
remember(uint32_t seq)
{
	struct recv_bitmap *b = &refl.state;
	const uint32_t ahead = seq - b->highest;

	if (b->received++ == 0) {
		b->highest = seq;
		b->bitmap = 1;
	} else if ((int32_t)ahead > 0) {
		b->bitmap = ahead < 64 ? b->bitmap << ahead | 1 : 1;
		b->highest = seq;
	}
}

static bool
has_tlv(const uint8_t *p, size_t len)
{
	return len > STAMP_BASE && p[STAMP_BASE] == TLV_FLAG_U;
}

/* The reply; its length, 0: none. */
static size_t
reflect(const struct udp_packet *pkt, uint8_t *out)
{
	struct test_reflection r = {.error_estimate = ERREST_UNKNOWN,
	                            .sender_ttl = 255,
	                            .tos = pkt->tos,
	                            .honour_dscp = true};
	uint32_t *next = counter_of(addr_port(&pkt->src));
	struct test_reflected done;
	struct test_request q;
	struct wall t3;

	if (test_request_decode(pkt->data, pkt->len, &q) != TEST_OK)
		return 0;
	if (q.seq < 32 && refl.drop_fwd >> q.seq & 1)
		return 0;
	refl.got++;
	refl.tos = pkt->tos;
	refl.tlvs += has_tlv(pkt->data, pkt->len);
	if (pkt->len < refl.shortest)
		refl.shortest = pkt->len;
	remember(q.seq);
	r.t2 = ntp64_from_wall(pkt->wall);
	t3 = clock_wall();
	r.t3 = ntp64_from_wall(refl.early_t3 ? wall_add_ns(t3, -5 * NS_PER_MS)
	                                     : t3);
	if (refl.kind == TWMESH)
		r.bitmap = &refl.state;
	r.seq = refl.kind == TWMESH || refl.kind == COUNTER ? *next : q.seq;
	if (refl.kind == MUTE ||
	    (refl.kind == HATES_TLVS && has_tlv(pkt->data, pkt->len)))
		return 0;
	++*next;
	if (q.seq < 32 && refl.drop_bwd >> q.seq & 1)
		return 0;
	if (refl.kind == GARBAGE) {
		memset(out, 0, 60);
		return q.seq % 2 ? 60 : 20;
	}
	if (pkt->len < STAMP_BASE) { /* a reflector that pads */
		uint8_t padded[STAMP_BASE] = {0};

		memcpy(padded, pkt->data, pkt->len);
		(void)test_reflect(padded, sizeof(padded), &r, out);
		return TWAMP_REFLECTOR_BASE;
	}
	done = test_reflect(pkt->data, pkt->len, &r, out);
	if (done.follow_up_at && refl.early_t3)
		test_reply_set_follow_up(out, done.follow_up_at, r.seq - 1,
		                         r.seq ? refl.t3 : 0);
	refl.t3 = ntp64_from_wall(t3);
	if (refl.kind == LIGHT)
		out[14] = out[15] = 0;
	if (refl.kind == LIAR)
		out[28] ^= 1;
	return pkt->len;
}

static void *
serve(void *arg)
{
	struct udp_rx *rx = udp_rx_new(TEST_BUF_MAX);
	struct pollfd p[2] = {{.fd = refl.fd, .events = POLLIN},
	                      {.fd = refl.stop[0], .events = POLLIN}};
	struct mono last = {0};
	static uint8_t out[TEST_BUF_MAX];
	uint32_t drops = 0;

	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		const int n = udp_rx_batch(refl.fd, rx, &drops);

		for (int i = 0; i < n; i++) {
			struct udp_packet *k = udp_rx_packet(rx, i);
			struct udp_send s = {.dst = k->src,
			                     .tos = -1,
			                     .data = out,
			                     .len = reflect(k, out)};

			if (last.ns &&
			    mono_diff_ns(k->mono, last) < refl.min_gap_ns)
				refl.min_gap_ns = mono_diff_ns(k->mono, last);
			last = k->mono;
			for (int j = 0; s.len && j < 1 + refl.twice; j++)
				(void)!udp_send_one(refl.fd, &s);
		}
	}
	udp_rx_free(rx);
	return arg;
}

static void
start(enum kind kind)
{
	const struct udp_opts uo = {.ttl = 255};
	struct sockaddr_in sin = {.sin_port = 0};
	socklen_t len = sizeof(sin);
	struct addr local;

	memset(&refl, 0, sizeof(refl));
	refl.kind = kind;
	refl.state.instance_id = 0xabcdef;
	refl.state.stateful = true;
	refl.min_gap_ns = INT64_MAX;
	refl.shortest = SIZE_MAX;
	ck_assert(addr_parse_ip("127.0.0.1", 0, &local));
	refl.fd = udp_open(&local, &uo, NULL);
	ck_assert_int_ge(refl.fd, 0);
	ck_assert_int_eq(getsockname(refl.fd, (struct sockaddr *)&sin, &len),
	                 0);
	refl.port = ntohs(sin.sin_port);
	ck_assert_int_eq(pipe(refl.stop), 0);
}

static void
go(void)
{
	ck_assert_int_eq(pthread_create(&refl.thread, NULL, serve, NULL), 0);
}

static void
stop(void)
{
	ck_assert_int_eq((int)write(refl.stop[1], "x", 1), 1);
	(void)pthread_join(refl.thread, NULL);
	(void)close(refl.fd);
	(void)close(refl.stop[0]);
	(void)close(refl.stop[1]);
}

static char *shown;
static struct ping_sum sum;

/* Runs `twmesh ping OPTIONS 127.0.0.1:PORT`; lines and summary in `shown`. */
static void
ping(const char *options)
{
	static char line[256];
	static struct ping_opts o;
	char name[] = "ping", *argv[24] = {name};
	bool done = true;
	size_t len = 0;
	int argc = 1;
	FILE *f;

	free(shown);
	shown = NULL;
	(void)snprintf(line, sizeof(line), "%s 127.0.0.1:%u", options,
	               refl.port);
	for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	optind = 0;
	ck_assert_int_eq(ping_opts_parse(&tool_ping, argc, argv, &o, &done),
	                 TOOL_GOOD);
	ck_assert(!done);
	f = open_memstream(&shown, &len);
	ck_assert_int_eq(ping_measure(&o, f, &sum), 0);
	if (o.json)
		ck_assert(ping_print_json(f, &sum));
	else
		ping_print_sum(f, &sum, false);
	(void)fclose(f);
}

#define V(m) ((long long)sum.r.v[METRIC_##m])

static unsigned
lines_with(const char *word)
{
	unsigned n = 0;

	for (const char *p = shown; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

START_TEST(test_clean_path)
{
	start(TWMESH);
	go();
	ping("-c 60 -i 4ms --loss-timeout 300ms --dscp 46");
	stop();
	ck_assert_int_eq(V(SENT), 60);
	ck_assert_int_eq(V(RECEIVED), 60);
	ck_assert_int_eq(V(LOST), 0);
	ck_assert(sum.answered && sum.is_twmesh && sum.stateful);
	ck_assert_uint_eq(sum.instance_id, 0xabcdef);
	ck_assert_int_gt(V(RTT_MIN), 0);
	ck_assert_int_le(V(RTT_MIN), V(RTT_P50));
	ck_assert_int_le(V(RTT_P50), V(RTT_P99));
	ck_assert_int_le(V(RTT_P99), V(RTT_MAX));
	ck_assert_int_lt(V(RTT_MAX), 300 * NS_PER_MS);
	ck_assert_int_eq(V(FWD_HOPS), 0);
	ck_assert_int_eq(V(BWD_HOPS), 0);
	ck_assert_int_eq(refl.tos >> 2, 46);
	ck_assert_uint_eq(lines_with("\nseq "), 60);
	ck_assert_ptr_nonnull(strstr(shown, "60 sent, 60 received, 0 lost"));
	ck_assert_int_eq(V(TX_STAMPS_MISSING), 0);
	ck_assert_ptr_nonnull(strstr(shown, "stamps    T1 kernel, "));
	ck_assert_ptr_nonnull(
	    strstr(shown, "sent 46, arrived there 46, came back 0; "));
	ck_assert_int_gt(V(BWD_REMARKED), 50); /* it answers with DSCP 0 */
	ck_assert_uint_eq(sum.run_n, 0);
	/* plain until answered, then with TLVs */
	ck_assert_uint_ge(refl.tlvs, 50);
	ck_assert_uint_lt(refl.tlvs, 60);
	ck_assert_uint_eq(refl.shortest, 128);
}
END_TEST

/* Each loss has a direction, by the reflector's own account. */
START_TEST(test_direction_of_loss)
{
	start(TWMESH);
	refl.drop_fwd = 1U << 5 | 1U << 6 | 1U << 17;
	refl.drop_bwd = 1U << 9 | 1U << 20;
	go();
	ping("-c 40 -i 5ms --loss-timeout 150ms");
	stop();
	ck_assert_int_eq(V(SENT), 40);
	ck_assert_int_eq(V(LOST), 5);
	ck_assert_int_eq(V(LOST_FWD), 3);
	ck_assert_int_eq(V(LOST_BWD), 2);
	ck_assert_int_eq(V(LOST_UNDET), 0);
	ck_assert_uint_eq(lines_with("  lost\n"), 5);
	ck_assert_ptr_nonnull(
	    strstr(shown, "5 lost (12.5 %): 3 forward, 2 backward, 0 "
	                  "undetermined"));
	ck_assert_uint_eq(sum.run_n, 0); /* none of three and more */
}
END_TEST

START_TEST(test_loss_run)
{
	start(TWMESH);
	refl.drop_fwd = 0xfU << 8;
	go();
	ping("-c 40 -i 10ms --loss-timeout 150ms");
	stop();
	ck_assert_int_eq(V(LOST_FWD), 4);
	ck_assert_uint_eq(sum.run_n, 1);
	ck_assert_uint_eq(sum.run[0].first_seq, 8);
	ck_assert_uint_eq(sum.run[0].last_seq, 11);
	ck_assert_uint_eq(sum.run[0].lost_fwd, 4);
	ck_assert_int_eq(sum.run[0].state, LOSS_RUN_CLOSED);
	ck_assert_ptr_nonnull(strstr(shown, "\nloss run  4 packets from "));
	ck_assert_ptr_nonnull(
	    strstr(shown, "(seq 8 to 11): 4 forward, 0 backward, 0 "));
	ping_sum_clear(&sum);
	ck_assert_uint_eq(sum.run_n, 0);
}
END_TEST

/* T3 as in the packet is 5 ms early; the next reply tells the true one. */
START_TEST(test_follow_up)
{
	start(TWMESH);
	refl.early_t3 = true;
	go();
	ping("-c 60 -i 10ms --loss-timeout 150ms");
	stop();
	ck_assert(V(STAMPS) & STAMPS_T3_FOLLOW_UP);
	ck_assert_int_lt(V(T3_UNCORRECTED), 10);
	ck_assert_int_lt(V(BWD_P50), 4 * NS_PER_MS);
}
END_TEST

/* A throwaway session proves that a foreign reflector counts, or does not. */
START_TEST(test_counting)
{
	static const enum kind kinds[] = {COUNTER, STAMP};

	for (size_t i = 0; i < 2; i++) {
		start(kinds[i]);
		refl.drop_fwd = 3U << 25;
		refl.drop_bwd = 1U << 30;
		go();
		ping("-c 50 -i 20ms --loss-timeout 200ms");
		stop();
		ck_assert_int_eq(V(LOST), 3);
		ck_assert_int_eq(V(LOST_FWD), kinds[i] == COUNTER ? 2 : 0);
		ck_assert_int_eq(V(LOST_BWD), kinds[i] == COUNTER ? 1 : 0);
		ck_assert_int_eq(sum.counts, kinds[i] == COUNTER
		                                 ? PING_COUNTS_YES
		                                 : PING_COUNTS_NOT);
		ck_assert_ptr_nonnull(
		    strstr(shown, kinds[i] == COUNTER
		                      ? "was seen to count for itself: the "
		                        "direction of loss is by its"
		                      : "was seen not to count for itself: "
		                        "the direction of loss is unknown"));
		/* the main session, and one throwaway session */
		ck_assert_uint_ne(refl.session[1].port, 0);
		ck_assert_uint_eq(refl.session[2].port, 0);
		ck_assert_uint_eq(refl.session[1].next,
		                  kinds[i] == COUNTER ? 4 : 3);
	}
}
END_TEST

START_TEST(test_duplicates)
{
	start(TWMESH);
	refl.twice = true;
	go();
	ping("-c 10 -i 10ms --loss-timeout 100ms");
	stop();
	ck_assert_int_eq(V(RECEIVED), 10);
	ck_assert_int_ge(V(DUPLICATES), 9); /* the last may come too late */
	ck_assert_uint_ge(lines_with("  duplicate\n"), 9);
}
END_TEST

/* Foreign reflectors: measured, but the direction of loss stays unknown. */
START_TEST(test_foreign)
{
	static const enum kind kinds[] = {STAMP, LIGHT};

	for (size_t i = 0; i < 2; i++) {
		start(kinds[i]);
		refl.drop_fwd = 1U << 3;
		go();
		ping(kinds[i] == LIGHT
		         ? "--light -c 10 -i 5ms --loss-timeout 100ms"
		         : "-c 10 -i 5ms --loss-timeout 100ms");
		stop();
		ck_assert_int_eq(V(SENT), 10);
		ck_assert_int_eq(V(RECEIVED), 9);
		ck_assert_int_eq(V(LOST_UNDET), 1);
		ck_assert(sum.answered && !sum.is_twmesh);
		ck_assert_ptr_nonnull(
		    strstr(shown, "direction of loss is unknown"));
		if (kinds[i] == LIGHT)
			ck_assert_uint_eq(refl.tlvs, 0);
	}
}
END_TEST

/* Fourteen octets, the smallest TWAMP Light request; some reflectors answer
 * with their base of 41. */
START_TEST(test_smallest)
{
	start(STAMP);
	go();
	ping("--light -s 14 -c 5 -i 5ms --loss-timeout 100ms");
	stop();
	ck_assert_int_eq(V(RECEIVED), 5);
	ck_assert_uint_eq(refl.shortest, 14);
}
END_TEST

START_TEST(test_hates_tlvs)
{
	start(HATES_TLVS);
	go();
	ping("-c 60 -i 5ms --loss-timeout 50ms");
	stop();
	ck_assert(sum.no_tlvs);
	ck_assert_int_gt(V(RECEIVED), 20);
	ck_assert_ptr_nonnull(strstr(shown, "none with STAMP TLVs"));
}
END_TEST

START_TEST(test_liar_and_garbage)
{
	start(LIAR);
	go();
	ping("-c 2 -i 5ms --loss-timeout 100ms");
	stop();
	ck_assert_uint_eq(sum.altered, 2);
	ck_assert(!sum.answered);
	ck_assert_int_eq(V(LOST), 2);
	ck_assert_ptr_nonnull(strstr(shown, "with an altered T1"));
	start(GARBAGE);
	go();
	ping("-c 2 -i 5ms --loss-timeout 100ms");
	stop();
	ck_assert_uint_eq(sum.malformed, 2);
	ck_assert_int_eq(V(LOST), 2);
}
END_TEST

/* Until it is answered, a ping is no weapon: one packet a second. */
START_TEST(test_unanswered_is_slow)
{
	const struct mono before = clock_mono();

	start(MUTE);
	go();
	ping("-c 3 -i 1ms --loss-timeout 100ms");
	stop();
	ck_assert_int_eq(V(SENT), 3);
	ck_assert_int_eq(V(LOST), 3);
	ck_assert_uint_eq(refl.got, 3);
	ck_assert_int_ge(refl.min_gap_ns, 990 * NS_PER_MS);
	ck_assert_int_ge(mono_diff_ns(clock_mono(), before), 2 * NS_PER_S);
	ck_assert_ptr_nonnull(strstr(shown, "no answer: "));
	ck_assert(!sum.answered);
}
END_TEST

START_TEST(test_poisson_sends_every_slot)
{
	start(TWMESH);
	go();
	ping("-q -c 100 -i poisson:4ms --loss-timeout 200ms");
	stop();
	ck_assert_int_eq(V(SENT), 100);
	ck_assert_int_le(V(SCHEDULED), 200); /* a stall may miss some */
	ck_assert_uint_eq(lines_with("seq "), 0);
}
END_TEST

static void *
interrupt(void *arg)
{
	(void)usleep(400000);
	(void)kill(getpid(), SIGINT);
	return arg;
}

/* Ctrl-C ends it with a summary, without waiting out the loss timeout. */
START_TEST(test_interrupt)
{
	struct mono before;
	pthread_t t;

	start(TWMESH);
	go();
	before = clock_mono();
	ck_assert_int_eq(pthread_create(&t, NULL, interrupt, NULL), 0);
	ping("-i 10ms --loss-timeout 10s");
	(void)pthread_join(t, NULL);
	stop();
	ck_assert_int_lt(mono_diff_ns(clock_mono(), before), 3 * NS_PER_S);
	ck_assert_int_gt(V(SENT), 10);
	ck_assert_int_eq(V(LOST), 0);
	ck_assert_ptr_nonnull(strstr(shown, " received, 0 lost"));
}
END_TEST

START_TEST(test_json)
{
	json_error_t e;
	json_t *j;

	start(TWMESH);
	refl.drop_bwd = 7U << 3;
	go();
	ping("-c 10 -i 5ms --loss-timeout 100ms --json");
	stop();
	j = json_loads(shown, JSON_REJECT_DUPLICATES, &e);
	ck_assert_msg(j != NULL, "%s", e.text);
	for (unsigned i = 1; i < METRIC_N; i++)
		ck_assert_ptr_nonnull(json_object_get(j, metric_info(i)->name));
	ck_assert_int_eq(json_integer_value(json_object_get(j, "sent")), 10);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "lost_bwd")), 3);
	ck_assert(json_is_null(json_object_get(j, "rtt_p99")));
	ck_assert_double_eq_tol(json_real_value(json_object_get(j, "rtt_mean")),
	                        (double)V(RTT_MEAN) / 1e6, 1e-6);
	ck_assert(json_is_true(
	    json_object_get(json_object_get(j, "reflector"), "twmesh")));
	ck_assert_str_eq(json_string_value(json_object_get(
	                     json_object_get(j, "stamp_sources"), "t1")),
	                 "kernel");
	ck_assert_uint_eq(json_array_size(json_object_get(j, "loss_runs")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(
	                     json_array_get(json_object_get(j, "loss_runs"), 0),
	                     "lost_bwd")),
	                 3);
	json_decref(j);
	ping_sum_clear(&sum);
}
END_TEST

/* -- options ----------------------------------------------------------------
 */

static int
parse(const char *options, struct ping_opts *o)
{
	static char line[256];
	char name[] = "ping", *argv[24] = {name};
	bool done;
	int argc = 1;

	(void)snprintf(line, sizeof(line), "%s", options);
	for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	optind = 0;
	return ping_opts_parse(&tool_ping, argc, argv, o, &done);
}

START_TEST(test_options)
{
	char text[ADDR_TEXT_MAX];
	struct ping_opts o;

	ck_assert_int_eq(parse("127.0.0.1", &o), TOOL_GOOD);
	ck_assert_str_eq(addr_format(&o.dst, text), "127.0.0.1:862");
	ck_assert_int_eq(o.interval_ns, 100 * NS_PER_MS);
	ck_assert_int_eq(o.loss_timeout_ns, 2 * NS_PER_S);
	ck_assert_uint_eq(o.size, 128);
	ck_assert(!o.poisson && !o.light && !o.json && !o.quiet);
	ck_assert_int_eq(o.count, 0);
	ck_assert_int_eq(parse("-6 [::1]:5 -c 3 -i poisson:10ms -s 1472 "
	                       "--dscp 63 -q --source ::1",
	                       &o),
	                 TOOL_GOOD);
	ck_assert_str_eq(addr_format(&o.dst, text), "[::1]:5");
	ck_assert(o.poisson && o.quiet);
	ck_assert_int_eq(o.interval_ns, 10 * NS_PER_MS);
	ck_assert_int_eq(parse("-i 0.5 --light -s 14 localhost", &o),
	                 TOOL_GOOD);
	ck_assert_int_eq(o.interval_ns, 500 * NS_PER_MS);
}
END_TEST

START_TEST(test_options_refused)
{
	static const char *const bad[] = {
	    "",
	    "a b",
	    "-c 0 127.0.0.1",
	    "-c -1 127.0.0.1",
	    "-c 127.0.0.1",
	    "-i 0 127.0.0.1",
	    "-i poisson: 127.0.0.1",
	    "-i 2h 127.0.0.1",
	    "-s 43 127.0.0.1",
	    "-s 13 --light 127.0.0.1",
	    "-s 8973 127.0.0.1",
	    "--dscp 64 127.0.0.1",
	    "--source x 127.0.0.1",
	    "--source ::1 127.0.0.1",
	    "-6 --source 127.0.0.1 ::1",
	    "-4 ::1",
	    "127.0.0.1:0",
	    "127.0.0.1:65536",
	    "224.0.0.1",
	    "0.0.0.0",
	    "255.255.255.255",
	    "::",
	    "ff02::1",
	    "--nonsense h",
	    "--loss-timeout 0 127.0.0.1",
	    "--loss-timeout 2m 127.0.0.1",
	};
	struct ping_opts o;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(parse(bad[i], &o) == TOOL_USAGE, "%s", bad[i]);
}
END_TEST

static void
teardown(void)
{
	free(shown);
	shown = NULL;
}

int
main(void)
{
	Suite *s = suite_create("ping");
	TCase *t = tcase_create("ping");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, test_clean_path);
	tcase_add_test(t, test_direction_of_loss);
	tcase_add_test(t, test_loss_run);
	tcase_add_test(t, test_follow_up);
	tcase_add_test(t, test_counting);
	tcase_add_test(t, test_duplicates);
	tcase_add_test(t, test_foreign);
	tcase_add_test(t, test_smallest);
	tcase_add_test(t, test_hates_tlvs);
	tcase_add_test(t, test_liar_and_garbage);
	tcase_add_test(t, test_unanswered_is_slow);
	tcase_add_test(t, test_poisson_sends_every_slot);
	tcase_add_test(t, test_interrupt);
	tcase_add_test(t, test_json);
	tcase_add_test(t, test_options);
	tcase_add_test(t, test_options_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
