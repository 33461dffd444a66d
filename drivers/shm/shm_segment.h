/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_SEGMENT_H
#define WEIR_SHM_SEGMENT_H

/*
 * Segment: one side's shared memory. Our own is a sealed memfd that we write;
 * the peer's is one that we have checked and map read-only.
 *
 * A peer can lie in its own segment and never damage ours. It cannot cut the
 * file under our feet either (no SIGBUS): the seals are checked before the
 * size is. Nothing has a name, so nothing stays behind.
 */

#include <stdbool.h>

#include "shm_layout.h"
#include "weir_driver.h"

struct shm_segment {
	struct shm_header header; /* private copy, valid; never read again */
	union {
		uint8_t *bytes;
		struct shm_front *front;
	};
	size_t size;
	int fd; /* ours until the peer has it, -1 after */
	bool huge;
};

/* What a send half needs for a config: classes, counts, offsets, size.
 * Fills everything but magic, epoch and flags. */
void weir_shm_geometry(const struct weir_link_config *config,
		       struct shm_header *header);

/* Make, size, map and seal a segment for the config.
 * @return 0; -ENOMEM, -EMFILE, -ENFILE (weir_fail). */
int weir_shm_segment_create(const struct weir_link_config *config,
			    enum weir_hugepages hugepages,
			    struct shm_segment *segment);

/* Check and map what a peer passed us. Does not keep fd.
 * @return 0; -EPROTO it is not what it should be; -ENOMEM. */
int weir_shm_segment_attach(int fd, uint64_t size, uint64_t epoch,
			    struct shm_segment *segment);

/* @return 0; -EPROTO. Pure: a header against the segment size. */
int weir_shm_header_check(const struct shm_header *header, uint64_t size,
			  uint64_t epoch);

/* The peer has it, or never will. */
void weir_shm_segment_close_fd(struct shm_segment *segment);

/* In a forked child: put private memory, all zero, in its place. */
void weir_shm_segment_disown(struct shm_segment *segment);

void weir_shm_segment_unmap(struct shm_segment *segment);

/* A body of a checked segment. */
static inline uint8_t *
weir_shm_body(const struct shm_segment *segment, unsigned int class,
	      uint32_t body)
{
	const struct shm_class *c = &segment->header.classes[class];

	return segment->bytes + c->offset +
	       (uint64_t)(body - c->first) * c->stride;
}

#endif /* WEIR_SHM_SEGMENT_H */
