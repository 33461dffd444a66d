/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SPSC_H
#define WEIR_SPSC_H

/*
 * The indices of a single-producer single-consumer ring inside one process.
 * The entries are the caller's own array of a power of two of any type:
 *
 *     producer                            consumer
 *     if (weir_spsc_room(&q, 1)) {        n = weir_spsc_ready(&q);
 *             a[weir_spsc_tail(&q, 0)] = x; y = a[weir_spsc_head(&q, 0)];
 *             weir_spsc_push(&q, 1);      weir_spsc_pop(&q, 1);
 *     }
 *
 * Each side keeps a copy of the other's index and reads the shared one only
 * when the copy says full or empty.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct weir_spsc {
	/* Producer's line. */
	_Alignas(64) _Atomic uint32_t tail;
	uint32_t head_seen;
	uint32_t producer_mask;
	/* Consumer's line. */
	_Alignas(64) _Atomic uint32_t head;
	uint32_t tail_seen;
	uint32_t consumer_mask;
};

/* size is a power of two, at most 2^31. Before either side starts. */
static inline void
weir_spsc_init(struct weir_spsc *q, uint32_t size)
{
	atomic_init(&q->tail, 0);
	atomic_init(&q->head, 0);
	q->head_seen = 0;
	q->tail_seen = 0;
	q->producer_mask = size - 1;
	q->consumer_mask = size - 1;
}

/* Producer: is there room for n entries? */
static inline bool
weir_spsc_room(struct weir_spsc *q, uint32_t n)
{
	/* Only we write tail, so our own load needs no order. */
	uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	if (q->producer_mask + 1 - (tail - q->head_seen) >= n)
		return true;
	/* Acquire: the consumer is done with the entries that we overwrite.
	 * Pairs with weir_spsc_pop(). */
	q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
	return q->producer_mask + 1 - (tail - q->head_seen) >= n;
}

/* Producer: where the i-th entry not yet pushed goes. */
static inline uint32_t
weir_spsc_tail(const struct weir_spsc *q, uint32_t i)
{
	return (atomic_load_explicit(&q->tail, memory_order_relaxed) + i) &
	       q->producer_mask;
}

/* Producer: publish n entries that were written. */
static inline void
weir_spsc_push(struct weir_spsc *q, uint32_t n)
{
	uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	/* Release: publishes the entries. Pairs with weir_spsc_ready(). */
	atomic_store_explicit(&q->tail, tail + n, memory_order_release);
}

/* Consumer: how many entries it may read; 0 only if there are none. */
static inline uint32_t
weir_spsc_ready(struct weir_spsc *q)
{
	uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);

	if (q->tail_seen == head)
		/* Acquire: pairs with weir_spsc_push(). */
		q->tail_seen =
			atomic_load_explicit(&q->tail, memory_order_acquire);
	return q->tail_seen - head;
}

/* Consumer: where the i-th entry not yet popped is. */
static inline uint32_t
weir_spsc_head(const struct weir_spsc *q, uint32_t i)
{
	return (atomic_load_explicit(&q->head, memory_order_relaxed) + i) &
	       q->consumer_mask;
}

/* Consumer: give n entries back to the producer. */
static inline void
weir_spsc_pop(struct weir_spsc *q, uint32_t n)
{
	uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);

	/* Release: our reads of the entries come first. Pairs with
	 * weir_spsc_room(). */
	atomic_store_explicit(&q->head, head + n, memory_order_release);
}

#endif /* WEIR_SPSC_H */
