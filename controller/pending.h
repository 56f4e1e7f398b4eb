/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unknown keys that knock. libzmq lets a refused client try about once a
 * second, and anybody can make new keys: so at most PENDING_MAX are
 * remembered (the one silent for longest makes room), one key is passed on
 * when it first knocks and then once per PENDING_AGAIN_NS, and new keys at most
 * PENDING_NEW_PER_S times a second. Pure: time is an argument.
 */
#ifndef TWMESH_CONTROLLER_PENDING_H
#define TWMESH_CONTROLLER_PENDING_H

#include "controller/letters.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define PENDING_MAX 256
#define PENDING_AGAIN_NS (10 * NS_PER_S)
#define PENDING_NEW_PER_S 8

struct pending_key {
	uint8_t key[KEY_BYTES];
	struct mono seen; /* last knock */
	struct mono told; /* when it was last passed on */
};

struct pending {
	struct pending_key k[PENDING_MAX];
	unsigned n;
	struct mono second; /* start of the running second */
	unsigned new_in_second;
	uint64_t held_back; /* knocks of new keys over the rate */
};

/* True: pass this knock on. Zero-initialised is empty. */
bool pending_knock(struct pending *p, const uint8_t key[KEY_BYTES],
                   struct mono now);
/* It was approved, or is of no more interest. */
void pending_forget(struct pending *p, const uint8_t key[KEY_BYTES]);

#endif
