/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PATTERN_H
#define PATTERN_H

/*
 * Payloads that can be made again from a number, so that a receiver checks
 * every byte without having seen the sender. Message i of a stream has
 * content and, if asked for, length that follow from (seed, i) alone.
 */

#include <stdbool.h>
#include <stdint.h>

/* A length for struct order: random per message, 0 to most. */
#define PATTERN_MIX(most) ((UINT64_C(1) << 32) | (most))

static inline uint64_t
pattern_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* @return seed of message i of a stream. */
static inline uint64_t
pattern_seed(uint64_t seed, uint64_t i)
{
	return pattern_mix(seed * UINT64_C(0x10001) + i);
}

/* @return length of message i: size itself, or a draw for PATTERN_MIX. */
uint32_t pattern_size(uint64_t seed, uint64_t i, uint64_t size);

void pattern_fill(void *data, uint32_t len, uint64_t seed);

/* @return -1 if all bytes are as filled, else the place of the first wrong. */
int64_t pattern_wrong(const void *data, uint32_t len, uint64_t seed);

#endif /* PATTERN_H */
