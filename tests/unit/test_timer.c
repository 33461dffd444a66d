/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines: the wake-up may be early, never late.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "timer.h"

static void
nothing_is_set_at_first(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	assert_int_equal(t.wake, TIMER_NEVER);
	for (int i = 0; i < TIMERS; i++)
		assert_false(timer_due(&t, (enum timer_id)i, UINT64_MAX - 1));
}

static void
the_earliest_wakes(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timer_set(&t, TIMER_LOSS, 500);
	timer_set(&t, TIMER_ACK, 200);
	timer_set(&t, TIMER_ALIVE, 900);
	assert_int_equal(t.wake, 200);
	assert_true(timer_due(&t, TIMER_ACK, 200));
	assert_false(timer_due(&t, TIMER_ACK, 199));
	assert_false(timer_due(&t, TIMER_LOSS, 200));
}

static void
later_and_never_are_noticed_at_the_wake_up(void **state)
{
	struct timers t;

	(void)state;
	timers_init(&t);
	timer_set(&t, TIMER_ACK, 200);
	timer_set(&t, TIMER_LOSS, 300);
	timer_set(&t, TIMER_ACK, 800);
	assert_int_equal(t.wake, 200);
	timers_settle(&t);
	assert_int_equal(t.wake, 300);
	timer_clear(&t, TIMER_LOSS);
	assert_int_equal(t.wake, 300);
	timers_settle(&t);
	assert_int_equal(t.wake, 800);
	timer_clear(&t, TIMER_ACK);
	timers_settle(&t);
	assert_int_equal(t.wake, TIMER_NEVER);
}

static void
every_purpose_counts(void **state)
{
	struct timers t;

	(void)state;
	for (int i = 0; i < TIMERS; i++) {
		timers_init(&t);
		timer_set(&t, (enum timer_id)i, 7);
		assert_int_equal(t.wake, 7);
		t.wake = 0;
		timers_settle(&t);
		assert_int_equal(t.wake, 7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_set_at_first),
		cmocka_unit_test(the_earliest_wakes),
		cmocka_unit_test(later_and_never_are_noticed_at_the_wake_up),
		cmocka_unit_test(every_purpose_counts),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
