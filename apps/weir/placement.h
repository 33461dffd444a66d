/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PLACEMENT_H
#define WEIR_PLACEMENT_H

/*
 * How far apart the two CPUs are right now. A hypervisor moves virtual CPUs
 * several times a second, and a figure means little without the distance that
 * it was taken at, so each window is labelled by a probe: 160 round trips of
 * one cache line.
 *
 *     placement   round trip measured        called so
 *     same        one CPU for both sides     by configuration, no probe
 *     smt         70 ns   (hyperthreads)     below  96 ns
 *     near        130 ns  (one L3 cache)     below 252 ns
 *     far         490 ns  (two L3, sockets)  the rest
 *
 * The limits are the geometric means of the measured neighbours: three clean
 * modes, four times further apart than they are wide.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum weir_placement {
	WEIR_PLACE_SMT,
	WEIR_PLACE_NEAR,
	WEIR_PLACE_FAR,
	WEIR_PLACE_SAME,
	WEIR_PLACES,
	WEIR_PLACE_MOVED = WEIR_PLACES, /* probes disagree: of no use */
};

#define WEIR_PLACE_SMT_BELOW_NS  96.0
#define WEIR_PLACE_NEAR_BELOW_NS 252.0

#define WEIR_PROBE_BATCH   32u
#define WEIR_PROBE_BATCHES 5u

/* In memory that both sides share. */
struct weir_probe {
	_Alignas(64) _Atomic uint64_t ask;
	_Alignas(64) _Atomic uint64_t answer;
};

const char *weir_place_name(enum weir_placement place);

/** @param rtt_ns one cache line there and back. */
enum weir_placement weir_place_of(double rtt_ns);

/** What two probes around a window say about it. */
enum weir_placement weir_place_between(enum weir_placement before,
				       enum weir_placement after);

/**
 * The asking side of a probe; the other one is in weir_probe_answer() or on
 * its way there. The median batch decides, so that one interrupt does not.
 *
 * @param number of the last round trip so far, on both sides the same; moved
 *        on by the call.
 * @return 0 and counts of weir_ticks() per round trip; -ETIMEDOUT.
 */
int weir_probe_ask(struct weir_probe *probe, uint64_t *number, double *ticks);
int weir_probe_answer(struct weir_probe *probe, uint64_t *number);

/**
 * The first two CPUs that this thread may run on; twice the same when there
 * is one only.
 *
 * @return 0; -errno.
 */
int weir_cpus_choose(int cpus[2]);

/** Bind the calling thread. @return 0; -errno. */
int weir_cpu_pin(int cpu);

#endif /* WEIR_PLACEMENT_H */
