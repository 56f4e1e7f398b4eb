/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void
random_bytes(void *out, size_t n)
{
	uint8_t *p = out;

	while (n > 0) {
		const ssize_t got = getrandom(p, n, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
}

uint64_t
random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

static uint64_t
rotl(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

void
rng_seed(struct rng *r, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) { /* splitmix64 */
		uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		r->s[i] = z ^ z >> 31;
	}
}

uint64_t
rng_u64(struct rng *r)
{
	uint64_t *s = r->s;
	const uint64_t v = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return v;
}

double
rng_unit(struct rng *r)
{
	return ((double)(rng_u64(r) >> 11) + 1.0) * 0x1.0p-53;
}

int64_t
rng_poisson_gap_ns(struct rng *r, int64_t mean_ns)
{
	const double gap = -log(rng_unit(r)) * (double)mean_ns;
	const double cap = 10.0 * (double)mean_ns;

	return (int64_t)(gap < cap ? gap : cap);
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void
sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

uint64_t
hash_bytes(const void *p, size_t n, struct hash_key key)
{
	struct sip s = {key.k0 ^ UINT64_C(0x736f6d6570736575),
	                key.k1 ^ UINT64_C(0x646f72616e646f6d),
	                key.k0 ^ UINT64_C(0x6c7967656e657261),
	                key.k1 ^ UINT64_C(0x7465646279746573)};
	const uint8_t *b = p;
	size_t left = n;
	uint64_t m;

	for (; left >= 8; b += 8, left -= 8) {
		memcpy(&m, b, 8);
		s.v3 ^= m;
		sip_round(&s);
		s.v0 ^= m;
	}
	m = (uint64_t)n << 56;
	for (size_t i = 0; i < left; i++)
		m |= (uint64_t)b[i] << (8 * i);
	s.v3 ^= m;
	sip_round(&s);
	s.v0 ^= m;
	s.v2 ^= 0xff;
	for (unsigned i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
