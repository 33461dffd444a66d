/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's telemetry socket tells of weir's ports and links, if a port was opened
 * with weir_port_config.telemetry:
 *
 *     /weir/port/list          numbers of ports
 *     /weir/port/stats,N       counters of one, WEIR_PORT_COUNTERS and _REASONS
 *     /weir/link/list[,N]      the lowest 512 numbers of links above N
 *     /weir/link/stats,N       WEIR_LINK_COUNTERS, and tx_... rx_... of halves
 *
 * Answers are flat dictionaries of integers. The socket's thread reads what the
 * polling thread publishes (lib/board.h) and touches nothing else of a port.
 */

#include "board.h"
#include "dpdk_compat.h"
#include "dpdk_port.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

/* ---- values ---------------------------------------------------------------- */

struct field {
	const char *name;
	uint32_t offset;
};

#define PORT_FIELD(kind, name, unit, text) \
	{ #name, offsetof(struct weir_port_stats, name) },
#define LINK_FIELD(kind, name, unit, text) \
	{ #name, offsetof(struct weir_link_stats, name) },

static const struct field port_fields[] = { WEIR_PORT_COUNTERS(
	PORT_FIELD) WEIR_PORT_REASONS(PORT_FIELD) };
static const struct field link_fields[] = { WEIR_LINK_COUNTERS(LINK_FIELD) };

#define TX_NAME(name) "tx_" #name,
#define RX_NAME(name) "rx_" #name,

/* Not messages and bytes of the transport, which link_fields have. */
static const char *const half_names[2][WEIR_HALF_COUNTERS_COUNT] = {
	{ WEIR_HALF_COUNTERS(TX_NAME) },
	{ WEIR_HALF_COUNTERS(RX_NAME) },
};

static void
add_fields(struct rte_tel_data *data, const struct board_slot *slot,
	   const struct field *fields, size_t count)
{
	const uint8_t *body = (const uint8_t *)slot + BOARD_BODY;
	uint64_t value;

	for (size_t i = 0; i < count; i++) {
		memcpy(&value, body + fields[i].offset, sizeof(value));
		dpdk_tel_add_dict_u64(data, fields[i].name, value);
	}
}

static void
add_half(struct rte_tel_data *data, const struct board_slot *slot)
{
	const uint8_t *body = (const uint8_t *)slot + BOARD_BODY;

	for (uint32_t i = 0; i < WEIR_HALF_COUNTERS_COUNT; i++) {
		const struct weir_half_counter *at = &slot->counters[i];
		const char *name = half_names[slot->kind == BOARD_RX][i];
		uint64_t value;
		int32_t narrow;

		if (at->width == sizeof(value)) {
			memcpy(&value, body + at->offset, sizeof(value));
			dpdk_tel_add_dict_u64(data, name, value);
		} else if (at->width == sizeof(narrow)) {
			memcpy(&narrow, body + at->offset, sizeof(narrow));
			rte_tel_data_add_dict_int(data, name, narrow);
		}
	}
}

/* ---- which ----------------------------------------------------------------- */

/* The number in a request. @return false: there is none. */
static bool
number_read(const char *params, uint32_t *number)
{
	char *end;
	unsigned long value;

	if (params == NULL || params[0] < '0' || params[0] > '9')
		return false;
	value = strtoul(params, &end, 10);
	*number = (uint32_t)value;
	return *end == '\0' && value <= UINT32_MAX;
}

typedef void (*slot_fn)(void *into, const struct board_slot *slot,
			uint32_t number);

static void
each_slot(void *into, slot_fn fn, uint32_t number)
{
	const struct board_head *head = weir_board();
	uint64_t copy[BOARD_SLOT / 8];
	uint32_t used;

	if (head == NULL)
		return;
	used = atomic_load_explicit(&head->used, memory_order_acquire);
	for (uint32_t i = 0; i < used; i++)
		if (board_read(board_slot_at(head, i), copy))
			fn(into, (const struct board_slot *)(void *)copy,
			   number);
}

/*
 * The lowest numbers above one, in order: slots are used again, so theirs is
 * not that of numbers. Who asks on, above the last one of a full answer, gets
 * all of them.
 */
struct numbers {
	uint32_t count;
	uint32_t value[RTE_TEL_MAX_ARRAY_ENTRIES];
};

static void
numbers_add(struct numbers *n, uint32_t value)
{
	uint32_t at = n->count;

	if (at == RTE_DIM(n->value)) {
		if (value >= n->value[at - 1])
			return;
		at--; /* the highest goes */
	} else {
		n->count++;
	}
	for (; at > 0 && n->value[at - 1] > value; at--)
		n->value[at] = n->value[at - 1];
	n->value[at] = value;
}

static void
list_port(void *into, const struct board_slot *slot, uint32_t above)
{
	if (slot->kind == BOARD_PORT && slot->port > above)
		numbers_add(into, slot->port);
}

static void
list_link(void *into, const struct board_slot *slot, uint32_t above)
{
	if (slot->kind == BOARD_LINK && slot->link > above)
		numbers_add(into, slot->link);
}

static void
tell_port(void *data, const struct board_slot *slot, uint32_t number)
{
	if (slot->kind == BOARD_PORT && slot->port == number)
		add_fields(data, slot, port_fields, RTE_DIM(port_fields));
}

static void
tell_link(void *data, const struct board_slot *slot, uint32_t number)
{
	if (slot->kind == BOARD_PORT || slot->link != number)
		return;
	if (slot->kind != BOARD_LINK) {
		add_half(data, slot);
		return;
	}
	dpdk_tel_add_dict_u64(data, "port", slot->port);
	rte_tel_data_add_dict_int(data, "status", slot->status);
	add_fields(data, slot, link_fields, RTE_DIM(link_fields));
}

/* ---- requests -------------------------------------------------------------- */

static int
answer_list(const char *params, struct rte_tel_data *data, slot_fn fn)
{
	struct numbers found = { 0 };
	uint32_t above = 0;

	if (params != NULL && !number_read(params, &above))
		return -EINVAL;
	each_slot(&found, fn, above);
	rte_tel_data_start_array(data, DPDK_TEL_U64);
	for (uint32_t i = 0; i < found.count; i++)
		dpdk_tel_add_array_u64(data, found.value[i]);
	return 0;
}

static int
answer_stats(const char *params, struct rte_tel_data *data, slot_fn fn)
{
	uint32_t number;

	if (!number_read(params, &number))
		return -EINVAL;
	rte_tel_data_start_dict(data);
	each_slot(data, fn, number);
	return 0;
}

static int
on_port_list(const char *cmd, const char *params, struct rte_tel_data *data)
{
	(void)cmd;
	return answer_list(params, data, list_port);
}

static int
on_port_stats(const char *cmd, const char *params, struct rte_tel_data *data)
{
	(void)cmd;
	return answer_stats(params, data, tell_port);
}

static int
on_link_list(const char *cmd, const char *params, struct rte_tel_data *data)
{
	(void)cmd;
	return answer_list(params, data, list_link);
}

static int
on_link_stats(const char *cmd, const char *params, struct rte_tel_data *data)
{
	(void)cmd;
	return answer_stats(params, data, tell_link);
}

static void
commands_register(void)
{
	rte_telemetry_register_cmd("/weir/port/list", on_port_list,
				   "Numbers of weir's ports. Parameter: only "
				   "above this one (optional)");
	rte_telemetry_register_cmd("/weir/port/stats", on_port_stats,
				   "Counters of a port of weir. Parameter: its "
				   "number");
	rte_telemetry_register_cmd("/weir/link/list", on_link_list,
				   "Numbers of weir's links. Parameter: only "
				   "above this one (optional)");
	rte_telemetry_register_cmd("/weir/link/stats", on_link_stats,
				   "Counters of a link of weir. Parameter: its "
				   "number");
}

void
weir_dpdk_telemetry_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, commands_register);
}
