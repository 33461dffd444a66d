/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_DEV_PRIVATE_H
#define DPDK_DEV_PRIVATE_H

/*
 * dpdk_dev_private: what the files that open a device share, in the order in
 * which they run:
 *
 *     dpdk_make.c    find or make the ethdev
 *     dpdk_learn.c   ask what it can do
 *     dpdk_plan.c    make its pools
 *     dpdk_dev.c     configure, start, close, admit links
 */

#include <net/if.h>

#include "dpdk_dev.h"
#include "dpdk_memif.h"
#include "dpdk_ring.h"
#include "dpdk_xdp.h"

/* af_packet: what precedes a frame in the slots of its rings, rounded up. */
#define PACKET_SLOT_OVERHEAD 96

/* What rte_eth_dev_info_get() does not tell. */
struct driver_facts {
	const char *name;
	bool no_wire; /* memory to memory: checksums guard nothing */
	bool same_host;
	bool retains;        /* keeps mbufs after tx_burst returned */
	bool one_pool;       /* sends without copy only from its rx pool */
	bool direct;         /* sends only direct mbufs of that pool */
	bool rx_pow2;        /* uses a power of two of each rx buffer */
	bool linear;         /* corrupts what has two segments */
	bool mac_is_kernels; /* the port's MAC is that of an interface */
};

struct dpdk_dev_private {
	const struct driver_facts *facts;
	struct dpdk_memif *memif;
	struct dpdk_ring_pair *pair;
	int side;
	char vdev[64];          /* made by us, to be removed; or "" */
	struct rte_device *pci; /* found and closed by us, to be probed anew */
	bool is_ours;           /* configured by us: to be stopped and closed */
	bool promiscuous;       /* for dpdk_group.c: to be taken back */
	int group_fd;           /* holds a membership of the interface, or -1 */
	bool memif_zero_copy;
	char iface[IF_NAMESIZE]; /* kernel interface beneath, or "" */
	struct dpdk_xdp_socket xdp;
	uint32_t conf_mtu;    /* above Ethernet's 1500; or 0 */
	uint32_t packet_slot; /* af_packet: bytes per slot of its rings */
};

/* dpdk_dev.c: the device itself, whoever shares it. */
int weir_dpdk_dev_open_alone(const struct dpdk_dev_spec *spec,
			     struct dpdk_dev **dev);
int weir_dpdk_dev_start_alone(struct dpdk_dev *dev);
void weir_dpdk_dev_close_alone(struct dpdk_dev *dev);
void weir_dpdk_dev_join_alone(struct dpdk_dev *dev,
			      const struct rte_ether_addr *group);

/* dpdk_make.c: priv->is_ours, port_id, and what pairs know beforehand. */
int weir_dpdk_make(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec);
void weir_dpdk_unmake(struct dpdk_dev *dev);
uint32_t weir_dpdk_iface_mtu(const char *iface);

/* dpdk_learn.c: all fields of dev that describe it. */
int weir_dpdk_learn(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec);
bool weir_dpdk_driver_is(const struct dpdk_dev *dev, const char *name);

/* dpdk_group.c: undo weir_dpdk_dev_join(). */
void weir_dpdk_dev_leave(struct dpdk_dev *dev);

/* dpdk_plan.c: dev->tx_pool, dev->rx_pool. */
int weir_dpdk_make_pools(struct dpdk_dev *dev,
			 const struct dpdk_dev_spec *spec);
void weir_dpdk_drop_pools(struct dpdk_dev *dev);

/* weir_fail() with the driver's own last line, which says more than rc. */
int weir_dpdk_fail_with_log(int rc, const char *subject, const char *what);

#endif /* DPDK_DEV_PRIVATE_H */
