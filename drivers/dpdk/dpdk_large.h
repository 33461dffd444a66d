/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_LARGE_H
#define DPDK_LARGE_H

/*
 * dpdk_large: a few contiguous buffers for messages that fill more than one
 * packet. One set per direction of a link, mapped when the link comes up:
 *
 *     tx   the slot of a large message; packets are cut out of it
 *     rx   fragments are put together here, in order, then handed up whole
 *
 * One mapping, count buffers, a stack of the free ones. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DPDK_LARGE_MAX 64

/*
 * Buffers of a link that asks for none. A message keeps its place until the
 * acknowledgement of its last packet is here, so with two the writer waits for
 * a round trip after every other message (docs/performance.md).
 */
#define DPDK_LARGE_DEFAULT 4

struct dpdk_large {
	uint8_t *base; /* NULL: none */
	size_t stride; /* buffer size, rounded up to pages */
	uint32_t count;
	uint32_t free_count;
	uint32_t current; /* rx: being filled, if open */
	bool open;
	uint8_t free[DPDK_LARGE_MAX];
};

/* @return 0 or -ENOMEM. */
int weir_dpdk_large_map(struct dpdk_large *large, size_t size, uint32_t count);
void weir_dpdk_large_unmap(struct dpdk_large *large);

static inline uint8_t *
dpdk_large_at(const struct dpdk_large *large, uint32_t i)
{
	return large->base + i * large->stride;
}

static inline size_t
dpdk_large_bytes(const struct dpdk_large *large)
{
	return large->base != NULL ? large->stride * large->count : 0;
}

/* @return false when all are in use. */
static inline bool
dpdk_large_take(struct dpdk_large *large, uint32_t *i)
{
	if (large->free_count == 0)
		return false;
	*i = large->free[--large->free_count];
	return true;
}

static inline void
dpdk_large_give(struct dpdk_large *large, uint32_t i)
{
	large->free[large->free_count++] = (uint8_t)i;
}

#endif /* DPDK_LARGE_H */
