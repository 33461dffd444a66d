/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the crash matrix kills: by single steps or by a route, it is after the
 * same instruction. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "side.h"
#include "step.h"

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

#define BYTES 1500u
#define KILLS 60u

/* What the child did so far can be seen here. */
static struct deeds {
	_Atomic uint32_t mark;
	volatile uint32_t sums[32];
	volatile uint32_t calls;
	volatile uint8_t copied[BYTES];
} * deeds;

static __attribute__((noinline)) void
count_one(void)
{
	deeds->calls++;
}

/* Loops in loops, a function that is called from two places, an instruction that
 * repeats itself, a system call. */
static void
act(void)
{
	static uint8_t bytes[BYTES];

	for (uint32_t i = 0; i < 32; i++) {
		for (uint32_t j = 0; j < i % 5; j++)
			deeds->sums[i] += j + 1;
		count_one();
	}
	memset(bytes, 1, sizeof(bytes));
#if defined(__x86_64__)
	{
		volatile uint8_t *to = deeds->copied;
		const uint8_t *from = bytes;
		size_t n = sizeof(bytes);

		__asm__ volatile("rep movsb"
				 : "+D"(to), "+S"(from), "+c"(n)
				 :
				 : "memory");
	}
#endif
	(void)getppid();
	count_one();
}

/* @return how many instructions it executed; *seen is what it had done. */
static int64_t
one_child(uint64_t instructions, struct route *route, struct deeds *seen)
{
	int64_t executed;
	int status;
	pid_t pid;

	memset((void *)deeds, 0, sizeof(*deeds));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		step_wait_for_tracer();
		atomic_store(&deeds->mark, STEP_BEGUN);
		act();
		atomic_store(&deeds->mark, STEP_DONE);
		for (;;)
			pause();
	}
	assert_int_equal(step_until_ready(pid), 0);
	executed =
		step_and_kill(pid, &deeds->mark, instructions, route, &status);
	memcpy(seen, (const void *)deeds, sizeof(*seen));
	return executed;
}

static void
a_route_leads_to_where_steps_lead(void **state)
{
	struct deeds stepped, ridden;
	struct route route = { 0 };
	struct route_way way;
	unsigned int better = 0;
	int64_t all;

	(void)state;
	all = one_child(STEP_TO_THE_END, &route, &stepped);
	assert_true(all > 300);
	assert_int_equal(stepped.calls, 33);
	assert_int_equal(route.count, all);
	for (uint64_t i = 0; i < KILLS; i++) {
		uint64_t n = (uint64_t)all * i / KILLS;

		better += route_way(&route, n, &way);
		assert_int_equal(one_child(n, NULL, &stepped), n);
		assert_int_equal(one_child(n, &route, &ridden), n);
		assert_memory_equal(&stepped, &ridden, sizeof(stepped));
	}
	print_message("%u of %u ways are better than steps\n", better, KILLS);
#if defined(__x86_64__)
	assert_true(better > KILLS / 2);
#endif
	route_free(&route);
}

/* The next one need not take the same way: it dies at the end of it at the
 * latest. */
static void
who_goes_another_way_ends_as_well(void **state)
{
	struct route route = { 0 };
	struct deeds seen;
	int64_t all;

	(void)state;
	all = one_child(STEP_TO_THE_END, &route, &seen);
	for (uint32_t i = 0; i < route.count; i++)
		route.at[i] = 16 + i; /* nobody comes there */
	assert_int_equal(one_child((uint64_t)all / 2, &route, &seen), all);
	assert_int_equal(atomic_load(&seen.mark), STEP_DONE);
	route_free(&route);
}

static int
prepare(void **state)
{
	int rc = 0;

	(void)state;
#ifdef HAS_TSAN
	printf("skipped: not under ThreadSanitizer, see kill_matrix.c\n");
	exit(77);
#endif
	rc = step_allowed();
	if (rc != 0) {
		printf("skipped: children cannot be traced here: %s\n",
		       strerror(-rc));
		exit(77);
	}
	deeds = shared_page();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_leads_to_where_steps_lead),
		cmocka_unit_test(who_goes_another_way_ends_as_well),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
