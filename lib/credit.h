/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Absolute, monotone allowances: the packet window and the message credit
 * are the same thing in two units.
 *
 *      used <= told <= allowed        allowed = start + size + returned
 *        |       |        |
 *        |       |        +-- storage that exists by now
 *        |       +-- the highest limit the peer has been told
 *        +-- what the peer has used of it
 *
 * A limit only ever grows, whatever order storage comes back in, and every
 * packet carries it: a lost update is healed by the next packet.
 */
#ifndef WEIR_CREDIT_H
#define WEIR_CREDIT_H

#include <stdbool.h>
#include <stdint.h>
#include "seq.h"

/* What we allow the peer. */
struct allowance {
	uint64_t allowed;
	uint64_t told;
	uint32_t step; /* a growth of this much is worth a packet of its own */
};

/* So many packets, or messages, are always worth telling. */
#define ALLOWANCE_STEP_PACKETS 8
#define ALLOWANCE_STEP_MSGS    64

/*
 * Silly-window rule: less than a quarter (or `most`) is not worth a packet,
 * unless the peer stands still.
 */
static inline void
allowance_init(struct allowance *a, uint64_t start, uint32_t size,
	       uint32_t most)
{
	uint32_t quarter = size / 4;

	a->allowed = start + size;
	a->told = a->allowed;
	a->step = quarter > most ? most : quarter == 0 ? 1 : quarter;
}

/** Storage came back. @return true: tell the peer now. */
static inline bool
allowance_return(struct allowance *a, uint32_t count, uint64_t used)
{
	a->allowed += count;
	return a->allowed - a->told >= a->step ||
	       (used == a->told && a->allowed > a->told);
}

/** Is the peer out of what it was told, though there is more? */
static inline bool
allowance_starved(const struct allowance *a, uint64_t used)
{
	return used == a->told && a->allowed > a->told;
}

/** The peer's message credit came in 16 bits. @return true if it grew. */
static inline bool
credit_learn(uint64_t *limit, uint16_t wire)
{
	int32_t ahead = seq_ahead16(*limit, wire);

	if (ahead <= 0)
		return false;
	*limit += (uint32_t)ahead;
	return true;
}

#endif
