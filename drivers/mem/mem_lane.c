/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a lane, and how halves get their ends. See mem_lane.h. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "doorbell.h"
#include "mem_lane.h"

#define WORD_BITS 64u

/* Claimed by several threads, a class begins with a word of the bitmap. */
uint32_t
weir_mem_large_first(const struct mem_lane *lane)
{
	return lane->multi ? (lane->credits + WORD_BITS - 1) & ~(WORD_BITS - 1)
			   : lane->credits;
}

uint32_t
weir_mem_cell_limit(const struct mem_lane *lane)
{
	return weir_mem_large_first(lane) + lane->large_count;
}

static size_t
lane_cells_size(const struct mem_lane *lane)
{
	return (size_t)lane->credits * lane->small_size +
	       (size_t)lane->large_count * lane->large_size;
}

static void
lane_free(struct mem_lane *lane)
{
	if (lane->cells[MEM_SMALL] != NULL)
		munmap(lane->cells[MEM_SMALL], lane_cells_size(lane));
	if (lane->tx_fd >= 0)
		close(lane->tx_fd);
	if (lane->rx_fd >= 0)
		close(lane->rx_fd);
	free((void *)lane->returned);
	free(lane->ring);
	free(lane->numbers);
	free(lane->marks);
	free((void *)lane->state);
	free(lane);
}

static void
lane_shape(struct mem_lane *lane, const struct weir_link_config *config)
{
	uint32_t size = (config->msg_size_max + 63u) & ~63u;

	lane->credits = config->tx_credits;
	lane->multi = (config->flags & WEIR_LINK_MULTI_PRODUCER) != 0;
	lane->small_size = size < MEM_SMALL_SIZE_MAX ? size
						     : MEM_SMALL_SIZE_MAX;
	if (lane->small_size == 0)
		lane->small_size = WEIR_CACHE_LINE;
	if (size > MEM_SMALL_SIZE_MAX) {
		lane->large_size = size;
		lane->large_count = config->large_count;
	}
}

void
weir_mem_lane_disown(struct mem_lane *lane, int tx_fd, int rx_fd)
{
	if (lane->tx_fd == tx_fd)
		lane->tx_fd = -1;
	if (lane->rx_fd == rx_fd)
		lane->rx_fd = -1;
}

/* What remembers order and cells. @return false: no memory. */
static bool
lane_rings(struct mem_lane *lane)
{
	uint32_t cells = weir_mem_cell_limit(lane);

	if (lane->multi) {
		lane->marks = calloc(lane->credits, sizeof(*lane->marks));
		lane->state = calloc(cells, sizeof(*lane->state));
		return lane->marks != NULL && lane->state != NULL;
	}
	lane->ring = calloc(lane->credits, sizeof(*lane->ring));
	lane->numbers = calloc(cells, sizeof(*lane->numbers));
	return lane->ring != NULL && lane->numbers != NULL;
}

struct mem_lane *
weir_mem_lane_create(const struct weir_link_config *config, int tx_fd,
		     int rx_fd)
{
	struct mem_lane *lane = aligned_alloc(WEIR_CACHE_LINE, sizeof(*lane));
	uint32_t words;
	bool rings;
	void *cells;

	if (lane == NULL)
		return NULL;
	memset(lane, 0, sizeof(*lane));
	lane_shape(lane, config);
	lane->refs = MEM_LANE_REFS;
	lane->fence = !weir_doorbell_setup();
	words = (weir_mem_cell_limit(lane) + WORD_BITS - 1) / WORD_BITS;
	lane->returned = calloc(words, sizeof(*lane->returned));
	rings = lane_rings(lane);
	lane->tx_fd = tx_fd >= 0 ? tx_fd : weir_doorbell_open();
	lane->rx_fd = rx_fd >= 0 ? rx_fd : weir_doorbell_open();
	cells = mmap(NULL, lane_cells_size(lane), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cells != MAP_FAILED) {
		lane->cells[MEM_SMALL] = cells;
		lane->cells[MEM_LARGE] =
			lane->cells[MEM_SMALL] +
			(size_t)lane->credits * lane->small_size;
	}
	if (cells == MAP_FAILED || lane->returned == NULL || !rings ||
	    lane->tx_fd < 0 || lane->rx_fd < 0) {
		weir_mem_lane_disown(lane, tx_fd, rx_fd);
		lane_free(lane);
		return NULL;
	}
	weir_mem_lane_init(lane);
	return lane;
}

void
weir_mem_lane_unref(struct mem_lane *lane)
{
	/* The last one frees what all the others did: acquire and release. */
	if (__atomic_sub_fetch(&lane->refs, 1, __ATOMIC_ACQ_REL) == 0)
		lane_free(lane);
}

void
weir_mem_tx_attach(struct mem_tx *mt, struct mem_lane *lane)
{
	if (lane->multi) {
		weir_mem_multi_attach(mt, lane);
		return;
	}
	mt->free[MEM_SMALL] = lane->numbers;
	mt->free[MEM_LARGE] = lane->numbers + lane->credits;
	/* Lowest numbers on top. */
	for (uint32_t i = 0; i < lane->credits; i++)
		mt->free[MEM_SMALL][i] = lane->credits - 1 - i;
	for (uint32_t i = 0; i < lane->large_count; i++)
		mt->free[MEM_LARGE][i] = weir_mem_cell_limit(lane) - 1 - i;
	mt->free_count[MEM_SMALL] = lane->credits;
	mt->free_count[MEM_LARGE] = lane->large_count;
	mt->free_credits = lane->credits;
	/* The last of it: mem_tx_wake() looks from other threads. */
	__atomic_store_n(&mt->lane, lane, __ATOMIC_RELEASE);
}

void
weir_mem_rx_attach(struct mem_rx *mr, struct mem_lane *lane)
{
	if (lane->multi)
		__atomic_store_n(&mr->rx.ops, &weir_mem_multi_rx_ops,
				 __ATOMIC_RELEASE);
	/* Release: weir_mem_rx_wake() looks from other threads. */
	__atomic_store_n(&mr->lane, lane, __ATOMIC_RELEASE);
}
