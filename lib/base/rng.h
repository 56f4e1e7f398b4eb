/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random numbers: secrets and identifiers from the kernel; schedules and
 * tests from a small seeded generator (xoshiro256**, public domain
 * algorithm by Blackman and Vigna); hash tables keyed by SipHash-1-3.
 */
#ifndef TWMESH_BASE_RNG_H
#define TWMESH_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Fills from getrandom(2); aborts if the kernel cannot. */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);

struct rng {
	uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* Uniform in (0, 1]. */
double rng_unit(struct rng *r);
/* Exponential with the given mean, ns: gaps of a Poisson process (RFC 2330
 * 11.1.1), bounded at 10 x mean. */
int64_t rng_poisson_gap_ns(struct rng *r, int64_t mean_ns);

/* Keyed hash for tables whose keys strangers choose. */
struct hash_key {
	uint64_t k0, k1;
};
uint64_t hash_bytes(const void *p, size_t n, struct hash_key key);

#endif
