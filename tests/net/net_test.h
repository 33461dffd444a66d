/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of dpdk ports have in common: a call that has to go well, and a
 * bounded wait that goes on turning the ports. Who includes this includes cmocka.h
 * first and has a LIMIT_NS; a `step` is what the test does per turn.
 */
#ifndef WEIR_TEST_NET_TEST_H
#define WEIR_TEST_NET_TEST_H

#include <stdint.h>

#include "weir.h"

static inline void
must(int rc, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s: %s", what, weir_strerror(rc),
			 weir_last_error());
}

#define STEP_UNTIL(step, condition)                                     \
	do {                                                            \
		uint64_t end_ns_ = weir_now_ns() + LIMIT_NS;            \
		while (!(condition)) {                                  \
			if (weir_now_ns() > end_ns_)                    \
				fail_msg("time is up: %s", #condition); \
			step;                                           \
		}                                                       \
	} while (0)

#endif
