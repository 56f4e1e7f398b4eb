/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's configuration: its one table, and what the table says in
 * the units of the code.
 */
#ifndef TWMESH_CONTROLLER_CONFIG_H
#define TWMESH_CONTROLLER_CONFIG_H

#include "controller/keeper_jobs.h"
#include "lib/base/addr.h"
#include "lib/bus/msg.h"
#include "lib/svc/classconf.h"
#include "lib/svc/conf.h"

#include <stdbool.h>
#include <stddef.h>

#define REFERENCES_MAX 64

extern const struct conf_key config_table[];

struct config {
	const char *database, *socket, *state_dir, *web_dir, *sql_dir;
	/* the above borrowed from the conf */
	struct addr listen, http;
	bool first_use;
	unsigned window;
	struct keep keep;
	int64_t lease_ns;
	struct roster_class class_[MSG_CLASSES_MAX];
	size_t class_n;
	const char *reference[REFERENCES_MAX]; /* names; borrowed as well */
	size_t reference_n;
};

/* What single keys cannot know. False with one clear line in err. */
bool config_read(const struct conf *c, struct config *out, char *err,
                 size_t err_size) __attribute__((warn_unused_result));

/* The same for svc_set_check(): only whether. */
bool config_check(const struct conf *c, char *err, size_t err_size);

/* addr_parse(), where port 0 is allowed too: any free one. */
bool config_parse_listen(const char *text, uint16_t default_port,
                         struct addr *out);
/* Without id and version. */
struct roster_class config_class(const struct classconf *c);

#endif
