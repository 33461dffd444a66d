/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap of deadlines: what moves entries up and down. */
#include "timer_heap.h"

#define CHILDREN 4u

static void
put(struct timer_heap *heap, uint32_t at, struct timer_entry entry)
{
	heap->entries[at] = entry;
	entry.node->place = at + 1;
}

/* The entry belongs at `at` or above: later ones come down. */
static void
rise(struct timer_heap *heap, uint32_t at, struct timer_entry entry)
{
	while (at != 0) {
		uint32_t parent = (at - 1) / CHILDREN;

		if (heap->entries[parent].at_ns <= entry.at_ns)
			break;
		put(heap, at, heap->entries[parent]);
		at = parent;
	}
	put(heap, at, entry);
}

/* @return the child of `at` that is due first, or `at` if it has none. */
static uint32_t
earliest_child(const struct timer_heap *heap, uint32_t at)
{
	uint32_t child = CHILDREN * at + 1, end = child + CHILDREN;
	uint32_t best = at;

	if (end > heap->count)
		end = heap->count;
	for (; child < end; child++)
		if (best == at ||
		    heap->entries[child].at_ns < heap->entries[best].at_ns)
			best = child;
	return best;
}

/* The entry belongs at `at` or below: earlier ones come up. */
static void
sink(struct timer_heap *heap, uint32_t at, struct timer_entry entry)
{
	for (;;) {
		uint32_t child = earliest_child(heap, at);

		if (child == at || heap->entries[child].at_ns >= entry.at_ns)
			break;
		put(heap, at, heap->entries[child]);
		at = child;
	}
	put(heap, at, entry);
}

/* The entry is to stand where `at` is free now. */
static void
settle(struct timer_heap *heap, uint32_t at, struct timer_entry entry)
{
	uint32_t parent = (at - 1) / CHILDREN;

	if (at != 0 && entry.at_ns < heap->entries[parent].at_ns)
		rise(heap, at, entry);
	else
		sink(heap, at, entry);
}

void
weir_timer_heap_set(struct timer_heap *heap, struct timer_node *node,
		    uint64_t at_ns)
{
	struct timer_entry entry = { at_ns, node };

	if (node->place == 0)
		rise(heap, heap->count++, entry);
	else
		settle(heap, node->place - 1, entry);
}

void
weir_timer_heap_remove(struct timer_heap *heap, struct timer_node *node)
{
	struct timer_entry last;
	uint32_t at = node->place;

	if (at == 0)
		return;
	node->place = 0;
	last = heap->entries[--heap->count];
	if (at - 1 != heap->count)
		settle(heap, at - 1, last);
}
