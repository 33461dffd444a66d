/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

/*
 * Two clocks: nanoseconds for deadlines (clock_gettime, about 30 ns a call),
 * and the processor's cycle counter for "has a millisecond passed" questions
 * on paths that cannot afford that.
 */

#include <stdint.h>
#include <time.h>

static inline uint64_t
weir_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t
weir_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t count;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
	return count;
#else
	return weir_clock_ns();
#endif
}

/* Measured once per process against CLOCK_MONOTONIC, in about 2 ms; good to
 * a few parts in a thousand. Set-up calls only. */
uint64_t weir_cycles_per_ms(void);

#endif /* WEIR_CLOCK_H */
