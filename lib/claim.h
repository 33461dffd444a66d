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

#include "weir.h"

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

/*
 * What a permit holds, in its cookie: the number of a token, which stands for
 * the credit, in the low half, and that of the body for the bytes in the high
 * one. Where small bodies are as many as credits both are one number.
 */
#define WEIR_CLAIM_TOKEN UINT32_C(0x00000001)
#define WEIR_CLAIM_BODY  UINT32_C(0x00010000)
#define WEIR_CLAIM_BOTH  (WEIR_CLAIM_TOKEN | WEIR_CLAIM_BODY)

/*
 * Claim up to n numbers of a class for permits, the first ones from `from` on,
 * counted in the class. Each is added to its cookie `times`, one of the above.
 *
 * @return how many.
 */
static inline uint32_t
weir_claim_many(_Atomic uint64_t *map, uint32_t word_first, uint32_t word_count,
		uint32_t from, uint32_t times, struct weir_permit *permits,
		uint32_t n)
{
	uint64_t bits, among = UINT64_MAX << from % WEIR_CLAIM_WORD;
	uint32_t got = 0, w = from / WEIR_CLAIM_WORD;

	/* Once round, and what comes before `from` in its own word. */
	for (uint32_t i = 0; i <= word_count && got < n; i++) {
		uint32_t word = word_first + w;

		bits = weir_claim(&map[word], among, n - got);
		for (; bits != 0; bits &= bits - 1)
			permits[got++].cookie +=
				(word * WEIR_CLAIM_WORD +
				 (uint32_t)__builtin_ctzll(bits)) *
				times;
		among = UINT64_MAX;
		w = w + 1 == word_count ? 0 : w + 1;
	}
	return got;
}

#endif /* WEIR_CLAIM_H */
