/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_FLOOR_H
#define WEIR_FLOOR_H

/*
 * The floor of links inside one machine: what two CPUs can do with shared
 * memory and nothing else.
 *
 *   line (round trips)   one region per direction, written and read in place
 *
 *      [ payload ... | number ]    ceil((size + 8) / 64) cache lines
 *
 *   ring (one way)       cells of that shape, so that the working set is
 *                        that of the link under test; the reader returns
 *                        them by one word, 64 at a time, or large
 *                        ones 8 KiB at a time
 *
 *      [ payload ... | number, length ] [ ... ] [ ... ]    [ returned ]
 *
 *   line, asleep         the same, but whoever has nothing to read sleeps
 *                        until the other side writes to its eventfd: one
 *                        system call to wake, one to sleep
 *
 * The number ends the last line. The reader polls it, the writer publishes it
 * after the payload: no tail, no flag, no call per message, and no line that
 * the two fight over while the payload is being written.
 */

#include <stddef.h>
#include <stdint.h>

#include "load.h"

/** Bytes of shared memory that the floors need. */
size_t weir_floor_line_bytes(uint32_t size);
size_t weir_floor_ring_bytes(uint32_t size, uint32_t cells);

/** Cells of the ring: a power of two, at most as many as the link has. */
uint32_t weir_floor_ring_cells(uint32_t size, uint32_t capacity);

/**
 * Both sides open the floor on the same area, which is zero.
 *
 * @param shape gate, work, size, burst and spin_limit are taken from it.
 * @param first true on the side that sends first: the meter.
 * @return NULL when there is no memory.
 */
struct weir_load *weir_floor_line_open(const struct weir_load *shape,
				       void *area, bool first);

/**
 * The line of sides that sleep.
 *
 * @param own eventfd that this side sleeps on, `other` the one it writes to;
 *        both stay the caller's.
 * @return NULL when there is no memory or no descriptor.
 */
struct weir_load *weir_floor_sleep_open(const struct weir_load *shape,
					void *area, bool first, int own,
					int other);

struct weir_load *weir_floor_ring_open(const struct weir_load *shape,
				       void *area, uint32_t cells);

#endif /* WEIR_FLOOR_H */
