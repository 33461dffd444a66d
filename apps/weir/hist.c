/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of the histogram that is read after the run; see hist.h. */

#include "hist.h"

#include <math.h>
#include <string.h>

void
weir_hist_reset(struct weir_hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min = UINT64_MAX;
}

void
weir_hist_add(struct weir_hist *hist, const struct weir_hist *other)
{
	for (uint32_t i = 0; i < WEIR_HIST_LEN; i++)
		hist->counts[i] += other->counts[i];
	hist->total += other->total;
	hist->sum += other->sum;
	hist->sum_squares += other->sum_squares;
	if (other->min < hist->min)
		hist->min = other->min;
	if (other->max > hist->max)
		hist->max = other->max;
}

/* The first two halves both have step 1; after that the step doubles. */
static uint32_t
hist_shift(uint32_t index)
{
	return index < 2 * WEIR_HIST_HALF ? 0
					  : (index >> WEIR_HIST_HALF_BITS) - 1;
}

uint64_t
weir_hist_lowest(uint32_t index)
{
	uint32_t shift = hist_shift(index);

	return (uint64_t)(index - (shift << WEIR_HIST_HALF_BITS)) << shift;
}

uint64_t
weir_hist_highest(uint32_t index)
{
	return weir_hist_lowest(index) + (1ull << hist_shift(index)) - 1;
}

uint64_t
weir_hist_quantile(const struct weir_hist *hist, double fraction)
{
	double want = ceil(fraction * (double)hist->total - 1e-6);
	uint64_t wanted = want < 1 ? 1 : (uint64_t)want;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < WEIR_HIST_LEN; i++) {
		seen += hist->counts[i];
		if (seen >= wanted) {
			uint64_t high = weir_hist_highest(i);

			return high < hist->max && i < WEIR_HIST_LEN - 1
				       ? high
				       : hist->max;
		}
	}
	return hist->max;
}

int
weir_hist_supports(const struct weir_hist *hist, double fraction)
{
	return (double)hist->total * (1 - fraction) >= 10 - 1e-6;
}

double
weir_hist_mean(const struct weir_hist *hist)
{
	return hist->total == 0 ? 0 : hist->sum / (double)hist->total;
}

double
weir_hist_stddev(const struct weir_hist *hist)
{
	double mean = weir_hist_mean(hist);
	double variance;

	if (hist->total == 0)
		return 0;
	variance = hist->sum_squares / (double)hist->total - mean * mean;
	return variance > 0 ? sqrt(variance) : 0;
}
