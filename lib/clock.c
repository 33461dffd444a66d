/* SPDX-License-Identifier: BSD-3-Clause */
/* The rate of the cycle counter, measured. */

#include "clock.h"

#include <pthread.h>

#define CALIBRATION_NS 2000000u

static uint64_t cycles_per_ms;

static void
calibrate(void)
{
	uint64_t start_ns = weir_clock_ns();
	uint64_t start = weir_cycles();
	uint64_t end_ns;

	do {
		end_ns = weir_clock_ns();
	} while (end_ns - start_ns < CALIBRATION_NS);
	cycles_per_ms =
		(weir_cycles() - start) * 1000000u / (end_ns - start_ns);
	if (cycles_per_ms == 0)
		cycles_per_ms = 1;
}

uint64_t
weir_cycles_per_ms(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, calibrate);
	return cycles_per_ms;
}
