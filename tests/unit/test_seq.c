/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequence arithmetic around every place where it can wrap.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "seq.h"

static void
a_wire_number_means_the_nearest(void **state)
{
	(void)state;
	uint64_t lap = SEQ_BASE;

	assert_int_equal(seq_expand(lap, 0), lap);
	assert_int_equal(seq_expand(lap, 5), lap + 5);
	assert_int_equal(seq_expand(lap + 5, 0), lap);
	/* over the edge, both ways */
	assert_int_equal(seq_expand(lap, 0xffffffff), lap - 1);
	assert_int_equal(seq_expand(lap - 1, 0), lap);
	assert_int_equal(seq_expand(3 * lap - 2, 3), 3 * lap + 3);
	assert_int_equal(seq_expand(3 * lap + 2, 0xfffffff0), 3 * lap - 16);
	/* just under half a lap away */
	assert_int_equal(seq_expand(lap, 0x7fffffff), lap + 0x7fffffff);
	assert_int_equal(seq_expand(lap, 0x80000001), lap - 0x7fffffff);
}

static void
every_number_survives_the_wire(void **state)
{
	(void)state;
	uint64_t start = seq_first(0xffffff00);

	for (uint64_t seq = start; seq < start + 1024; seq++)
		for (int64_t off = -300; off <= 300; off += 60) {
			uint64_t near = seq + (uint64_t)off;

			assert_int_equal(seq_expand(near, (uint32_t)seq), seq);
		}
}

static void
the_first_number_has_room_below(void **state)
{
	(void)state;
	assert_true(seq_first(0) > 1000);
	assert_int_equal((uint32_t)seq_first(0x12345678), 0x12345678);
	assert_int_equal((uint32_t)seq_first(0), 0);
}

static void
clocks_are_ordered_across_the_wrap(void **state)
{
	(void)state;
	assert_true(seq_before(1, 2));
	assert_false(seq_before(2, 1));
	assert_false(seq_before(7, 7));
	assert_true(seq_before(0xffffffff, 0));
	assert_false(seq_before(0, 0xffffffff));
	assert_true(seq_before(0xfffffff0, 0x10));
}

static void
sixteen_bits_go_both_ways(void **state)
{
	(void)state;
	assert_int_equal(seq_ahead16(0, 0), 0);
	assert_int_equal(seq_ahead16(0, 32767), 32767);
	assert_int_equal(seq_ahead16(0, 0xffff), -1);
	assert_int_equal(seq_ahead16(0xffff, 0), 1);
	assert_int_equal(seq_ahead16(0x1fff0, 0x0010), 32);
	assert_int_equal(seq_ahead16(0x20010, 0xfff0), -32);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wire_number_means_the_nearest),
		cmocka_unit_test(every_number_survives_the_wire),
		cmocka_unit_test(the_first_number_has_room_below),
		cmocka_unit_test(clocks_are_ordered_across_the_wrap),
		cmocka_unit_test(sixteen_bits_go_both_ways),
	};

	return cmocka_run_group_tests_name("seq", tests, NULL, NULL);
}
