/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bus/zap.h"

#include <string.h>

#define ENDPOINT "inproc://zeromq.zap.01"
#define VERSION "1.0"
#define FRAME_MAX 256

struct frame {
	size_t len; /* over FRAME_MAX: cut */
	char bytes[FRAME_MAX + 1];
};

/* In the order of RFC 27. */
enum {
	ZAP_VERSION,
	ZAP_REQUEST_ID,
	ZAP_DOMAIN,
	ZAP_ADDRESS,
	ZAP_IDENTITY,
	ZAP_MECHANISM,
	ZAP_CREDENTIALS,
	ZAP_FRAMES
};

struct addr
zap_address(const char *text)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0,    0,
	                                   0, 0, 0, 0, 0xff, 0xff};
	struct addr a, v4;
	const uint8_t *b;
	size_t n;

	memset(&a, 0, sizeof(a));
	if (!addr_parse_ip(text, 0, &a)) {
		memset(&a, 0, sizeof(a));
		return a;
	}
	b = addr_bytes(&a, &n);
	if (n == 16 && memcmp(b, mapped, sizeof(mapped)) == 0 &&
	    addr_from_bytes(b + sizeof(mapped), 4, 0, &v4))
		return v4;
	return a;
}

bool
zap_open(struct zap *zap, void *context)
{
	const struct zsock_opt opt[] = {{ZMQ_LINGER, 0}};

	return zsock_open(&zap->z, context, ZMQ_REP) &&
	       zsock_set(&zap->z, opt, 1) &&
	       zmq_bind(zap->z.sock, ENDPOINT) == 0;
}

void
zap_close(struct zap *zap)
{
	zsock_close(&zap->z);
}

/* The frames present; ZAP_FRAMES when the request is whole. */
static size_t
read_request(struct zap *zap, struct frame f[ZAP_FRAMES])
{
	size_t n = 0;
	bool more = true;

	while (more && n < ZAP_FRAMES) {
		if (!zsock_recv(&zap->z, f[n].bytes, FRAME_MAX, &f[n].len,
		                &more))
			return n;
		f[n].bytes[f[n].len < FRAME_MAX ? f[n].len : FRAME_MAX] = '\0';
		n++;
	}
	if (more)
		zsock_drain(&zap->z);
	return n;
}

static bool
may_pass(struct zap *zap, const struct frame f[ZAP_FRAMES])
{
	struct addr address;

	if (strcmp(f[ZAP_VERSION].bytes, VERSION) != 0 ||
	    strcmp(f[ZAP_MECHANISM].bytes, "CURVE") != 0 ||
	    f[ZAP_CREDENTIALS].len != KEYS_BYTES)
		return false;
	address = zap_address(f[ZAP_ADDRESS].bytes);
	return zap->accept(zap->arg, (const uint8_t *)f[ZAP_CREDENTIALS].bytes,
	                   &address);
}

static void
send_text(struct zap *zap, const char *text, bool more)
{
	(void)zmq_send(zap->z.sock, text, strlen(text),
	               ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

void
zap_on_request(void *arg)
{
	struct frame f[ZAP_FRAMES];
	char user[KEYS_TEXT_SIZE] = "";
	struct zap *zap = arg;
	bool ok = false;
	size_t n;

	n = read_request(zap, f);
	if (n == 0)
		return;
	if (n == ZAP_FRAMES)
		ok = may_pass(zap, f);
	if (ok) {
		keys_text((const uint8_t *)f[ZAP_CREDENTIALS].bytes, user);
		zap->accepted++;
	} else {
		zap->refused++;
	}
	send_text(zap, VERSION, true);
	(void)zmq_send(zap->z.sock, f[ZAP_REQUEST_ID].bytes,
	               n > ZAP_REQUEST_ID && f[ZAP_REQUEST_ID].len <= FRAME_MAX
	                   ? f[ZAP_REQUEST_ID].len
	                   : 0,
	               ZMQ_DONTWAIT | ZMQ_SNDMORE);
	send_text(zap, ok ? "200" : "300", true);
	send_text(zap, ok ? "OK" : "not approved", true);
	send_text(zap, user, true);
	send_text(zap, "", false); /* metadata */
	zsock_kick(&zap->z);
}
