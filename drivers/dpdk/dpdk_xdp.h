/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_XDP_H
#define DPDK_XDP_H

/*
 * dpdk_xdp: the AF_XDP socket that net_af_xdp forgets.
 *
 * Closing the device counts its umem's users wrongly (22.11): the socket
 * stays open and bound, and the interface's queue is busy until the process
 * ends. So the socket is looked up when the device is open, and closed after
 * the device was.
 */

#include <sys/types.h>

struct dpdk_xdp_socket {
	int fd; /* -1: none */
	dev_t dev;
	ino_t ino;
};

/* The one AF_XDP socket that came since the list of before was made. */
struct dpdk_xdp_list {
	ino_t inos[64];
	int count;
};

/* @return 0, or -errno with weir_fail(): what net_af_xdp must be able to. */
int weir_dpdk_xdp_check_rights(const char *name);

/* Before a socket is made: wait until one that was closed has let go. */
void weir_dpdk_xdp_settle(void);

void weir_dpdk_xdp_list(struct dpdk_xdp_list *list);
void weir_dpdk_xdp_find_new(const struct dpdk_xdp_list *before,
			    struct dpdk_xdp_socket *found);
void weir_dpdk_xdp_close(struct dpdk_xdp_socket *sock);

#endif /* DPDK_XDP_H */
