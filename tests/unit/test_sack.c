/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of bits: every alignment, every wrap.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "sack.h"

#define BITS 256

static uint64_t words[BITS / 64];
static struct bitring ring = { words, BITS - 1 };

static int
empty(void **state)
{
	(void)state;
	memset(words, 0, sizeof(words));
	ring.mask = BITS - 1;
	return 0;
}

static void
a_bit_is_set_and_cleared_alone(void **state)
{
	(void)state;
	for (uint64_t seq = 1000; seq < 1000 + BITS; seq++) {
		bitring_set(&ring, seq);
		for (uint64_t other = 1000; other < 1000 + BITS; other++)
			assert_int_equal(bitring_test(&ring, other),
					 other == seq);
		bitring_clear(&ring, seq);
	}
	for (int i = 0; i < BITS / 64; i++)
		assert_int_equal(words[i], 0);
}

static void
sixty_four_bits_from_anywhere(void **state)
{
	uint64_t base = 0xfffffff00;

	(void)state;
	for (uint64_t seq = base; seq < base + BITS; seq++)
		if (seq * 7 % 3 == 0)
			bitring_set(&ring, seq);
	for (uint64_t at = base; at < base + BITS - 64; at++) {
		uint64_t got = bitring_get64(&ring, at);

		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(got >> i & 1, (at + i) * 7 % 3 == 0);
	}
}

static void
a_ring_of_one_word_reads_itself_round(void **state)
{
	(void)state;
	ring.mask = 63;
	for (uint64_t at = 5; at < 5 + 64; at++) {
		words[0] = 0;
		bitring_set(&ring, at + 63);
		bitring_set(&ring, at);
		assert_int_equal(bitring_get64(&ring, at),
				 (uint64_t)1 << 63 | 1);
	}
}

static void
the_next_bit_is_found_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(bitring_next(&ring, 100, 300), 300);
	assert_int_equal(bitring_next(&ring, 100, 100), 100);
	bitring_set(&ring, 300);
	assert_int_equal(bitring_next(&ring, 100, 300), 300);
	assert_int_equal(bitring_next(&ring, 100, 301), 300);
	bitring_set(&ring, 163);
	assert_int_equal(bitring_next(&ring, 100, 301), 163);
	assert_int_equal(bitring_next(&ring, 163, 301), 163);
	assert_int_equal(bitring_next(&ring, 164, 301), 300);
	/* A bit behind the end, in the same word, does not count. */
	assert_int_equal(bitring_next(&ring, 100, 163), 163);
	assert_int_equal(bitring_next(&ring, 140, 150), 150);
}

static void
words_are_as_many_as_needed_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(sack_words(10, 11, 16), 1);
	assert_int_equal(sack_words(10, 74, 16), 1);
	assert_int_equal(sack_words(10, 75, 16), 2);
	assert_int_equal(sack_words(10, 10 + 64 * 16, 16), 16);
	assert_int_equal(sack_words(10, 10 + 64 * 16 + 1, 16), 16);
	assert_int_equal(sack_words(10, 10 + 64 * 16 + 1, 8), 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_bit_is_set_and_cleared_alone, empty),
		cmocka_unit_test_setup(sixty_four_bits_from_anywhere, empty),
		cmocka_unit_test_setup(a_ring_of_one_word_reads_itself_round,
				       empty),
		cmocka_unit_test_setup(the_next_bit_is_found_within_bounds,
				       empty),
		cmocka_unit_test(words_are_as_many_as_needed_and_no_more),
	};

	return cmocka_run_group_tests_name("sack", tests, NULL, NULL);
}
