/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop, in a turn:
 *   the clock and its quality once a second, plans as they come;
 *   the earliest slot if it is due and the minimum gap has passed;
 *   every DRAIN_NS: drain the sockets;
 *   one of the probes whose turn it is: tell it that time passed until the
 *     instant before the drain, and hand over its results;
 *   sleep until whatever is next.
 * Only the slot must be on time, so the others wait while it is near. They are
 * cut into pieces that are short beside the time between two sends: closing
 * 1,000 aligned intervals at once would hold up sends for 50 ms.
 */
#include "meshd/prober.h"

#include "lib/base/clock_read.h"
#include "lib/twamp/testpkt.h"
#include "meshd/prober_int.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_NS (1 * NS_PER_MS)
#define DRAIN_MAX_NS (5 * NS_PER_MS) /* 256 packets hold 50,000 packets/s */
#define NEAR_NS (50 * NS_PER_US)     /* a send so soon is waited for */
#define TICK_NS                                                                \
	(50 * NS_PER_MS)           /* the longest sleep while there are probes \
	                            */
#define SWEEP_NS (250 * NS_PER_MS) /* each probe is advanced so often */
#define END_SLICE 1                /* removed probes finished per drain */
#define SPIN_NS (50 * NS_PER_US)   /* precise: awake so long before a slot */
#define SKIP_SLICE 1000            /* missed slots told per probe and turn */
#define OUTBOX_MAX 4096            /* letters; more wait in our own list */
#define HELD_MAX 20000U /* 90 MB: the main thread has been dead for long */
#define FIFO_PRIORITY 10
#define SLEEP_MIN_NS (100 * NS_PER_MS) /* of the host; less is no sleep */

/* --- results -------------------------------------------------------------- */

static void
hold(struct prober *p, struct letter *l)
{
	uint64_t more;

	if (p->held.n == HELD_MAX) {
		if (log_limit_ok(&p->hold_limit, clock_mono(), &more))
			log_error("prober: %u results wait for the main "
			          "thread: one lost (%" PRIu64 " more)",
			          HELD_MAX, more);
		prober_letter_free(l);
		return;
	}
	l->next = NULL;
	*p->held.tail = l;
	p->held.tail = &l->next;
	p->held.n++;
	atomic_fetch_add_explicit(&p->stats.results_held, 1,
	                          memory_order_relaxed);
}

/* What waited goes first. */
static void
hand_over_held(struct prober *p, size_t outbox_max)
{
	while (p->held.head && mailbox_count(p->results) < outbox_max) {
		struct letter *l = p->held.head, *next = l->next;

		if (!mailbox_put(p->results, l))
			return;
		p->held.head = next;
		if (!next)
			p->held.tail = &p->held.head;
		p->held.n--;
	}
}

static void
hand_over(struct prober *p, struct letter *l)
{
	if (p->held.head || mailbox_count(p->results) >= OUTBOX_MAX ||
	    !mailbox_put(p->results, l))
		hold(p, l);
}

/* The clock that dates what its session gives. */
static int64_t
without_sleep(int64_t clock_ns)
{
	return clock_ns == NS_UNKNOWN ? NS_UNKNOWN
	                              : clock_ns - clock_slept_ns();
}

static void
deliver_results(struct prober *p, struct probe *pr)
{
	struct result_letter *l;
	struct result r;

	while (session_take(pr->session, &r)) {
		l = malloc(sizeof(*l));
		if (!l) {
			log_error("prober: no memory for a result: lost");
			continue;
		}
		l->kind = LETTER_RESULT;
		l->clock_ns = without_sleep(session_clock_ns(pr->session));
		l->result = r;
		atomic_fetch_add_explicit(&p->stats.results, 1,
		                          memory_order_relaxed);
		hand_over(p, &l->letter);
	}
}

static void
deliver_runs(struct prober *p, struct probe *pr)
{
	struct run_letter *l;
	struct loss_run run;

	while (session_take_run(pr->session, &run)) {
		l = malloc(sizeof(*l));
		if (!l) {
			log_error("prober: no memory for a loss run: lost");
			loss_run_clear(&run);
			continue;
		}
		run.src = io_source(p, pr, run.first_flow);
		run.dst = pr->dst;
		*l = (struct run_letter){
		    .kind = LETTER_RUN,
		    .clock_ns = without_sleep(session_clock_ns(pr->session)),
		    .run = run};
		hand_over(p, &l->letter);
	}
}

static void
deliver_revisions(struct prober *p, struct probe *pr)
{
	struct revision_letter *l;
	struct revision r;
	int64_t clock_ns;

	while (session_take_revision(pr->session, &r, &clock_ns)) {
		l = malloc(sizeof(*l));
		if (!l) {
			log_error("prober: no memory for a revision: lost");
			continue;
		}
		*l = (struct revision_letter){.kind = LETTER_REVISION,
		                              .clock_ns =
		                                  without_sleep(clock_ns),
		                              .revision = r};
		hand_over(p, &l->letter);
	}
}

void
prober_deliver(struct prober *p, struct probe *pr)
{
	deliver_results(p, pr);
	deliver_runs(p, pr);
	deliver_revisions(p, pr);
}

/* --- the loop --------------------------------------------------------------
 */

static void
take_plan(struct prober *p)
{
	struct letter *l = mailbox_take_all(p->plans);

	while (l) {
		struct letter *next = l->next;
		struct plan *plan = (struct plan *)(void *)l;

		if (!next)
			table_apply(p, plan, clock_now());
		plan_free(plan);
		l = next;
	}
}

static void
each_second(struct prober *p, struct mono now)
{
	if (mono_diff_ns(now, p->last_second) < NS_PER_S)
		return;
	p->last_second = now;
	clock_test_poll();
	io_check_stamps(p);
	p->quality = clock_quality_read(p->opts.clock_error_floor_ns);
	atomic_store_explicit(&p->stats.clock_synchronised,
	                      p->quality.synchronised, memory_order_relaxed);
	atomic_store_explicit(&p->stats.clock_max_error_ns,
	                      p->quality.max_error_ns, memory_order_relaxed);
}

/* The instant of the next send, if any. */
static bool
next_send(const struct prober *p, struct mono *at)
{
	const struct probe *top = sched_top(&p->sched);

	if (!top)
		return false;
	*at = mono_diff_ns(top->due, p->send_not_before) > 0
	          ? top->due
	          : p->send_not_before;
	return true;
}

static bool
send_is_near(const struct prober *p, struct mono now)
{
	struct mono at;

	return next_send(p, &at) && mono_diff_ns(at, now) < NEAR_NS;
}

/* More probes have their turn: so many as keep each at one visit per
 * SWEEP_NS. */
static void
add_to_sweep(struct prober *p, struct mono now)
{
	const int64_t passed = mono_diff_ns(now, p->last_sweep);
	const size_t n = p->table_n;
	const size_t share =
	    passed >= SWEEP_NS ? n : n * (size_t)passed / SWEEP_NS;

	if (share == 0 && n > 0)
		return; /* later, for a whole one */
	p->last_sweep = now;
	p->sweep_left += share;
	if (p->sweep_left > n)
		p->sweep_left = n;
}

static void
drain(struct prober *p)
{
	const struct clock_pair now = clock_now();

	io_drain(p);
	p->last_drain = now.mono;
	p->before = now;
	add_to_sweep(p, now.mono);
	if (p->counts)
		count_turn(p, now.mono);
	table_end_some(p, now, END_SLICE);
	hand_over_held(p, OUTBOX_MAX);
	if (mailbox_count(p->plans) > 0)
		take_plan(p);
}

static bool
drain_is_due(const struct prober *p, struct mono now)
{
	const int64_t passed = mono_diff_ns(now, p->last_drain);

	return passed >= DRAIN_MAX_NS ||
	       (passed >= DRAIN_NS && !send_is_near(p, now));
}

/* One probe whose turn it is. False when there is none, or not now: a quarter
 * of all in arrears is too much to let sends go first. */
static bool
sweep_one(struct prober *p)
{
	struct probe *pr;

	if (p->sweep_left == 0 || (p->sweep_left <= p->table_n / 4 + 1 &&
	                           send_is_near(p, clock_mono())))
		return false;
	p->sweep_left--;
	if (p->table_n == 0)
		return false;
	if (p->sweep_at >= p->table_n)
		p->sweep_at = 0;
	pr = p->table[p->sweep_at++];
	io_skip_missed(p, pr, p->before, SKIP_SLICE);
	if (mono_diff_ns(p->before.mono, pr->due) > TICK_NS)
		return true; /* it has slots to tell first */
	session_advance(pr->session, p->before, NULL, NULL);
	prober_deliver(p, pr);
	return true;
}

static void
send_due(struct prober *p)
{
	struct probe *top = sched_top(&p->sched);
	struct clock_pair now;
	struct mono at;

	if (!next_send(p, &at))
		return;
	now = clock_now();
	if (mono_diff_ns(at, now.mono) > (p->opts.precise ? SPIN_NS : 0))
		return;
	io_skip_missed(p, top, now, SKIP_SLICE);
	if (sched_top(&p->sched) != top ||
	    mono_diff_ns(top->due, mono_add_ns(now.mono, SPIN_NS)) > 0)
		return;
	io_slot(p, top, at);
}

static int64_t
sleep_ns(const struct prober *p, struct mono now)
{
	const bool busy = p->table_n > 0 || p->ending_n > 0 || p->held.head;
	int64_t ns = NS_PER_S - mono_diff_ns(now, p->last_second);
	struct mono at;

	if (busy) {
		const int64_t tick = TICK_NS - mono_diff_ns(now, p->last_drain);

		ns = tick < ns ? tick : ns;
	}
	if (next_send(p, &at)) {
		const int64_t due =
		    mono_diff_ns(at, now) - (p->opts.precise ? SPIN_NS : 0);

		ns = due < ns ? due : ns;
	}
	return ns > 0 ? ns : 0;
}

/* Only the minimum gap holds back a slot that is due: to sleep so shortly costs
 * as much as to wait, and ends late; at one send per sleep a prober that is
 * behind would never catch up. */
static bool
gap_is_all(const struct prober *p, struct mono now)
{
	const struct probe *top = sched_top(&p->sched);

	return top && mono_diff_ns(top->due, now) <= 0 &&
	       mono_diff_ns(p->send_not_before, now) <= NEAR_NS;
}

static void
wait_for_next(struct prober *p)
{
	struct pollfd fd[2] = {{mailbox_fd(p->plans), POLLIN, 0},
	                       {p->stop_fd, POLLIN, 0}};
	const struct mono now = clock_mono();
	const int64_t ns = sleep_ns(p, now);
	struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};

	/* busy: plans are looked for with each drain */
	if (ns == 0 || gap_is_all(p, now))
		return;
	(void)ppoll(fd, 2, &ts, NULL);
	if (fd[0].revents)
		take_plan(p);
}

static void
ask_for_priority(const struct prober *p)
{
	const struct sched_param sp = {.sched_priority = FIFO_PRIORITY};
	int rc;

	/* the default slack would add 50 us to every send */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (!p->opts.fifo)
		return;
	rc = pthread_setschedparam(pthread_self(), SCHED_FIFO, &sp);
	if (rc != 0)
		log_warn("prober: no SCHED_FIFO: %s; going on without",
		         strerror(rc));
}

static void
finish_all(struct prober *p)
{
	const struct clock_pair now = clock_now();

	io_drain(p);
	for (size_t i = 0; i < p->table_n; i++) {
		session_finish(p->table[i]->session, now, RESULT_PARTIAL);
		prober_deliver(p, p->table[i]);
	}
	table_end_some(p, now, SIZE_MAX);
	hand_over_held(p, SIZE_MAX);
}

/* Before any session is told the time: else it took a sleep for a step. */
static void
watch_sleep(struct prober *p)
{
	const int64_t slept_ns = clock_slept_ns();
	const int64_t more_ns = slept_ns - p->slept_ns;

	if (more_ns < SLEEP_MIN_NS)
		return;
	p->slept_ns = slept_ns;
	p->before = clock_now();
	for (size_t i = 0; i < p->table_n; i++)
		session_slept(p->table[i]->session, more_ns);
	for (size_t i = 0; i < p->ending_n; i++)
		session_slept(p->ending[i]->session, more_ns);
}

static void *
prober_main(void *arg)
{
	struct prober *p = arg;

	ask_for_priority(p);
	p->slept_ns = clock_slept_ns();
	p->before = clock_now();
	p->last_second = mono_add_ns(p->before.mono, -NS_PER_S);
	p->last_sweep = p->last_drain = p->send_not_before = p->before.mono;
	while (!atomic_load(&p->stop)) {
		const struct mono now = clock_mono();

		watch_sleep(p);
		each_second(p, now);
		send_due(p);
		if (drain_is_due(p, now))
			drain(p);
		if (!sweep_one(p))
			wait_for_next(p);
	}
	finish_all(p);
	return NULL;
}

/* --- the main thread's side -------------------------------------------------
 */

static int
prober_init(struct prober *p, const struct prober_opts *o)
{
	p->opts = *o;
	p->held.tail = &p->held.head;
	p->stats.clock_max_error_ns = NS_UNKNOWN;
	rng_seed(&p->rng, random_u64());
	random_bytes(&p->key, sizeof(p->key));
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		return -errno;
	p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->stop_fd < 0)
		return -errno;
	p->rx = udp_rx_new(TEST_BUF_MAX);
	p->plans = mailbox_new(1);
	/* the bound is OUTBOX_MAX while running; at the end all go in */
	p->results = mailbox_new(SIZE_MAX);
	return p->rx && p->plans && p->results ? 0 : -ENOMEM;
}

struct prober *
prober_start(const struct prober_opts *o, int *err)
{
	struct prober *p = calloc(1, sizeof(*p));

	if (!p) {
		*err = -ENOMEM;
		return NULL;
	}
	p->epoll_fd = p->stop_fd = -1;
	*err = prober_init(p, o);
	if (*err == 0)
		*err = -pthread_create(&p->thread, NULL, prober_main, p);
	if (*err != 0) {
		prober_free(p);
		return NULL;
	}
	p->started = true;
	return p;
}

void
prober_stop(struct prober *p)
{
	const uint64_t one = 1;

	if (!p->started || p->joined)
		return;
	atomic_store(&p->stop, true);
	(void)!write(p->stop_fd, &one, sizeof(one));
	(void)pthread_join(p->thread, NULL);
	p->joined = true;
}

static void
plan_drop(struct letter *l)
{
	plan_free((struct plan *)(void *)l);
}

void
prober_free(struct prober *p)
{
	if (!p)
		return;
	prober_stop(p);
	table_release(p);
	while (p->held.head) {
		struct letter *next = p->held.head->next;

		prober_letter_free(p->held.head);
		p->held.head = next;
	}
	mailbox_free(p->plans, plan_drop);
	mailbox_free(p->results, prober_letter_free);
	udp_rx_free(p->rx);
	if (p->epoll_fd >= 0)
		(void)close(p->epoll_fd);
	if (p->stop_fd >= 0)
		(void)close(p->stop_fd);
	free(p);
}

void
prober_set_plan(struct prober *p, struct plan *plan)
{
	while (!mailbox_put(p->plans, &plan->letter)) {
		struct letter *old = mailbox_take(p->plans);

		if (old)
			plan_drop(old);
	}
}

struct mailbox *
prober_results(struct prober *p)
{
	return p->results;
}

const struct prober_stats *
prober_stats(const struct prober *p)
{
	return &p->stats;
}

int64_t
prober_take_lateness_ns(struct prober *p)
{
	return atomic_exchange_explicit(&p->stats.lateness_max_ns, 0,
	                                memory_order_relaxed);
}
