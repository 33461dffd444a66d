/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_MEMIF_H
#define DPDK_MEMIF_H

/*
 * dpdk_memif: who may use the memif socket of a name, across processes. Pairs
 * of vhost-user have the same in NAME.vhost.
 *
 *     RUNTIME-DIR/NAME.memif       memif's socket; made and removed by its
 *                                  PMD, by us after a crash
 *     RUNTIME-DIR/NAME.memif.lock  byte 0 locked by the listener,
 *                                  byte 1 by the one connector
 *
 * The kernel drops the locks of a process that dies, so a lock says "alive"
 * and a socket without one is a leftover. memif itself would fail with a line
 * of log; with the locks a connector knows that it is early, or one too many.
 */

#include "dpdk_dev.h"

struct dpdk_memif {
	char socket_path[108]; /* what sun_path can hold */
	char lock_path[120];
	int lock_fd;
	enum dpdk_dev_role role;
	struct dpdk_memif *next; /* of this process */
};

/*
 * @param suffix of the files: "memif" or "vhost".
 * @return 0; -EAGAIN (connector) nobody listens, or another is connected;
 *         -EADDRINUSE (listener) the name is taken; -EOPNOTSUPP the listener
 *         is in this very process; -ENAMETOOLONG, -EACCES and others; with
 *         weir_fail().
 */
int weir_dpdk_memif_claim(const char *name, const char *suffix,
			  enum dpdk_dev_role role, struct dpdk_memif **memif);

/*
 * Before a listener's device is stopped: nobody new can connect, and those who
 * just did are known to the driver. It frees its listening socket without
 * telling EAL's interrupt thread: a connection in its queue would be accepted
 * by code that reads freed memory.
 */
void weir_dpdk_memif_hide(struct dpdk_memif *memif);

/*
 * Run fn in EAL's interrupt thread and return when it is done. memif's driver
 * takes a connection down in that thread when the peer hangs up, and in the
 * caller's when the device is stopped, without a lock between the two: both
 * close the same descriptors, and the second close may hit a new one (seen as
 * a panic of EAL, "Error adding fd"). In one thread they cannot meet.
 */
void weir_dpdk_memif_serialise(void (*fn)(void *arg), void *arg);

/* Give the name back; after the device is gone. Frees memif. */
void weir_dpdk_memif_release(struct dpdk_memif *memif);

#endif /* DPDK_MEMIF_H */
