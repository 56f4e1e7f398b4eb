/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflector/server.h"

#include "lib/base/clock_read.h"
#include "lib/base/log.h"
#include "lib/svc/localsock.h"
#include "lib/net/txstamp.h"
#include "lib/svc/svc.h"
#include "lib/twamp/ntp64.h"
#include "reflector/replies.h"
#include "reflector/verbs.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Batches read from one socket before the others get their turn. */
#define BATCHES_PER_TURN 16
#define LOCAL_SOCKET_MODE 0660
/* Receive buffers start a cache line further than a power of two. */
#define BUF_STRIDE (TEST_BUF_MAX + 64)
/* Transmit stamps that may be outstanding on a socket. */
#define STAMP_RING 1024
#define SIGNALS 4

struct endpoint {
	struct server *server; /* borrowed */
	struct addr local;     /* with port */
	bool wildcard;
	int fd;
	struct event *event;    /* owned */
	struct txstamp *tx;     /* owned; NULL: this kernel makes no stamps */
	uint32_t drops;         /* the kernel's running count (SO_RXQ_OVFL) */
	struct wall last_stamp; /* of the packet read last; 0: none */
};

struct server {
	struct reflect reflect;
	int64_t clock_floor_ns;
	struct endpoint ep[SERVER_ADDRESSES_MAX];
	size_t ep_n;
	struct udp_rx *rx; /* owned, shared by the endpoints */
	struct replies replies;
	struct event_base *base;    /* owned */
	struct event *second;       /* owned */
	struct event *sig[SIGNALS]; /* owned */
	struct localsock *local;    /* owned; NULL: none */
	struct log_limit drops_log, full_log, held_log, send_log, recv_log;
	uint64_t drops_seen, full_seen, held_seen; /* by on_second() */
};

/* --- packets ------------------------------------------------------------ */

/* Where and how a reply goes: back, from the address that was asked. */
static void
address_reply(const struct endpoint *ep, const struct udp_packet *p, int tos,
              struct udp_send *out)
{
	const bool link_local = addr_family(&p->src) == AF_INET6 &&
	                        IN6_IS_ADDR_LINKLOCAL(&p->src.u.v6.sin6_addr);

	out->dst = p->src;
	out->len = p->len;
	if (ep->wildcard)
		out->local = p->local;
	else
		out->local.len = 0;
	out->ifindex = link_local ? p->ifindex : 0;
	out->tos = tos ? tos : -1;
}

static struct outlet
outlet_of(const struct endpoint *ep)
{
	struct server *s = ep->server;

	return (struct outlet){ep->fd, ep->tx, &s->reflect, &s->send_log};
}

/* A full batch is what a host that is behind reads: then its replies go out
 * together. */
static void
answer_batch(struct endpoint *ep, int n)
{
	struct server *s = ep->server;
	const struct outlet o = outlet_of(ep);
	const bool together = n == UDP_BATCH;

	for (int i = 0; i < n; i++) {
		const struct udp_packet *p = udp_rx_packet(s->rx, i);
		struct udp_send out = {.stamp_flags = 0};
		struct reflected how;

		if (reflect_packet(&s->reflect, p, replies_buf(&s->replies),
		                   &how) != DROP_NONE)
			continue;
		address_reply(ep, p, how.tos, &out);
		replies_add(&s->replies, &o, &out, &how, together);
	}
	replies_flush(&s->replies, &o, together);
}

/* Did this host keep up? The oldest packet of a batch comes first. */
static void
watch_host(struct endpoint *ep, int n, uint32_t drops)
{
	struct server *s = ep->server;
	struct stalls *stalls = &s->reflect.stalls;
	const struct clock_pair now = udp_rx_clock(s->rx);
	uint64_t *count = s->reflect.counters.count;

	if (drops != ep->drops) {
		const uint32_t more = drops - ep->drops; /* modulo 2^32 */

		count[COUNT_KERNEL_DROPS] += more;
		stalls_on_drops(stalls, more, ep->last_stamp,
		                udp_rx_packet(s->rx, 0)->wall, now.wall);
		ep->drops = drops;
	}
	for (int i = 0; i < n; i++) {
		const struct udp_packet *p = udp_rx_packet(s->rx, i);

		if (p->stamp != STAMP_KERNEL ||
		    !stalls_on_packet(stalls, p->wall, now))
			break;
		count[COUNT_HELD]++;
	}
	ep->last_stamp = udp_rx_packet(s->rx, n - 1)->wall;
}

/* Packets, or stamps in the error queue, or both. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *ep = arg;
	struct server *s = ep->server;
	const struct outlet o = outlet_of(ep);

	(void)what;
	if (ep->tx && txstamp_pending(ep->tx))
		replies_take_stamps(&o);
	for (int i = 0; i < BATCHES_PER_TURN; i++) {
		uint32_t drops = ep->drops;
		const int n = udp_rx_batch(fd, s->rx, &drops);
		uint64_t held;

		if (n < 0 && log_limit_ok(&s->recv_log, clock_mono(), &held))
			log_warn("receiving: %s (and %" PRIu64 " times before)",
			         strerror(-n), held);
		if (n <= 0) {
			/* what else woke us up must not do so for ever */
			if (i == 0 && ep->tx)
				replies_take_stamps(&o);
			break;
		}
		watch_host(ep, n, drops);
		answer_batch(ep, n);
		if (n < UDP_BATCH)
			break;
	}
}

/* --- the clock, and what is said once in a while ------------------------ */

static void
tell(struct log_limit *l, uint64_t now, uint64_t *seen, struct mono at,
     const char *what)
{
	uint64_t held;

	if (now == *seen || !log_limit_ok(l, at, &held))
		return;
	log_warn("%" PRIu64 " %s", now - *seen, what);
	*seen = now;
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	const uint64_t *count = s->reflect.counters.count;
	const struct mono now = clock_mono();

	(void)fd;
	(void)what;
	clock_test_poll();
	stalls_on_second(&s->reflect.stalls, clock_now());
	s->reflect.error_estimate =
	    errest_encode(clock_quality_read(s->clock_floor_ns), false);
	if (s->reflect.sessions)
		s->reflect.counters.count[COUNT_EXPIRED] +=
		    rsession_expire(s->reflect.sessions, now);
	tell(&s->drops_log, count[COUNT_KERNEL_DROPS], &s->drops_seen, now,
	     "packets were lost for want of receive buffer (this host's fault, "
	     "not the network's)");
	tell(&s->held_log, count[COUNT_HELD], &s->held_seen, now,
	     "packets were read over 100 ms after they arrived (this host's "
	     "fault, not the network's)");
	tell(&s->full_log, count[COUNT_TABLE_FULL], &s->full_seen, now,
	     "requests were answered without state: the session table is full "
	     "(session_max)");
}

static void
log_counters(const struct server *s)
{
	const struct counters *c = &s->reflect.counters;
	char line[512];
	size_t at = 0;

	log_info("received %" PRIu64 ", replied %" PRIu64 " (stateless %" PRIu64
	         ", table full %" PRIu64 "), duplicates %" PRIu64
	         ", sessions %zu (opened %" PRIu64 ", expired %" PRIu64
	         ", evicted %" PRIu64 ")",
	         c->count[COUNT_RECEIVED], c->count[COUNT_REPLIES],
	         c->count[COUNT_STATELESS], c->count[COUNT_TABLE_FULL],
	         c->count[COUNT_DUPLICATES],
	         s->reflect.sessions ? rsession_count(s->reflect.sessions)
	                             : (size_t)0,
	         c->count[COUNT_OPENED], c->count[COUNT_EXPIRED],
	         c->count[COUNT_EVICTED]);
	for (unsigned i = DROP_NONE + 1; i < DROP_N; i++) {
		const int n =
		    snprintf(line + at, sizeof(line) - at, ", %s %" PRIu64,
		             drop_str((enum drop)i), c->drop[i]);

		if (n < 0 || (size_t)n >= sizeof(line) - at)
			break;
		at += (size_t)n;
	}
	log_info("dropped %" PRIu64 " (%s), kernel drops %" PRIu64
	         ", held %" PRIu64 ", send failed %" PRIu64
	         ", user stamps %" PRIu64 ", follow-ups %" PRIu64,
	         counters_dropped(c), at ? line + 2 : "",
	         c->count[COUNT_KERNEL_DROPS], c->count[COUNT_HELD],
	         c->count[COUNT_SEND_FAILED], c->count[COUNT_USER_STAMPS],
	         c->count[COUNT_FOLLOW_UPS]);
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	if (sig == SIGUSR1) {
		log_counters(s);
		return;
	}
	if (sig == SIGHUP) {
		log_warn("nothing can be reloaded: restart to change the "
		         "configuration");
		return;
	}
	svc_notify("STOPPING=1");
	log_info("stopping (%s)", sig == SIGTERM ? "SIGTERM" : "SIGINT");
	(void)event_base_loopbreak(s->base);
}

/* --- opening ------------------------------------------------------------ */

static const char *
advice(int error, uint16_t port)
{
	switch (-error) {
	case EACCES:
	case EPERM:
		return port < 1024
		           ? "ports below 1024 need CAP_NET_BIND_SERVICE "
		             "(root, "
		             "or the systemd unit); for a trial: --port 8862"
		           : "forbidden by this system";
	case EADDRINUSE:
		return "another program, perhaps another reflector, has this "
		       "port, or the address is listed twice or beside its "
		       "wildcard; see --port and --address";
	case EADDRNOTAVAIL:
		return "no interface of this host has that address; see "
		       "--address";
	case EAFNOSUPPORT:
		return "this kernel does not speak that protocol; see "
		       "--address";
	default:
		return "see --address and --port";
	}
}

/* False when a wildcard's protocol is switched off on this host: the other
 * one may do. */
static bool
open_endpoint(struct server *s, const struct addr *a)
{
	const struct udp_opts opts = {.ttl = 255};
	struct endpoint *ep = &s->ep[s->ep_n];
	char text[ADDR_TEXT_MAX];
	int granted = 0, error = 0;

	*ep = (struct endpoint){
	    .server = s, .local = *a, .wildcard = addr_is_any(a)};
	ep->fd = udp_open(a, &opts, &granted);
	addr_format(a, text);
	if (ep->fd < 0) {
		if (ep->wildcard &&
		    (ep->fd == -EAFNOSUPPORT || ep->fd == -EADDRNOTAVAIL)) {
			log_warn("no listening on %s: %s", text,
			         strerror(-ep->fd));
			return false;
		}
		die("cannot listen on UDP %s: %s (%s)", text, strerror(-ep->fd),
		    advice(ep->fd, addr_port(a)));
	}
	ep->tx = txstamp_new(ep->fd, 0, STAMP_RING, &error);
	if (!ep->tx)
		log_warn("no transmit stamps on %s: %s; Follow-Up Telemetry "
		         "stays empty",
		         text, strerror(-error));
	ep->event =
	    event_new(s->base, ep->fd, EV_READ | EV_PERSIST, on_readable, ep);
	if (!ep->event || event_add(ep->event, NULL) != 0)
		die("out of memory");
	s->ep_n++;
	log_info("listening on UDP %s, receive buffer %d kB", text,
	         granted / 1024);
	if (granted < UDP_RCVBUF_BYTES)
		log_warn("receive buffer of %s: asked for %d kB, granted %d "
		         "kB; bursts may be lost (raise net.core.rmem_max)",
		         text, UDP_RCVBUF_BYTES / 1024, granted / 1024);
	return true;
}

static void
open_local(struct server *s, const struct server_conf *conf)
{
	int error = 0;

	if (conf->socket[0] == '\0')
		return;
	s->local = localsock_listen(s->base, conf->socket, LOCAL_SOCKET_MODE,
	                            verbs_answer, &s->reflect, &error);
	if (s->local)
		return;
	if (!conf->socket_optional)
		die("cannot listen on local socket %s: %s (see --socket)",
		    conf->socket, strerror(-error));
	log_warn("no local socket %s: %s; counters only by SIGUSR1, no "
	         "reserved slots (see --socket)",
	         conf->socket, strerror(-error));
}

static void
open_events(struct server *s)
{
	static const int signals[SIGNALS] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
	const struct timeval second = {1, 0};

	s->second = event_new(s->base, -1, EV_PERSIST, on_second, s);
	if (!s->second || event_add(s->second, &second) != 0)
		die("out of memory");
	for (unsigned i = 0; i < SIGNALS; i++) {
		s->sig[i] = event_new(s->base, signals[i],
		                      EV_SIGNAL | EV_PERSIST, on_signal, s);
		if (!s->sig[i] || event_add(s->sig[i], NULL) != 0)
			die("out of memory");
	}
}

struct server *
server_new(const struct server_conf *conf)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s || !reflect_init(&s->reflect, &conf->reflect))
		return NULL;
	s->clock_floor_ns = conf->clock_floor_ns;
	s->base = event_base_new();
	s->rx = udp_rx_new(BUF_STRIDE);
	if (!s->base || !s->rx || !replies_init(&s->replies))
		return NULL;
	open_events(s);
	for (size_t i = 0; i < conf->address_n; i++)
		(void)open_endpoint(s, &conf->address[i]);
	if (s->ep_n == 0)
		die("no address to listen on: expected at least one that "
		    "works (see --address)");
	open_local(s, conf);
	on_second(-1, 0, s); /* the Error Estimate of the first replies */
	return s;
}

int
server_run(struct server *s)
{
	svc_notify("READY=1");
	log_info("ready: %zu address%s, port %u, %s, instance %016" PRIx64,
	         s->ep_n, s->ep_n == 1 ? "" : "es", s->reflect.conf.port,
	         s->reflect.sessions ? "stateful" : "stateless",
	         s->reflect.instance_id);
	if (event_base_dispatch(s->base) < 0) {
		log_error("event loop failed: %s", strerror(errno));
		return 1;
	}
	return 0;
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	log_counters(s);
	if (s->local)
		localsock_close(s->local);
	for (size_t i = 0; i < s->ep_n; i++) {
		event_free(s->ep[i].event);
		txstamp_free(s->ep[i].tx);
		(void)close(s->ep[i].fd);
	}
	for (unsigned i = 0; i < SIGNALS; i++)
		event_free(s->sig[i]);
	event_free(s->second);
	event_base_free(s->base);
	udp_rx_free(s->rx);
	replies_release(&s->replies);
	reflect_release(&s->reflect);
	free(s);
}
