/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allowances: they only grow, and an update is sent when it is worth one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "credit.h"

static void
the_start_is_the_size(void **state)
{
	struct allowance a;

	(void)state;
	allowance_init(&a, 1000, 64, 8);
	assert_int_equal(a.allowed, 1064);
	assert_int_equal(a.told, 1064);
}

static void
small_growth_waits_for_a_ride(void **state)
{
	struct allowance a;

	(void)state;
	allowance_init(&a, 0, 100, 8);
	for (int i = 1; i < 8; i++)
		assert_false(allowance_return(&a, 1, 50));
	assert_true(allowance_return(&a, 1, 50));
	assert_int_equal(a.allowed, 108);
	/* Only being told resets it. */
	assert_int_equal(a.told, 100);
	a.told = a.allowed;
	assert_false(allowance_return(&a, 1, 50));
}

static void
whoever_stands_still_is_told_at_once(void **state)
{
	struct allowance a;

	(void)state;
	allowance_init(&a, 0, 100, 8);
	assert_false(allowance_starved(&a, 100));
	assert_true(allowance_return(&a, 1, 100));
	assert_true(allowance_starved(&a, 100));
	assert_false(allowance_starved(&a, 99));
	a.told = a.allowed;
	assert_false(allowance_starved(&a, 101));
}

static void
tiny_sizes_tell_every_unit(void **state)
{
	struct allowance a;

	(void)state;
	for (uint32_t size = 1; size < 8; size++) {
		allowance_init(&a, 7, size, 8);
		assert_true(allowance_return(&a, 1, 7));
	}
}

static void
returning_nothing_tells_nothing(void **state)
{
	struct allowance a;

	(void)state;
	allowance_init(&a, 0, 4, 8);
	assert_false(allowance_return(&a, 0, 4));
	assert_false(allowance_return(&a, 0, 0));
}

static void
credit_from_the_wire_only_grows(void **state)
{
	uint64_t limit = 0;

	(void)state;
	assert_false(credit_learn(&limit, 0));
	assert_true(credit_learn(&limit, 32767));
	assert_int_equal(limit, 32767);
	assert_false(credit_learn(&limit, 32766));
	assert_false(credit_learn(&limit, 0));
	assert_int_equal(limit, 32767);
	/* 32,768 ahead would be as much behind. */
	assert_false(credit_learn(&limit, 65535));
	assert_true(credit_learn(&limit, 65534));
	assert_true(credit_learn(&limit, 3));
	assert_int_equal(limit, 65539);
	assert_false(credit_learn(&limit, 65535));
	assert_int_equal(limit, 65539);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_start_is_the_size),
		cmocka_unit_test(small_growth_waits_for_a_ride),
		cmocka_unit_test(whoever_stands_still_is_told_at_once),
		cmocka_unit_test(tiny_sizes_tell_every_unit),
		cmocka_unit_test(returning_nothing_tells_nothing),
		cmocka_unit_test(credit_from_the_wire_only_grows),
	};

	return cmocka_run_group_tests_name("credit", tests, NULL, NULL);
}
