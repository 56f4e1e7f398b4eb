/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ZAP handler (RFC 27/ZAP): libzmq asks it about every CURVE handshake of
 * its context. Yes is 200 with the key (base32) as user id; no is 300, after
 * which libzmq closes the connection and the client knocks again (after 400
 * it would stay dead until its socket is made anew). Inside lib/bus only.
 */
#ifndef TWMESH_BUS_ZAP_H
#define TWMESH_BUS_ZAP_H

#include "lib/base/addr.h"
#include "lib/bus/keys.h"
#include "lib/bus/zsock.h"

struct zap {
	struct zsock z;
	bool (*accept)(void *arg, const uint8_t key[KEYS_BYTES],
	               const struct addr *address);
	void *arg;
	uint64_t accepted, refused;
};

/* Binds inproc://zeromq.zap.01 in this context: before the first CURVE server
 * does. accept and arg are set by the caller. False with errno. */
bool zap_open(struct zap *zap, void *context);
/* Answers one request, if one is there. The arg of zsock_watch(). */
void zap_on_request(void *zap);
void zap_close(struct zap *zap);

/* "127.0.0.1", "::ffff:10.0.0.1" -> an address (IPv4-mapped becomes IPv4,
 * port 0); len 0 when it is none. */
struct addr zap_address(const char *text);

#endif
