/* SPDX-License-Identifier: BSD-3-Clause */
/* The rare branch of order.h: gaps. */

#include "order.h"

static void
gap_open(struct weir_order *order, uint64_t from, uint64_t to)
{
	order->found.lost += to - from;
	if (order->gap_count == WEIR_ORDER_GAPS)
		return; /* stays lost, whatever comes later */
	order->gaps[order->gap_count].from = from;
	order->gaps[order->gap_count].to = to;
	order->gap_count++;
}

/* Take one number out of a gap: it shrinks, splits or goes. */
static void
gap_fill(struct weir_order *order, uint32_t i, uint64_t number)
{
	uint64_t to = order->gaps[i].to;

	order->found.lost--;
	order->found.reordered++;
	if (order->gaps[i].from == number) {
		order->gaps[i].from++;
	} else {
		order->gaps[i].to = number;
		if (number + 1 < to) {
			order->found.lost -= to - (number + 1);
			gap_open(order, number + 1, to);
		}
	}
	if (order->gaps[i].from == order->gaps[i].to)
		order->gaps[i] = order->gaps[--order->gap_count];
}

void
weir_order_odd(struct weir_order *order, uint64_t number)
{
	if (number >= order->next) {
		gap_open(order, order->next, number);
		order->next = number + 1;
		return;
	}
	for (uint32_t i = 0; i < order->gap_count; i++)
		if (number >= order->gaps[i].from &&
		    number < order->gaps[i].to) {
			gap_fill(order, i, number);
			return;
		}
	order->found.duplicate++;
}

void
weir_order_end(struct weir_order *order, uint64_t number)
{
	if (number > order->next) {
		order->found.lost += number - order->next;
		order->next = number;
	}
}
