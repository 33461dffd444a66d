/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_LOAD_H
#define WEIR_LOAD_H

/*
 * What a measuring window runs: the link under test, or the machine's floor
 * for it (floor.c, floor_dpdk.c). Both do the same work on the same bytes, so
 * the windows of perf_windows.c treat them alike.
 *
 *     meter (times)                        peer (other process or thread)
 *     rounds(32) --- payload -->           echo: read it out, write it back
 *                <-- payload ---
 *     send(256)  --- payload -->           sink: read it out, count
 *
 * The peer's calls come back when the meter has closed the gate. A floor may
 * live in a module of its own that is opened at run time: this header and
 * those it includes need nothing but libc.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ticks.h"

struct weir_load;

/* In memory that both sides share; the meter writes, the peer reads. On a
 * line of its own: an idle peer looks at it all the time. */
struct weir_gate {
	_Alignas(64) _Atomic uint32_t open; /* 0: come back when all is in */
	_Atomic uint64_t sent; /* by send() in this window; valid once closed */
	uint64_t slice_ticks;  /* see slices.h; set before the first window */
	uint64_t think_ticks;  /* see weir_load_think(); likewise */
	uint32_t order_window; /* frames that a raw one-way floor keeps behind a
				* hole, see floor_dpdk.h; 0: it reads on */
};

/* What the receiver of a one-way window saw; timed and ticks by slices.h. */
struct weir_flow {
	uint64_t messages; /* all */
	uint64_t timed;    /* those of the slice that speaks for the window */
	uint64_t ticks;    /* how long those took, weir_ticks() */
};

/* Private to a side: where payload comes from and goes to. */
struct weir_work {
	uint8_t *out; /* size bytes to send */
	uint8_t *in;  /* size bytes, last received */
};

struct weir_load_ops {
	/** Meter: n round trips of load->size bytes, one after the other.
	 *  @return 0; negative: broken, see weir_strerror(). */
	int (*rounds)(struct weir_load *load, uint32_t n);

	/** Peer: answer until the gate is closed. @return 0; negative. */
	int (*echo)(struct weir_load *load);

	/** Meter: send n messages one way, in bursts of up to load->burst, and
	 *  return when they are on their way (for dpdk: handed to the device).
	 *  Adds n to load->sent. @return 0; negative. */
	int (*send)(struct weir_load *load, uint32_t n);

	/** Peer: receive until the gate is closed and gate->sent messages have
	 *  come, or none has for a millisecond. @return 0; negative. */
	int (*sink)(struct weir_load *load, struct weir_flow *flow);

	/** Both sides at the same time, after each window: deal with what is
	 *  still on the way, so that another load can use the device. */
	void (*settle)(struct weir_load *load);

	/** Meter, again and again while the peer still empties a one-way
	 *  window: whatever the device needs to go on (a poll, or nothing). */
	void (*idle)(struct weir_load *load);

	void (*close)(struct weir_load *load);
};

/* First member of every load. */
struct weir_load {
	const struct weir_load_ops *ops;
	struct weir_gate *gate;
	struct weir_work *work;
	uint32_t size;       /* payload bytes per message */
	uint32_t burst;      /* messages per reserve or device burst */
	uint32_t spin_limit; /* for struct weir_spin */
	uint32_t frames;     /* raw bursts: per message; else 0 */
	uint64_t sent;       /* one way, by this side, since the window began */
	uint64_t thought;    /* round trips: ticks that both sides let pass */
};

/*
 * Sides that sleep let a while pass before they send, so that the other one
 * is asleep by then: a round trip is two wake-ups, never a message that came
 * in time. What both let pass is not part of the round trip.
 */
static inline void
weir_load_think(struct weir_load *load)
{
	uint64_t start = weir_ticks(), think = load->gate->think_ticks;

	while (weir_ticks() - start < think)
		;
	load->thought += 2 * think;
}

static inline bool
weir_gate_open(const struct weir_gate *gate)
{
	/* Acquire: sent is read afterwards. Pairs with the release of the
	 * meter when it closes the gate. */
	return atomic_load_explicit(&gate->open, memory_order_acquire) != 0;
}

/* Copies of message size are a few instructions, not a call: a floor that
 * pays for calls is no floor. Overlapping words cover any length. */
static inline void
weir_copy(void *to, const void *from, uint32_t len)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (len > 64) {
		memcpy(t, f, len);
	} else if (len >= 32) {
		memcpy(t, f, 16);
		memcpy(t + 16, f + 16, 16);
		memcpy(t + len - 32, f + len - 32, 16);
		memcpy(t + len - 16, f + len - 16, 16);
	} else if (len >= 16) {
		memcpy(t, f, 16);
		memcpy(t + len - 16, f + len - 16, 16);
	} else if (len >= 8) {
		memcpy(t, f, 8);
		memcpy(t + len - 8, f + len - 8, 8);
	} else {
		for (uint32_t i = 0; i < len; i++)
			t[i] = f[i];
	}
}

/** Write a new message's payload: size bytes, begun by its number if that
 *  fits. */
static inline void
weir_work_put(const struct weir_work *work, void *to, uint32_t size,
	      uint64_t number)
{
	weir_copy(to, work->out, size);
	if (size >= sizeof(number))
		memcpy(to, &number, sizeof(number));
}

/** Read a received payload out. */
static inline void
weir_work_take(const struct weir_work *work, const void *from, uint32_t size)
{
	weir_copy(work->in, from, size);
}

/** Write what was received last, as an echo. */
static inline void
weir_work_echo(const struct weir_work *work, void *to, uint32_t size)
{
	weir_copy(to, work->in, size);
}

#endif /* WEIR_LOAD_H */
