/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_spec: what device does an endpoint mean? Text in, struct dpdk_dev_spec
 * out; touches no DPDK.
 *
 *     dpdk:demo                                  a memif pair named demo
 *     dpdk:demo,dev.zero-copy=yes                 whose client sends in place
 *     dpdk:demo,dev=net_vhost                    a vhost-user pair
 *     dpdk:demo,dev=net_ring                     two ports of this process
 *     dpdk:IP:PORT,dev=net_af_packet0,dev.iface=v0
 *     dpdk:IP:PORT,dev=0000:3b:00.0
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dpdk_addr.h"
#include "dpdk_dev.h"
#include "dpdk_share.h"
#include "weir_driver.h"

#define DEV_KEY_PREFIX "dev."

/* Ethernet's classic minimum for IPv4 hosts (RFC 791) and UDP's reach. */
#define MTU_MIN 576
#define MTU_MAX 16000

#define MBUFS_MIN 256
#define MBUFS_MAX (1u << 20)

/* As many as any ethdev has. */
#define QUEUE_MAX 1023

/* [domain:]bus:device.function in hexadecimal digits. */
static bool
is_pci_address(const char *name)
{
	const char *at = name;
	int colons = 0;

	for (; isxdigit((unsigned char)*at) || *at == ':'; at++)
		colons += *at == ':';
	return (colons == 1 || colons == 2) && at != name && at[0] == '.' &&
	       isxdigit((unsigned char)at[1]) && at[2] == '\0';
}

/* net_ and a number at the end: a virtual device that is made on demand. */
static bool
is_vdev_name(const char *name)
{
	size_t len = strlen(name);

	return strncmp(name, "net_", 4) == 0 && len > 5 &&
	       isdigit((unsigned char)name[len - 1]);
}

static bool
is_ring_name(const char *name)
{
	size_t len = strlen("net_ring");

	return strncmp(name, "net_ring", len) == 0 &&
	       name[len + strspn(name + len, "0123456789")] == '\0';
}

/* dev.KEY=VALUE of the endpoint becomes KEY=VALUE of the device. */
static int
gather_args(const struct weir_endpoint *ep, struct dpdk_dev_spec *spec)
{
	size_t used = 0;

	for (unsigned int i = 0; i < ep->key_count; i++) {
		const char *key = ep->keys[i].key;
		int len;

		if (strncmp(key, DEV_KEY_PREFIX, strlen(DEV_KEY_PREFIX)) != 0)
			continue;
		len = snprintf(spec->args + used, sizeof(spec->args) - used,
			       "%s%s=%s", used > 0 ? "," : "",
			       key + strlen(DEV_KEY_PREFIX), ep->keys[i].value);
		if (len < 0 || (size_t)len >= sizeof(spec->args) - used)
			return weir_fail(-EINVAL,
					 "dpdk: the dev.* keys are longer "
					 "than %zu together",
					 sizeof(spec->args) - 1);
		used += (size_t)len;
	}
	return 0;
}

static int
fail_ip_address(const char *address, const char *dev)
{
	if (dev == NULL)
		return weir_fail(-EINVAL,
				 "dpdk:%s: an IP address needs a device: add "
				 "dev=, for example "
				 "dev=net_af_packet0,dev.iface=eth1",
				 address);
	return weir_fail(-EINVAL,
			 "dpdk:%s: dev=%s is a pair, which has a name: write "
			 "dpdk:NAME; a socket of another program has a number "
			 "(dev=%s0,dev.iface=PATH)",
			 address, dev, dev);
}

static int
name_device(const struct weir_endpoint *ep, const char *dev,
	    struct dpdk_dev_spec *spec)
{
	const char *name = dev;

	if (dev == NULL || strcmp(dev, "net_vhost") == 0) {
		spec->kind = dev == NULL ? DPDK_DEV_MEMIF : DPDK_DEV_VHOST;
		name = ep->address;
		if (weir_dpdk_is_ip_address(name))
			return fail_ip_address(name, dev);
	} else if (is_ring_name(dev)) {
		spec->kind = DPDK_DEV_RING;
		if (!weir_dpdk_is_ip_address(ep->address))
			name = ep->address;
	} else if (is_pci_address(dev)) {
		spec->kind = DPDK_DEV_EXISTING;
		spec->is_pci = true;
	} else {
		spec->kind = is_vdev_name(dev) ? DPDK_DEV_VDEV
					       : DPDK_DEV_EXISTING;
	}
	if (name[0] == '\0' || strlen(name) >= sizeof(spec->name))
		return weir_fail(-EINVAL,
				 "dpdk: '%s' cannot name a device: 1 to %zu "
				 "characters",
				 name, sizeof(spec->name) - 1);
	strcpy(spec->name, name);
	return 0;
}

int
weir_dpdk_wire_parse(const struct weir_endpoint *ep, struct dpdk_dev_spec *spec,
		     struct dpdk_hdr_wire *wire, uint8_t *ttl_min)
{
	static const char *const keys[] = { "vlan", "pcp", "ttl-min" };
	uint64_t vlan = 0, pcp = 0, ttl = 0;
	int rc;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (dpdk_dev_is_pair(spec) &&
		    weir_endpoint_get(ep, keys[i]) != NULL)
			return weir_fail(-EINVAL,
					 "dpdk: %s= is for networks, and the "
					 "two ends of a pair are none; leave "
					 "it out",
					 keys[i]);
	rc = weir_endpoint_u64(ep, "vlan", 1, DPDK_VLAN_MAX, &vlan);
	if (rc == 0)
		rc = weir_endpoint_u64(ep, "pcp", 0, DPDK_PCP_MAX, &pcp);
	if (rc == 0)
		rc = weir_endpoint_u64(ep, "ttl-min", 1, DPDK_HDR_TTL_MAX,
				       &ttl);
	if (rc != 0)
		return rc;
	if (vlan == 0 && weir_endpoint_get(ep, "pcp") != NULL)
		return weir_fail(-EINVAL, "dpdk: pcp= is the priority in a "
					  "VLAN tag; add vlan=ID");
	spec->tag_len = vlan != 0 ? DPDK_HDR_TAG_LEN : 0;
	*ttl_min = (uint8_t)ttl;
	wire->vlan = (uint16_t)vlan;
	wire->pcp = (uint8_t)pcp;
	/* RFC 5082: who is checked for distance sends from the top. */
	wire->ttl = ttl != 0 ? DPDK_HDR_TTL_MAX : DPDK_HDR_TTL;
	return 0;
}

/* The one thing that may be said of a memif pair; the rest is weir's. */
static void
take_memif_args(struct dpdk_dev_spec *spec)
{
	spec->zero_copy = strcmp(spec->args, "zero-copy=yes") == 0;
	if (spec->zero_copy || strcmp(spec->args, "zero-copy=no") == 0)
		spec->args[0] = '\0';
}

static int
read_offload(const struct weir_endpoint *ep, bool *plain)
{
	const char *text = weir_endpoint_get(ep, "offload");

	*plain = text != NULL && strcmp(text, "off") == 0;
	if (text == NULL || *plain || strcmp(text, "on") == 0)
		return 0;
	return weir_fail(-EINVAL,
			 "dpdk: offload=%s is neither on nor off; write "
			 "offload=off to use none of the device's",
			 text);
}

static int
read_wait(const struct weir_endpoint *ep, struct dpdk_dev_spec *spec)
{
	const char *text = weir_endpoint_get(ep, "wait");

	spec->rx_intr = text != NULL && strcmp(text, "intr") == 0;
	if (text != NULL && !spec->rx_intr && strcmp(text, "poll") != 0)
		return weir_fail(-EINVAL,
				 "dpdk: wait=%s is neither poll nor intr; "
				 "write wait=intr for rx interrupts",
				 text);
	if (spec->rx_intr && dpdk_dev_is_pair(spec))
		return weir_fail(-EOPNOTSUPP,
				 "dpdk: wait=intr is not for pairs, whose "
				 "drivers have no rx interrupts or are not "
				 "asked for them; leave it out and poll");
	return 0;
}

/* queues= of a device that weir makes, and which of them is this port's. */
static int
read_queues(const struct weir_endpoint *ep, struct dpdk_dev_spec *spec)
{
	uint64_t queues = 0, queue = 0;
	int rc = weir_endpoint_u64(ep, "queues", 1, DPDK_SHARE_QUEUES_MAX,
				   &queues);

	if (rc == 0)
		rc = weir_endpoint_u64(ep, "queue", 0, QUEUE_MAX, &queue);
	if (rc != 0)
		return rc;
	if ((queue != 0 || queues > 1) && spec->kind == DPDK_DEV_RING)
		return weir_fail(-EINVAL,
				 "dpdk: queue= and queues= are for networks "
				 "and pairs of two processes; net_ring has one "
				 "queue, leave them out");
	if (queue != 0 && queues == 0 && dpdk_dev_is_pair(spec))
		return weir_fail(-EINVAL,
				 "dpdk: queue=%u of how many? Both ends of a "
				 "pair say queues=N",
				 (unsigned int)queue);
	if (queues != 0 && queue >= queues)
		return weir_fail(-EINVAL,
				 "dpdk: queue=%u is not one of queues=%u, "
				 "which are counted from 0",
				 (unsigned int)queue, (unsigned int)queues);
	if (queues > 1 && spec->rx_intr)
		return weir_fail(-EOPNOTSUPP,
				 "dpdk: wait=intr is for a port with a device "
				 "of its own; leave it out, or queues=");
	spec->queues = (uint16_t)queues;
	spec->queue_id = (uint16_t)queue;
	return 0;
}

int
weir_dpdk_dev_spec_parse(const struct weir_endpoint *ep,
			 struct dpdk_dev_spec *spec)
{
	uint64_t mtu = 0, mbufs = 0;
	int rc;

	memset(spec, 0, sizeof(*spec));
	rc = name_device(ep, weir_endpoint_get(ep, "dev"), spec);
	if (rc == 0)
		rc = gather_args(ep, spec);
	if (rc == 0)
		rc = weir_endpoint_u64(ep, "mtu", MTU_MIN, MTU_MAX, &mtu);
	if (rc == 0)
		rc = weir_endpoint_u64(ep, "mbufs", MBUFS_MIN, MBUFS_MAX,
				       &mbufs);
	if (rc == 0)
		rc = read_offload(ep, &spec->plain);
	if (rc == 0)
		rc = read_wait(ep, spec);
	if (rc != 0)
		return rc;
	if (spec->kind == DPDK_DEV_MEMIF)
		take_memif_args(spec);
	if (spec->args[0] != '\0' && spec->kind != DPDK_DEV_VDEV)
		return weir_fail(-EINVAL,
				 "dpdk: dev.* keys are for virtual devices "
				 "that weir makes (dev=net_...N), not for %s; "
				 "memif pairs know dev.zero-copy=yes|no",
				 spec->name);
	spec->mtu = (uint32_t)mtu;
	spec->tx_mbufs = (uint32_t)mbufs;
	spec->rx_mbufs = (uint32_t)mbufs;
	return read_queues(ep, spec);
}
