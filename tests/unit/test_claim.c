/* SPDX-License-Identifier: BSD-3-Clause */
/* Claims by several threads, and the list of those that sleep. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "claim.h"
#include "sleepers.h"

#define WORDS   4u
#define THINGS  (WORDS * WEIR_CLAIM_WORD)
#define THREADS 4
#define ROUNDS  20000u

static void
the_lowest_bits_are_taken(void **state)
{
	(void)state;
	assert_int_equal(weir_claim_lowest(0, 1), 0);
	assert_int_equal(weir_claim_lowest(0, 5), 0);
	assert_int_equal(weir_claim_lowest(0x50, 1), 0x10);
	assert_int_equal(weir_claim_lowest(0xf0, 2), 0x30);
	assert_int_equal(weir_claim_lowest(0x5050, 3), 0x1050);
	assert_int_equal(weir_claim_lowest(0x5050, 9), 0x5050);
	assert_true(weir_claim_lowest(UINT64_MAX, 64) == UINT64_MAX);
	assert_true(weir_claim_lowest(UINT64_MAX, 63) == UINT64_MAX >> 1);
	assert_true(weir_claim_lowest(UINT64_C(7) << 61, 4) == UINT64_C(7)
								       << 61);
}

static void
a_claim_goes_once_round(void **state)
{
	_Atomic uint64_t map[WORDS + 1] = { 0, 0, 0, 0, UINT64_MAX };
	struct weir_permit permits[8];

	(void)state;
	memset(permits, 0, sizeof(permits));
	map[1] = 0x81;
	map[3] = 0x6;
	/* From the middle of the first word of the class, back to its start;
	 * the word behind the class is another one's. */
	assert_int_equal(
		weir_claim_many(map, 1, 3, 4, WEIR_CLAIM_TOKEN, permits, 8), 4);
	assert_int_equal(permits[0].cookie, 64 + 7);
	assert_int_equal(permits[1].cookie, 3 * 64 + 1);
	assert_int_equal(permits[2].cookie, 3 * 64 + 2);
	assert_int_equal(permits[3].cookie, 64);
	assert_true(map[1] == 0 && map[3] == 0 && map[4] == UINT64_MAX);
	weir_claim_give(&map[1], 0x10);
	assert_int_equal(
		weir_claim_many(map, 1, 3, 0, WEIR_CLAIM_BODY, permits, 1), 1);
	assert_int_equal(permits[0].cookie, (64 + 7) | (64 + 4) << 16);
}

/* ---- several threads ----------------------------------------------------------- */

static _Atomic uint64_t shared_map[WORDS];
static _Atomic uint32_t owners[THINGS];
static _Atomic uint32_t clashes;

static void *
claim_and_give(void *arg)
{
	uint32_t n = (uint32_t)(uintptr_t)arg;
	struct weir_permit permits[7];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		memset(permits, 0, sizeof(permits));
		uint32_t got = weir_claim_many(shared_map, 0, WORDS,
					       round % THINGS, WEIR_CLAIM_TOKEN,
					       permits, n);

		for (uint32_t i = 0; i < got; i++)
			if (atomic_fetch_add(&owners[permits[i].cookie], 1))
				atomic_fetch_add(&clashes, 1);
		for (uint32_t i = 0; i < got; i++) {
			uint32_t thing = permits[i].cookie;

			atomic_fetch_sub(&owners[thing], 1);
			weir_claim_give(&shared_map[thing / WEIR_CLAIM_WORD],
					UINT64_C(1) << thing % WEIR_CLAIM_WORD);
		}
	}
	return NULL;
}

static void
nothing_has_two_owners(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	/* Few enough that they are short of them. */
	shared_map[0] = 0xff;
	shared_map[2] = 0x3;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						claim_and_give,
						(void *)(2 * i + 1)),
				 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(clashes, 0);
	assert_true(shared_map[0] == 0xff && shared_map[1] == 0 &&
		    shared_map[2] == 0x3 && shared_map[3] == 0);
}

/* ---- sleepers ------------------------------------------------------------------ */

static void *
join_the_list(void *arg)
{
	return weir_sleepers_add(arg, 4) ? arg : NULL;
}

static void
each_thread_disarms_only_itself(void **state)
{
	static struct weir_sleepers sleepers;
	pthread_t thread;
	void *joined;

	(void)state;
	assert_false(weir_sleepers_remove(&sleepers));
	assert_int_equal(sleepers.wants, 0);
	assert_true(weir_sleepers_add(&sleepers, 1));
	assert_true(weir_sleepers_add(&sleepers, 2)); /* instead */
	assert_int_equal(sleepers.wants, 2);
	assert_int_equal(sleepers.count, 1);
	assert_int_equal(
		pthread_create(&thread, NULL, join_the_list, &sleepers), 0);
	pthread_join(thread, &joined);
	assert_non_null(joined);
	assert_int_equal(sleepers.wants, 6);
	assert_true(weir_sleepers_remove(&sleepers));
	assert_false(weir_sleepers_remove(&sleepers));
	assert_int_equal(sleepers.wants, 4); /* its thread is gone */
	assert_int_equal(sleepers.count, 1);
}

static void
a_full_list_takes_nobody(void **state)
{
	static struct weir_sleepers sleepers;
	static char others[WEIR_SLEEPERS_MAX];

	(void)state;
	for (uint32_t i = 0; i < WEIR_SLEEPERS_MAX; i++)
		sleepers.list[i].thread = &others[i];
	sleepers.count = WEIR_SLEEPERS_MAX;
	assert_false(weir_sleepers_add(&sleepers, 1));
	sleepers.count--;
	assert_true(weir_sleepers_add(&sleepers, 1));
	assert_false(weir_sleepers_remove(&(struct weir_sleepers){ 0 }));
	assert_true(weir_sleepers_remove(&sleepers));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_bits_are_taken),
		cmocka_unit_test(a_claim_goes_once_round),
		cmocka_unit_test(nothing_has_two_owners),
		cmocka_unit_test(each_thread_disarms_only_itself),
		cmocka_unit_test(a_full_list_takes_nobody),
	};

	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
