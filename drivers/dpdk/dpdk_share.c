/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_share: several ports on one device. See dpdk_share.h.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <rte_ring.h>

#include "clock.h"
#include "dpdk_dev_private.h"
#include "dpdk_rules.h"
#include "dpdk_share.h"
#include "env_dpdk.h"
#include "weir_driver.h"

/* Who may receive from a queue. */
enum queue_state {
	QUEUE_FREE,
	QUEUE_VISITED, /* for one burst, by another queue's port */
	QUEUE_OWNED,
};

/* A rule of the device, and whose it is. */
struct rule {
	struct rule *next;
	struct rte_flow *flow;
	uint16_t queue;
};

struct queue {
	_Alignas(64) atomic_uint state;
	atomic_bool inside; /* of a pair: its port is in the rings */
	struct rte_ring *inbox;
};

struct dpdk_share {
	struct dpdk_share *next;
	struct dpdk_dev_spec spec; /* the first port's */
	struct dpdk_dev *device; /* the real one; the ports' are views of it */
	uint32_t ports;
	uint32_t leaving; /* of them, those about to close */
	bool has_roles;   /* a pair of two processes */
	bool retired;     /* no port comes any more */
	atomic_uint parted;
	bool started;
	bool joined;
	struct dpdk_steer_plan plan;
	struct dpdk_steer_rss rss; /* where the plan is to compute */
	struct rule *rules;
	_Atomic uint64_t unowned; /* bit per queue: somebody should visit it */
	/* By UDP port: whose frames, as queue + 1; 0: nobody's. */
	_Atomic uint8_t owner[UINT16_MAX + 1];
	struct queue queues[DPDK_SHARE_QUEUES_MAX];
};

static struct {
	pthread_mutex_t lock;
	struct dpdk_share *first;
	unsigned int serial;
} shares = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the shared device ------------------------------------------------------ */

static void
inbox_empty(struct rte_ring *inbox)
{
	void *m;

	while (rte_ring_sc_dequeue(inbox, &m) == 0)
		rte_pktmbuf_free(m);
}

static void
share_free(struct dpdk_share *share)
{
	for (uint16_t i = 0; i < share->spec.queues; i++) {
		if (share->queues[i].inbox == NULL)
			continue;
		inbox_empty(share->queues[i].inbox);
		rte_ring_free(share->queues[i].inbox);
	}
	if (share->device != NULL)
		weir_dpdk_dev_close_alone(share->device);
	free(share);
}

static int
make_inboxes(struct dpdk_share *share)
{
	unsigned int serial = shares.serial++;
	char name[RTE_RING_NAMESIZE];

	for (uint16_t i = 0; i < share->spec.queues; i++) {
		snprintf(name, sizeof(name), "weir_in_%u_%u", serial, i);
		share->queues[i].inbox = rte_ring_create(
			name, DPDK_SHARE_INBOX, share->device->numa_node,
			RING_F_SC_DEQ);
		if (share->queues[i].inbox == NULL)
			return weir_fail(-ENOMEM,
					 "dpdk %s: no memory for the rings "
					 "between its ports",
					 share->spec.name);
	}
	return 0;
}

static int
share_new(const struct dpdk_dev_spec *spec, struct dpdk_share **out)
{
	struct dpdk_share *share = aligned_alloc(
		64, RTE_ALIGN_CEIL(sizeof(struct dpdk_share), 64));
	int rc;

	if (share == NULL)
		return weir_fail(-ENOMEM, "dpdk: out of memory");
	memset(share, 0, sizeof(*share));
	share->spec = *spec;
	share->has_roles = dpdk_dev_has_roles(spec);
	rc = weir_dpdk_dev_open_alone(spec, &share->device);
	if (rc == 0)
		rc = make_inboxes(share);
	if (rc != 0) {
		share_free(share);
		return rc;
	}
	/* Sends by weir_dpdk_dev_tx_runs() then, which looks before it does. */
	if (share->device->peer_crash_unsafe &&
	    share->device->tx_chains_max == 0)
		share->device->tx_chains_max = UINT16_MAX;
	share->unowned = UINT64_MAX >> (64 - spec->queues);
	share->next = shares.first;
	shares.first = share;
	*out = share;
	return 0;
}

static struct dpdk_share *
share_find(const struct dpdk_dev_spec *spec)
{
	struct dpdk_share *share = shares.first;

	while (share != NULL && (share->spec.kind != spec->kind ||
				 share->spec.role != spec->role ||
				 strcmp(share->spec.name, spec->name) != 0))
		share = share->next;
	return share;
}

static bool
agrees(const struct dpdk_dev_spec *a, const struct dpdk_dev_spec *b)
{
	return a->queues == b->queues && strcmp(a->args, b->args) == 0 &&
	       a->mtu == b->mtu && a->tx_mbufs == b->tx_mbufs &&
	       a->tag_len == b->tag_len && a->plain == b->plain &&
	       a->priv_size == b->priv_size && a->zero_copy == b->zero_copy &&
	       dpdk_ip_equal(&a->local, &b->local);
}

/* ---- a port's view of it ---------------------------------------------------- */

static int
queue_own(struct dpdk_share *share, uint16_t queue)
{
	unsigned int state = QUEUE_FREE;

	/* Acquire: what a visitor, or the port before us, did there. */
	while (!atomic_compare_exchange_strong_explicit(
		&share->queues[queue].state, &state, QUEUE_OWNED,
		memory_order_acquire, memory_order_relaxed)) {
		if (state == QUEUE_OWNED)
			return weir_fail(-EADDRINUSE,
					 "dpdk %s: queue %u has a port; choose "
					 "another (queue=0 to %u)",
					 share->spec.name, queue,
					 share->spec.queues - 1u);
		state = QUEUE_FREE;
		sched_yield(); /* a visit is one burst */
	}
	atomic_fetch_and_explicit(&share->unowned, ~(UINT64_C(1) << queue),
				  memory_order_relaxed);
	inbox_empty(share->queues[queue].inbox);
	return 0;
}

static void
rules_drop(struct dpdk_share *share, uint16_t queue)
{
	struct rule **at = &share->rules, *rule;

	while ((rule = *at) != NULL) {
		if (rule->queue != queue) {
			at = &rule->next;
			continue;
		}
		*at = rule->next;
		weir_dpdk_rules_remove(share->device, rule->flow);
		free(rule);
	}
}

static void
queue_disown(struct dpdk_share *share, uint16_t queue)
{
	rules_drop(share, queue);
	for (uint32_t i = 0; i <= UINT16_MAX; i++)
		if (atomic_load_explicit(&share->owner[i],
					 memory_order_relaxed) == queue + 1)
			atomic_store_explicit(&share->owner[i], 0,
					      memory_order_relaxed);
	inbox_empty(share->queues[queue].inbox);
	/* Release: our last burst; pairs with the acquire of who is next. */
	atomic_store_explicit(&share->queues[queue].state, QUEUE_FREE,
			      memory_order_release);
	atomic_fetch_or_explicit(&share->unowned, UINT64_C(1) << queue,
				 memory_order_relaxed);
}

static int
view_new(struct dpdk_share *share, uint16_t queue, struct dpdk_dev **out)
{
	struct dpdk_dev *dev = malloc(sizeof(*dev));
	int rc;

	if (dev == NULL)
		return weir_fail(-ENOMEM, "dpdk: out of memory");
	rc = queue_own(share, queue);
	if (rc != 0) {
		free(dev);
		return rc;
	}
	*dev = *share->device;
	dev->share = share;
	dev->queue_id = queue;
	weir_dpdk_share_resume(dev);
	weir_dpdk_pool_get(dev->tx_pool);
	weir_dpdk_pool_get(dev->rx_pool);
	share->ports++;
	*out = dev;
	return 0;
}

/* The last port has gone, or the first one never came. */
static void
share_drop(struct dpdk_share *share)
{
	struct dpdk_share **at = &shares.first;

	while (*at != share)
		at = &(*at)->next;
	*at = share->next;
	share_free(share);
}

static int
open_locked(const struct dpdk_dev_spec *spec, struct dpdk_dev **dev)
{
	struct dpdk_share *share = share_find(spec);
	int rc = 0;

	if (share == NULL)
		rc = share_new(spec, &share);
	else if (share->retired)
		return weir_fail(-EAGAIN,
				 "dpdk %s: other ports still have the device "
				 "of a connection that is gone; poll them",
				 spec->name);
	else if (!agrees(&share->spec, spec))
		return weir_fail(-EINVAL,
				 "dpdk %s: is open with other keys; all its "
				 "ports need the same local=, dev.*=, queues=, "
				 "mtu=, mbufs=, vlan= and offload=",
				 spec->name);
	if (rc != 0)
		return rc;
	rc = view_new(share, spec->queue_id, dev);
	if (rc != 0 && share->ports == 0)
		share_drop(share);
	return rc;
}

int
weir_dpdk_share_open(const struct dpdk_dev_spec *spec, struct dpdk_dev **dev)
{
	int rc;

	pthread_mutex_lock(&shares.lock);
	rc = open_locked(spec, dev);
	pthread_mutex_unlock(&shares.lock);
	return rc;
}

/* How this device steers, now that it runs. */
static void
make_plan(struct dpdk_share *share)
{
	const struct dpdk_dev *device = share->device;
	struct dpdk_steer_tried tried;
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(device->port_id, &info) != 0)
		return;
	weir_dpdk_rules_try(device, &share->spec, &info, &tried, &share->rss);
	weir_dpdk_steer(&info, &tried, share->spec.queues, &share->plan);
	weir_log(WEIR_LOG_INFO, "dpdk %s: %u queues, steering by %s%s%s",
		 device->dev_name, share->spec.queues,
		 weir_dpdk_steer_name(share->plan.how),
		 share->plan.why[0] != '\0' ? ": " : "", share->plan.why);
}

int
weir_dpdk_share_start(struct dpdk_dev *dev)
{
	struct dpdk_share *share = dev->share;
	int rc = 0;

	pthread_mutex_lock(&shares.lock);
	if (!share->started) {
		rc = weir_dpdk_dev_start_alone(share->device);
		if (rc == 0)
			make_plan(share);
	}
	share->started = rc == 0;
	dev->started = share->started;
	pthread_mutex_unlock(&shares.lock);
	return rc;
}

void
weir_dpdk_share_close(struct dpdk_dev *dev)
{
	struct dpdk_share *share = dev->share;

	pthread_mutex_lock(&shares.lock);
	queue_disown(share, dev->queue_id);
	share->leaving -= dev->leaving;
	weir_dpdk_pool_put(dev->tx_pool);
	weir_dpdk_pool_put(dev->rx_pool);
	if (--share->ports == 0)
		share_drop(share);
	pthread_mutex_unlock(&shares.lock);
	free(dev);
}

void
weir_dpdk_share_join(struct dpdk_dev *dev, const struct rte_ether_addr *group)
{
	struct dpdk_share *share = dev->share;

	pthread_mutex_lock(&shares.lock);
	if (!share->joined)
		weir_dpdk_dev_join_alone(share->device, group);
	share->joined = true;
	pthread_mutex_unlock(&shares.lock);
}

int
weir_dpdk_share_claim(struct dpdk_dev *dev, uint16_t udp_port)
{
	uint8_t mine = (uint8_t)(dev->queue_id + 1), none = 0;

	if (atomic_compare_exchange_strong_explicit(
		    &dev->share->owner[udp_port], &none, mine,
		    memory_order_relaxed, memory_order_relaxed) ||
	    none == mine)
		return 0;
	return weir_fail(-EADDRINUSE,
			 "dpdk %s: UDP port %u belongs to the port on queue "
			 "%u; choose another",
			 dev->dev_name, udp_port, none - 1u);
}

void
weir_dpdk_share_steer(struct dpdk_dev *dev, uint16_t udp_port)
{
	struct dpdk_share *share = dev->share;
	struct rule *rule;

	if (share->plan.how != DPDK_STEER_RULE)
		return;
	rule = malloc(sizeof(*rule));
	if (rule == NULL)
		return;
	pthread_mutex_lock(&shares.lock);
	rule->queue = dev->queue_id;
	rule->flow = weir_dpdk_rules_add(share->device, &share->spec, udp_port,
					 dev->queue_id);
	if (rule->flow != NULL) {
		rule->next = share->rules;
		share->rules = rule;
		rule = NULL;
	}
	pthread_mutex_unlock(&shares.lock);
	if (rule != NULL)
		weir_log(WEIR_LOG_NOTICE,
			 "dpdk %s: no flow rule for UDP port %u: its frames "
			 "are handed from queue to queue",
			 dev->dev_name, udp_port);
	free(rule);
}

bool
weir_dpdk_share_choose(const struct dpdk_dev *dev, struct dpdk_addr *from,
		       const struct dpdk_addr *peer, uint32_t count)
{
	const struct dpdk_share *share = dev->share;
	struct dpdk_addr at = *from;

	if (share->plan.how != DPDK_STEER_COMPUTED)
		return false;
	for (uint32_t i = 0; i < count; i++, at.port += share->spec.queues) {
		if (weir_dpdk_steer_queue(&share->rss, peer, &at) !=
		    dev->queue_id)
			continue;
		*from = at;
		return true;
	}
	return false;
}

bool
weir_dpdk_share_probes(const struct dpdk_dev *dev)
{
	return dev->share->plan.how == DPDK_STEER_PROBED;
}

/* ---- the other end goes -------------------------------------------------------- */

/* A port that does not answer for so long stands still, outside. */
#define INSIDE_NS UINT64_C(100000000)

bool
weir_dpdk_share_enter(struct dpdk_dev *dev)
{
	struct dpdk_share *share = dev->share;

	if (__builtin_expect(!share->has_roles, 1))
		return true;
	/* Sequentially consistent, both: either we see that it was parted
	 * from, or who parts sees that we are inside. */
	if (dev->inside++ == 0)
		atomic_store(&share->queues[dev->queue_id].inside, true);
	if (atomic_load(&share->parted) == dev->parted_seen)
		return true;
	weir_dpdk_share_leave(dev);
	return false;
}

void
weir_dpdk_share_leave(struct dpdk_dev *dev)
{
	if (__builtin_expect(!dev->share->has_roles, 1) || --dev->inside != 0)
		return;
	/* Release: what was done in the rings. */
	atomic_store_explicit(&dev->share->queues[dev->queue_id].inside, false,
			      memory_order_release);
}

void
weir_dpdk_share_part(struct dpdk_dev *dev)
{
	struct dpdk_share *share = dev->share;
	uint64_t end_ns = weir_clock_ns() + INSIDE_NS;

	dev->parted_seen = atomic_fetch_add(&share->parted, 1) + 1;
	for (uint16_t i = 0; i < share->spec.queues; i++)
		while (i != dev->queue_id &&
		       atomic_load(&share->queues[i].inside) &&
		       weir_clock_ns() < end_ns)
			sched_yield();
}

void
weir_dpdk_share_resume(struct dpdk_dev *dev)
{
	dev->parted_seen = atomic_load(&dev->share->parted);
	/* What waits there was said by the end that went: its goodbye, too. */
	inbox_empty(dev->share->queues[dev->queue_id].inbox);
}

void
weir_dpdk_share_retire(struct dpdk_dev *dev)
{
	pthread_mutex_lock(&shares.lock);
	if (!dev->share->retired)
		atomic_fetch_add(&dev->share->parted, 1);
	dev->share->retired = true;
	pthread_mutex_unlock(&shares.lock);
}

static bool
is_alone(struct dpdk_share *share)
{
	bool alone;

	pthread_mutex_lock(&shares.lock);
	alone = share->ports == 1;
	pthread_mutex_unlock(&shares.lock);
	return alone;
}

bool
weir_dpdk_share_is_last(struct dpdk_dev *dev, uint64_t end_ns)
{
	struct dpdk_share *share = dev->share;
	bool last;

	pthread_mutex_lock(&shares.lock);
	share->leaving += !dev->leaving;
	dev->leaving = true;
	last = share->leaving == share->ports;
	pthread_mutex_unlock(&shares.lock);
	while (last && !is_alone(share) && weir_clock_ns() < end_ns)
		sched_yield();
	return last;
}

/* ---- frames ----------------------------------------------------------------- */

/* Whose a frame is that no queue in particular has. */
#define ANYBODY  0u
#define EVERYONE UINT32_MAX

/* Offsets in IPv4, IPv6 and UDP headers. */
#define NEXT_AT4   9
#define NEXT_AT6   6
#define UDP_DST_AT 2

static uint32_t
be16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* @return queue + 1, ANYBODY or EVERYONE. Looks only as far as it must: who
 * gets the frame looks at all of it. */
static uint32_t
whose_frame(const struct dpdk_share *share, const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *end = frame + m->data_len;
	const uint8_t *ip = frame + DPDK_ETHER_LEN, *udp;
	uint8_t next;

	if (m->data_len < DPDK_HDR_LEN)
		return ANYBODY;
	if (be16(ip - 2) == RTE_ETHER_TYPE_VLAN)
		ip += DPDK_HDR_TAG_LEN;
	switch (be16(ip - 2)) {
	case RTE_ETHER_TYPE_ARP:
		return EVERYONE;
	case RTE_ETHER_TYPE_IPV4:
		next = ip[NEXT_AT4];
		udp = ip + 4 * (ip[0] & 0xf);
		break;
	case RTE_ETHER_TYPE_IPV6:
		next = ip[NEXT_AT6];
		udp = ip + sizeof(struct rte_ipv6_hdr);
		break;
	default:
		return ANYBODY;
	}
	if (next == IPPROTO_ICMPV6)
		return EVERYONE;
	if (next != IPPROTO_UDP || udp + UDP_DST_AT + 2 > end)
		return ANYBODY;
	return atomic_load_explicit(&share->owner[be16(udp + UDP_DST_AT)],
				    memory_order_relaxed);
}

/* A reference to the mbuf goes with it. */
static void
hand_to(struct dpdk_share *share, uint32_t queue, struct rte_mbuf *m,
	struct dpdk_share_counts *counts)
{
	if (rte_ring_mp_enqueue(share->queues[queue].inbox, m) == 0) {
		counts->handed++;
		return;
	}
	counts->lost++;
	rte_pktmbuf_free(m);
}

static void
hand_to_all(struct dpdk_dev *dev, struct rte_mbuf *m,
	    struct dpdk_share_counts *counts)
{
	struct dpdk_share *share = dev->share;
	uint64_t unowned =
		atomic_load_explicit(&share->unowned, memory_order_relaxed);

	for (uint16_t i = 0; i < share->spec.queues; i++) {
		if (i == dev->queue_id || (unowned >> i & 1) != 0)
			continue;
		rte_mbuf_refcnt_update(m, 1);
		hand_to(share, i, m, counts);
	}
}

uint16_t
weir_dpdk_share_sort(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
		     uint16_t count, struct dpdk_share_counts *counts)
{
	uint32_t mine = dev->queue_id + 1u;
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		uint32_t whose = whose_frame(dev->share, mbufs[i]);

		if (__builtin_expect(whose == EVERYONE, 0)) {
			hand_to_all(dev, mbufs[i], counts);
			whose = mine;
		}
		if (whose == mine || whose == ANYBODY)
			mbufs[kept++] = mbufs[i];
		else
			hand_to(dev->share, whose - 1, mbufs[i], counts);
	}
	return kept;
}

uint16_t
weir_dpdk_share_take(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
		     uint16_t count)
{
	return (uint16_t)rte_ring_sc_dequeue_burst(
		dev->share->queues[dev->queue_id].inbox, (void **)mbufs, count,
		NULL);
}

uint16_t
weir_dpdk_share_visit(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
		      uint16_t count)
{
	struct dpdk_share *share = dev->share;
	uint64_t unowned =
		atomic_load_explicit(&share->unowned, memory_order_relaxed);
	unsigned int state = QUEUE_FREE;
	uint16_t queue, found;

	if (__builtin_expect(unowned == 0, 1))
		return 0;
	/* Another one each time: the lowest after the one before. */
	unowned = unowned >> dev->visit_next != 0
			  ? unowned & UINT64_MAX << dev->visit_next
			  : unowned;
	queue = (uint16_t)__builtin_ctzll(unowned);
	dev->visit_next = (uint16_t)((queue + 1) % DPDK_SHARE_QUEUES_MAX);
	/* Acquire and release: bursts of one queue follow each other. */
	if (!atomic_compare_exchange_strong_explicit(
		    &share->queues[queue].state, &state, QUEUE_VISITED,
		    memory_order_acquire, memory_order_relaxed))
		return 0;
	found = rte_eth_rx_burst(dev->port_id, queue, mbufs, count);
	atomic_store_explicit(&share->queues[queue].state, QUEUE_FREE,
			      memory_order_release);
	return found;
}
