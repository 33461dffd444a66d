/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PERF_FAULT_H
#define WEIR_PERF_FAULT_H

/*
 * A link with faults, compared with itself. Windows of 30 milliseconds
 * with and without them take turns in one run:
 *
 *     | clean | faulty | clean | faulty | clean |   ...
 *
 * Each faulty window is set against the two clean ones beside it, and the
 * median of these ratios is the relative goodput: a vCPU that moves every few
 * seconds moves both. A window lasts until its last message has arrived, so
 * what a timer repairs is in it. The random numbers of the faults are drawn in
 * both, so that their cost is no part of the ratio. One way, raw frames that
 * are kept in order but not repaired (floor_dpdk.h) are compared with
 * themselves in the same way, in the same run: what order costs anybody here.
 * Then each of the two has a few pairs before it is the other's turn.
 */

#include "fault.h"
#include "tally.h"

struct weir_trial;

/* Medians. NAN: round trips, or none. */
struct weir_perf_goodput {
	uint32_t pairs;
	uint32_t raw_pairs;
	double relative;
	double raw;
};

struct weir_perf_fault {
	const char *spec;
	struct weir_perf_goodput goodput; /* wherever the CPUs were */
	struct weir_perf_goodput places[WEIR_PLACES];
	struct weir_rtt clean_rtt_ns; /* round trips only */
	struct weir_hist clean_hist;
	struct weir_fault_counts ours;
	struct weir_fault_counts peers;
};

/** In place of weir_trial_run(); the tally's place is that of a run that is
 *  not split by placement. @return as that. */
int weir_perf_fault_run(struct weir_trial *trial,
			struct weir_perf_fault *result);

#endif /* WEIR_PERF_FAULT_H */
