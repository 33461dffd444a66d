/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_HIST_H
#define WEIR_HIST_H

/*
 * Histogram of durations with three significant digits, in the bucket layout
 * of HdrHistogram: values below 2,048 are exact, and each further doubling
 * has 1,024 equal steps. Recording is a shift and an increment: no
 * allocation, no branch on the size of the value.
 *
 *      0 ........ 2047 | 2048 .. 4095 | 4096 .. 8191 | ...   2^37 (137 s)
 *      step 1            step 2         step 4
 */

#include <stdint.h>

#define WEIR_HIST_HALF_BITS 10u
#define WEIR_HIST_HALF      (1u << WEIR_HIST_HALF_BITS)
#define WEIR_HIST_VALUE_MAX ((1ull << 37) - 1) /* 137 s in nanoseconds */
#define WEIR_HIST_LEN       ((37u - WEIR_HIST_HALF_BITS + 1u) * WEIR_HIST_HALF)

struct weir_hist {
	uint64_t total;
	uint64_t min; /* exact; UINT64_MAX while empty */
	uint64_t max; /* exact, also above WEIR_HIST_VALUE_MAX */
	double sum;
	double sum_squares;
	uint64_t counts[WEIR_HIST_LEN];
};

/* Index of the bucket that holds a value. */
static inline uint32_t
weir_hist_index(uint64_t value)
{
	uint32_t shift;

	if (value > WEIR_HIST_VALUE_MAX)
		value = WEIR_HIST_VALUE_MAX;
	/* How far to shift so that 11 bits remain: 0 for values below 2,048. */
	shift = 63u -
		(uint32_t)__builtin_clzll(value | (2 * WEIR_HIST_HALF - 1)) -
		WEIR_HIST_HALF_BITS;
	return (shift << WEIR_HIST_HALF_BITS) + (uint32_t)(value >> shift);
}

static inline void
weir_hist_record(struct weir_hist *hist, uint64_t value)
{
	hist->counts[weir_hist_index(value)]++;
	hist->total++;
	hist->sum += (double)value;
	hist->sum_squares += (double)value * (double)value;
	if (value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
}

void weir_hist_reset(struct weir_hist *hist);

/** Add everything that other has recorded. */
void weir_hist_add(struct weir_hist *hist, const struct weir_hist *other);

/**
 * Smallest bucket such that at least the given fraction of all values is at
 * or below it; its upper end, as HdrHistogram defines it.
 *
 * @param fraction 0.5 is the median, 1 the maximum.
 * @return 0 for an empty histogram.
 */
uint64_t weir_hist_quantile(const struct weir_hist *hist, double fraction);

/** True if there are enough values to speak of that quantile: at least ten
 *  are expected beyond it. */
int weir_hist_supports(const struct weir_hist *hist, double fraction);

double weir_hist_mean(const struct weir_hist *hist);
double weir_hist_stddev(const struct weir_hist *hist);

/** Lowest and highest value that share a bucket with index. */
uint64_t weir_hist_lowest(uint32_t index);
uint64_t weir_hist_highest(uint32_t index);

#endif /* WEIR_HIST_H */
