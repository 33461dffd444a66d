/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_group: let frames to a group of stations through to us. IPv6 neighbours
 * are asked for by such frames; a NIC that was not told drops them.
 *
 *     beneath is a kernel interface    a membership, held by a socket
 *     else                             the device's list of groups, else all
 *                                      groups, else everything
 *     the application's device         left alone: it decides
 *
 * The socket takes no frames. The kernel ends the membership with it, however
 * the process ends; a flag of the interface would stay.
 */

#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dpdk_dev_private.h"
#include "dpdk_share.h"
#include "weir_driver.h"

static bool
join_interface(struct dpdk_dev_private *priv,
	       const struct rte_ether_addr *group)
{
	struct packet_mreq request = {
		.mr_ifindex = (int)if_nametoindex(priv->iface),
		.mr_type = PACKET_MR_MULTICAST,
		.mr_alen = RTE_ETHER_ADDR_LEN,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	memcpy(request.mr_address, group, RTE_ETHER_ADDR_LEN);
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request,
		       sizeof(request)) != 0) {
		close(fd);
		return false;
	}
	priv->group_fd = fd;
	return true;
}

static bool
join_device(struct dpdk_dev *dev, const struct rte_ether_addr *group)
{
	struct rte_ether_addr list = *group;

	if (rte_eth_dev_set_mc_addr_list(dev->port_id, &list, 1) == 0 ||
	    rte_eth_allmulticast_enable(dev->port_id) == 0)
		return true;
	dev->priv->promiscuous = rte_eth_promiscuous_enable(dev->port_id) == 0;
	return dev->priv->promiscuous;
}

void
weir_dpdk_dev_join_alone(struct dpdk_dev *dev,
			 const struct rte_ether_addr *group)
{
	struct dpdk_dev_private *priv = dev->priv;

	if (!priv->is_ours)
		return;
	if (priv->iface[0] != '\0' ? join_interface(priv, group)
				   : join_device(dev, group))
		return;
	weir_log(WEIR_LOG_NOTICE,
		 "dpdk %s: cannot be told of a group of stations: give "
		 "peer-mac= at both ends if they do not find each other",
		 dev->dev_name);
}

void
weir_dpdk_dev_join(struct dpdk_dev *dev, const struct rte_ether_addr *group)
{
	if (dev->share != NULL)
		weir_dpdk_share_join(dev, group);
	else
		weir_dpdk_dev_join_alone(dev, group);
}

void
weir_dpdk_dev_leave(struct dpdk_dev *dev)
{
	struct dpdk_dev_private *priv = dev->priv;

	if (priv->promiscuous)
		rte_eth_promiscuous_disable(dev->port_id);
	priv->promiscuous = false;
	if (priv->group_fd >= 0)
		close(priv->group_fd);
	priv->group_fd = -1;
}
