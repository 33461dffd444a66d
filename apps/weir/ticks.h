/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TICKS_H
#define WEIR_TICKS_H

/*
 * The cheapest clock of the machine, for stretches that are timed inside one
 * process. Counts and seconds are tied together once, at the start, against
 * CLOCK_MONOTONIC_RAW: see weir_ticks_calibrate().
 */

#include <stdint.h>
#include <time.h>

static inline uint64_t
weir_raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t
weir_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return weir_raw_ns();
#endif
}

/** Counts per nanosecond, measured over span_ns. Two reads of the system
 *  clock are off by some 50 ns, so 50 ms give six digits. */
static inline double
weir_ticks_calibrate(uint64_t span_ns)
{
	uint64_t ns = weir_raw_ns(), ticks = weir_ticks();
	uint64_t ns_end, ticks_end;

	do {
		ns_end = weir_raw_ns();
		ticks_end = weir_ticks();
	} while (ns_end - ns < span_ns);
	return (double)(ticks_end - ticks) / (double)(ns_end - ns);
}

#endif /* WEIR_TICKS_H */
