/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replies on their way out: built one by one, sent together in sub-batches of
 * up to REPLIES_MAX, whose T3 is read just before each is sent: a packet does
 * not wait for the work on 63 others inside what its reply calls residence.
 *
 * Replies with Follow-Up Telemetry are sent with a request for the kernel's
 * transmit stamp, which is read at once (a device driver makes it within the
 * send call, as a rule) or before the socket is read again. Two of one session
 * are never sent together while the host keeps up: the second one is to tell
 * when the first one left. All others cost nothing more.
 */
#ifndef TWMESH_REFLECTOR_REPLIES_H
#define TWMESH_REFLECTOR_REPLIES_H

#include "lib/base/log.h"
#include "reflector/reflect.h"

#include <stdbool.h>
#include <stdint.h>

#define REPLIES_MAX 8

struct txstamp;

/* Where they go out. */
struct outlet {
	int fd;                  /* borrowed, as all below */
	struct txstamp *tx;      /* NULL: no stamps, no follow-ups */
	struct reflect *reflect; /* sessions and counters */
	struct log_limit *log;   /* of failures */
};

struct replies {
	struct udp_send send[REPLIES_MAX];
	struct reflected how[REPLIES_MAX];
	uint8_t *buf; /* owned: REPLIES_MAX buffers */
	int n;
	int follow_ups; /* of them */
};

bool replies_init(struct replies *r) __attribute__((warn_unused_result));
void replies_release(struct replies *r);
/* Where the next reply is to be built: room for TEST_BUF_MAX. */
uint8_t *replies_buf(const struct replies *r);
/* Takes it in, and sends all when there are enough. `together`: rather all at
 * once than each with its follow-up (the host is behind). send->data is set
 * here. */
void replies_add(struct replies *r, const struct outlet *o,
                 const struct udp_send *send, const struct reflected *how,
                 bool together);
void replies_flush(struct replies *r, const struct outlet *o, bool together);
/* Reads the stamps that came back. */
void replies_take_stamps(const struct outlet *o);

#endif
