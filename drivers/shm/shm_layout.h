/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_LAYOUT_H
#define WEIR_SHM_LAYOUT_H

/*
 * Every byte that two processes share. docs/shm-layout.md says the same in
 * prose. Each side of a link has one segment; only its owner writes it, the
 * peer maps it read-only:
 *
 *     0x0000  header       written once, before the segment is sealed
 *     0x1000  send line    how our sending ended; our sender sleeps
 *     0x1080  receive line our receiver is gone; our receiver sleeps
 *     0x1100  group words  one per 64 bodies of the PEER: look there again
 *             return words one per body of the PEER: generation released
 *             cells        one per credit: header + inline body, 64 bytes
 *             bodies       of the larger classes
 *
 * Message seq is announced by the header in cell (seq mod cell_count), whose
 * sequence word the receiver polls. Its bytes lie in any one body: a cell's
 * own inline area (class 0, body number = cell number) or a body of a larger
 * class. So order is by header and storage is by body.
 *
 * Bodies are numbered through all classes; each class starts at a multiple of
 * 64, so that 64 bodies share a group word and are of one class.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC       UINT64_C(0x6d68732d72696577) /* "weir-shm" */
#define SHM_VERSION     2u
#define SHM_CELL_SIZE   64u
#define SHM_INLINE_SIZE 48u
#define SHM_CLASSES_MAX 8u
#define SHM_CELLS_MAX   32768u
#define SHM_GROUP_SIZE  64u
#define SHM_GROUPS_MAX  544u
#define SHM_BODIES_MAX  (SHM_GROUPS_MAX * SHM_GROUP_SIZE)

/* Largest segment that we map: 64 messages of 16 MiB, and the rest. */
#define SHM_SEGMENT_SIZE_MAX (UINT64_C(1) << 31)

/* Length of a message in the low half of a cell's word; the rest is 0. */
#define SHM_LEN_MASK 0x0fffffffu

/* shm_header.flags */
#define SHM_FLAG_MEMBARRIER 1u /* see doorbell.h */

/* State in the high half of shm_tx_line.end; the low half is the number of
 * messages committed before. */
enum shm_end {
	SHM_END_OPEN = 0,
	SHM_END_CLOSED = 1,
	SHM_END_ABORTED = 2,
};

struct shm_class {
	uint32_t size;  /* bytes of a body */
	uint32_t count; /* bodies */
	uint32_t first; /* number of the first body, a multiple of 64 */
	uint32_t stride;
	uint64_t offset; /* of the first body */
};

struct shm_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t segment_size;
	uint64_t epoch; /* random; the same as in the hello */
	uint32_t cell_count;
	uint32_t class_count;
	uint32_t body_limit; /* one past the last body number */
	uint32_t msg_size_max;
	uint64_t cells_offset;
	uint32_t returns_count; /* bodies of the peer that can be returned */
	uint32_t flags;
	struct shm_class classes[SHM_CLASSES_MAX];
};

/* Written by our send half; read by the peer's receive half and releasers. */
struct shm_tx_line {
	_Atomic uint64_t end;      /* enum shm_end << 32 | messages */
	_Atomic uint32_t sleeping; /* our sender waits for room */
};

/* Written by our receive half; read by the peer's send half. */
struct shm_rx_line {
	_Atomic uint32_t gone;     /* 1: it takes no more */
	_Atomic uint32_t sleeping; /* it waits for messages */
};

/* All of the segment that does not depend on sizes. */
struct shm_front {
	struct shm_header header;
	_Alignas(4096) struct shm_tx_line tx;
	_Alignas(128) struct shm_rx_line rx;
	_Alignas(128) _Atomic uint32_t groups[SHM_GROUPS_MAX];
	_Alignas(128) _Atomic uint16_t returns[SHM_BODIES_MAX];
};

struct shm_cell {
	_Atomic uint64_t word; /* (seq + 1) << 32 | length */
	_Atomic uint32_t body;
	_Atomic uint16_t generation; /* of the body */
	_Atomic uint16_t claim;      /* 0; nobody reads it, see claim_ahead() */
	uint8_t data[SHM_INLINE_SIZE];
};

static_assert(sizeof(struct shm_class) == 24, "docs/shm-layout.md");
static_assert(sizeof(struct shm_header) == 256, "docs/shm-layout.md");
static_assert(offsetof(struct shm_header, classes) == 64, "");
static_assert(sizeof(struct shm_cell) == SHM_CELL_SIZE, "one cache line");
static_assert(offsetof(struct shm_cell, data) == 16, "docs/shm-layout.md");
static_assert(offsetof(struct shm_front, tx) == 0x1000, "");
static_assert(offsetof(struct shm_front, rx) == 0x1080, "");
static_assert(offsetof(struct shm_front, groups) == 0x1100, "");
static_assert(offsetof(struct shm_front, returns) == 0x1980, "");
static_assert(sizeof(struct shm_front) == 0x13000, "docs/shm-layout.md");
static_assert(SHM_BODIES_MAX <= UINT16_MAX, "a body number fits 16 bits");
static_assert(sizeof(uintptr_t) == 8, "cookies hold sequence and body");

#endif /* WEIR_SHM_LAYOUT_H */
