/* SPDX-License-Identifier: BSD-3-Clause */
/* The SPSC ring, the return ring and the doorbell, alone and under threads. */

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "doorbell.h"
#include "retring.h"
#include "spsc.h"

#define SIZE     64u
#define MESSAGES 2000000u

/* ---- SPSC ---- */

static void
spsc_holds_exactly_its_size(void **state)
{
	struct weir_spsc q;
	uint32_t a[4];

	(void)state;
	weir_spsc_init(&q, 4);
	assert_int_equal(weir_spsc_ready(&q), 0);
	for (uint32_t round = 0; round < 5; round++) {
		assert_true(weir_spsc_room(&q, 4));
		assert_false(weir_spsc_room(&q, 5));
		for (uint32_t i = 0; i < 4; i++)
			a[weir_spsc_tail(&q, i)] = round * 4 + i;
		weir_spsc_push(&q, 3);
		assert_int_equal(weir_spsc_ready(&q), 3);
		weir_spsc_push(&q, 1);
		assert_false(weir_spsc_room(&q, 1));
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(weir_spsc_ready(&q) > 0);
			assert_int_equal(a[weir_spsc_head(&q, 0)],
					 round * 4 + i);
			weir_spsc_pop(&q, 1);
		}
		assert_int_equal(weir_spsc_ready(&q), 0);
	}
}

struct spsc_run {
	struct weir_spsc q;
	uint32_t a[SIZE];
};

static void *
spsc_produce(void *arg)
{
	struct spsc_run *run = arg;

	for (uint32_t i = 0; i < MESSAGES; i++) {
		while (!weir_spsc_room(&run->q, 1))
			sched_yield();
		run->a[weir_spsc_tail(&run->q, 0)] = i;
		weir_spsc_push(&run->q, 1);
	}
	return NULL;
}

static void
spsc_keeps_order_between_threads(void **state)
{
	static struct spsc_run run;
	uint32_t next = 0, n;
	pthread_t producer;

	(void)state;
	weir_spsc_init(&run.q, SIZE);
	assert_int_equal(pthread_create(&producer, NULL, spsc_produce, &run),
			 0);
	while (next < MESSAGES) {
		n = weir_spsc_ready(&run.q);
		if (n == 0)
			sched_yield();
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(run.a[weir_spsc_head(&run.q, i)],
					 next + i);
		weir_spsc_pop(&run.q, n);
		next += n;
	}
	pthread_join(producer, NULL);
	assert_int_equal(weir_spsc_ready(&run.q), 0);
}

/* ---- return ring ---- */

#define RELEASERS 3u

struct return_run {
	_Atomic uint64_t entries[SIZE];
	_Atomic uint32_t tickets;
	_Atomic uint32_t out; /* values out, never over SIZE */
};

static void *
release_many(void *arg)
{
	struct return_run *run = arg;

	for (uint32_t i = 1; i <= MESSAGES / 4; i++) {
		/* Only what is out can come back. */
		while (atomic_fetch_add(&run->out, 1) >= SIZE) {
			atomic_fetch_sub(&run->out, 1);
			sched_yield();
		}
		weir_retring_put(run->entries, SIZE - 1,
				 atomic_fetch_add(&run->tickets, 1), i);
	}
	return NULL;
}

static void
returns_of_many_threads_all_arrive(void **state)
{
	static struct return_run run;
	uint64_t sum = 0, expected = 0;
	pthread_t threads[RELEASERS];
	uint32_t head = 0, value;

	(void)state;
	for (uint32_t i = 0; i < RELEASERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, release_many, &run),
			0);
	while (head < RELEASERS * (MESSAGES / 4)) {
		if (!weir_retring_take(run.entries, SIZE - 1, head, &value)) {
			sched_yield();
			continue;
		}
		head++;
		sum += value;
		atomic_fetch_sub(&run.out, 1);
	}
	for (uint32_t i = 0; i < RELEASERS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 1; i <= MESSAGES / 4; i++)
		expected += (uint64_t)i * RELEASERS;
	assert_int_equal(sum, expected);
	assert_false(weir_retring_take(run.entries, SIZE - 1, head, &value));
}

static void
a_slow_releaser_delays_and_loses_nothing(void **state)
{
	_Atomic uint64_t entries[4] = { 0 };
	uint32_t value;

	(void)state;
	weir_retring_put(entries, 3, 1, 11); /* ticket 0 is late */
	assert_false(weir_retring_take(entries, 3, 0, &value));
	weir_retring_put(entries, 3, 0, 10);
	assert_true(weir_retring_take(entries, 3, 0, &value));
	assert_int_equal(value, 10);
	assert_true(weir_retring_take(entries, 3, 1, &value));
	assert_int_equal(value, 11);
}

static void
tickets_wrap(void **state)
{
	_Atomic uint64_t entries[4] = { 0 };
	uint32_t value, head = UINT32_MAX - 1;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) /* the lap before */
		weir_retring_put(entries, 3, head - 4 + i, 99);
	for (uint32_t i = 0; i < 8; i++, head++) {
		assert_false(weir_retring_take(entries, 3, head, &value));
		weir_retring_put(entries, 3, head, i);
		assert_true(weir_retring_take(entries, 3, head, &value));
		assert_int_equal(value, i);
	}
}

/* ---- doorbell ---- */

#define NAPS 20000u

struct bell_run {
	_Atomic uint32_t sleeping;
	_Atomic uint32_t posted;
	_Atomic uint32_t taken;
	int fd;
	bool fence;
};

static void *
post_one_by_one(void *arg)
{
	struct bell_run *run = arg;

	for (uint32_t i = 1; i <= NAPS; i++) {
		while (atomic_load(&run->taken) != i - 1)
			sched_yield();
		atomic_store_explicit(&run->posted, i, memory_order_release);
		if (weir_doorbell_wanted(&run->sleeping, run->fence))
			weir_doorbell_ring(run->fd);
	}
	return NULL;
}

/* Every post finds the sleeper between its last look and its sleep some
 * time; a ring that is lost there shows as a poll that times out. */
static void
sleep_through(struct bell_run *run)
{
	struct pollfd fd = { .fd = run->fd, .events = POLLIN };
	pthread_t poster;

	assert_int_equal(pthread_create(&poster, NULL, post_one_by_one, run),
			 0);
	for (uint32_t i = 1; i <= NAPS; i++) {
		weir_doorbell_arm(&run->sleeping);
		while (atomic_load_explicit(&run->posted,
					    memory_order_acquire) != i) {
			assert_int_equal(poll(&fd, 1, 10000), 1);
			weir_doorbell_drain(run->fd);
		}
		weir_doorbell_disarm(&run->sleeping);
		atomic_store(&run->taken, i);
	}
	pthread_join(poster, NULL);
}

static void
no_ring_is_lost_with_membarrier(void **state)
{
	struct bell_run run = { .fd = weir_doorbell_open() };

	(void)state;
	if (!weir_doorbell_setup()) {
		print_message("skipped: this kernel has no membarrier\n");
		close(run.fd);
		skip();
	}
	sleep_through(&run);
	close(run.fd);
}

static void
no_ring_is_lost_with_fences(void **state)
{
	struct bell_run run = { .fd = weir_doorbell_open(), .fence = true };

	(void)state;
	sleep_through(&run);
	close(run.fd);
}

static void
rings_are_not_counted_and_never_block(void **state)
{
	int fd = weir_doorbell_open();
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)state;
	for (int i = 0; i < 1000; i++)
		weir_doorbell_ring(fd);
	assert_int_equal(poll(&p, 1, 0), 1);
	weir_doorbell_drain(fd);
	assert_int_equal(poll(&p, 1, 0), 0);
	weir_doorbell_drain(fd);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spsc_holds_exactly_its_size),
		cmocka_unit_test(spsc_keeps_order_between_threads),
		cmocka_unit_test(returns_of_many_threads_all_arrive),
		cmocka_unit_test(a_slow_releaser_delays_and_loses_nothing),
		cmocka_unit_test(tickets_wrap),
		cmocka_unit_test(no_ring_is_lost_with_membarrier),
		cmocka_unit_test(no_ring_is_lost_with_fences),
		cmocka_unit_test(rings_are_not_counted_and_never_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
