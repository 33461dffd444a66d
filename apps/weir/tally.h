/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TALLY_H
#define WEIR_TALLY_H

/*
 * What the counted windows of a run have shown, by placement of the two CPUs.
 * Figures of different placements are never mixed; the one that the run is
 * summed up by is near or far, whichever had more windows.
 */

#include <stdbool.h>
#include <stdint.h>

#include "hist.h"
#include "placement.h"

/* A run is long enough with so many counted windows ... */
#define WEIR_TALLY_WINDOWS 200u
/* ... and too short for a ratio with fewer than these. */
#define WEIR_TALLY_ENOUGH 20u

struct weir_tally_place {
	uint32_t windows;
	uint32_t floor_windows;
	uint64_t messages;         /* of the link, timed or not */
	struct weir_hist rtt_ns;   /* single round trips */
	struct weir_hist batch_ps; /* means of a batch of round trips */
	struct weir_hist floor_batch_ps;
	double rate[WEIR_TALLY_WINDOWS]; /* one way: messages/s, by window */
	double floor_rate[WEIR_TALLY_WINDOWS + 1];
};

struct weir_tally {
	struct weir_tally_place places[WEIR_PLACES];
	struct weir_hist all_rtt_ns; /* every round trip, counted or not */
	uint32_t windows;            /* counted */
	uint32_t moved;              /* thrown away: the CPUs moved */
};

/* What a tally comes to. NAN: not known, or too few samples to say. */
struct weir_rtt {
	uint64_t samples;
	double min, p50, p90, p99, p99_9, p99_99, max, mean, stddev;
};

struct weir_figures {
	enum weir_placement place; /* WEIR_PLACE_MOVED: no window at all */
	uint32_t windows;
	uint64_t messages;
	struct weir_rtt rtt_ns;
	double batch_p50_ns, batch_p99_ns;
	double msgs_per_s, bytes_per_s;
	double floor_p50_ns, floor_p99_ns;
	double floor_msgs_per_s, floor_bytes_per_s;
	double ratio, ratio_p99;
};

struct weir_tally *weir_tally_new(void);
void weir_tally_reset(struct weir_tally *tally);

/** The placement to sum the run up by; WEIR_PLACE_MOVED if no window counts. */
enum weir_placement weir_tally_main(const struct weir_tally *tally);

/**
 * @param one_way a rate (higher is better), else round trips.
 * @param size,floor_size payload bytes of a message of the link and of the
 *        floor, usually the same.
 */
void weir_tally_figures(const struct weir_tally *tally,
			enum weir_placement place, bool one_way, uint32_t size,
			uint32_t floor_size, struct weir_figures *figures);

void weir_rtt_of(const struct weir_hist *hist, struct weir_rtt *rtt);

#endif /* WEIR_TALLY_H */
