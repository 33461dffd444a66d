/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which floor belongs to a link, and how it is opened on both sides:
 *
 *     mem, shm   round trips: cache lines, with --sleep and eventfds; one way:
 *                a ring of cells (floor.c)
 *     dpdk       raw bursts on the same queue, a module (floor_dpdk.h)
 */

#include <dlfcn.h>
#include <stdio.h>

#include "driver_load.h"
#include "floor.h"
#include "floor_dpdk.h"
#include "perf.h"

#define FLOOR_MODULE "libweir-floor-dpdk.so"

/* Round trips: a look at a word takes so much less than one at a link. Both
 * sides are to wait equally long before they give their CPU away, or on a
 * machine with other work the floor would be the slower of the two. */
#define LOOKS_PER_LINK_LOOK 16u

static void
shape_of(const struct weir_side *side, const struct weir_self *self,
	 struct weir_load *shape)
{
	memset(shape, 0, sizeof(*shape));
	shape->gate = &self->page->gate;
	shape->work = (struct weir_work *)&side->work;
	shape->size = self->page->order.size;
	shape->burst = (uint32_t)side->args->burst;
	shape->spin_limit = self->spin_limit;
}

static void
open_memory(struct weir_side *side, struct weir_self *self, bool meter)
{
	struct weir_self_order *order = &self->page->order;
	bool line = side->kind != WEIR_PERF_BW; /* round trips */
	struct weir_load shape;

	shape_of(side, self, &shape);
	if (line)
		shape.spin_limit *= LOOKS_PER_LINK_LOOK;
	if (meter) {
		order->cells = weir_floor_ring_cells(
			order->size,
			weir_tx_capacity(side->test.tx, order->size));
		order->area =
			line ? weir_floor_line_bytes(order->size)
			     : weir_floor_ring_bytes(order->size, order->cells);
	}
	if (weir_self_area(self, order->area) != 0) {
		side->floor_missing = "no memory for it";
		return;
	}
	if (side->args->sleep)
		side->floor = weir_floor_sleep_open(&shape, self->area, meter,
						    self->bells[meter ? 0 : 1],
						    self->bells[meter ? 1 : 0]);
	else if (line)
		side->floor = weir_floor_line_open(&shape, self->area, meter);
	else
		side->floor =
			weir_floor_ring_open(&shape, self->area, order->cells);
	if (side->floor == NULL)
		side->floor_missing = "no memory for it";
}

/* Beside the driver's library, so found the same way. */
static weir_floor_dpdk_open_fn
find_module(struct weir_side *side)
{
#ifdef WEIR_DPDK_BUILT_IN
	(void)side;
	return weir_floor_dpdk_open;
#else
	weir_floor_dpdk_open_fn open_fn = NULL;
	static void *module;

	if (module == NULL)
		module = weir_library_open(FLOOR_MODULE);
	if (module != NULL)
		*(void **)&open_fn = dlsym(module, WEIR_FLOOR_DPDK_SYMBOL);
	if (open_fn == NULL)
		side->floor_missing = FLOOR_MODULE " is not installed";
	return open_fn;
#endif
}

static void
open_device(struct weir_side *side, struct weir_self *self, bool meter)
{
	weir_floor_dpdk_open_fn open_fn = find_module(side);
	struct weir_floor_dpdk_config config = {
		.size = sizeof(config),
		.port = side->port,
		.link = side->link,
		.gate = &self->page->gate,
		.work = &side->work,
		.payload = self->page->order.size,
		.burst = (uint32_t)side->args->burst,
		.spin_limit = self->spin_limit,
		.meter = meter,
	};
	const char *why = "the module cannot open it";
	int rc;

	if (open_fn == NULL)
		return;
	rc = open_fn(&config, &side->floor, &why);
	if (rc != 0) {
		side->floor = NULL;
		side->floor_missing =
			rc == -EMSGSIZE ? "messages exceed one frame" : why;
	}
}

void
weir_perf_floor_open(struct weir_side *side, struct weir_self *self, bool meter)
{
	side->floor_missing = NULL;
	if (side->test.polled)
		open_device(side, self, meter);
	else
		open_memory(side, self, meter);
}

void
weir_perf_floor_close(struct weir_side *side)
{
	if (side->floor != NULL)
		side->floor->ops->close(side->floor);
	side->floor = NULL;
}
