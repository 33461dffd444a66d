/* SPDX-License-Identifier: BSD-3-Clause */
/* Placement of two CPUs: classes, the probe between two threads, and the
 * floors of shared memory, which run over the same two threads. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "floor.h"
#include "placement.h"
#include "spin.h"

/* The three modes that were measured, and values around each limit. */
static void
classes_by_round_trip(void **state)
{
	(void)state;
	assert_int_equal(weir_place_of(70), WEIR_PLACE_SMT);
	assert_int_equal(weir_place_of(95.9), WEIR_PLACE_SMT);
	assert_int_equal(weir_place_of(96), WEIR_PLACE_NEAR);
	assert_int_equal(weir_place_of(130), WEIR_PLACE_NEAR);
	assert_int_equal(weir_place_of(251.9), WEIR_PLACE_NEAR);
	assert_int_equal(weir_place_of(252), WEIR_PLACE_FAR);
	assert_int_equal(weir_place_of(490), WEIR_PLACE_FAR);
}

static void
a_window_has_one_placement_or_none(void **state)
{
	(void)state;
	for (int a = 0; a < WEIR_PLACES; a++)
		for (int b = 0; b < WEIR_PLACES; b++)
			assert_int_equal(
				weir_place_between((enum weir_placement)a,
						   (enum weir_placement)b),
				a == b ? a : WEIR_PLACE_MOVED);
}

static void
each_placement_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(weir_place_name(WEIR_PLACE_SMT), "smt");
	assert_string_equal(weir_place_name(WEIR_PLACE_NEAR), "near");
	assert_string_equal(weir_place_name(WEIR_PLACE_FAR), "far");
	assert_string_equal(weir_place_name(WEIR_PLACE_SAME), "same");
	assert_string_equal(weir_place_name(WEIR_PLACE_MOVED), "moved");
}

static void
two_cpus_or_twice_the_same(void **state)
{
	int cpus[2] = { -1, -1 };
	int rc = weir_cpus_choose(cpus);

	(void)state;
	assert_int_equal(rc, 0);
	assert_true(cpus[0] >= 0);
	assert_true(cpus[1] >= cpus[0]);
	rc = weir_cpu_pin(-1);
	assert_int_equal(rc, -EINVAL);
}

/* ---- two threads --------------------------------------------------------------- */

struct pair {
	struct weir_probe probe;
	struct weir_gate gate;
	struct weir_load *peer;
	struct weir_flow flow;
	int rounds;
	int rc;
};

static void *
answer_probes(void *arg)
{
	struct pair *pair = arg;
	uint64_t number = 0;

	for (int i = 0; i < pair->rounds && pair->rc == 0; i++)
		pair->rc = weir_probe_answer(&pair->probe, &number);
	return NULL;
}

/* On whatever CPUs the threads are: a probe ends and its time is positive. */
static void
probes_come_back(void **state)
{
	static struct pair pair;
	pthread_t thread;
	uint64_t number = 0;
	double ticks;
	int rc;

	(void)state;
	memset(&pair, 0, sizeof(pair));
	pair.rounds = 3;
	assert_int_equal(pthread_create(&thread, NULL, answer_probes, &pair),
			 0);
	for (int i = 0; i < pair.rounds; i++) {
		ticks = 0;
		rc = weir_probe_ask(&pair.probe, &number, &ticks);
		assert_int_equal(rc, 0);
		assert_true(ticks > 0);
	}
	pthread_join(thread, NULL);
	assert_int_equal(pair.rc, 0);
	assert_int_equal(number, 3 * WEIR_PROBE_BATCH * WEIR_PROBE_BATCHES);
}

static void *
run_echo(void *arg)
{
	struct pair *pair = arg;

	pair->rc = pair->peer->ops->echo(pair->peer);
	return NULL;
}

static void *
run_sink(void *arg)
{
	struct pair *pair = arg;

	pair->rc = pair->peer->ops->sink(pair->peer, &pair->flow);
	return NULL;
}

struct ends {
	struct pair pair;
	struct weir_work work[2];
	uint8_t bytes[4][4096];
	uint8_t *area;
};

static void
open_ends(struct ends *ends, struct weir_load shapes[2], uint32_t size)
{
	memset(ends, 0, sizeof(*ends));
	for (int i = 0; i < 2; i++) {
		ends->work[i].out = ends->bytes[2 * i];
		ends->work[i].in = ends->bytes[2 * i + 1];
		shapes[i] = (struct weir_load){
			.gate = &ends->pair.gate,
			.work = &ends->work[i],
			.size = size,
			.burst = 32,
			.spin_limit = WEIR_SPIN_LIMIT,
		};
	}
	for (uint32_t i = 0; i < size; i++)
		ends->bytes[0][i] = (uint8_t)(i * 7 + 1);
	ends->area = aligned_alloc(64, 1 << 20);
	assert_non_null(ends->area);
	memset(ends->area, 0, 1 << 20);
	ends->pair.gate.open = 1;
}

/* What went out comes back, for sizes around each edge of the copy. */
static void
line_floor_carries_the_bytes(void **state)
{
	static const uint32_t sizes[] = { 0,  1,  7,   8,    9,   15,
					  16, 31, 32,  48,   56,  57,
					  64, 65, 120, 1000, 4000 };
	static struct ends ends;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct weir_load shapes[2], *meter;
		pthread_t thread;
		uint64_t number = 5;
		int rc;

		open_ends(&ends, shapes, sizes[i]);
		assert_true(weir_floor_line_bytes(sizes[i]) <= 1 << 20);
		meter = weir_floor_line_open(&shapes[0], ends.area, true);
		ends.pair.peer =
			weir_floor_line_open(&shapes[1], ends.area, false);
		assert_int_equal(
			pthread_create(&thread, NULL, run_echo, &ends.pair), 0);
		rc = meter->ops->rounds(meter, 5);
		assert_int_equal(rc, 0);
		atomic_store(&ends.pair.gate.open, 0);
		pthread_join(thread, NULL);
		if (sizes[i] >= sizeof(number))
			memcpy(ends.bytes[0], &number, sizeof(number));
		assert_memory_equal(ends.bytes[0], ends.bytes[1], sizes[i]);
		meter->ops->close(meter);
		ends.pair.peer->ops->close(ends.pair.peer);
		free(ends.area);
	}
}

static void
ring_floor_counts_every_message(void **state)
{
	static const uint32_t cells[] = { 1, 2, 16, 256 };
	static struct ends ends;

	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		struct weir_load shapes[2], *meter;
		pthread_t thread;
		int rc;

		open_ends(&ends, shapes, 48);
		assert_true(weir_floor_ring_bytes(48, cells[i]) <= 1 << 20);
		meter = weir_floor_ring_open(&shapes[0], ends.area, cells[i]);
		ends.pair.peer =
			weir_floor_ring_open(&shapes[1], ends.area, cells[i]);
		assert_int_equal(
			pthread_create(&thread, NULL, run_sink, &ends.pair), 0);
		rc = meter->ops->send(meter, 1000);
		assert_int_equal(rc, 0);
		assert_int_equal(meter->sent, 1000);
		ends.pair.gate.sent = meter->sent;
		atomic_store(&ends.pair.gate.open, 0);
		pthread_join(thread, NULL);
		assert_int_equal(ends.pair.rc, 0);
		assert_int_equal(ends.pair.flow.messages, 1000);
		/* Those of one slice, or all after the first burst. */
		assert_in_range(ends.pair.flow.timed, 1, 999);
		assert_true(ends.pair.flow.ticks > 0);
		meter->ops->close(meter);
		ends.pair.peer->ops->close(ends.pair.peer);
		free(ends.area);
	}
}

static void
ring_is_as_large_as_the_link(void **state)
{
	(void)state;
	assert_int_equal(weir_floor_ring_cells(64, 0), 1);
	assert_int_equal(weir_floor_ring_cells(64, 1), 1);
	assert_int_equal(weir_floor_ring_cells(64, 3), 2);
	assert_int_equal(weir_floor_ring_cells(64, 1024), 1024);
	assert_int_equal(weir_floor_ring_cells(64, 32768), 1024);
	assert_int_equal(weir_floor_ring_cells(48, 32768), 256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_by_round_trip),
		cmocka_unit_test(a_window_has_one_placement_or_none),
		cmocka_unit_test(each_placement_has_a_name),
		cmocka_unit_test(two_cpus_or_twice_the_same),
		cmocka_unit_test(probes_come_back),
		cmocka_unit_test(line_floor_carries_the_bytes),
		cmocka_unit_test(ring_floor_counts_every_message),
		cmocka_unit_test(ring_is_as_large_as_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
