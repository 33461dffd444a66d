/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequence numbers: 64 bits inside, 32 (or 16) on the wire.
 *
 *      inside   ... 1_ffff_fffe  1_ffff_ffff  2_0000_0000  2_0000_0001 ...
 *      wire           ffff_fffe    ffff_ffff    0000_0000    0000_0001
 *
 * Inside there is no wrap, so windows are compared with < and subtracted. A
 * number from the wire means the nearest one to what we expect; that is right
 * as long as both ends are less than half the wire's range apart.
 */
#ifndef WEIR_SEQ_H
#define WEIR_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/* One lap up, so that a number just before the first one is not negative. */
#define SEQ_BASE ((uint64_t)1 << 32)

static inline uint64_t
seq_first(uint32_t isn)
{
	return SEQ_BASE | isn;
}

/** @return the 64-bit number closest to `near` whose low half is `wire`. */
static inline uint64_t
seq_expand(uint64_t near, uint32_t wire)
{
	return near + (uint64_t)(int64_t)(int32_t)(wire - (uint32_t)near);
}

/** Wrap-safe order of two 32-bit clocks less than half a lap apart. */
static inline bool
seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/** How far the 16-bit `wire` is ahead of `near`; negative: behind. */
static inline int32_t
seq_ahead16(uint64_t near, uint16_t wire)
{
	return (int16_t)(uint16_t)(wire - (uint16_t)near);
}

#endif
