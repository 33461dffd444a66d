/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_DEV_H
#define DPDK_DEV_H

/*
 * dpdk_dev: one rx/tx queue pair of an ethdev, its mbuf pools, and what weir
 * learned about it. Knows nothing of links.
 *
 *     spec --open--> stopped --start--> running --close--> gone
 *
 * An mbuf of a tx pool: the payload begins at one fixed place on a cache
 * line, whatever headers a peer needs; they grow backwards from there.
 *
 *     | struct rte_mbuf | priv | .. headers <-| payload ...        |
 *     ^ 64-aligned             ^ buf_addr     ^ DPDK_PAYLOAD_OFFSET
 *
 * Threads: open, start, close and admit on the owner of the port; bursts on
 * the one thread that polls; pool get and put on any thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dpdk_hdr.h"
#include "dpdk_pool.h"

struct dpdk_share;
struct weir_endpoint;

/*
 * Where the payload of an mbuf to be sent begins in its data room (set
 * data_off to it). Ethernet 14 + VLAN 4 + IPv6 40 + UDP 8 leave 190 bytes for
 * weir's header and its extensions; RTE_PKTMBUF_HEADROOM would leave 62.
 */
#define DPDK_PAYLOAD_OFFSET 256

/* Ethernet header; frame lengths here count it, and never the checksum. A
 * VLAN tag, where there is one, comes on top. */
#define DPDK_ETHER_LEN 14

enum dpdk_dev_kind {
	DPDK_DEV_MEMIF,    /* dev= absent: a memif pair named by the endpoint */
	DPDK_DEV_VHOST,    /* dev=net_vhost: a vhost-user pair, the same way */
	DPDK_DEV_RING,     /* dev=net_ring: two ports of one process */
	DPDK_DEV_VDEV,     /* dev=net_af_packet0 ...: created here */
	DPDK_DEV_EXISTING, /* dev=NAME or a PCI address: there already */
	DPDK_DEV_GIVEN,    /* port and queue of the application, running */
};

enum dpdk_dev_role {
	DPDK_ROLE_LISTENER,  /* memif: server; vhost: net_vhost */
	DPDK_ROLE_CONNECTOR, /* memif: client; vhost: net_virtio_user */
};

/* What to open. Zeros are defaults. It holds its own strings. */
struct dpdk_dev_spec {
	enum dpdk_dev_kind kind;
	enum dpdk_dev_role role; /* the caller's; memif and vhost look at it */
	char name[64];           /* of the pair; else of the device */
	char args[384];          /* vdev: "iface=v0,..." */
	uint16_t port_id;        /* GIVEN */
	uint16_t queue_id;       /* GIVEN, EXISTING that the application runs */
	uint16_t queues;         /* of weir's own device; 0: one, not shared */
	struct dpdk_ip local;    /* shared: own address of all ports */
	struct rte_mempool *mempool;    /* GIVEN: the application's, or NULL */
	struct rte_mempool *rx_mempool; /* GIVEN: the queue's, or NULL: ask */
	uint32_t mtu;       /* IP MTU wanted; 0: what the device has */
	uint32_t tx_mbufs;  /* for the links, besides the rings' needs; 0: */
	uint32_t rx_mbufs;  /* DPDK_DEV_MBUFS */
	uint16_t priv_size; /* private bytes per mbuf, rounded up to 64 */
	uint16_t tag_len;   /* of a VLAN tag in every frame, or 0 */
	uint32_t hugepages; /* enum weir_hugepages, for the EAL start */
	bool telemetry;
	bool is_pci;    /* EXISTING: a PCI address, to be probed */
	bool rx_intr;   /* VDEV, EXISTING: with rx interrupts */
	bool plain;     /* no offloads: checksums and segments in software */
	bool zero_copy; /* MEMIF: the client sends from its own mbufs */
};

static inline uint16_t
dpdk_dev_queues(const struct dpdk_dev_spec *spec)
{
	return spec->queues > 1 ? spec->queues : 1;
}

/* Between two processes, whose devices depend on who listens. */
static inline bool
dpdk_dev_has_roles(const struct dpdk_dev_spec *spec)
{
	return spec->kind == DPDK_DEV_MEMIF || spec->kind == DPDK_DEV_VHOST;
}

/* Two ends and no network: addresses are known beforehand. */
static inline bool
dpdk_dev_is_pair(const struct dpdk_dev_spec *spec)
{
	return dpdk_dev_has_roles(spec) || spec->kind == DPDK_DEV_RING;
}

#define DPDK_DEV_MBUFS      4096u
#define DPDK_DEV_RING_SLOTS 1024u

struct dpdk_dev {
	uint16_t port_id;
	uint16_t queue_id;
	struct dpdk_share *share;  /* of several ports, dpdk_share.h; or NULL */
	uint16_t visit_next;       /* queue that nobody has, to be looked at */
	uint16_t inside;           /* share: depth of weir_dpdk_share_enter() */
	bool leaving;              /* share: weir_dpdk_share_is_last() */
	uint32_t parted_seen;      /* share: partings that the port knows of */
	struct dpdk_pool *tx_pool; /* room for headers and frag_max bytes */
	struct dpdk_pool *rx_pool; /* the same pool on net_ring and af_xdp */

	uint16_t frame_max;     /* longest frame, either way, bytes */
	uint16_t mtu;           /* longest IP packet */
	uint16_t tx_segs_max;   /* mbufs per frame; 1: no MULTI_SEGS */
	uint16_t tx_chains_max; /* chained frames per burst; 0: any number */
	uint16_t tx_ring_slots;
	uint16_t rx_ring_slots;
	uint64_t tx_cksum_flags; /* RTE_MBUF_F_TX_IP_CKSUM, _UDP_CKSUM that the
				    device will honour; 0: do it in software */
	uint64_t rx_cksum_offloads; /* RTE_ETH_RX_OFFLOAD_* in use */

	/*
	 * No wire between the ends (pairs, null): memory does not
	 * flip bits, so UDP checksums are neither made nor looked at.
	 */
	bool no_wire;
	bool same_host; /* both ends on this machine: fixed congestion control */
	bool tx_retains; /* the driver may keep a reference after tx_burst */
	bool rx_shared;  /* received mbufs are the sender's own: read only */
	bool peer_crash_unsafe; /* memif: its PMD can fault when a peer dies */

	struct rte_ether_addr mac;
	/* A pair: who is at the other end is known beforehand. */
	bool paired;
	struct rte_ether_addr peer_mac;
	uint32_t pair_ip;      /* ours, 169.254.x.y, host byte order */
	uint32_t pair_peer_ip; /* theirs */

	/*
	 * What tx mbufs may refer to (external or attached memory): a zero-copy
	 * memif has shown its peer this range only. See dpdk_dev_can_refer().
	 */
	uintptr_t refer_begin;
	uintptr_t refer_end;

	int numa_node; /* -1: any */
	enum dpdk_dev_kind kind;
	char driver_name[32]; /* of the PMD, e.g. "net_memif" */
	char dev_name[64];    /* of the ethdev */
	bool started;

	struct dpdk_dev_private *priv;
};

/*
 * Read dev=, dev.KEY=, mtu=, mbufs=, queue=, queues= of an endpoint. What else
 * there is in spec is the caller's to set.
 *
 * @return 0; -EINVAL with weir_fail().
 */
int weir_dpdk_dev_spec_parse(const struct weir_endpoint *ep,
			     struct dpdk_dev_spec *spec);

/*
 * Read vlan=, pcp=, ttl-min= of an endpoint: what all frames of the port have
 * in common, and what is asked of others'. Pairs refuse them.
 *
 * @return 0; -EINVAL with weir_fail().
 */
int weir_dpdk_wire_parse(const struct weir_endpoint *ep,
			 struct dpdk_dev_spec *spec, struct dpdk_hdr_wire *wire,
			 uint8_t *ttl_min);

/*
 * Start EAL if none runs, create the device if need be, make the pools and
 * set up the queue pair. Nothing is left behind on failure.
 *
 * @return 0; -EAGAIN the listener of a memif pair is not there yet (or has a
 *         connector already): call again later; -ENODEV, -EPERM, -ENOMEM,
 *         -EADDRINUSE, -EINVAL and others with weir_fail().
 */
int weir_dpdk_dev_open(const struct dpdk_dev_spec *spec, struct dpdk_dev **dev);

/*
 * Let packets flow. The connector of a memif pair waits for the connection
 * (1 ms; 250 ms when the listener does not answer).
 *
 * @return 0; -EAGAIN as above (then close); or -errno with weir_fail().
 */
int weir_dpdk_dev_start(struct dpdk_dev *dev);

/*
 * Stop and give back the device and the pools' references; never touches
 * more than that of an application's port. The caller has freed or handed
 * over its mbufs; those still out keep their pool alive.
 */
void weir_dpdk_dev_close(struct dpdk_dev *dev);

/* Receive frames to this group of stations, see dpdk_group.c. */
void weir_dpdk_dev_join(struct dpdk_dev *dev,
			const struct rte_ether_addr *group);

/* @return true when the other end is there (memif, vhost) or has carrier. */
bool weir_dpdk_dev_link_up(const struct dpdk_dev *dev);

/*
 * Ethdev counters worth reporting; a device that has none leaves zeros. Any
 * thread, but not on the fast path: a driver may take long.
 *
 * @return 0; -EBUSY another port of the device is asking, ask again later; or
 *         what the driver answers.
 */
int weir_dpdk_dev_stats(const struct dpdk_dev *dev, struct rte_eth_stats *out);

/*
 * Promise mbufs to a link: windows, credits and set-aside slots that it may
 * hold at the same time. The rings and caches are provided for already.
 *
 * @return 0; -ENOBUFS with weir_fail() naming what to change.
 */
int weir_dpdk_dev_admit(struct dpdk_dev *dev, uint32_t tx_mbufs,
			uint32_t rx_mbufs);
void weir_dpdk_dev_dismiss(struct dpdk_dev *dev, uint32_t tx_mbufs,
			   uint32_t rx_mbufs);

/*
 * @return true if the device can send from there by reference; otherwise copy
 *         into an mbuf of tx_pool. Memory of our pools always can.
 */
static inline bool
dpdk_dev_can_refer(const struct dpdk_dev *dev, const void *begin, size_t len)
{
	return (uintptr_t)begin >= dev->refer_begin &&
	       (uintptr_t)begin + len <= dev->refer_end;
}

/* Fast path. Fault injection hooks in by rte_eth_add_rx_callback(). */
static inline uint16_t
dpdk_dev_rx(struct dpdk_dev *dev, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(dev->port_id, dev->queue_id, mbufs, count);
}

/* Chained frames in bursts of at most dev->tx_chains_max. */
uint16_t weir_dpdk_dev_tx_runs(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
			       uint16_t count);

/* @return how many of the first mbufs the device took; the rest is ours. */
static inline uint16_t
dpdk_dev_tx(struct dpdk_dev *dev, struct rte_mbuf **mbufs, uint16_t count)
{
	if (__builtin_expect(dev->tx_chains_max != 0, 0))
		return weir_dpdk_dev_tx_runs(dev, mbufs, count);
	return rte_eth_tx_burst(dev->port_id, dev->queue_id, mbufs, count);
}

#endif /* DPDK_DEV_H */
