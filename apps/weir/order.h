/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_ORDER_H
#define WEIR_ORDER_H

/*
 * Did every message come, once, in order and whole? Fed with the numbers of
 * received messages; the expected one costs a compare. Others are judged
 * against the list of gaps that are still open:
 *
 *     number 5 while 3 is next:  3 and 4 are lost (so far)
 *     then 3:                    reordered, one less lost
 *     then 3 again:              duplicate
 */

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ORDER_GAPS 64

struct weir_integrity {
	uint64_t lost;
	uint64_t duplicate;
	uint64_t reordered;
	uint64_t corrupt; /* wrong length or, with --verify, content */
};

struct weir_order {
	uint64_t next;
	struct weir_integrity found;
	uint32_t gap_count;
	struct {
		uint64_t from;
		uint64_t to; /* one past the last */
	} gaps[WEIR_ORDER_GAPS];
};

/** A number that is not the next one. */
void weir_order_odd(struct weir_order *order, uint64_t number);

static inline void
weir_order_note(struct weir_order *order, uint64_t number)
{
	if (__builtin_expect(number == order->next, 1))
		order->next++;
	else
		weir_order_odd(order, number);
}

/** All were sent up to (not including) this number: what has not come is
 *  lost. */
void weir_order_end(struct weir_order *order, uint64_t number);

static inline bool
weir_integrity_ok(const struct weir_integrity *found)
{
	return (found->lost | found->duplicate | found->reordered |
		found->corrupt) == 0;
}

#endif /* WEIR_ORDER_H */
