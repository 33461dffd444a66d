/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SLICES_H
#define WEIR_SLICES_H

/*
 * The rate of a one-way window, seen by its receiver. The window is cut into
 * slices of a quarter millisecond and the median slice speaks, for the link
 * and for its floor alike: a side that loses its CPU for a while spoils the
 * slices that this falls into, not the window.
 *
 *     first burst |  slice  |  slice  |   (hole) slice     |  slice  | rest
 *
 * A slice ends when messages have come, so it is as long as what it counts.
 */

#include "load.h"
#include "ticks.h"

#define WEIR_SLICE_NS   250000u
#define WEIR_SLICES_MAX 64u

/* Between two looks at the clock, which costs as much as a small message. */
#define WEIR_SLICE_MESSAGES 64u
#define WEIR_SLICE_BYTES    16384u

/* With fewer the whole window counts. */
#define WEIR_SLICES_ENOUGH 3u

struct weir_slice {
	uint64_t messages;
	uint64_t ticks;
};

struct weir_slices {
	uint64_t span;        /* ticks in a slice, at least */
	uint64_t step;        /* messages between two looks */
	uint64_t next;        /* look when so many have come */
	uint64_t start, from; /* ticks: of the window, of this slice */
	uint64_t last;        /* ticks: the latest look */
	uint64_t start_count, from_count, last_count;
	uint32_t n;
	struct weir_slice list[WEIR_SLICES_MAX];
};

static inline void
weir_slices_begin(struct weir_slices *slices, uint64_t span, uint32_t size)
{
	uint64_t step = WEIR_SLICE_BYTES / (size + 1u);

	slices->span = span;
	slices->step = step < 1                     ? 1
		       : step > WEIR_SLICE_MESSAGES ? WEIR_SLICE_MESSAGES
						    : step;
	slices->next = 1;
	slices->start = slices->from = slices->last = 0;
	slices->start_count = slices->from_count = slices->last_count = 0;
	slices->n = 0;
}

/* count messages have come until now. The first burst only starts the clock:
 * it was under way before. */
static inline void
weir_slices_look(struct weir_slices *slices, uint64_t count, uint64_t now)
{
	slices->next = count + slices->step;
	slices->last = now;
	slices->last_count = count;
	if (slices->start == 0) {
		slices->start = slices->from = now;
		slices->start_count = slices->from_count = count;
	} else if (now - slices->from >= slices->span &&
		   slices->n < WEIR_SLICES_MAX) {
		slices->list[slices->n++] = (struct weir_slice){
			.messages = count - slices->from_count,
			.ticks = now - slices->from,
		};
		slices->from = now;
		slices->from_count = count;
	}
}

static inline void
weir_slices_note(struct weir_slices *slices, uint64_t count)
{
	if (count >= slices->next)
		weir_slices_look(slices, count, weir_ticks());
}

static inline bool
weir_slice_slower(const struct weir_slice *a, const struct weir_slice *b)
{
	return (double)a->messages * (double)b->ticks <
	       (double)b->messages * (double)a->ticks;
}

/** timed and ticks: of the median slice. Sorts the slices. */
static inline void
weir_slices_end(struct weir_slices *slices, struct weir_flow *flow)
{
	struct weir_slice *list = slices->list;

	if (slices->n < WEIR_SLICES_ENOUGH) {
		flow->timed = slices->last_count - slices->start_count;
		flow->ticks = slices->last - slices->start;
		return;
	}
	for (uint32_t i = 1; i < slices->n; i++) {
		struct weir_slice slice = list[i];
		uint32_t to = i;

		for (; to > 0 && weir_slice_slower(&slice, &list[to - 1]); to--)
			list[to] = list[to - 1];
		list[to] = slice;
	}
	flow->timed = list[slices->n / 2].messages;
	flow->ticks = list[slices->n / 2].ticks;
}

#endif /* WEIR_SLICES_H */
