/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_SLEEP_H
#define DPDK_SLEEP_H

/*
 * dpdk_sleep: how the owner of a port sleeps, with wait=intr.
 *
 *     frames --- rx interrupt ---> rx_fd --+
 *                                          +--> fd, what weir_port_fd() tells
 *     halves of other threads ---> bell  --+
 *
 * Who arms puts all links of the port asleep (dpdk_run.h), so that everyone
 * who uses one posts it, enables the interrupt and polls once more: what came
 * before is found by that poll, what comes after makes fd readable.
 *
 * A poster may be done after the port is gone, so the bell is counted.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dpdk_port;

struct dpdk_bell {
	_Atomic uint32_t refs;
	_Atomic uint32_t armed; /* the owner sleeps, or is about to */
	int fd;
};

struct dpdk_sleep {
	struct dpdk_bell *bell; /* NULL: wait=poll */
	int fd;                 /* of these, only with a bell */
	int rx_fd;
	bool enabled; /* the rx interrupt; the next poll disables it */
};

/*
 * Make the descriptors; the device runs.
 *
 * @return 0; -EOPNOTSUPP it has no rx interrupts, or the application receives
 *         for the port; -EMFILE, -ENOMEM and others, with weir_fail(). Nothing
 *         is left behind.
 */
int weir_dpdk_sleep_open(struct dpdk_port *port);
void weir_dpdk_sleep_close(struct dpdk_port *port);

/* The owner polls again. */
void weir_dpdk_sleep_disable(struct dpdk_port *port);

/* As weir_port_arm(). Owner. */
int weir_dpdk_sleep_arm(struct dpdk_port *port, uint64_t *deadline_ns);

/* One more user of the bell; NULL is none. @return bell. */
struct dpdk_bell *weir_dpdk_bell_get(struct dpdk_bell *bell);
void weir_dpdk_bell_put(struct dpdk_bell *bell);

/* Wake the owner if it sleeps: after what it shall see. Any thread; NULL does
 * nothing. */
void weir_dpdk_bell_ring(struct dpdk_bell *bell);

#endif /* DPDK_SLEEP_H */
