/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers that are the same everywhere: SplitMix64 steps. One stream
 * per concern, so that one more draw here does not shift another there.
 */
#ifndef WEIR_TESTS_PRNG_H
#define WEIR_TESTS_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
	uint64_t state;
};

static inline uint64_t
prng_mix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline void
prng_init(struct prng *prng, uint64_t seed, uint64_t stream)
{
	prng->state = prng_mix(seed + 1) ^ prng_mix(stream * 2 + 1);
}

static inline uint64_t
prng_next(struct prng *prng)
{
	prng->state += UINT64_C(0x9e3779b97f4a7c15);
	return prng_mix(prng->state);
}

/** @return 0 .. below-1. */
static inline uint64_t
prng_below(struct prng *prng, uint64_t below)
{
	return below == 0 ? 0 : prng_next(prng) % below;
}

/** @return least .. most. */
static inline uint64_t
prng_range(struct prng *prng, uint64_t least, uint64_t most)
{
	return least + prng_below(prng, most - least + 1);
}

static inline double
prng_unit(struct prng *prng)
{
	return (double)(prng_next(prng) >> 11) * 0x1p-53;
}

static inline bool
prng_chance(struct prng *prng, double p)
{
	return p > 0 && prng_unit(prng) < p;
}

#endif
