/* SPDX-License-Identifier: BSD-3-Clause */
/* Payloads that can be made again from a number; see pattern.h. */

#include <string.h>

#include "pattern.h"

uint32_t
pattern_size(uint64_t seed, uint64_t i, uint64_t size)
{
	uint64_t most = size & UINT32_MAX;
	uint64_t draw = pattern_mix(pattern_seed(seed, i) ^ 0x5e);
	unsigned int bits = 0;

	if ((size >> 32) == 0)
		return (uint32_t)size;
	while ((most >> bits) != 0)
		bits++;
	/* Every magnitude is as likely as any other: most are small. */
	most = (most >> (draw % (bits + 1))) + 1;
	return (uint32_t)((draw >> 8) % most);
}

static uint64_t
word(uint64_t seed, uint32_t at)
{
	return (seed + at) * UINT64_C(0x9e3779b97f4a7c15) ^ (seed >> 29);
}

void
pattern_fill(void *data, uint32_t len, uint64_t seed)
{
	uint8_t *to = data;
	uint64_t value;
	uint32_t at;

	for (at = 0; len - at >= sizeof(value); at += sizeof(value)) {
		value = word(seed, at);
		memcpy(to + at, &value, sizeof(value));
	}
	value = word(seed, at);
	memcpy(to + at, &value, len - at);
}

int64_t
pattern_wrong(const void *data, uint32_t len, uint64_t seed)
{
	const uint8_t *from = data;
	uint64_t value;
	uint32_t at;

	for (at = 0; at < len; at += sizeof(value)) {
		uint32_t n = len - at < sizeof(value) ? len - at
						      : sizeof(value);

		value = word(seed, at);
		if (memcmp(from + at, &value, n) != 0)
			return at;
	}
	return -1;
}
