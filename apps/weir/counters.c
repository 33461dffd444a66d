/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of weir_stats.h, expanded. */

#include "counters.h"

#include <stddef.h>
#include <string.h>

#define COUNTER(type, kind, name, unit, text) \
	{ #name, #unit, text, offsetof(type, name), WEIR_COUNTER_##kind },
#define LINK(...) COUNTER(struct weir_link_stats, __VA_ARGS__)
#define TX(...)   COUNTER(struct weir_tx_stats, __VA_ARGS__)
#define RX(...)   COUNTER(struct weir_rx_stats, __VA_ARGS__)
#define PORT(...) COUNTER(struct weir_port_stats, __VA_ARGS__)

static const struct weir_counter link_table[] = { WEIR_LINK_COUNTERS(LINK) };
/* clang-format off */
static const struct weir_counter tx_table[] = {
	TX(COUNT, messages, messages, "committed")
	TX(COUNT, payload_bytes, bytes, "committed")
	TX(COUNT, copied_bytes, bytes, "copied by weir on the way out")
	TX(COUNT, doorbells, times, "a sleeping peer was woken")
	WEIR_TX_WAITS(TX)
};
static const struct weir_counter rx_table[] = {
	RX(COUNT, messages, messages, "received")
	RX(COUNT, payload_bytes, bytes, "received")
	RX(COUNT, copied_bytes, bytes, "copied by weir on the way in")
};
/* clang-format on */
static const struct weir_counter port_table[] = { WEIR_PORT_COUNTERS(
	PORT) WEIR_PORT_REASONS(PORT) };

static const struct part {
	const char *name;
	size_t offset; /* in struct weir_counters */
	const struct weir_counter *table;
	size_t count;
} parts[] = {
#define PART(name)                                                         \
	{                                                                  \
#name, offsetof(struct weir_counters, name), name##_table, \
			sizeof(name##_table) / sizeof(name##_table[0])     \
	}
	PART(link),
	PART(tx),
	PART(rx),
	PART(port),
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static uint64_t *
value_of(const struct weir_counters *counters, const struct part *part,
	 const struct weir_counter *counter)
{
	return (uint64_t *)((char *)counters + part->offset + counter->offset);
}

static bool
is_called(const struct weir_counter *counter, const char *name, size_t len)
{
	return strlen(counter->name) == len &&
	       memcmp(counter->name, name, len) == 0;
}

uint64_t *
weir_counters_find(struct weir_counters *counters, const char *name, size_t len)
{
	for (size_t p = 0; p < PARTS; p++) {
		size_t part_len = strlen(parts[p].name);

		if (len <= part_len || name[part_len] != '.' ||
		    memcmp(name, parts[p].name, part_len) != 0)
			continue;
		for (size_t i = 0; i < parts[p].count; i++)
			if (is_called(&parts[p].table[i], name + part_len + 1,
				      len - part_len - 1))
				return value_of(counters, &parts[p],
						&parts[p].table[i]);
	}
	return NULL;
}

void
weir_counters_since(struct weir_counters *now,
		    const struct weir_counters *before)
{
	for (size_t p = 0; p < PARTS; p++)
		for (size_t i = 0; i < parts[p].count; i++) {
			const struct weir_counter *counter = &parts[p].table[i];

			if (counter->kind != WEIR_COUNTER_LEVEL)
				*value_of(now, &parts[p], counter) -=
					*value_of(before, &parts[p], counter);
		}
}

void
weir_counters_each(const struct weir_counters *counters, weir_counter_fn each,
		   void *arg)
{
	for (size_t p = 0; p < PARTS; p++)
		for (size_t i = 0; i < parts[p].count; i++)
			each(arg, parts[p].name, &parts[p].table[i],
			     *value_of(counters, &parts[p],
				       &parts[p].table[i]));
}
