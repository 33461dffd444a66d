/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Run seeds.
 *
 *   test_sim                     the suite: 4,000 seeds and the old failures
 *   test_sim --seeds FROM COUNT  a campaign of any length
 *   test_sim --seed N [--trace]  replay one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "sim.h"

#define SUITE_SEEDS 4000

/* Seeds that have found a defect once: they run first, for ever. */
static const uint64_t regressions[] = { 35, 473, 605, 3268, 4777, 11166 };

static void
print_counts(const struct sim_count *c, uint64_t seeds, double seconds)
{
	printf("%llu seeds in %.1f s (%.0f/s), %llu events, %llu packets, "
	       "%llu messages\n",
	       (unsigned long long)seeds, seconds, (double)seeds / seconds,
	       (unsigned long long)c->events, (unsigned long long)c->packets,
	       (unsigned long long)c->msgs);
#define SHOW(field) \
	printf("  %-16s %llu\n", #field, (unsigned long long)c->field)
	SHOW(lost);
	SHOW(duplicated);
	SHOW(late);
	SHOW(tlp);
	SHOW(rto);
	SHOW(lost_sack);
	SHOW(lost_time);
	SHOW(retx);
	SHOW(spurious);
	SHOW(reorder_seen);
	SHOW(dup_dropped);
	SHOW(window_closed);
	SHOW(probes);
	SHOW(probe_healed);
	SHOW(seq_wrapped);
	SHOW(sack_wide);
	SHOW(handshake_retx);
	SHOW(stale);
	SHOW(batches);
	SHOW(batches_again);
	SHOW(batches_held);
#undef SHOW
	printf("  ends: close %llu close-last %llu abort-tx %llu stop-rx %llu "
	       "abort %llu vanish %llu\n",
	       (unsigned long long)c->ends[SIM_CLOSE],
	       (unsigned long long)c->ends[SIM_CLOSE_LAST],
	       (unsigned long long)c->ends[SIM_ABORT_TX],
	       (unsigned long long)c->ends[SIM_STOP_RX],
	       (unsigned long long)c->ends[SIM_ABORT],
	       (unsigned long long)c->ends[SIM_VANISH]);
}

/* Every one of these must have happened, or the seeds are too tame. */
static int
check_sometimes(const struct sim_count *c)
{
	int missing = 0;

#define SOMETIMES(field)                                        \
	do {                                                    \
		if (c->field == 0) {                            \
			fprintf(stderr, "never: %s\n", #field); \
			missing++;                              \
		}                                               \
	} while (0)
	SOMETIMES(lost);
	SOMETIMES(duplicated);
	SOMETIMES(late);
	SOMETIMES(tlp);
	SOMETIMES(rto);
	SOMETIMES(lost_sack);
	SOMETIMES(lost_time);
	SOMETIMES(dup_dropped);
	SOMETIMES(window_closed);
	SOMETIMES(probes);
	SOMETIMES(probe_healed);
	SOMETIMES(seq_wrapped);
	SOMETIMES(sack_wide);
	SOMETIMES(handshake_retx);
	SOMETIMES(stale);
	SOMETIMES(reorder_seen);
	SOMETIMES(batches);
	SOMETIMES(batches_again);
	SOMETIMES(batches_held);
#undef SOMETIMES
	for (int end = 0; end < SIM_ENDS; end++)
		if (c->ends[end] == 0) {
			fprintf(stderr, "never: end %d\n", end);
			missing++;
		}
	return missing;
}

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* @return how many seeds failed; stops after a few. */
static int
campaign(uint64_t from, uint64_t seeds, struct sim_count *count)
{
	int failed = 0;

	for (uint64_t seed = from; seed < from + seeds && failed < 5; seed++)
		if (sim_run(seed, false, count) != 0)
			failed++;
	return failed;
}

static int
suite(void)
{
	struct sim_count count = { 0 };
	size_t old = sizeof(regressions) / sizeof(regressions[0]);
	double start = seconds_now();
	int failed = 0;

	for (size_t i = 0; i < old; i++)
		failed += sim_run(regressions[i], false, &count) != 0;
	failed += campaign(1, SUITE_SEEDS, &count);
	print_counts(&count, SUITE_SEEDS + old, seconds_now() - start);
	if (failed == 0)
		failed = check_sometimes(&count);
	return failed == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct sim_count count = { 0 };
	double start = seconds_now();

	if (argc == 1)
		return suite();
	if (argc >= 3 && strcmp(argv[1], "--seed") == 0) {
		int rc = sim_run(strtoull(argv[2], NULL, 0), argc > 3, &count);

		printf("%s\n", rc == 0 ? "ok" : "failed");
		return rc != 0;
	}
	if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
		uint64_t seeds = strtoull(argv[3], NULL, 0);
		int failed =
			campaign(strtoull(argv[2], NULL, 0), seeds, &count);

		print_counts(&count, seeds, seconds_now() - start);
		return failed != 0;
	}
	fprintf(stderr, "usage: test_sim [--seeds FROM COUNT | "
			"--seed N [--trace]]\n");
	return 2;
}
