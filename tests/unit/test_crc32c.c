/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C both ways: the values of RFC 3720 B.4, and each against the other.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "crc32c.h"

typedef uint32_t crc_fn(uint32_t crc, const void *bytes, uint32_t len);

static crc_fn *const ways[] = { weir_crc32c, weir_crc32c_table,
				weir_crc32c_sse42 };
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void
known_values(void **state)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];
	/* A SCSI read command. */
	static const uint8_t command[48] = {
		0x01,        0xc0,        [16] = 0x14, [22] = 0x04,
		[27] = 0x14, [31] = 0x18, 0x28,        [40] = 0x02,
	};

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (uint8_t i = 0; i < 32; i++) {
		up[i] = i;
		down[i] = 31 - i;
	}
	for (size_t w = 0; w < WAYS; w++) {
		assert_int_equal(ways[w](0, zeros, 32), 0x8a9136aa);
		assert_int_equal(ways[w](0, ones, 32), 0x62a8ab43);
		assert_int_equal(ways[w](0, up, 32), 0x46dd794e);
		assert_int_equal(ways[w](0, down, 32), 0x113fdb5c);
		assert_int_equal(ways[w](0, command, 48), 0xd9963a56);
		assert_int_equal(ways[w](0, "123456789", 9), 0xe3069283);
		assert_int_equal(ways[w](0, "", 0), 0);
	}
}

static void
both_ways_agree_at_every_length_and_place(void **state)
{
	uint8_t bytes[2200];
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1;
		bytes[i] = (uint8_t)(seed >> 56);
	}
	for (uint32_t at = 0; at < 9; at++)
		for (uint32_t len = 0; len < 2100; len += len < 70 ? 1 : 61)
			assert_int_equal(
				weir_crc32c_table(len, bytes + at, len),
				weir_crc32c_sse42(len, bytes + at, len));
}

static void
pieces_give_the_whole(void **state)
{
	uint8_t bytes[100];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31);
	for (size_t w = 0; w < WAYS; w++)
		for (uint32_t cut = 0; cut <= 100; cut++)
			assert_int_equal(ways[w](ways[w](0, bytes, cut),
						 bytes + cut, 100 - cut),
					 ways[w](0, bytes, 100));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(both_ways_agree_at_every_length_and_place),
		cmocka_unit_test(pieces_give_the_whole),
	};

	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
