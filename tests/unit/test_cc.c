/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The congestion controllers, step by step: each answer is worked out from the
 * document that the controller follows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "cc.h"

#define US UINT64_C(1000)
#define S  UINT64_C(1000000000)

/* A sender that always has more to send, packet by packet. */
struct path {
	struct cc cc;
	struct cc_ack ack;
};

static void
path_init(struct path *path, enum cc_kind kind, uint32_t window)
{
	*path = (struct path){
		.ack = { .limited = true,
			 .una = 1000,
			 .nxt = 1000,
			 .rtt_ns = 50 * US,
			 .srtt_ns = 50 * US,
			 .min_ns = 50 * US,
			 .now_ns = S },
	};
	weir_cc_init(&path->cc, kind, window, CC_TARGET);
}

/* `count` packets arrive, `marked` of these with CE. */
static void
acked(struct path *path, uint32_t count, uint32_t marked)
{
	path->ack.acked = count;
	path->ack.marked = marked;
	path->ack.una += count;
	path->ack.nxt = path->ack.una + path->cc.cwnd;
	weir_cc_on_ack(&path->cc, &path->ack);
}

/* A whole window, one packet at a time; the last ones marked. */
static void
round_trip(struct path *path, uint32_t marked)
{
	uint32_t count = path->cc.cwnd;

	path->ack.now_ns += path->ack.srtt_ns;
	for (uint32_t i = 0; i < count; i++)
		acked(path, 1, i >= count - marked);
}

static void
lose(struct path *path)
{
	weir_cc_on_loss(&path->cc, path->ack.nxt, path->ack.srtt_ns,
			path->ack.now_ns);
}

static void
fixed_never_moves(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_FIXED, 256);
	assert_int_equal(path.cc.cwnd, 256);
	acked(&path, 20, 20);
	assert_int_equal(path.cc.cwnd, 256);
	assert_int_equal(path.cc.gap_ns, 0);
	assert_false(path.cc.marking);
}

/* --- newreno -------------------------------------------------------------- */

static void
newreno_doubles_per_round_trip_at_first(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_NEWRENO, 256);
	assert_int_equal(path.cc.cwnd, 10);
	round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 20);
	acked(&path, 16, 0);
	assert_int_equal(path.cc.cwnd, 36);
	assert_int_equal(path.cc.gap_ns, 0);
	for (int i = 0; i < 10; i++)
		round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 256);
}

static void
newreno_does_not_grow_unused(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_NEWRENO, 256);
	path.ack.limited = false;
	round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 10);
}

static void
newreno_halves_then_adds_one_per_round_trip(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_NEWRENO, 30);
	round_trip(&path, 0);
	lose(&path);
	assert_int_equal(path.cc.cwnd, 10);
	assert_int_equal(path.cc.gap_ns, 5 * US);
	acked(&path, 9, 0);
	assert_int_equal(path.cc.cwnd, 10);
	acked(&path, 1, 0);
	assert_int_equal(path.cc.cwnd, 11);
	round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 12);
	assert_int_equal(path.cc.gap_ns, 50 * US / 12);
	/* Full again: no need for gaps any more. */
	for (int i = 0; i < 18; i++)
		round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 30);
	assert_int_equal(path.cc.gap_ns, 0);
}

static void
newreno_keeps_two_packets(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_NEWRENO, 256);
	for (int i = 0; i < 10; i++)
		lose(&path);
	assert_int_equal(path.cc.cwnd, 2);
}

static void
newreno_remembers_half_over_many_timeouts(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_NEWRENO, 256);
	round_trip(&path, 0);
	round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 40);
	weir_cc_on_timeout(&path.cc, path.ack.nxt, false);
	assert_int_equal(path.cc.cwnd, 2);
	assert_int_equal(path.cc.gap_ns, 0);
	weir_cc_on_timeout(&path.cc, path.ack.nxt, true);
	weir_cc_on_timeout(&path.cc, path.ack.nxt, true);
	assert_int_equal(path.cc.cwnd, 2);
	for (int i = 0; i < 4; i++)
		round_trip(&path, 0);
	/* 4, 8, 16, and then up to the half of 40 that it had. */
	assert_in_range(path.cc.cwnd, 20, 21);
}

/* --- dctcp ---------------------------------------------------------------- */

static void
dctcp_halves_when_everything_is_marked(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_DCTCP, 256);
	assert_true(path.cc.marking);
	acked(&path, 10, 10);
	/* The first round is over at once; alpha was 1 and stays it. */
	assert_int_equal(path.cc.alpha, CC_ALPHA);
	assert_int_equal(path.cc.cwnd, 5);
}

static void
dctcp_cuts_once_per_round_trip(void **state)
{
	struct path path;
	uint32_t before;

	(void)state;
	path_init(&path, CC_DCTCP, 256);
	for (int i = 0; i < 4; i++)
		round_trip(&path, 0);
	acked(&path, 1, 0);
	before = path.cc.cwnd;
	path.cc.round_end = path.ack.una + before;
	for (uint32_t i = 0; i < before - 1; i++)
		acked(&path, 1, 1);
	assert_int_equal(path.cc.cwnd, before);
	acked(&path, 1, 1);
	assert_true(path.cc.cwnd < before);
}

static void
dctcp_alpha_follows_the_share_of_marks(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_DCTCP, 64);
	for (int i = 0; i < 200; i++) {
		/* A window that stays as it is, a quarter marked. */
		path.cc.cwnd = 40;
		path.cc.round_end = path.ack.una + 40;
		acked(&path, 30, 0);
		acked(&path, 10, 10);
	}
	assert_in_range(path.cc.alpha, CC_ALPHA / 4 - CC_ALPHA / 1000,
			CC_ALPHA / 4 + CC_ALPHA / 1000);
	/* 40 * (1 - 1/8) */
	assert_int_equal(path.cc.cwnd, 35);
	for (int i = 0; i < 400; i++)
		round_trip(&path, 0);
	assert_in_range(path.cc.alpha, 0, 16);
}

static void
dctcp_without_marks_is_newreno(void **state)
{
	struct path dctcp, newreno;

	(void)state;
	path_init(&dctcp, CC_DCTCP, 256);
	path_init(&newreno, CC_NEWRENO, 256);
	weir_cc_no_marks(&dctcp.cc);
	assert_false(dctcp.cc.marking);
	for (int i = 0; i < 30; i++) {
		if (i == 5 || i == 20) {
			lose(&dctcp);
			lose(&newreno);
		}
		round_trip(&dctcp, 0);
		round_trip(&newreno, 0);
		assert_int_equal(dctcp.cc.cwnd, newreno.cc.cwnd);
		assert_int_equal(dctcp.cc.gap_ns, newreno.cc.gap_ns);
	}
}

/* --- swift ---------------------------------------------------------------- */

static void
swift_grows_by_one_per_round_trip_below_the_target(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_SWIFT, 256);
	round_trip(&path, 0);
	assert_int_equal(path.cc.cwnd, 20);
	path.ack.rtt_ns = 150 * US; /* twice the target of 50 + 25 */
	acked(&path, 1, 0);
	/* 0.8 * (150 - 75) / 150 = 0.4 less */
	assert_in_range(path.cc.fraction, 12 * CC_ONE - CC_ONE / 10,
			12 * CC_ONE + CC_ONE / 10);
	path.ack.rtt_ns = 70 * US;
	for (uint32_t i = path.cc.cwnd; i != 0; i--)
		acked(&path, 1, 0);
	assert_in_range(path.cc.fraction, 13 * CC_ONE - CC_ONE / 10,
			13 * CC_ONE + CC_ONE / 10);
}

static void
swift_cuts_at_most_by_half_and_once_per_round_trip(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_SWIFT, 256);
	path.ack.rtt_ns = S;
	acked(&path, 1, 0);
	assert_int_equal(path.cc.fraction, 5 * CC_ONE);
	path.ack.now_ns += path.ack.srtt_ns - 1;
	acked(&path, 1, 0);
	assert_int_equal(path.cc.fraction, 5 * CC_ONE);
	path.ack.now_ns += 1;
	acked(&path, 1, 0);
	assert_int_equal(path.cc.fraction, 5 * CC_ONE / 2);
	assert_int_equal(path.cc.cwnd, 2);
	assert_int_equal(path.cc.gap_ns, 20 * US);
}

static void
swift_goes_below_one_packet_by_gaps(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_SWIFT, 256);
	path.ack.rtt_ns = S;
	for (int i = 0; i < 20; i++) {
		path.ack.now_ns += path.ack.srtt_ns;
		acked(&path, 1, 0);
	}
	assert_int_equal(path.cc.fraction, CC_TINY);
	assert_int_equal(path.cc.cwnd, 1);
	assert_in_range(path.cc.gap_ns, 4999 * US, 5010 * US);
	/* One arrival in time brings a whole packet back. */
	path.ack.rtt_ns = 60 * US;
	acked(&path, 1, 0);
	assert_int_equal(path.cc.fraction, CC_TINY + CC_ONE);
}

static void
swift_wants_samples_and_use(void **state)
{
	struct path path;

	(void)state;
	path_init(&path, CC_SWIFT, 256);
	path.ack.rtt_ns = 0;
	acked(&path, 10, 0);
	assert_int_equal(path.cc.cwnd, 10);
	path.ack.rtt_ns = 60 * US;
	path.ack.limited = false;
	acked(&path, 10, 0);
	assert_int_equal(path.cc.cwnd, 10);
}

/* --- all ------------------------------------------------------------------ */

static void
bounds_hold_whatever_comes(void **state)
{
	uint64_t lot = 1;

	(void)state;
	for (int kind = CC_NEWRENO; kind < CC_KINDS; kind++) {
		struct path path;

		path_init(&path, (enum cc_kind)kind, 32768);
		for (int i = 0; i < 20000; i++) {
			lot = lot * UINT64_C(6364136223846793005) + 1;
			path.ack.rtt_ns = 1 + (lot >> 33) % S;
			path.ack.srtt_ns = 1 + (lot >> 34) % S;
			path.ack.now_ns += (lot >> 40) % (100 * US);
			acked(&path, (uint32_t)(lot >> 60), (lot >> 59) & 1);
			if (lot >> 58 == 0)
				lose(&path);
			if (lot >> 54 == 0)
				weir_cc_on_timeout(&path.cc, path.ack.nxt,
						   lot >> 53 & 1);
			assert_in_range(path.cc.cwnd, 1, 32768);
			assert_true(path.cc.gap_ns <= 101 * S);
			assert_true(path.cc.alpha <= CC_ALPHA);
		}
	}
}

static void
names_are_those_of_the_endpoint(void **state)
{
	(void)state;
	assert_string_equal(weir_cc_name(CC_FIXED), "fixed");
	assert_string_equal(weir_cc_name(CC_NEWRENO), "newreno");
	assert_string_equal(weir_cc_name(CC_DCTCP), "dctcp");
	assert_string_equal(weir_cc_name(CC_SWIFT), "swift");
	assert_null(weir_cc_name(CC_KINDS));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_never_moves),
		cmocka_unit_test(newreno_doubles_per_round_trip_at_first),
		cmocka_unit_test(newreno_does_not_grow_unused),
		cmocka_unit_test(newreno_halves_then_adds_one_per_round_trip),
		cmocka_unit_test(newreno_keeps_two_packets),
		cmocka_unit_test(newreno_remembers_half_over_many_timeouts),
		cmocka_unit_test(dctcp_halves_when_everything_is_marked),
		cmocka_unit_test(dctcp_cuts_once_per_round_trip),
		cmocka_unit_test(dctcp_alpha_follows_the_share_of_marks),
		cmocka_unit_test(dctcp_without_marks_is_newreno),
		cmocka_unit_test(
			swift_grows_by_one_per_round_trip_below_the_target),
		cmocka_unit_test(
			swift_cuts_at_most_by_half_and_once_per_round_trip),
		cmocka_unit_test(swift_goes_below_one_packet_by_gaps),
		cmocka_unit_test(swift_wants_samples_and_use),
		cmocka_unit_test(bounds_hold_whatever_comes),
		cmocka_unit_test(names_are_those_of_the_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
