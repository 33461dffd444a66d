/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_COUNTERS_H
#define WEIR_COUNTERS_H

/*
 * Every counter of one side of a link, by the tables in weir_stats.h: taken at
 * two moments, subtracted, and gone through one by one by whoever prints.
 */

#include "weir_stats.h"

struct weir_counters {
	struct weir_link_stats link;
	struct weir_tx_stats tx;
	struct weir_rx_stats rx;
	struct weir_port_stats port;
};

enum weir_counter_kind {
	WEIR_COUNTER_COUNT, /* traffic */
	WEIR_COUNTER_EVENT, /* a drop, a wait, a repair */
	WEIR_COUNTER_LEVEL, /* of the moment */
};

struct weir_counter {
	const char *name;
	const char *unit;
	const char *text;
	size_t offset; /* in its struct */
	enum weir_counter_kind kind;
};

/** A counter by its part and name, "tx.reserve_waits"; NULL: there is none. */
uint64_t *weir_counters_find(struct weir_counters *counters, const char *name,
			     size_t len);

/** now becomes what was counted since before; levels stay. */
void weir_counters_since(struct weir_counters *now,
			 const struct weir_counters *before);

/** @param part "link", "tx", "rx" or "port". */
typedef void (*weir_counter_fn)(void *arg, const char *part,
				const struct weir_counter *counter,
				uint64_t value);
void weir_counters_each(const struct weir_counters *counters,
			weir_counter_fn each, void *arg);

#endif /* WEIR_COUNTERS_H */
