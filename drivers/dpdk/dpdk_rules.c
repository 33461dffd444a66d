/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_rules: steering on a real device. See dpdk_rules.h.
 */

#include <errno.h>
#include <string.h>

#include <rte_errno.h>

#include "dpdk_rules.h"

/* Ethernet [VLAN] IP UDP, and the end. */
#define ITEMS_MAX 5

/* Of a rule that is taken back at once: discard (RFC 863). */
#define TRIED_PORT 9

/* A rule in the making: its parts point to each other. */
struct rule {
	struct rte_flow_attr attr;
	struct rte_flow_item items[ITEMS_MAX];
	struct rte_flow_item_udp udp, udp_mask;
	struct rte_flow_action_queue queue;
	struct rte_flow_action actions[2];
};

static void
rule_init(struct rule *rule, const struct dpdk_dev_spec *spec,
	  uint16_t udp_port, uint16_t queue)
{
	struct rte_flow_item *item = rule->items;

	memset(rule, 0, sizeof(*rule));
	rule->attr.ingress = 1;
	(item++)->type = RTE_FLOW_ITEM_TYPE_ETH;
	if (spec->tag_len != 0)
		(item++)->type = RTE_FLOW_ITEM_TYPE_VLAN;
	(item++)->type = dpdk_ip_is_ip4(&spec->local) ? RTE_FLOW_ITEM_TYPE_IPV4
						      : RTE_FLOW_ITEM_TYPE_IPV6;
	rule->udp.hdr.dst_port = rte_cpu_to_be_16(udp_port);
	rule->udp_mask.hdr.dst_port = UINT16_MAX;
	*item++ = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_UDP,
					  .spec = &rule->udp,
					  .mask = &rule->udp_mask };
	item->type = RTE_FLOW_ITEM_TYPE_END;
	rule->queue.index = queue;
	rule->actions[0] =
		(struct rte_flow_action){ .type = RTE_FLOW_ACTION_TYPE_QUEUE,
					  .conf = &rule->queue };
	rule->actions[1].type = RTE_FLOW_ACTION_TYPE_END;
}

/* Some drivers (net_tap) find a rule in order that they cannot make. */
static int
try_rule(const struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_flow *flow;
	struct rte_flow_error error;
	struct rule rule;
	int rc;

	rule_init(&rule, spec, TRIED_PORT, 0);
	rc = rte_flow_validate(dev->port_id, &rule.attr, rule.items,
			       rule.actions, &error);
	if (rc != 0)
		return rc;
	flow = rte_flow_create(dev->port_id, &rule.attr, rule.items,
			       rule.actions, &error);
	if (flow == NULL)
		return rte_errno != 0 ? -rte_errno : -ENOTSUP;
	rte_flow_destroy(dev->port_id, flow, &error);
	return 0;
}

static int
read_key(const struct dpdk_dev *dev, const struct rte_eth_dev_info *info,
	 struct dpdk_steer_rss *rss)
{
	struct rte_eth_rss_conf conf = { .rss_key = rss->key,
					 .rss_key_len = info->hash_key_size };

	if (info->hash_key_size == 0 || info->hash_key_size > sizeof(rss->key))
		return -ENOTSUP;
	return rte_eth_dev_rss_hash_conf_get(dev->port_id, &conf);
}

static int
read_reta(const struct dpdk_dev *dev, const struct rte_eth_dev_info *info,
	  struct dpdk_steer_rss *rss)
{
	struct rte_eth_rss_reta_entry64
		entries[DPDK_STEER_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t size = info->reta_size;
	int rc;

	if (size == 0 || size > DPDK_STEER_RETA_MAX || !rte_is_power_of_2(size))
		return -ENOTSUP;
	memset(entries, 0, sizeof(entries));
	for (size_t i = 0; i < RTE_DIM(entries); i++)
		entries[i].mask = UINT64_MAX;
	rc = rte_eth_dev_rss_reta_query(dev->port_id, entries, size);
	rss->reta_size = size;
	for (uint16_t i = 0; i < size; i++)
		rss->reta[i] = entries[i / RTE_ETH_RETA_GROUP_SIZE]
				       .reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return rc;
}

void
weir_dpdk_rules_try(const struct dpdk_dev *dev,
		    const struct dpdk_dev_spec *spec,
		    const struct rte_eth_dev_info *info,
		    struct dpdk_steer_tried *tried, struct dpdk_steer_rss *rss)
{
	memset(rss, 0, sizeof(*rss));
	tried->rule = try_rule(dev, spec);
	tried->key = read_key(dev, info, rss);
	tried->reta = read_reta(dev, info, rss);
}

struct rte_flow *
weir_dpdk_rules_add(const struct dpdk_dev *dev,
		    const struct dpdk_dev_spec *spec, uint16_t udp_port,
		    uint16_t queue)
{
	struct rte_flow_error error;
	struct rule rule;

	rule_init(&rule, spec, udp_port, queue);
	return rte_flow_create(dev->port_id, &rule.attr, rule.items,
			       rule.actions, &error);
}

void
weir_dpdk_rules_remove(const struct dpdk_dev *dev, struct rte_flow *rule)
{
	struct rte_flow_error error;

	rte_flow_destroy(dev->port_id, rule, &error);
}
