/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_BOARD_H
#define WEIR_BOARD_H

/*
 * board: the counters of a process where others can read them (weir stat), if
 * it was asked to (WEIR_STATS=1, weir_port_config.stats). Off, it costs nothing.
 *
 *     RUNTIME_DIR/stat.PID --symlink--> /proc/PID/fd/N = a sealed memfd, 0600
 *
 *     | head | slot | slot | slot | ...      one per port, link, half
 *                     |
 *                     | what it is | 512: a copy, or the half itself |
 *
 * A half *lies in* its slot: the counters that its own thread keeps anyway are
 * the published ones, and sending and receiving stay as they were. offsets say
 * where they are. Of ports and links the thread that polls puts a copy there,
 * some ten times a second.
 *
 * Every word has one writer; a reader gets each of them whole, all of them from
 * about the same time. The file is sealed: nobody else can write to it, or map it
 * so that he could. Its reader learns addresses: he has the user's number, as
 * who reads /proc/PID/maps. The memory goes with the process, however that ends; a
 * symlink that is left leads nowhere, and the next who looks removes it.
 *
 * Both ends are of one version: BOARD_VERSION grows with every change here.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir_driver.h"

#define BOARD_MAGIC   "weirstat"
#define BOARD_VERSION 1u
#define BOARD_NAME    "weir-stat" /* of the memfd */
#define BOARD_PREFIX  "stat."     /* of the symlink, the process id follows */

#define BOARD_HEAD  4096u
#define BOARD_SLOT  2048u
#define BOARD_SLOTS 8192u
#define BOARD_BODY  512u /* where the copy or the half begins */
#define BOARD_BYTES (BOARD_HEAD + BOARD_SLOTS * BOARD_SLOT)

enum board_kind {
	BOARD_PORT,
	BOARD_LINK,
	BOARD_TX,
	BOARD_RX,
	BOARD_KINDS
};

struct board_head {
	char magic[8];
	uint32_t version;
	uint32_t pid;
	uint64_t start_ns;     /* CLOCK_MONOTONIC */
	char release[16];      /* of the library */
	_Atomic uint32_t used; /* slots from the first that ever were in use */
	uint32_t pad;
	_Atomic uint64_t refused; /* ports, links, halves without a slot */
};

struct board_slot {
	_Atomic uint32_t generation; /* odd: in use */
	uint32_t kind;               /* enum board_kind */
	uint32_t port;               /* its number, from 1 on, never again */
	uint32_t link;               /* its number; 0: a port, or none known */
	char driver[16];
	char endpoint[160];
	char peer[64];
	_Atomic int32_t
		status;     /* links: weir_link_status(); else see offsets */
	uint32_t body_size; /* of the copy: struct weir_port_stats, ... */
	_Atomic uint64_t updated_ns; /* the copy; CLOCK_MONOTONIC; 0: never */
	struct weir_half_counter counters[WEIR_HALF_COUNTERS_MAX];
};

_Static_assert(sizeof(struct board_slot) <= BOARD_BODY, "what it is");
_Static_assert(sizeof(struct weir_port_stats) <= BOARD_SLOT - BOARD_BODY &&
		       sizeof(struct weir_link_stats) <=
			       BOARD_SLOT - BOARD_BODY,
	       "the copy");

static inline struct board_slot *
board_slot_at(const struct board_head *head, uint32_t index)
{
	return (struct board_slot *)(void *)((uint8_t *)(uintptr_t)head +
					     BOARD_HEAD +
					     (size_t)index * BOARD_SLOT);
}

/*
 * Copy a slot out, all BOARD_SLOT bytes. Its owner's threads write the words
 * meanwhile by plain stores of whole words, mostly in another process: not a race
 * that a reader could lose.
 *
 * @return false: not in use, or it changed hands meanwhile.
 */
static inline bool
board_read(const struct board_slot *slot, uint64_t *copy)
{
	/* Acquire: pairs with slot_flip(). */
	uint32_t before =
		atomic_load_explicit(&slot->generation, memory_order_acquire);
	const uint64_t *from = (const uint64_t *)(const void *)slot;

	if (before % 2 == 0)
		return false;
	for (uint32_t i = 0; i < BOARD_SLOT / 8; i++)
		copy[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
	/* The loads above before the one below. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&slot->generation, memory_order_relaxed) ==
	       before;
}

/* ---- the process itself ---------------------------------------------------- */

/* What the port's config and the environment say. */
bool weir_board_wanted(const struct weir_port_config *config);

/* Before a port is opened: a slot for it, and the board if there is none.
 * Sets port->board; without memory for it the port goes on without. */
void weir_board_port_open(struct weir_port *port,
			  const struct weir_endpoint *ep);
void weir_board_port_close(struct weir_port *port);

/* Zeroed memory of a half, in a slot if the port has one; its free(). */
void *weir_board_half_new(const struct weir_port *port, enum board_kind kind,
			  size_t size);
void weir_board_half_free(void *half);

/* A link and its halves are to be seen from now on, under that name. */
void weir_board_link_show(struct weir_link *link, const char *endpoint);
void weir_board_link_hide(struct weir_link *link);

/* Who is at the other end may be known now. */
void weir_board_link_peer(struct weir_link *link);

#endif /* WEIR_BOARD_H */
