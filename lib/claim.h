/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_CLAIM_H
#define WEIR_CLAIM_H

/*
 * Numbered things that several threads of a process take and give back: one
 * bit each, set while the thing is free. Whoever clears a bit owns the thing.
 *
 *     free  --weir_claim()-->  one thread's own  --weir_claim_give()-->  free
 *
 * Lock-free: a thread that stands still anywhere holds up nobody. All accesses
 * are sequentially consistent, so that a flag raised by another thread before
 * it looks at the bits is seen by who claims first and looks at it then.
 */

#include <stdatomic.h>
#include <stdint.h>

#define WEIR_CLAIM_WORD 64u /* things per word */

/* At most n of the bits that are set, the lowest ones. n > 0. */
static inline uint64_t
weir_claim_lowest(uint64_t bits, uint32_t n)
{
	uint64_t run, rest = bits;

	if (n == 1 || bits == 0)
		return bits & -bits;
	if (n >= WEIR_CLAIM_WORD)
		return bits;
	/* Mostly they stand side by side. */
	run = ((UINT64_C(1) << n) - 1) << __builtin_ctzll(bits);
	if ((bits & run) == run)
		return run;
	while (rest != 0 && n-- != 0)
		rest &= rest - 1;
	return bits ^ rest;
}

/* Take up to n free things of a word, of those in `among`.
 * @return their bits; 0: none is free. */
static inline uint64_t
weir_claim(_Atomic uint64_t *word, uint64_t among, uint32_t n)
{
	uint64_t got, seen = atomic_load(word);

	/* Acquire: what was done with the thing before is over. Pairs with
	 * weir_claim_give(). */
	do {
		got = weir_claim_lowest(seen & among, n);
		if (got == 0)
			return 0;
	} while (!atomic_compare_exchange_weak(word, &seen, seen & ~got));
	return got;
}

static inline void
weir_claim_give(_Atomic uint64_t *word, uint64_t bits)
{
	/* Release: we are done with them. Pairs with weir_claim(). */
	atomic_fetch_or(word, bits);
}

#endif /* WEIR_CLAIM_H */
