/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KILL_SIDE_H
#define KILL_SIDE_H

/*
 * One side of a link between two processes, of which one is about to die:
 * how they meet, numbered messages that cannot be torn unnoticed, and what a
 * process has open.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "weir.h"

/* Whatever takes longer hangs. */
#define LIMIT_S 20u

struct side {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint64_t sent, received; /* messages; the numbers of the next ones */
	bool torn;               /* one of those received was not as sent */
};

/* Open a port, listen or connect, wait until the link is up, split it. Of the
 * config (or NULL) all but connect_timeout_ns counts.
 * @return 0; -1, and there is nothing to close. */
int side_open(struct side *side, const char *endpoint,
	      const struct weir_link_config *given, bool listens);

/* Whatever of it is still there. @return 0; -1 the port has users left. */
int side_close(struct side *side);

uint64_t in_limit(void);
void nap_ns(uint64_t ns);

/* The next message, if there is room. @return as reserve. */
int side_send(struct side *side, uint32_t len);

/* Fill in a permit and commit. */
void side_fill(struct side *side, struct weir_permit *permit, uint32_t len);

/* The next message; sets `torn` if its bytes are not those of its number.
 * @return as recv. */
int side_receive(struct side *side, struct weir_msg *msg);

/* What a message just received should be. Sets `torn`. */
void side_check(struct side *side, const struct weir_msg *msg);

/* Bytes of message `number`, of any length. */
void pattern_write(void *data, uint32_t len, uint64_t number);
bool pattern_ok(const void *data, uint32_t len, uint64_t number);

/* Descriptors open in this process, and segments mapped. */
int fds_open(void);
int segments_mapped(void);

/* What has a name: sockets of that link, and files in /dev/shm and in the
 * runtime directory. */
int names_left(const char *name);

/* A page that a child shares. Exits if there is none. */
void *shared_page(void);

#endif /* KILL_SIDE_H */
