/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed hash that nobody
 * can foresee without the key. For cookies, proofs and names; weir encrypts
 * nothing with it.
 *
 *     key (128 bits), bytes --> 64 or 128 bits
 *
 * Pure: no clock, no allocation, no I/O.
 */
#ifndef WEIR_SIPHASH_H
#define WEIR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

struct siphash {
	uint64_t v[4];
};

static inline uint64_t
siphash_load(const uint8_t *from, size_t len)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)from[i] << (8 * i);
	return word;
}

static inline void
siphash_store(uint8_t *to, uint64_t word)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t)(word >> (8 * i));
}

static inline uint64_t
siphash_rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void
siphash_rounds(struct siphash *s, int count)
{
	uint64_t *v = s->v;

	while (count-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = siphash_rotl(v[1], 13) ^ v[0];
		v[3] = siphash_rotl(v[3], 16) ^ v[2];
		v[0] = siphash_rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = siphash_rotl(v[1], 17) ^ v[2];
		v[3] = siphash_rotl(v[3], 21) ^ v[0];
		v[2] = siphash_rotl(v[2], 32);
	}
}

/* All of the input; `wide` tells the two lengths of result apart. */
static inline struct siphash
siphash_absorb(struct siphash_key key, const uint8_t *bytes, size_t len,
	       uint64_t wide)
{
	struct siphash s = { { key.k[0] ^ UINT64_C(0x736f6d6570736575),
			       key.k[1] ^ UINT64_C(0x646f72616e646f6d) ^ wide,
			       key.k[0] ^ UINT64_C(0x6c7967656e657261),
			       key.k[1] ^ UINT64_C(0x7465646279746573) } };
	size_t whole = len & ~(size_t)7;
	uint64_t word;

	for (size_t at = 0; at < whole; at += 8) {
		word = siphash_load(bytes + at, 8);
		s.v[3] ^= word;
		siphash_rounds(&s, 2);
		s.v[0] ^= word;
	}
	word = siphash_load(bytes + whole, len - whole) | (uint64_t)len << 56;
	s.v[3] ^= word;
	siphash_rounds(&s, 2);
	s.v[0] ^= word;
	return s;
}

static inline uint64_t
siphash_squeeze(struct siphash *s)
{
	siphash_rounds(s, 4);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

static inline uint64_t
siphash64(struct siphash_key key, const uint8_t *bytes, size_t len)
{
	struct siphash s = siphash_absorb(key, bytes, len, 0);

	s.v[2] ^= 0xff;
	return siphash_squeeze(&s);
}

static inline void
siphash128(struct siphash_key key, const uint8_t *bytes, size_t len,
	   uint8_t out[16])
{
	struct siphash s = siphash_absorb(key, bytes, len, 0xee);

	s.v[2] ^= 0xee;
	siphash_store(out, siphash_squeeze(&s));
	s.v[1] ^= 0xdd;
	siphash_store(out + 8, siphash_squeeze(&s));
}

#endif
