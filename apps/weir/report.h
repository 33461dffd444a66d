/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_REPORT_H
#define WEIR_REPORT_H

/*
 * Results as text: a table for people, one JSON object or CSV row for
 * programs, and the assertions of --assert. Keys of the JSON ("weir.perf/1")
 * are stable: additions only. Every figure has its floor beside it and the
 * command that repeats it.
 */

#include <stdio.h>

#include "perf.h"

/* One point of an open loop. */
struct weir_load_figures {
	struct weir_rtt response, service, reserve_wait;
	double rate, max_rate;
};

/** What every form of output starts from. */
struct weir_report {
	const struct weir_perf_args *args;
	const struct weir_perf_result *result;
	struct weir_figures main;                /* the run is summed up by */
	struct weir_figures places[WEIR_PLACES]; /* windows > 0 only */
	uint32_t place_count;
	struct weir_load_figures load; /* of an open loop: the point */
};

void weir_report_of(const struct weir_perf_args *args,
		    const struct weir_perf_result *result,
		    struct weir_report *report);

/** @param first of several sizes: with a heading. */
void weir_report_human(const struct weir_report *report, FILE *to, bool first);
void weir_report_csv(const struct weir_report *report, FILE *to, bool first);

/** The same of an open loop: all its points. */
void weir_report_load_human(const struct weir_report *report, FILE *to);
void weir_report_load_csv(const struct weir_report *report, FILE *to,
			  bool first);

/** Choose the point that report->load and an assertion speak of. */
void weir_report_load_point(struct weir_report *report, uint32_t point);

/** One object, as text to be freed; NULL when there is no memory. */
char *weir_report_json(const struct weir_report *report);

/**
 * Check an assertion such as "rtt.p99<20us", "ratio<1.25", "lost==0".
 *
 * @param report NULL: only whether it can be understood.
 * @param value what the left side is.
 * @return 1 holds; 0 does not (also when the value is not known); -EINVAL.
 */
int weir_report_assert(const struct weir_report *report, const char *text,
		       double *value);

#endif /* WEIR_REPORT_H */
