/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_plan: how many mbufs of which size a device needs, and where from.
 *
 *     tx   links' slots and windows + what the driver retains + a burst
 *     rx   links' windows and held messages + the rx ring + a burst
 *
 * So messages that an application holds can never starve the rx ring.
 */

#include <errno.h>

#include "dpdk_dev_private.h"
#include "weir_driver.h"

/* af_xdp: the kernel puts XDP_PACKET_HEADROOM behind the mbuf's own. */
#define XDP_HEADROOM 256

/* mbufs that af_xdp keeps in its fill queue, and in its completion queue. */
#define XDP_QUEUE_MBUFS 2048

/* mbufs in bursts on the way between device and link. */
#define BURST_MBUFS 64

/* What a NIC counts into the length of a frame: checksum and two VLAN tags. */
#define NIC_FRAME_EXTRA (RTE_ETHER_CRC_LEN + 2 * RTE_VLAN_HLEN)

static uint32_t
data_room_of(const struct dpdk_dev *dev)
{
	uint32_t room = DPDK_PAYLOAD_OFFSET + dev->frame_max;
	uint32_t rx_room = RTE_PKTMBUF_HEADROOM + dev->frame_max;

	if (weir_dpdk_driver_is(dev, "net_af_xdp"))
		rx_room += XDP_HEADROOM;
	if (dev->priv->facts->rx_pow2)
		rx_room = RTE_PKTMBUF_HEADROOM +
			  rte_align32pow2(dev->frame_max + NIC_FRAME_EXTRA);
	/* Its driver wants room for Ethernet's frames, whatever ours are. */
	if (weir_dpdk_driver_is(dev, "net_virtio_user"))
		rx_room = RTE_MAX(rx_room, RTE_PKTMBUF_HEADROOM +
						   RTE_ETHER_MAX_LEN +
						   NIC_FRAME_EXTRA);
	/* af_packet wants to be sure that a whole slot fits. */
	rx_room =
		RTE_MAX(rx_room, dev->priv->packet_slot + RTE_PKTMBUF_HEADROOM);
	return RTE_ALIGN_CEIL(RTE_MAX(room, rx_room), 64);
}

static void
plan_pools(const struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	   struct dpdk_pool_spec *tx, struct dpdk_pool_spec *rx)
{
	uint32_t queues = dpdk_dev_queues(spec);
	bool retains = dev->tx_retains;

	*tx = (struct dpdk_pool_spec){
		.what = "tx",
		.budget = spec->tx_mbufs,
		.reserve = BURST_MBUFS + (retains ? dev->tx_ring_slots : 0),
		.data_room = data_room_of(dev),
		.priv_size = spec->priv_size,
		.numa_node = dev->numa_node,
		.pollers = queues,
		/* Strangers: the other ring's reader, a NIC that stays. */
		.lingers = dev->rx_shared || !dev->priv->is_ours,
	};
	*rx = *tx;
	rx->what = "rx";
	rx->budget = spec->rx_mbufs;
	rx->reserve = BURST_MBUFS + dev->rx_ring_slots;
	if (weir_dpdk_driver_is(dev, "net_af_xdp")) {
		tx->reserve += XDP_QUEUE_MBUFS;
		rx->reserve += XDP_QUEUE_MBUFS;
		/* The driver registers the number of mbufs times the size of
		 * one with the kernel, which refuses to send or to fill what
		 * lies behind: gaps would push many mbufs out there. */
		tx->packed = rx->packed = true;
	}
	if (tx->budget == 0)
		tx->budget = DPDK_DEV_MBUFS;
	if (rx->budget == 0)
		rx->budget = DPDK_DEV_MBUFS;
	/* So many are meant for each port. */
	tx->budget *= queues;
	tx->reserve *= queues;
	rx->budget *= queues;
	rx->reserve *= queues;
}

/* The application's mempool serves both ways; check that it can. */
static int
adopt_mempool(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	uint32_t room = rte_pktmbuf_data_room_size(spec->mempool);
	uint32_t needed = DPDK_PAYLOAD_OFFSET + dev->frame_max;
	uint16_t priv_size = rte_pktmbuf_priv_size(spec->mempool);
	int rc;

	if (room < needed)
		return weir_fail(-EINVAL,
				 "dpdk: mempool %s has a data room of %u, weir "
				 "needs %u for frames of %u; create it larger "
				 "or set mtu=",
				 spec->mempool->name, room, needed,
				 dev->frame_max);
	if (priv_size < spec->priv_size || priv_size % 64 != 0)
		return weir_fail(-EINVAL,
				 "dpdk: mempool %s has a private area of %u, "
				 "weir needs a multiple of 64 and at least %u",
				 spec->mempool->name, priv_size,
				 spec->priv_size);
	rc = weir_dpdk_pool_adopt(spec->mempool,
				  (uint32_t)dev->rx_ring_slots +
					  dev->tx_ring_slots + BURST_MBUFS,
				  &dev->tx_pool);
	if (rc != 0)
		return rc;
	weir_dpdk_pool_get(dev->tx_pool);
	dev->rx_pool = dev->tx_pool;
	return 0;
}

/* Received mbufs come from the pool that the application gave the queue. */
static int
adopt_rx_pool(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_eth_rxq_info rxq;

	if (rte_eth_rx_queue_info_get(dev->port_id, dev->queue_id, &rxq) == 0)
		return weir_dpdk_pool_adopt(rxq.mp, rxq.nb_desc, &dev->rx_pool);
	if (spec->rx_mempool != NULL)
		return weir_dpdk_pool_adopt(spec->rx_mempool,
					    dev->rx_ring_slots, &dev->rx_pool);
	return weir_fail(-EINVAL,
			 "dpdk %s: the driver does not tell which mempool "
			 "receives; set rx_pool in struct weir_dpdk_queue",
			 dev->dev_name);
}

int
weir_dpdk_make_pools(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_pool_spec tx, rx;
	int rc;

	if (spec->mempool != NULL && !dev->priv->is_ours)
		return adopt_mempool(dev, spec);
	plan_pools(dev, spec, &tx, &rx);
	if (dev->priv->facts->one_pool && dev->priv->is_ours) {
		tx.budget += rx.budget;
		tx.reserve += dev->rx_shared ? 0 : rx.reserve;
		rc = weir_dpdk_pool_create(&tx, &dev->tx_pool);
		if (rc != 0)
			return rc;
		weir_dpdk_pool_get(dev->tx_pool);
		dev->rx_pool = dev->tx_pool;
		return 0;
	}
	rc = weir_dpdk_pool_create(&tx, &dev->tx_pool);
	if (rc != 0)
		return rc;
	return dev->priv->is_ours ? weir_dpdk_pool_create(&rx, &dev->rx_pool)
				  : adopt_rx_pool(dev, spec);
}

void
weir_dpdk_drop_pools(struct dpdk_dev *dev)
{
	if (dev->tx_pool != NULL)
		weir_dpdk_pool_put(dev->tx_pool);
	if (dev->rx_pool != NULL)
		weir_dpdk_pool_put(dev->rx_pool);
	dev->tx_pool = NULL;
	dev->rx_pool = NULL;
}
