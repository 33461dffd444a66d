/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_ring: two ring ethdevs back to back. See dpdk_ring.h.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dpdk_dev.h"
#include "dpdk_ring.h"
#include "weir_driver.h"

struct dpdk_ring_pair {
	char name[64];
	struct rte_ring *rings[2]; /* [i]: what side i sends */
	char devices[2][32];       /* "" when the side is free */
	struct dpdk_ring_pair *next;
};

static struct {
	pthread_mutex_t lock;
	struct dpdk_ring_pair *pairs;
	unsigned int serial;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
drain(struct rte_ring *ring)
{
	void *mbuf;

	while (rte_ring_dequeue(ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
}

static void
pair_free(struct dpdk_ring_pair *pair)
{
	for (int i = 0; i < 2; i++) {
		if (pair->rings[i] == NULL)
			continue;
		drain(pair->rings[i]);
		rte_ring_free(pair->rings[i]);
	}
	free(pair);
}

static struct dpdk_ring_pair *
pair_new(const char *name)
{
	struct dpdk_ring_pair *pair = calloc(1, sizeof(*pair));

	if (pair == NULL)
		return NULL;
	snprintf(pair->name, sizeof(pair->name), "%s", name);
	for (int i = 0; i < 2; i++) {
		char ring_name[25];

		snprintf(ring_name, sizeof(ring_name), "weir_r%u",
			 registry.serial++);
		pair->rings[i] = rte_ring_create(
			ring_name, DPDK_DEV_RING_SLOTS, SOCKET_ID_ANY,
			RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
		if (pair->rings[i] == NULL) {
			pair_free(pair);
			return NULL;
		}
	}
	return pair;
}

static struct dpdk_ring_pair *
find(const char *name)
{
	struct dpdk_ring_pair *pair;

	for (pair = registry.pairs; pair != NULL; pair = pair->next)
		if (strcmp(pair->name, name) == 0)
			return pair;
	return NULL;
}

static void
unlink_if_unused(struct dpdk_ring_pair *pair)
{
	struct dpdk_ring_pair **link = &registry.pairs;

	if (pair->devices[0][0] != '\0' || pair->devices[1][0] != '\0')
		return;
	while (*link != pair)
		link = &(*link)->next;
	*link = pair->next;
	pair_free(pair);
}

/* The PMD prefixes the name that it is given. */
#define RING_DEVICE_PREFIX "net_ring_"

static int
device_new(struct dpdk_ring_pair *pair, int side, uint16_t *port_id)
{
	char name[16];
	int port;

	snprintf(name, sizeof(name), "weir%u", registry.serial++);
	port = rte_eth_from_rings(name, &pair->rings[1 - side], 1,
				  &pair->rings[side], 1, 0);
	if (port < 0)
		return weir_fail(-ENOMEM, "net_ring: cannot make a device: %s",
				 rte_strerror(rte_errno));
	snprintf(pair->devices[side], sizeof(pair->devices[side]),
		 RING_DEVICE_PREFIX "%s", name);
	*port_id = (uint16_t)port;
	return 0;
}

static int
take_side(const char *name, struct dpdk_ring_pair **out, int *out_side,
	  uint16_t *port_id)
{
	struct dpdk_ring_pair *pair = find(name);
	int side, rc;

	if (pair == NULL) {
		pair = pair_new(name);
		if (pair == NULL)
			return weir_fail(-ENOMEM, "net_ring: no memory");
		pair->next = registry.pairs;
		registry.pairs = pair;
	}
	side = pair->devices[0][0] == '\0' ? 0 : 1;
	if (pair->devices[side][0] != '\0')
		return weir_fail(-EADDRINUSE,
				 "net_ring: both ends of '%s' are open; close "
				 "one or use another name",
				 name);
	/* What an earlier user of this side did not fetch is not for us. */
	drain(pair->rings[1 - side]);
	rc = device_new(pair, side, port_id);
	if (rc != 0) {
		unlink_if_unused(pair);
		return rc;
	}
	*out = pair;
	*out_side = side;
	return 0;
}

int
weir_dpdk_ring_open(const char *name, struct dpdk_ring_pair **pair, int *side,
		    uint16_t *port_id)
{
	int rc;

	pthread_mutex_lock(&registry.lock);
	rc = take_side(name, pair, side, port_id);
	pthread_mutex_unlock(&registry.lock);
	return rc;
}

void
weir_dpdk_ring_close(struct dpdk_ring_pair *pair, int side)
{
	pthread_mutex_lock(&registry.lock);
	rte_vdev_uninit(pair->devices[side]);
	pair->devices[side][0] = '\0';
	drain(pair->rings[1 - side]);
	unlink_if_unused(pair);
	pthread_mutex_unlock(&registry.lock);
}

bool
weir_dpdk_ring_has_peer(struct dpdk_ring_pair *pair, int side)
{
	bool has;

	pthread_mutex_lock(&registry.lock);
	has = pair->devices[1 - side][0] != '\0';
	pthread_mutex_unlock(&registry.lock);
	return has;
}
