/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meshd's configuration: the table of keys, and what it says as values.
 */
#ifndef TWMESH_MESHD_CONFIG_H
#define TWMESH_MESHD_CONFIG_H

#include "lib/bus/keys.h"
#include "lib/bus/msg.h"
#include "lib/svc/conf.h"
#include "meshd/prober.h"

#define MESHD_CONTROLLERS_MAX 8

extern const struct conf_key meshd_config_table[];

struct meshd_controller {
	const char *title;   /* borrowed from the conf */
	const char *address; /* host:port; borrowed */
	uint8_t key[KEYS_BYTES];
};

struct meshd_config {
	char name[NAME_MAX_CHARS + 1];
	const char *site; /* strings are borrowed from the conf */
	struct meshd_controller controller[MESHD_CONTROLLERS_MAX];
	size_t controller_n;
	const char *state_dir;
	const char *join_token_file;        /* "": none */
	struct addr address[MSG_ADDRS_MAX]; /* with reflector_port */
	size_t address_n;
	uint16_t reflector_port;
	const char *reflector_socket; /* "": none */
	const char *socket;           /* "": none */
	struct prober_opts prober;
	uint64_t spool_max_bytes;
	int64_t spool_max_age_ns;
};

/* False with one clear line in err: what no single key can show. */
bool meshd_config_read(const struct conf *c, struct meshd_config *out,
                       char *err, size_t err_size)
    __attribute__((warn_unused_result));

#endif
