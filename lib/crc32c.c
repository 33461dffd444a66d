/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C two ways: eight bytes per instruction, or four bits per look-up.
 */
#include "crc32c.h"
#include <string.h>

#if defined(__x86_64__)
#define HAVE_SSE42 1
#else
#define HAVE_SSE42 0
#endif

uint32_t
weir_crc32c_table(uint32_t crc, const void *bytes, uint32_t len)
{
	/* What four bits at the low end leave behind. */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *at = bytes;

	crc = ~crc;
	for (uint32_t i = 0; i < len; i++) {
		crc ^= at[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return ~crc;
}

#if HAVE_SSE42
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *at, uint32_t len)
{
	uint64_t wide = (uint32_t)~crc;

	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len != 0; len--)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return ~crc;
}
#endif

uint32_t
weir_crc32c_sse42(uint32_t crc, const void *bytes, uint32_t len)
{
#if HAVE_SSE42
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, bytes, len);
#endif
	return weir_crc32c_table(crc, bytes, len);
}

uint32_t
weir_crc32c(uint32_t crc, const void *bytes, uint32_t len)
{
	return weir_crc32c_sse42(crc, bytes, len);
}
