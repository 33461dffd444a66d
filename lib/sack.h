/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of bits, one per sequence number of a window, and what SACK needs of
 * it: set, clear, test, 64 bits from any position, the next set bit.
 *
 *      seq          s          s+63
 *      ring   ...|..[11010...01]....|...      index = seq & mask
 *      wire         [11010...01]              bit i = ack + i
 *
 * The ring has a power of two of bits, at least 64, and covers one window:
 * two numbers in use at a time never share a bit.
 */
#ifndef WEIR_SACK_H
#define WEIR_SACK_H

#include <stdbool.h>
#include <stdint.h>

struct bitring {
	uint64_t *words;
	uint32_t mask; /* bits - 1 */
};

static inline uint64_t *
bitring_word(const struct bitring *ring, uint64_t seq)
{
	return &ring->words[(seq & ring->mask) >> 6];
}

static inline bool
bitring_test(const struct bitring *ring, uint64_t seq)
{
	return *bitring_word(ring, seq) >> (seq & 63) & 1;
}

static inline void
bitring_set(struct bitring *ring, uint64_t seq)
{
	*bitring_word(ring, seq) |= (uint64_t)1 << (seq & 63);
}

static inline void
bitring_clear(struct bitring *ring, uint64_t seq)
{
	*bitring_word(ring, seq) &= ~((uint64_t)1 << (seq & 63));
}

/** @return bits seq .. seq+63, bit 0 being seq. */
static inline uint64_t
bitring_get64(const struct bitring *ring, uint64_t seq)
{
	uint32_t shift = seq & 63;
	uint64_t low = *bitring_word(ring, seq) >> shift;

	/* A shift by 64 is undefined, so the aligned case stands alone. */
	if (shift == 0)
		return low;
	return low | *bitring_word(ring, seq + 64) << (64 - shift);
}

/** @return the first set bit in [from, end), or end. */
static inline uint64_t
bitring_next(const struct bitring *ring, uint64_t from, uint64_t end)
{
	while (from < end) {
		uint64_t bits = bitring_get64(ring, from);

		if (bits != 0) {
			from += (uint32_t)__builtin_ctzll(bits);
			return from < end ? from : end;
		}
		from += 64;
	}
	return end;
}

/** @return how many 64-bit words a bitmap from `ack` to `end` needs. */
static inline uint32_t
sack_words(uint64_t ack, uint64_t end, uint32_t most)
{
	uint64_t words = (end - ack + 63) >> 6;

	return words < most ? (uint32_t)words : most;
}

#endif
