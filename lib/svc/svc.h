/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every daemon does alike: options, readiness, limits, timer slack.
 *
 *   -c, --config FILE   -n (check)   -p (print effective)   --sample-config
 *   --mdoc-config   --log-level L   --version   --help
 *
 * plus the daemon's own long options, which override configuration keys.
 */
#ifndef TWMESH_SVC_SVC_H
#define TWMESH_SVC_SVC_H

#include "lib/svc/conf.h"

#include <stdbool.h>
#include <stdint.h>

struct svc_opt {
	const char *name; /* long option, without -- */
	/* Configuration key it sets; without `arg` "KEY=VALUE", what it sets.
	 * So every option that changes the configuration shows in -p. NULL: a
	 * flag below. */
	const char *key;
	bool *flag;      /* set to true when given; NULL otherwise */
	const char *arg; /* "N", "ADDR", ...; NULL for flags */
	const char *help;
};

/* What single keys cannot know (two of them together): asked by svc_start()
 * once the configuration is loaded, also for -n. False with one clear line in
 * err: exit 2. Set before svc_start(). */
typedef bool svc_check_fn(const struct conf *c, char *err, size_t err_size);
void svc_set_check(svc_check_fn *fn);

/* Parses argv, loads the configuration, handles -n, -p, --help and the like
 * (then exits: 0, or 2 after a clear line). Sets up logging and the clock
 * hook. The caller owns the conf. `config_default`: used when it exists and no
 * -c was given. *path_out (may be NULL): the file in use or NULL. */
struct conf *svc_start(int argc, char **argv, const char *program,
                       const struct conf_key *table, const struct svc_opt *opts,
                       const char *config_default, const char **path_out);

/* sd_notify(3) without libsystemd: "READY=1", "STOPPING=1", "RELOADING=1",
 * "STATUS=..."; nothing when NOTIFY_SOCKET is unset. */
void svc_notify(const char *state);
/* Raises RLIMIT_NOFILE to its hard limit; the limit then in force. */
uint64_t svc_raise_nofile(void);
/* PR_SET_PDEATHSIG when TWMESH_DIE_WITH_PARENT (demo, tests) is 1 or the
 * number of the process whose child this one must be: with the number, exits
 * with 0 at once if that one is gone already. */
void svc_die_with_parent(void);

#endif
