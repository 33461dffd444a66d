/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_steer: the best way that a device allows, and why no better one.
 */

#include "dpdk_steer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_thash.h>

#define UDP_TYPES (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)

/* Toeplitz over IPv6 addresses and ports reads 36 bytes and 4 beyond. */
#define KEY_BYTES_MIN 40

static int
driver_is(const struct rte_eth_dev_info *info, const char *name)
{
	return info->driver_name != NULL &&
	       strcmp(info->driver_name, name) == 0;
}

/* Why the hash of a device that spreads UDP cannot be computed, or NULL. */
static const char *
not_computable(const struct rte_eth_dev_info *info,
	       const struct dpdk_steer_tried *tried)
{
	/* Its key is stored with its bytes reversed. */
	if (driver_is(info, "net_ena"))
		return "its RSS key is not in the usual order";
	if (info->hash_key_size < KEY_BYTES_MIN || tried->key != 0)
		return "its RSS key is not known";
	if (info->reta_size == 0 || tried->reta != 0)
		return "its RSS table is not known";
	return NULL;
}

static void
choose(struct dpdk_steer_plan *plan, const struct rte_eth_dev_info *info,
       const struct dpdk_steer_tried *tried)
{
	/* The kernel spreads for these; their drivers tell nothing of it. */
	int spreads_unseen = driver_is(info, "net_af_xdp") ||
			     driver_is(info, "net_af_packet");
	const char *obstacle;

	plan->rss_types = info->flow_type_rss_offloads & UDP_TYPES;
	if (plan->rss_types == 0 && !spreads_unseen) {
		plan->how = DPDK_STEER_HOP;
		snprintf(plan->why, sizeof(plan->why),
			 "it refuses flow rules (%s) and does not spread UDP",
			 strerror(-tried->rule));
		return;
	}
	obstacle = spreads_unseen ? "the kernel spreads what it gets"
				  : not_computable(info, tried);
	plan->how = obstacle == NULL ? DPDK_STEER_COMPUTED : DPDK_STEER_PROBED;
	snprintf(plan->why, sizeof(plan->why), "it refuses flow rules (%s)%s%s",
		 strerror(-tried->rule), obstacle == NULL ? "" : " and ",
		 obstacle == NULL ? "" : obstacle);
}

int
weir_dpdk_steer(const struct rte_eth_dev_info *info,
		const struct dpdk_steer_tried *tried, uint16_t queues,
		struct dpdk_steer_plan *plan)
{
	uint16_t most = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

	*plan = (struct dpdk_steer_plan){ .queues = queues };
	if (queues == 0)
		return -EINVAL;
	if (queues > most) {
		plan->queues = most;
		snprintf(plan->why, sizeof(plan->why),
			 "it has %u queue pairs, %u are wanted", most, queues);
		return -ENOTSUP;
	}
	if (queues == 1)
		return 0;
	if (tried->rule == 0)
		plan->how = DPDK_STEER_RULE;
	else
		choose(plan, info, tried);
	return 0;
}

const char *
weir_dpdk_steer_name(enum dpdk_steer_how how)
{
	static const char *const names[] = {
		[DPDK_STEER_SINGLE] = "single queue",
		[DPDK_STEER_RULE] = "flow rule",
		[DPDK_STEER_COMPUTED] = "computed RSS",
		[DPDK_STEER_PROBED] = "probed RSS",
		[DPDK_STEER_HOP] = "software hop",
	};

	return names[how];
}

/* ---- RSS, computed ---------------------------------------------------------- */

static uint32_t
be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

/* The last `words` of an address, as rte_softrss() takes them. */
static uint32_t *
put_ip(uint32_t *to, const struct dpdk_ip *ip, uint32_t words)
{
	for (uint32_t i = 4 - words; i < 4; i++)
		*to++ = be32(ip->bytes + 4 * i);
	return to;
}

uint32_t
weir_dpdk_steer_hash(const uint8_t *key, const struct dpdk_addr *src,
		     const struct dpdk_addr *dst)
{
	uint32_t words = dpdk_ip_is_ip4(&src->ip) ? 1 : 4;
	uint32_t tuple[9], *end = put_ip(tuple, &src->ip, words);

	end = put_ip(end, &dst->ip, words);
	*end++ = (uint32_t)src->port << 16 | dst->port;
	return rte_softrss(tuple, (uint32_t)(end - tuple), key);
}

uint16_t
weir_dpdk_steer_queue(const struct dpdk_steer_rss *rss,
		      const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	uint32_t hash = weir_dpdk_steer_hash(rss->key, src, dst);

	return rss->reta[hash & (rss->reta_size - 1u)];
}
