/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap of deadlines, against an array that is searched. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "timer_heap.h"

#define OWNERS 500u
#define STEPS  200000u

struct owner {
	struct timer_node node;
	uint64_t at_ns; /* TIMER_NEVER: not in the heap */
};

static struct owner owners[OWNERS];
static struct timer_entry entries[OWNERS];
static struct timer_heap heap;

static int
setup(void **state)
{
	(void)state;
	memset(owners, 0, sizeof(owners));
	for (uint32_t i = 0; i < OWNERS; i++)
		owners[i].at_ns = TIMER_NEVER;
	heap = (struct timer_heap){ .entries = entries };
	return 0;
}

static uint32_t
draw(uint32_t below)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32) % below;
}

static void
owner_set(uint32_t i, uint64_t at_ns)
{
	owners[i].at_ns = at_ns;
	weir_timer_heap_set(&heap, &owners[i].node, at_ns);
}

static void
owner_remove(uint32_t i)
{
	owners[i].at_ns = TIMER_NEVER;
	weir_timer_heap_remove(&heap, &owners[i].node);
}

static uint64_t
earliest(uint32_t *in)
{
	uint64_t at_ns = TIMER_NEVER;

	*in = 0;
	for (uint32_t i = 0; i < OWNERS; i++) {
		if (owners[i].at_ns < at_ns)
			at_ns = owners[i].at_ns;
		*in += owners[i].at_ns != TIMER_NEVER;
	}
	return at_ns;
}

/* What the heap says of itself is right. */
static void
check(void)
{
	uint32_t in;
	uint64_t at_ns = earliest(&in);

	assert_int_equal(heap.count, in);
	assert_true(timer_heap_next(&heap) == at_ns);
	for (uint32_t i = 0; i < OWNERS; i++)
		assert_true(timer_heap_at(&heap, &owners[i].node) ==
			    owners[i].at_ns);
	if (in != 0) {
		struct owner *first = (struct owner *)timer_heap_first(&heap);

		assert_true(first->at_ns == at_ns);
	}
}

static void
empty_heap_has_no_deadline(void **state)
{
	(void)state;
	check();
	owner_remove(3);
	check();
}

static void
deadlines_come_out_in_order(void **state)
{
	uint64_t before_ns = 0;

	(void)state;
	for (uint32_t i = 0; i < OWNERS; i++)
		owner_set(i, draw(OWNERS / 2));
	check();
	while (heap.count != 0) {
		struct owner *first = (struct owner *)timer_heap_first(&heap);

		assert_true(first->at_ns >= before_ns);
		before_ns = first->at_ns;
		owner_remove((uint32_t)(first - owners));
		assert_int_equal(first->node.place, 0);
	}
	check();
}

/* Set, moved to sooner and to later, removed, in any order. */
static void
any_order_agrees_with_a_search(void **state)
{
	(void)state;
	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t i = draw(OWNERS);

		if (draw(3) == 0)
			owner_remove(i);
		else
			owner_set(i, draw(1000000));
		if (step % 64 == 0)
			check();
	}
	check();
}

/* 10,000 keepalives that move on by turns touch few entries each. */
static void
one_that_moves_later_keeps_the_rest(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < OWNERS; i++)
		owner_set(i, 1000 + i);
	for (uint32_t turn = 0; turn < 3 * OWNERS; turn++) {
		struct owner *first = (struct owner *)timer_heap_first(&heap);

		assert_int_equal(first - owners, turn % OWNERS);
		owner_set(turn % OWNERS, first->at_ns + OWNERS);
	}
	check();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(empty_heap_has_no_deadline, setup),
		cmocka_unit_test_setup(deadlines_come_out_in_order, setup),
		cmocka_unit_test_setup(any_order_agrees_with_a_search, setup),
		cmocka_unit_test_setup(one_that_moves_later_keeps_the_rest,
				       setup),
	};

	return cmocka_run_group_tests_name("timer_heap", tests, NULL, NULL);
}
