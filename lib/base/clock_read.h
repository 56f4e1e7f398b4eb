/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the clocks. Every wall-clock stamp that twmesh uses, from user space
 * or from the kernel, passes through this module, so that tests can shift a
 * process's whole idea of wall time: a time namespace does not move
 * CLOCK_REALTIME, and libfaketime does not move kernel stamps. The offset
 * comes from the environment (TWMESH_TEST_CLOCK_OFFSET, seconds with fraction,
 * signed) or, for steps while running, from a file named by
 * TWMESH_TEST_CLOCK_FILE that holds such a number and is looked at by
 * clock_test_poll(). TWMESH_TEST_CLOCK_ERROR (seconds) stands in for the kernel
 * where its clock is not disciplined: the claim to be right within that.
 */
#ifndef TWMESH_BASE_CLOCK_READ_H
#define TWMESH_BASE_CLOCK_READ_H

#include "lib/base/clock.h"

#include <stdbool.h>
#include <time.h>

/* Both clocks, the wall read between two monotonic reads (their mean). */
struct clock_pair clock_now(void);
struct mono clock_mono(void);
struct wall clock_wall(void);

/* A kernel stamp (CLOCK_REALTIME timespec) as wall time, hook applied. */
struct wall clock_wall_from_kernel(struct timespec ts);

/* What CLOCK_BOOTTIME is ahead of the monotonic clock: how long the host has
 * slept. wall - monotonic less this is the ns of a struct clock_mark. */
int64_t clock_slept_ns(void);
/* The id of this boot of the kernel; false: not to be read. */
bool clock_boot_id(uint8_t out[BOOT_ID_BYTES])
    __attribute__((warn_unused_result));
/* The clock as it is now. */
struct clock_mark clock_mark_now(void);

/*
 * Asks the kernel about its discipline (ntp_adjtime, modes 0; about 1 us: call
 * it once a second). max_error_ns is never below floor_ns, since timesyncd and
 * phc2sys leave maxerror at 0. While unsynchronised it is NS_UNKNOWN.
 */
struct clock_quality clock_quality_read(int64_t floor_ns);

/* Test hook: read the environment. NULL; or the name of the variable that is
 * set but holds no seconds: then nothing changes. */
const char *clock_test_init(void);
/* Test hook: look at TWMESH_TEST_CLOCK_FILE again. Cheap when unset. */
void clock_test_poll(void);
/* The offset in force, ns; 0 in production. */
int64_t clock_test_offset_ns(void);

/* "2026-11-23T10:02:14.123Z" into out (size at least 32); returns out. */
char *clock_format_utc(struct wall w, char *out, unsigned size);

#endif
