/* SPDX-License-Identifier: BSD-3-Clause */
/* From windows to figures; see tally.h. */

#include "tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct weir_tally *
weir_tally_new(void)
{
	struct weir_tally *tally = malloc(sizeof(*tally));

	if (tally != NULL)
		weir_tally_reset(tally);
	return tally;
}

void
weir_tally_reset(struct weir_tally *tally)
{
	memset(tally, 0, sizeof(*tally));
	weir_hist_reset(&tally->all_rtt_ns);
	for (int i = 0; i < WEIR_PLACES; i++) {
		weir_hist_reset(&tally->places[i].rtt_ns);
		weir_hist_reset(&tally->places[i].batch_ps);
		weir_hist_reset(&tally->places[i].floor_batch_ps);
	}
}

/* Limits ask for near and far. The others stand in only when a machine shows
 * neither: hyperthreads of one core, or a single CPU. */
enum weir_placement
weir_tally_main(const struct weir_tally *tally)
{
	static const enum weir_placement order[] = {
		WEIR_PLACE_NEAR, WEIR_PLACE_FAR, WEIR_PLACE_SMT, WEIR_PLACE_SAME
	};
	enum weir_placement best = WEIR_PLACE_MOVED;
	uint32_t most = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (order[i] == WEIR_PLACE_SMT && most > 0)
			break;
		if (tally->places[order[i]].windows > most) {
			most = tally->places[order[i]].windows;
			best = order[i];
		}
	}
	return best;
}

static double
quantile(const struct weir_hist *hist, double fraction)
{
	return weir_hist_supports(hist, fraction)
		       ? (double)weir_hist_quantile(hist, fraction)
		       : NAN;
}

void
weir_rtt_of(const struct weir_hist *hist, struct weir_rtt *rtt)
{
	bool any = hist->total > 0;

	rtt->samples = hist->total;
	rtt->min = any ? (double)hist->min : NAN;
	rtt->p50 = quantile(hist, 0.5);
	rtt->p90 = quantile(hist, 0.9);
	rtt->p99 = quantile(hist, 0.99);
	rtt->p99_9 = quantile(hist, 0.999);
	rtt->p99_99 = quantile(hist, 0.9999);
	rtt->max = any ? (double)hist->max : NAN;
	rtt->mean = any ? weir_hist_mean(hist) : NAN;
	rtt->stddev = any ? weir_hist_stddev(hist) : NAN;
}

static int
compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* The median window of one-way messages: one that lost its CPU to something
 * else for a while does not drag the figure down. */
static double
median(const double *values, uint32_t count)
{
	double sorted[WEIR_TALLY_WINDOWS + 1];

	if (count == 0)
		return NAN;
	memcpy(sorted, values, count * sizeof(values[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_doubles);
	return count % 2 != 0 ? sorted[count / 2]
			      : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* Round trips per second of a closed loop: what its median time comes to. So
 * it always agrees with the times beside it, and time that a side spent
 * without its CPU is in neither. */
static double
round_trips_per_s(const struct weir_hist *batch_ps,
		  const struct weir_hist *rtt_ns)
{
	if (batch_ps->total > 0)
		return 1e12 / quantile(batch_ps, 0.5);
	return rtt_ns != NULL ? 1e9 / quantile(rtt_ns, 0.5) : NAN;
}

void
weir_tally_figures(const struct weir_tally *tally, enum weir_placement place,
		   bool one_way, uint32_t size, uint32_t floor_size,
		   struct weir_figures *figures)
{
	const struct weir_tally_place *from;

	memset(figures, 0, sizeof(*figures));
	figures->place = place;
	if (place == WEIR_PLACE_MOVED)
		return;
	from = &tally->places[place];
	figures->windows = from->windows;
	figures->messages = from->messages;
	weir_rtt_of(&from->rtt_ns, &figures->rtt_ns);
	figures->batch_p50_ns = quantile(&from->batch_ps, 0.5) / 1000;
	figures->batch_p99_ns = quantile(&from->batch_ps, 0.99) / 1000;
	figures->floor_p50_ns = quantile(&from->floor_batch_ps, 0.5) / 1000;
	figures->floor_p99_ns = quantile(&from->floor_batch_ps, 0.99) / 1000;
	figures->msgs_per_s =
		one_way ? median(from->rate, from->windows)
			: round_trips_per_s(&from->batch_ps, &from->rtt_ns);
	figures->bytes_per_s = figures->msgs_per_s * size;
	figures->floor_msgs_per_s =
		one_way ? median(from->floor_rate, from->floor_windows)
			: round_trips_per_s(&from->floor_batch_ps, NULL);
	figures->floor_bytes_per_s = figures->floor_msgs_per_s * floor_size;
	figures->ratio = figures->ratio_p99 = NAN;
	if (from->windows < WEIR_TALLY_ENOUGH)
		return;
	if (!one_way) {
		figures->ratio = figures->batch_p50_ns / figures->floor_p50_ns;
		figures->ratio_p99 =
			figures->batch_p99_ns / figures->floor_p99_ns;
	} else {
		figures->ratio = size == 0 ? figures->msgs_per_s /
						     figures->floor_msgs_per_s
					   : figures->bytes_per_s /
						     figures->floor_bytes_per_s;
	}
}
