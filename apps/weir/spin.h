/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SPIN_H
#define WEIR_SPIN_H

/*
 * A bounded busy wait. It burns for a few microseconds, then gives the CPU
 * away between looks (both sides may share one), and gives up in the end.
 *
 *     struct weir_spin spin = { .limit = WEIR_SPIN_LIMIT };
 *     while (nothing there)
 *             if (weir_spin(&spin) != 0)
 *                     return -ETIMEDOUT;
 */

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

/* Some 5 us of empty looks: longer than any hand-over between two CPUs. */
#define WEIR_SPIN_LIMIT 4096u

/* Nobody is this slow: 10 s without progress end a run. */
#define WEIR_SPIN_GIVE_UP_S 10

/* Some 0.4 us, see weir_spin_stream(). */
#ifndef WEIR_SPIN_STREAM_PAUSES
#define WEIR_SPIN_STREAM_PAUSES 16
#endif

struct weir_spin {
	uint32_t n;     /* looks so far */
	uint32_t limit; /* looks before the first yield; 0 on a shared CPU */
	time_t start_s; /* 0: not yet looked at the clock */
};

static __attribute__((noinline, cold, unused)) int
weir_spin_slow(struct weir_spin *spin)
{
	struct timespec ts;

	sched_yield();
	if ((spin->n & 255u) != 0)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (spin->start_s == 0)
		spin->start_s = ts.tv_sec + 1;
	return ts.tv_sec + 1 - spin->start_s > WEIR_SPIN_GIVE_UP_S ? -ETIMEDOUT
								   : 0;
}

/** @return 0 look again; -ETIMEDOUT. */
static inline int
weir_spin(struct weir_spin *spin)
{
	if (__builtin_expect(++spin->n < spin->limit, 1))
		return 0;
	return weir_spin_slow(spin);
}

static inline void
weir_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * A receiver of a stream found nothing. Looking again at once would make
 * each message a cache-line hand-over of its own, with both sides in
 * lockstep; half a microsecond later a whole run of them is there.
 */
static inline int
weir_spin_stream(struct weir_spin *spin)
{
	for (int i = 0; i < WEIR_SPIN_STREAM_PAUSES; i++)
		weir_pause();
	return weir_spin(spin);
}

/** Something came: start afresh. */
static inline void
weir_spin_reset(struct weir_spin *spin)
{
	spin->n = 0;
	spin->start_s = 0;
}

#endif /* WEIR_SPIN_H */
