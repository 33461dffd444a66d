/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MODEL_RELACY_H
#define WEIR_MODEL_RELACY_H

/* The words of <stdatomic.h>, said to relacy. */

#include <relacy/relacy.hpp>

#define memory_order_relaxed rl::mo_relaxed, $
#define memory_order_acquire rl::mo_acquire, $
#define memory_order_release rl::mo_release, $
#define memory_order_acq_rel rl::mo_acq_rel, $
#define memory_order_seq_cst rl::mo_seq_cst, $

#define atomic_load_explicit(at, order)         ((at)->load(order))
#define atomic_store_explicit(at, value, order) ((at)->store(value, order))
#define atomic_fetch_add_explicit(at, n, order) ((at)->fetch_add(n, order))
#define atomic_fetch_sub_explicit(at, n, order) ((at)->fetch_sub(n, order))

/* The short forms are sequentially consistent. */
#define atomic_init(at, value)     ((at)->store(value, rl::mo_relaxed, $))
#define atomic_load(at)            ((at)->load(rl::mo_seq_cst, $))
#define atomic_store(at, value)    ((at)->store(value, rl::mo_seq_cst, $))
#define atomic_exchange(at, value) ((at)->exchange(value, rl::mo_seq_cst, $))
#define atomic_fetch_add(at, n)    ((at)->fetch_add(n, rl::mo_seq_cst, $))
#define atomic_fetch_or(at, bits)  ((at)->fetch_or(bits, rl::mo_seq_cst, $))
#define atomic_fetch_and(at, bits) ((at)->fetch_and(bits, rl::mo_seq_cst, $))
#define atomic_compare_exchange_weak(at, seen, value) \
	((at)->compare_exchange_weak(*(seen), value, rl::mo_seq_cst, $))

/* Defects that translate.py has planted; 0: none. */
static unsigned int planted;

static inline bool
defect(unsigned int number)
{
	return planted == number;
}

static inline rl::memory_order
weaker(unsigned int number, rl::memory_order order)
{
	return defect(number) ? rl::mo_relaxed : order;
}
#define RELAXED_IF(number, order) weaker(number, order), $

#define atomic_thread_fence(...) rl::atomic_thread_fence(__VA_ARGS__)

/*
 * A compiler barrier is nothing here, unless the test is about what the
 * sleeper's membarrier(2) makes of it: then both sides have a full barrier,
 * which is as much as membarrier promises.
 */
static bool membarrier;
#define atomic_signal_fence(...)                          \
	do {                                              \
		if (membarrier)                           \
			atomic_thread_fence(__VA_ARGS__); \
	} while (0)

#endif /* WEIR_MODEL_RELACY_H */
