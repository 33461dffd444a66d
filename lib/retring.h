/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_RETRING_H
#define WEIR_RETRING_H

/*
 * Return ring: many threads release, one collector takes back.
 *
 *     releaser  ticket = fetch_add(tickets, 1)       private to its process
 *               entry[ticket & mask] = {ticket + 1, value}      one store
 *     collector entry[head & mask] is {head + 1, value} yet?  then head++
 *
 * Each entry carries its own sequence, so nothing but single stores crosses
 * to the collector, which may be another process that maps the entries
 * read-only. A releaser that is slow between its two steps delays those
 * behind it, and loses nothing.
 *
 * The ring must have at least as many entries as values can be out: then an
 * entry is collected before its ticket comes round again.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Releaser: publish the value under a ticket taken by fetch_add. */
static inline void
weir_retring_put(_Atomic uint64_t *entries, uint32_t mask, uint32_t ticket,
		 uint32_t value)
{
	/* Release: our reads of what is given back come first. Pairs with
	 * weir_retring_take(). */
	atomic_store_explicit(&entries[ticket & mask],
			      (uint64_t)(ticket + 1) << 32 | value,
			      memory_order_release);
}

/* Collector: the value at head, if it is there. The caller moves head. */
static inline bool
weir_retring_take(const _Atomic uint64_t *entries, uint32_t mask, uint32_t head,
		  uint32_t *value)
{
	/* Acquire: pairs with weir_retring_put(). */
	uint64_t entry = atomic_load_explicit(&entries[head & mask],
					      memory_order_acquire);

	if ((uint32_t)(entry >> 32) != head + 1)
		return false;
	*value = (uint32_t)entry;
	return true;
}

#endif /* WEIR_RETRING_H */
