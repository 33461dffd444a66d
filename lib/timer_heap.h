/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many deadlines of which the earliest is wanted: a heap whose owners know
 * where they stand in it.
 *
 *                 [0]                  entries[i] = {deadline, owner's node}
 *        [1]   [2]   [3]   [4]         children of i: 4i + 1 .. 4i + 4
 *      [5] ..        ...               node.place = i + 1; 0: not in the heap
 *
 * To look at the earliest costs one load; to set, move or remove a deadline
 * costs a step per level, and 65,536 deadlines have 9 levels. Four children of
 * 16 bytes each share a cache line or two, so a level is one miss, not two.
 *
 * As in timer.h a deadline may be kept earlier than it really is: whoever is
 * woken too early asks again. So those whose deadlines only move later need
 * not come here for each move.
 *
 * The caller provides the memory: one entry per node that may be in the heap,
 * and the nodes, inside its own objects.
 */
#ifndef WEIR_TIMER_HEAP_H
#define WEIR_TIMER_HEAP_H

#include <stdint.h>
#include "timer.h"

struct timer_node {
	uint32_t place; /* 0: not in a heap; so zeroed memory is a node */
};

struct timer_entry {
	uint64_t at_ns;
	struct timer_node *node;
};

struct timer_heap {
	struct timer_entry *entries;
	uint32_t count;
};

/** Set or move a deadline. One that is new needs a free entry. */
void weir_timer_heap_set(struct timer_heap *heap, struct timer_node *node,
			 uint64_t at_ns);

/** Take a deadline out; nothing happens if it is not in. */
void weir_timer_heap_remove(struct timer_heap *heap, struct timer_node *node);

/** @return the earliest deadline, TIMER_NEVER if there is none. */
static inline uint64_t
timer_heap_next(const struct timer_heap *heap)
{
	return heap->count != 0 ? heap->entries[0].at_ns : TIMER_NEVER;
}

/** @return whose it is; the heap must not be empty. */
static inline struct timer_node *
timer_heap_first(const struct timer_heap *heap)
{
	return heap->entries[0].node;
}

/** @return the deadline kept for a node, TIMER_NEVER if it is not in. */
static inline uint64_t
timer_heap_at(const struct timer_heap *heap, const struct timer_node *node)
{
	return node->place != 0 ? heap->entries[node->place - 1].at_ns
				: TIMER_NEVER;
}

#endif
