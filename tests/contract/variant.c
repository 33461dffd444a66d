/* SPDX-License-Identifier: BSD-3-Clause */
/* The ways to run the suite; see variant.h. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "variant.h"

#define MEM                            \
	{                              \
		"mem:contract-%", NULL \
	}
#define SHM                            \
	{                              \
		"shm:contract-%", NULL \
	}
#define RING                                         \
	{                                            \
		"dpdk:contract-%,dev=net_ring", NULL \
	}

/* Each end has its v0, or t0, in a namespace of its own. */
#define IFACE(device, iface)                                                 \
	{                                                                    \
		"dpdk:10.9.0.1:7400,dev=" device ",dev.iface=" iface         \
		",local=10.9.0.1/24",                                        \
			"dpdk:10.9.0.1:7400,dev=" device ",dev.iface=" iface \
			",local=10.9.0.2/24"                                 \
	}

/* The same in IPv6 and a VLAN, for both keys at once. */
#define VETH6(device)                                                   \
	{                                                               \
		"dpdk:[fd00:9::1]:7400,dev=" device                     \
		",dev.iface=v0,local=fd00:9::1/64,vlan=9,pcp=3",        \
			"dpdk:[fd00:9::1]:7400,dev=" device             \
			",dev.iface=v0,local=fd00:9::2/64,vlan=9,pcp=3" \
	}

/* Two NICs wired together, at the places that tests/nic/run.sh gives them. */
#define NIC(keys)                                             \
	{                                                     \
		"dpdk:10.9.0.1:7400,dev=0000:00:10.0"         \
		",local=10.9.0.1/24" keys,                    \
			"dpdk:10.9.0.1:7400,dev=0000:00:11.0" \
			",local=10.9.0.2/24" keys             \
	}

static const struct variant variants[] = {
	{ "mem", VARIANT_ADDRESS, 1, 1, { MEM } },
	{ "mem-connect", VARIANT_ADDRESS | VARIANT_CONNECTS, 1, 1, { MEM } },
	{ "shm", VARIANT_MEMFD, 1, 1, { SHM } },
	{ "shm-connect", VARIANT_MEMFD | VARIANT_CONNECTS, 1, 1, { SHM } },
	{ "shm-process", VARIANT_CHILD | VARIANT_MEMFD, 1, 1, { SHM } },
	{ "shm-process-connect",
	  VARIANT_CHILD | VARIANT_MEMFD | VARIANT_CONNECTS,
	  1,
	  1,
	  { SHM } },
	{ "mem-multi", VARIANT_ADDRESS | VARIANT_MULTI, 1, 1, { MEM } },
	{ "shm-multi", VARIANT_MEMFD | VARIANT_MULTI, 1, 1, { SHM } },
	{ "shm-multi-process",
	  VARIANT_CHILD | VARIANT_MEMFD | VARIANT_MULTI | VARIANT_CONNECTS,
	  1,
	  1,
	  { SHM } },
	{ "shm-trust-none",
	  VARIANT_CHILD | VARIANT_COPIES,
	  1,
	  1,
	  { { "shm:contract-%,trust=none", NULL } } },
	{ "mem+shm", 0, 1, 2, { MEM, SHM } },
#ifdef CONTRACT_DPDK
	{ "dpdk-ring", VARIANT_POLLED | VARIANT_ADDRESS, 4, 1, { RING } },
	{ "dpdk-ring-multi",
	  VARIANT_POLLED | VARIANT_ADDRESS | VARIANT_MULTI,
	  4,
	  1,
	  { RING } },
	{ "dpdk-memif",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_TRUSTED,
	  4,
	  1,
	  { { "dpdk:contract-%", NULL } } },
	{ "dpdk-memif-connect",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_TRUSTED | VARIANT_CONNECTS,
	  4,
	  1,
	  { { "dpdk:contract-%,dev.zero-copy=yes", NULL } } },
	{ "dpdk-af_packet",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH,
	  20,
	  1,
	  { IFACE("net_af_packet0", "v0") } },
	{ "dpdk-af_xdp",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH | VARIANT_ROOT |
		  VARIANT_CONNECTS,
	  20,
	  1,
	  { IFACE("net_af_xdp0", "v0") } },
	{ "dpdk-af_packet-ip6-vlan",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH | VARIANT_CONNECTS,
	  40,
	  1,
	  { VETH6("net_af_packet0,queues=2,queue=1") } },
	{ "dpdk-tap",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH | VARIANT_TAP |
		  VARIANT_DEVICE,
	  40,
	  1,
	  { IFACE("net_tap0", "t0") } },
	{ "dpdk-tap-mq",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH | VARIANT_TAP |
		  VARIANT_DEVICE | VARIANT_CONNECTS,
	  40,
	  1,
	  { IFACE("net_tap0,queues=2,queue=1", "t0") } },
	{ "dpdk-vhost",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_DEVICE,
	  4,
	  1,
	  { { "dpdk:contract-%,dev=net_vhost", NULL } } },
	{ "dpdk-vhost-connect",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_DEVICE | VARIANT_CONNECTS,
	  4,
	  1,
	  { { "dpdk:contract-%,dev=net_vhost", NULL } } },
	{ "dpdk-memif-mq",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_TRUSTED | VARIANT_DEVICE,
	  4,
	  1,
	  { { "dpdk:contract-%,queues=2,queue=1", NULL } } },
	{ "dpdk-vhost-mq",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_DEVICE,
	  4,
	  1,
	  { { "dpdk:contract-%,dev=net_vhost,queues=2,queue=1", NULL } } },
	{ "dpdk-tap-intr",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_VETH | VARIANT_TAP |
		  VARIANT_DEVICE | VARIANT_CONNECTS,
	  40,
	  1,
	  { IFACE("net_tap0,wait=intr", "t0") } },
	{ "dpdk-nic",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_NIC,
	  40,
	  1,
	  { NIC(",offload=on") } },
	{ "dpdk-nic-plain",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_NIC | VARIANT_CONNECTS,
	  40,
	  1,
	  { NIC(",offload=off") } },
	{ "dpdk-nic-mq",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_NIC,
	  40,
	  1,
	  { NIC(",offload=on,queues=2,queue=1") } },
	{ "dpdk-nic-mq-plain",
	  VARIANT_POLLED | VARIANT_CHILD | VARIANT_NIC | VARIANT_CONNECTS,
	  40,
	  1,
	  { NIC(",offload=off,queues=2,queue=1") } },
	{ "shm+dpdk-ring", VARIANT_POLLED, 4, 2, { SHM, RING } },
#endif
};

const struct variant *
variant_find(const char *name)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		if (strcmp(variants[i].name, name) == 0)
			return &variants[i];
	return NULL;
}

void
variant_list(void)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		printf("%s\n", variants[i].name);
}

void
variant_endpoint(const struct variant *v, unsigned int k, bool listener,
		 char *text, size_t size)
{
	const struct carrier *c = &v->carrier[k];
	const char *from = listener || c->connector == NULL ? c->listener
							    : c->connector;
	const char *tag = strchr(from, '%');

	if (tag == NULL)
		snprintf(text, size, "%s", from);
	else
		snprintf(text, size, "%.*s%d%s", (int)(tag - from), from,
			 (int)getpid(), tag + 1);
}
