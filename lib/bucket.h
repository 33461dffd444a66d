/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bucket: so many per second, and a few at once. Kept as the time at which
 * the bucket would be full again, so that nothing has to be refilled.
 *
 *      now      full_ns
 *     --|-----------|------> one more if full_ns - now < burst * every_ns
 *
 * Pure: no clock, no allocation, no I/O.
 */
#ifndef WEIR_BUCKET_H
#define WEIR_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t full_ns;
};

/**
 * @param every_ns time per unit in the long run
 * @param burst so many at once after a rest, at least 1
 * @return true: take it; false: too many.
 */
static inline bool
bucket_take(struct bucket *b, uint64_t now_ns, uint64_t every_ns,
	    uint32_t burst)
{
	if (b->full_ns < now_ns)
		b->full_ns = now_ns;
	if (b->full_ns - now_ns > (burst - 1) * every_ns)
		return false;
	b->full_ns += every_ns;
	return true;
}

#endif
