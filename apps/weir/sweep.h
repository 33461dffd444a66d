/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SWEEP_H
#define WEIR_SWEEP_H

/*
 * The curve of a sweep: what a message of each size costs, beside the floor,
 * by placement. From it come the check for cliffs and the plots.
 *
 *     cost |             *  <- a step: 1.3 times more than
 *          |          .        the bytes explain is a cliff
 *          |  *  * .
 *          +---------------> size
 *
 * From one size to the next the bytes explain a growth as large as that of
 * the floor, which moves the same bytes; where there is no floor, one in
 * proportion to the bytes. They explain no fall of the floor.
 */

#include "report.h"

#define WEIR_SWEEP_STEP_MAX 1.3

struct weir_sweep_point {
	enum weir_perf_kind kind;
	enum weir_placement place;
	uint32_t size;
	double cost_ns;  /* round trip, or one message one way */
	double floor_ns; /* NAN: none */
};

struct weir_sweep {
	struct weir_sweep_point points[WEIR_PERF_RUNS_MAX * WEIR_PLACES];
	uint32_t count;
	uint32_t planned[WEIR_PERF_BW + 1]; /* sizes, by kind */
};

struct weir_sweep_step {
	uint32_t steps;    /* between neighbours in size; 0: nothing to say */
	uint32_t sizes;    /* with a figure */
	uint32_t planned;  /* with or without */
	uint32_t from, to; /* sizes of the worst */
	double factor;     /* of the worst: growth beyond that of the bytes */
};

/** Placements with too few windows for a ratio are left out. */
void weir_sweep_add(struct weir_sweep *sweep, const struct weir_report *report);

/** The worst step upwards of one kind in one placement. */
void weir_sweep_worst(const struct weir_sweep *sweep, enum weir_perf_kind kind,
		      enum weir_placement place, struct weir_sweep_step *worst);

/** "missed" if the worst is a cliff; else "reached", or, if more than a fifth of
 *  the sizes have no figure and might be one, "not measured". */
const char *weir_sweep_verdict(const struct weir_sweep_step *worst);

/** One line per kind and placement that was seen. */
void weir_sweep_human(const struct weir_sweep *sweep, FILE *to);

/** The same as a JSON array, text to be freed; NULL: no memory. */
char *weir_sweep_json(const struct weir_sweep *sweep);

/**
 * Write sweep.dat and sweep.gp into a folder and run gnuplot there, for
 * lat.svg, lat.png, bw.svg and bw.png.
 *
 * @return 0; -ENOENT there is no gnuplot, data and script are there; -errno.
 */
int weir_sweep_plot(const struct weir_sweep *sweep, const char *folder);

#endif /* WEIR_SWEEP_H */
