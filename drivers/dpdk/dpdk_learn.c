/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_learn: what a device can do.
 *
 * Facts about particular drivers stand in one table, with their reasons in
 * docs/drivers/dpdk.md; everything else is asked of rte_eth_dev_info_get().
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dpdk_dev_private.h"
#include "weir_driver.h"

/* Largest frame that af_xdp is known to carry (docs/drivers/dpdk.md). */
#define XDP_MTU_MAX 1500

static const struct driver_facts facts_table[] = {
	{ .name = "net_memif", .no_wire = true, .same_host = true },
	{ .name = "net_ring",
	  .no_wire = true,
	  .same_host = true,
	  .retains = true,
	  .one_pool = true },
	{ .name = "net_null", .no_wire = true, .same_host = true },
	{ .name = "net_af_packet" },
	{ .name = "net_af_xdp",
	  .retains = true,
	  .one_pool = true,
	  .direct = true,
	  .linear = true },
	{ .name = "net_tap", .mac_is_kernels = true },
	{ .name = "net_vhost", .same_host = true },
	{ .name = "net_virtio_user", .same_host = true, .retains = true },
};

/*
 * A real NIC: keeps mbufs until its ring comes round. Many (e1000, ixgbe, igb)
 * use of a buffer only a power of two, and spread longer frames over several.
 */
static const struct driver_facts facts_default = { .retains = true,
						   .rx_pow2 = true };

bool
weir_dpdk_driver_is(const struct dpdk_dev *dev, const char *name)
{
	return strcmp(dev->driver_name, name) == 0;
}

static const struct driver_facts *
facts_of(const char *driver)
{
	for (size_t i = 0; i < RTE_DIM(facts_table); i++)
		if (strcmp(facts_table[i].name, driver) == 0)
			return &facts_table[i];
	return &facts_default;
}

/* Longest IP packet, where the pair did not decide it. */
static int
learn_mtu(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	  const struct rte_eth_dev_info *info)
{
	struct dpdk_dev_private *priv = dev->priv;
	uint16_t port_mtu = 1500;
	uint32_t mtu;

	rte_eth_dev_get_mtu(dev->port_id, &port_mtu);
	mtu = port_mtu;
	if (priv->iface[0] == '\0' && info->if_index != 0)
		if_indextoname(info->if_index, priv->iface);
	if (priv->iface[0] != '\0')
		mtu = weir_dpdk_iface_mtu(priv->iface);
	else if (spec->mtu > mtu && priv->is_ours && spec->mtu <= info->max_mtu)
		mtu = priv->conf_mtu = spec->mtu;
	if (priv->packet_slot != 0)
		mtu = RTE_MIN(mtu, priv->packet_slot - PACKET_SLOT_OVERHEAD -
					   DPDK_ETHER_LEN - spec->tag_len);
	if (weir_dpdk_driver_is(dev, "net_af_xdp") && spec->mtu == 0)
		mtu = RTE_MIN(mtu, (uint32_t)XDP_MTU_MAX);
	if (info->max_mtu >= RTE_ETHER_MIN_MTU)
		mtu = RTE_MIN(mtu, info->max_mtu);
	if (spec->mtu > mtu)
		return weir_fail(-EINVAL,
				 "dpdk %s: mtu=%u is more than the device's "
				 "%u; raise that (ip link set ... mtu) or ask "
				 "for less",
				 dev->dev_name, spec->mtu, mtu);
	if (spec->mtu != 0)
		mtu = spec->mtu;
	mtu = RTE_MIN(mtu,
		      (uint32_t)UINT16_MAX - DPDK_ETHER_LEN - spec->tag_len);
	dev->frame_max = (uint16_t)(mtu + DPDK_ETHER_LEN + spec->tag_len);
	return 0;
}

/*
 * net_tap gives the kernel's end of the cable its own MAC. A bridge there takes
 * frames to and from that address for its host's: we are a station beside it,
 * as the guest behind any other tap is.
 */
static void
learn_mac(struct dpdk_dev *dev)
{
	rte_eth_macaddr_get(dev->port_id, &dev->mac);
	if (dev->priv->facts->mac_is_kernels)
		dev->mac.addr_bytes[0] ^= RTE_ETHER_LOCAL_ADMIN_ADDR << 1;
}

static void
learn_offloads(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	       const struct rte_eth_dev_info *info)
{
	uint64_t tx = info->tx_offload_capa;
	uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM |
		      RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

	/* Of a queue that the application set up, only what it enabled. */
	if (!dev->priv->is_ours) {
		struct rte_eth_txq_info txq;
		struct rte_eth_rxq_info rxq;

		tx = rte_eth_tx_queue_info_get(dev->port_id, dev->queue_id,
					       &txq) == 0
			     ? txq.conf.offloads
			     : 0;
		rx &= rte_eth_rx_queue_info_get(dev->port_id, dev->queue_id,
						&rxq) == 0
			      ? rxq.conf.offloads
			      : 0;
	}
	if (spec->plain)
		tx = rx = 0;
	dev->tx_segs_max = 1;
	if ((tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 &&
	    !dev->priv->facts->linear)
		/* One header and one payload; more is never sent. */
		dev->tx_segs_max = 2;
	if (info->tx_desc_lim.nb_mtu_seg_max == 1)
		dev->tx_segs_max = 1;
	if (dev->no_wire)
		return;
	if ((tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0)
		dev->tx_cksum_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	if ((tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0)
		dev->tx_cksum_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	dev->rx_cksum_offloads = info->rx_offload_capa & rx;
}

int
weir_dpdk_learn(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_dev_private *priv = dev->priv;
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(dev->port_id, &info);

	if (rc != 0)
		return weir_fail(rc, "dpdk: port %u does not describe itself",
				 dev->port_id);
	snprintf(dev->driver_name, sizeof(dev->driver_name), "%s",
		 info.driver_name);
	rte_eth_dev_get_name_by_port(dev->port_id, dev->dev_name);
	priv->facts = facts_of(dev->driver_name);
	/* What is behind a vhost socket of someone else's may be a network. */
	dev->no_wire = priv->facts->no_wire || dev->paired;
	dev->same_host = priv->facts->same_host;
	dev->tx_retains = priv->facts->retains || priv->memif_zero_copy;
	dev->peer_crash_unsafe = weir_dpdk_driver_is(dev, "net_memif");
	dev->numa_node = rte_eth_dev_socket_id(dev->port_id);
	if (!dev->paired) {
		learn_mac(dev);
		rc = learn_mtu(dev, spec, &info);
		if (rc != 0)
			return rc;
	}
	dev->mtu = (uint16_t)(dev->frame_max - DPDK_ETHER_LEN - spec->tag_len);
	learn_offloads(dev, spec, &info);
	if (!priv->facts->direct && !priv->memif_zero_copy)
		dev->refer_end = UINTPTR_MAX;

	dev->rx_ring_slots = DPDK_DEV_RING_SLOTS;
	dev->tx_ring_slots = DPDK_DEV_RING_SLOTS;
	rte_eth_dev_adjust_nb_rx_tx_desc(dev->port_id, &dev->rx_ring_slots,
					 &dev->tx_ring_slots);
	return 0;
}
