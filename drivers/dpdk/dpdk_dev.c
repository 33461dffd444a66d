/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_dev: the life of a device: open, start, close, and what links may ask
 * of it meanwhile. See dpdk_dev.h, and dpdk_dev_private.h for the stages.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_memory.h>

#include "clock.h"
#include "dpdk_dev_private.h"
#include "dpdk_memfd.h"
#include "dpdk_share.h"
#include "dpdk_steer.h"
#include "dpdk_tap.h"
#include "env_dpdk.h"
#include "weir_driver.h"

/* A memif listener that lives answers long before. */
#define MEMIF_CONNECT_NS UINT64_C(250000000)

/*
 * memif's zero-copy transmit looks at the room in its ring once per four
 * frames, of one slot each: four chained ones can run past the end. Bursts of
 * up to four take its other, careful path.
 */
#define MEMIF_CHAINS_MAX 4

/* ---- memif's zero copy --------------------------------------------------------- */

/* The first memory list, as memif counts it: from its base, sizes added up. */
struct shown_memory {
	uintptr_t begin;
	uintptr_t end;
};

static int
add_segment(const struct rte_memseg_list *list, const struct rte_memseg *seg,
	    void *arg)
{
	struct shown_memory *shown = arg;

	if (shown->begin == 0) {
		shown->begin = (uintptr_t)list->base_va;
		shown->end = shown->begin;
	}
	if ((uintptr_t)list->base_va == shown->begin)
		shown->end += seg->len;
	return 0;
}

static bool
lies_within(const struct dpdk_pool *pool, const struct shown_memory *shown)
{
	struct rte_mempool_memhdr *chunk;

	STAILQ_FOREACH(chunk, &pool->mp->mem_list, next)
	{
		uintptr_t begin = (uintptr_t)chunk->addr;

		if (begin < shown->begin || begin + chunk->len > shown->end)
			return false;
	}
	return true;
}

/*
 * memif shows its peer one region, computed from the sum of all segments: a
 * pool in another list, or behind a hole, would be read outside the peer's
 * mapping. Where it is not certain, weir lets memif copy.
 */
static int
settle_zero_copy(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct shown_memory shown = { 0 };
	int rc;

	if (!dev->priv->memif_zero_copy)
		return 0;
	rte_memseg_walk(add_segment, &shown);
	if (lies_within(dev->tx_pool, &shown) &&
	    lies_within(dev->rx_pool, &shown)) {
		dev->refer_begin = shown.begin;
		dev->refer_end = shown.end;
		dev->tx_chains_max = MEMIF_CHAINS_MAX;
		return 0;
	}
	weir_log(WEIR_LOG_NOTICE,
		 "dpdk %s: memory is in several pieces, memif copies",
		 spec->name);
	weir_dpdk_unmake(dev);
	dev->priv->memif_zero_copy = false;
	rc = weir_dpdk_make(dev, spec);
	return rc == 0 ? weir_dpdk_learn(dev, spec) : rc;
}

/* ---- open, start, close --------------------------------------------------------- */

static int
set_up_queue(struct dpdk_dev *dev, uint16_t queue)
{
	int rc = rte_eth_rx_queue_setup(dev->port_id, queue, dev->rx_ring_slots,
					(unsigned int)dev->numa_node, NULL,
					dev->rx_pool->mp);

	if (rc != 0)
		return rc;
	return rte_eth_tx_queue_setup(dev->port_id, queue, dev->tx_ring_slots,
				      (unsigned int)dev->numa_node, NULL);
}

static int
set_up_queues(struct dpdk_dev *dev, uint16_t count)
{
	int rc = 0;

	for (uint16_t i = 0; i < count && rc == 0; i++)
		rc = set_up_queue(dev, i);
	return rc;
}

/* Spread what comes in over the queues, if the device can. */
static int
configure_queues(struct dpdk_dev *dev, struct rte_eth_conf *conf,
		 uint16_t queues)
{
	/* Rules would go before it; whether there are any is seen later. */
	const struct dpdk_steer_tried tried = { .rule = -ENOTSUP };
	struct dpdk_steer_plan plan;
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(dev->port_id, &info);

	if (rc == 0 && weir_dpdk_steer(&info, &tried, queues, &plan) != 0)
		return weir_fail(-EINVAL, "dpdk %s: %s; ask for less (queues=)",
				 dev->dev_name, plan.why);
	if (rc == 0 && plan.rss_types != 0) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = plan.rss_types;
	}
	return rc == 0 ? rte_eth_dev_configure(dev->port_id, queues, queues,
					       conf)
		       : rc;
}

static int
configure(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_eth_conf conf = { 0 };
	uint16_t queues = dpdk_dev_queues(spec);
	struct dpdk_xdp_list sockets;
	uint64_t tx = 0;
	int rc;

	if (!dev->priv->is_ours)
		return 0;
	if (dev->tx_segs_max > 1)
		tx |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((dev->tx_cksum_flags & RTE_MBUF_F_TX_UDP_CKSUM) != 0)
		tx |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	if ((dev->tx_cksum_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0)
		tx |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	conf.intr_conf.rxq = spec->rx_intr;
	conf.txmode.offloads = tx;
	conf.rxmode.offloads = dev->rx_cksum_offloads;
	/* Most virtual devices report limits that are not theirs: leave it. */
	conf.rxmode.mtu = dev->priv->conf_mtu;

	rc = configure_queues(dev, &conf, queues);
	if (rc == 0 && weir_dpdk_driver_is(dev, "net_af_xdp")) {
		weir_dpdk_xdp_list(&sockets);
		rc = set_up_queues(dev, queues);
		weir_dpdk_xdp_find_new(&sockets, &dev->priv->xdp);
	} else if (rc == 0) {
		rc = set_up_queues(dev, queues);
	}
	if (rc != 0)
		return weir_dpdk_fail_with_log(rc, dev->dev_name,
					       "cannot set up its queues");
	return 0;
}

static int
open_stages(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	int rc;

	dev->priv->memif_zero_copy =
		spec->zero_copy && spec->kind == DPDK_DEV_MEMIF &&
		spec->role == DPDK_ROLE_CONNECTOR && weir_env_dpdk_is_ours() &&
		weir_dpdk_memfd_keep();
	rc = weir_dpdk_make(dev, spec);
	if (rc == 0)
		rc = weir_dpdk_learn(dev, spec);
	if (rc == 0)
		rc = weir_dpdk_make_pools(dev, spec);
	if (rc == 0)
		rc = settle_zero_copy(dev, spec);
	if (rc == 0)
		rc = configure(dev, spec);
	return rc;
}

/* Threads that a driver starts meanwhile take none of the program's signals. */
static int
open_deaf(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = open_stages(dev, spec);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* net_tap may take no signal of the process, net_vhost starts a thread. */
static int
open_quietly(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_tap_signals signals;
	int rc;

	if (strncmp(spec->name, "net_vhost", strlen("net_vhost")) == 0 ||
	    spec->kind == DPDK_DEV_VHOST)
		return open_deaf(dev, spec);
	if (spec->kind != DPDK_DEV_VDEV ||
	    strncmp(spec->name, "net_tap", strlen("net_tap")) != 0)
		return open_stages(dev, spec);
	weir_dpdk_tap_hide_signals(&signals);
	rc = open_stages(dev, spec);
	weir_dpdk_tap_show_signals(&signals);
	return rc;
}

static void
release_all(struct dpdk_dev *dev)
{
	struct dpdk_env_guard guard;

	weir_env_dpdk_guard_begin(&guard);
	weir_dpdk_unmake(dev);
	weir_env_dpdk_guard_end(&guard);
	if (dev->priv->memif != NULL)
		weir_dpdk_memif_release(dev->priv->memif);
	weir_dpdk_drop_pools(dev);
	free(dev->priv);
	free(dev);
}

int
weir_dpdk_dev_open_alone(const struct dpdk_dev_spec *spec,
			 struct dpdk_dev **out)
{
	const struct dpdk_env_config env = {
		.hugepages = spec->hugepages,
		.telemetry = spec->telemetry,
		.pci = spec->is_pci ? spec->name : NULL,
	};
	struct dpdk_env_guard guard;
	struct dpdk_dev *dev;
	int rc = weir_env_dpdk_start(&env);

	if (rc != 0)
		return rc;
	dev = calloc(1, sizeof(*dev));
	if (dev != NULL)
		dev->priv = calloc(1, sizeof(*dev->priv));
	if (dev == NULL || dev->priv == NULL) {
		free(dev);
		return weir_fail(-ENOMEM, "dpdk: out of memory");
	}
	dev->kind = spec->kind;
	dev->priv->xdp.fd = -1;
	dev->priv->group_fd = -1;
	weir_env_dpdk_guard_begin(&guard);
	rc = open_quietly(dev, spec);
	weir_env_dpdk_guard_end(&guard);
	if (rc != 0) {
		release_all(dev);
		return rc;
	}
	weir_log(WEIR_LOG_INFO,
		 "dpdk %s: driver %s, mtu %u, %u segments, NUMA node %d%s",
		 dev->dev_name, dev->driver_name, dev->mtu, dev->tx_segs_max,
		 dev->numa_node,
		 dev->priv->memif_zero_copy ? ", zero copy" : "");
	*out = dev;
	return 0;
}

/* memif connects in EAL's interrupt thread: some round trips, 1 ms. */
static int
wait_for_listener(struct dpdk_dev *dev)
{
	uint64_t deadline_ns = weir_clock_ns() + MEMIF_CONNECT_NS;

	while (!weir_dpdk_dev_link_up(dev)) {
		if (weir_clock_ns() >= deadline_ns)
			return -EAGAIN;
		sched_yield();
	}
	return 0;
}

static void
stop_device(void *arg)
{
	struct dpdk_dev *dev = arg;

	rte_eth_dev_stop(dev->port_id);
}

/* One at a time: each makes EAL's memory files disappear for a moment. */
static int
start_connector(struct dpdk_dev *dev)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	int rc;

	pthread_mutex_lock(&one);
	if (dev->priv->memif_zero_copy && !weir_dpdk_memfd_keep())
		rc = -EAGAIN; /* the next open will let memif copy */
	else
		rc = rte_eth_dev_start(dev->port_id);
	if (rc == 0) {
		rc = wait_for_listener(dev);
		if (rc != 0)
			weir_dpdk_memif_serialise(stop_device, dev);
	}
	weir_dpdk_memfd_restore();
	pthread_mutex_unlock(&one);
	return rc;
}

int
weir_dpdk_dev_start_alone(struct dpdk_dev *dev)
{
	bool connects = dev->kind == DPDK_DEV_MEMIF &&
			dev->priv->memif->role == DPDK_ROLE_CONNECTOR;
	struct dpdk_env_guard guard;
	int rc = 0;

	if (dev->priv->is_ours) {
		weir_env_dpdk_guard_begin(&guard);
		rc = connects ? start_connector(dev)
			      : rte_eth_dev_start(dev->port_id);
		weir_env_dpdk_guard_end(&guard);
	}
	/* The listener went between our look at its lock and now. */
	if (rc != 0 && connects)
		return weir_fail(-EAGAIN,
				 "dpdk %s: the listener did not take the "
				 "connection; start it first",
				 dev->dev_name);
	if (rc != 0)
		return weir_dpdk_fail_with_log(rc, dev->dev_name,
					       "cannot start");
	dev->started = true;
	return 0;
}

/* Stop and close the device; the rest of dev stays. */
static void
take_down(void *arg)
{
	struct dpdk_dev *dev = arg;

	weir_dpdk_dev_leave(dev);
	if (dev->started && dev->priv->is_ours)
		rte_eth_dev_stop(dev->port_id);
	weir_dpdk_unmake(dev);
}

void
weir_dpdk_dev_close_alone(struct dpdk_dev *dev)
{
	struct dpdk_env_guard guard;

	weir_env_dpdk_guard_begin(&guard);
	if (dev->kind == DPDK_DEV_MEMIF) {
		weir_dpdk_memif_hide(dev->priv->memif);
		weir_dpdk_memif_serialise(take_down, dev);
	} else {
		take_down(dev);
	}
	weir_env_dpdk_guard_end(&guard);
	release_all(dev);
	weir_dpdk_memfd_restore();
}

int
weir_dpdk_dev_open(const struct dpdk_dev_spec *spec, struct dpdk_dev **dev)
{
	return spec->queues > 1 ? weir_dpdk_share_open(spec, dev)
				: weir_dpdk_dev_open_alone(spec, dev);
}

int
weir_dpdk_dev_start(struct dpdk_dev *dev)
{
	return dev->share != NULL ? weir_dpdk_share_start(dev)
				  : weir_dpdk_dev_start_alone(dev);
}

void
weir_dpdk_dev_close(struct dpdk_dev *dev)
{
	if (dev->share != NULL)
		weir_dpdk_share_close(dev);
	else
		weir_dpdk_dev_close_alone(dev);
}

bool
weir_dpdk_dev_link_up(const struct dpdk_dev *dev)
{
	struct rte_eth_link link;

	if (dev->priv->pair != NULL)
		return weir_dpdk_ring_has_peer(dev->priv->pair,
					       dev->priv->side);
	if (rte_eth_link_get_nowait(dev->port_id, &link) != 0)
		return false;
	return link.link_status == RTE_ETH_LINK_UP;
}

/*
 * Drivers do not promise that two threads may ask at once: some count in
 * buffers of their own while they answer. So one port at a time asks, of those
 * that share a device, weir's or the application's; whoever comes meanwhile
 * does not wait, but asks again at its next look. The fast path never asks.
 */
int
weir_dpdk_dev_stats(const struct dpdk_dev *dev, struct rte_eth_stats *out)
{
	static atomic_flag busy[RTE_MAX_ETHPORTS];
	int rc;

	memset(out, 0, sizeof(*out));
	/* Acquire and release: what the driver keeps goes from one to next. */
	if (atomic_flag_test_and_set_explicit(&busy[dev->port_id],
					      memory_order_acquire))
		return -EBUSY;
	rc = rte_eth_stats_get(dev->port_id, out);
	atomic_flag_clear_explicit(&busy[dev->port_id], memory_order_release);
	return rc;
}

/* ---- sending ---------------------------------------------------------------------- */

/* @return how many of the first have one segment, or have more. */
static uint16_t
run_of(struct rte_mbuf *const *mbufs, uint16_t count, bool chained)
{
	uint16_t run = 0;

	while (run < count && (mbufs[run]->nb_segs > 1) == chained)
		run++;
	return run;
}

uint16_t
weir_dpdk_dev_tx_runs(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
		      uint16_t count)
{
	uint16_t done = 0;

	if (dev->share != NULL && !weir_dpdk_share_enter(dev))
		return 0;
	while (done < count) {
		bool chained = mbufs[done]->nb_segs > 1;
		uint16_t run = run_of(mbufs + done, count - done, chained);
		uint16_t sent;

		if (chained)
			run = RTE_MIN(run, dev->tx_chains_max);
		sent = rte_eth_tx_burst(dev->port_id, dev->queue_id,
					mbufs + done, run);
		done += sent;
		if (sent < run)
			break;
	}
	if (dev->share != NULL)
		weir_dpdk_share_leave(dev);
	return done;
}

/* ---- admission ------------------------------------------------------------------- */

static int
fail_admission(const struct dpdk_dev *dev, const char *way, uint32_t asked,
	       uint32_t left)
{
	return weir_fail(-ENOBUFS,
			 "dpdk %s: a link needs %u packet buffers to %s, %u "
			 "are left: open the port with more (mbufs=), or the "
			 "link with fewer credits or smaller messages",
			 dev->dev_name, asked, way, left);
}

/* Ports that share a device share its pools. @return false, and what is left. */
static bool
promise(struct dpdk_pool *pool, uint32_t mbufs, uint32_t *left)
{
	*left = atomic_load_explicit(&pool->budget, memory_order_relaxed);
	do {
		if (*left < mbufs)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&pool->budget, left, *left - mbufs, memory_order_relaxed,
		memory_order_relaxed));
	return true;
}

static void
take_back(struct dpdk_pool *pool, uint32_t mbufs)
{
	atomic_fetch_add_explicit(&pool->budget, mbufs, memory_order_relaxed);
}

int
weir_dpdk_dev_admit(struct dpdk_dev *dev, uint32_t tx_mbufs, uint32_t rx_mbufs)
{
	uint32_t left;

	if (!promise(dev->tx_pool, tx_mbufs, &left))
		return fail_admission(dev, "send", tx_mbufs, left);
	if (promise(dev->rx_pool, rx_mbufs, &left))
		return 0;
	take_back(dev->tx_pool, tx_mbufs);
	return fail_admission(dev, "receive", rx_mbufs, left);
}

void
weir_dpdk_dev_dismiss(struct dpdk_dev *dev, uint32_t tx_mbufs,
		      uint32_t rx_mbufs)
{
	take_back(dev->tx_pool, tx_mbufs);
	take_back(dev->rx_pool, rx_mbufs);
}
