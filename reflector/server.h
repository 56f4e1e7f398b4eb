/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reflector as a process: sockets, event loop, local socket, signals.
 * One UDP socket per address. Packets are read in batches of up to UDP_BATCH
 * and answered in sub-batches (replies.h). Single-threaded.
 */
#ifndef TWMESH_REFLECTOR_SERVER_H
#define TWMESH_REFLECTOR_SERVER_H

#include "reflector/reflect.h"

#include <stdbool.h>

#define SERVER_ADDRESSES_MAX 64

struct server;

struct server_conf {
	struct addr address[SERVER_ADDRESSES_MAX]; /* with port */
	size_t address_n;
	const char *socket;     /* local socket; "": none */
	bool socket_optional;   /* go on without it, after a warning */
	int64_t clock_floor_ns; /* least error that is claimed */
	struct reflect_conf reflect;
};

/* Opens everything. Ends the process with a clear line (exit 2) when an
 * address or the local socket cannot be had: at start-up only. NULL when out
 * of memory, after which the process is to end. */
struct server *server_new(const struct server_conf *conf);
/* Answers until SIGTERM or SIGINT: 0, or 1 when the event loop failed. */
int server_run(struct server *s);
/* Logs the counters. */
void server_free(struct server *s);

#endif
