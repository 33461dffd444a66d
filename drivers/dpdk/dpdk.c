/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk: reliable links through one queue pair of any ethdev. Read in this
 * order: dpdk_flow.h (what a link is made of), dpdk_half.c (the application's
 * side), dpdk_datapath.c (the port's side), dpdk_receive.c and dpdk_transmit.c
 * (its frames), dpdk_setup.c (how links begin), dpdk_flow.c (what memory they
 * take), dpdk_dev.h (the device below).
 *
 * This file: the table of the driver; ports open and close.
 */

#include "dpdk_counters.h"
#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "clock.h"
#include "doorbell.h"
#include "env_dpdk.h"
#include "weir_dpdk.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#define CLOSE_WAIT_NS UINT64_C(1000000000)

/* Copies of the device's counters for weir stat and telemetry are this old. */
#define DEVICE_LOOK_NS UINT64_C(1000000000)

#define IP6_MTU_MIN 1280u

/* One in a pool, at most: a small page, and what mempools and rings add. */
#define MBUF_BYTES 4352u

/* What weir_dpdk_port_open() hands to port_open() on this thread. */
static _Thread_local const struct weir_dpdk_queue *given;

/* Ports of this process; closing one polls the others of the same thread. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dpdk_port *open_ports;

/* ---- threads ------------------------------------------------------------------ */

static pthread_key_t leave_key;

static void
thread_leave(void *unused)
{
	(void)unused;
	weir_env_dpdk_unregister_thread();
}

static void
leave_key_make(void)
{
	pthread_key_create(&leave_key, thread_leave);
}

bool
weir_dpdk_thread_join(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, leave_key_make);
	if (!weir_env_dpdk_is_ours() || !weir_env_dpdk_register_thread())
		return false;
	/* Any value but NULL: the destructor runs when the thread ends. */
	pthread_setspecific(leave_key, &leave_key);
	return true;
}

/* ---- the device ----------------------------------------------------------------- */

static void
policy_init(struct dpdk_port *port)
{
	const struct dpdk_dev *dev = port->dev;

	/* Any UDP port: who connects where nobody listens is told so, and an
	 * accepted link outlives its listener. */
	port->policy = (struct dpdk_hdr_policy){
		.mac = dev->mac,
		.any_mac = dev->paired,
		.any_ip = dev->paired,
		.ip = dev->paired ? dpdk_ip4(dev->pair_ip) : port->local_ip,
		.vlan = port->wire.vlan,
		.ttl_min = port->ttl_min,
		.ether_type = dev->paired || dpdk_ip_is_ip4(&port->local_ip)
				      ? RTE_ETHER_TYPE_IPV4
				      : RTE_ETHER_TYPE_IPV6,
		.port_first = 1,
		.port_last = UINT16_MAX,
		.ip_check = dev->no_wire ? DPDK_HDR_CHECK_SKIP : DPDK_HDR_CHECK,
		.udp_check = dev->no_wire ? DPDK_HDR_CHECK_SKIP
					  : DPDK_HDR_CHECK,
		.udp_zero_ok = dev->no_wire,
	};
}

/* IP and UDP headers. */
static uint32_t
ip_overhead(const struct dpdk_port *port)
{
	return port->policy.ether_type == RTE_ETHER_TYPE_IPV4 ? 20 + 8 : 40 + 8;
}

/* What one packet can carry; the smaller of wire and memory. */
static void
sizes_init(struct dpdk_port *port)
{
	const struct dpdk_dev *dev = port->dev;
	uint32_t room = dev->tx_pool->data_room - DPDK_PAYLOAD_OFFSET;

	port->packet_max = dev->mtu - ip_overhead(port);
	/* A full packet still has room for one word of SACK. */
	port->frag_size = (port->packet_max - WIRE_FULL_HDR_LEN) & ~7u;
	if (port->frag_size > room)
		port->frag_size = room;
	if (port->frag_size > 65000)
		port->frag_size = 65000;
}

/* What IPv6 wants of a link: RFC 8200 section 5; RFC 4861 7.2.1. */
static int
ip6_settle(const struct dpdk_port *port, struct dpdk_dev *dev)
{
	struct rte_ether_addr group;

	if (dev->paired || dpdk_ip_is_ip4(&port->local_ip))
		return 0;
	if (dev->mtu < IP6_MTU_MIN)
		return weir_fail(-EINVAL,
				 "dpdk %s: its mtu of %u is less than the %u "
				 "that IPv6 needs; raise it, or use IPv4",
				 dev->dev_name, dev->mtu, IP6_MTU_MIN);
	weir_dpdk_neigh_group(&port->local_ip, &group);
	weir_dpdk_dev_join(dev, &group);
	return 0;
}

/* What it connects from is not listened at by another port of the device. */
static int
claim_connect_ports(const struct dpdk_port *port, struct dpdk_dev *dev)
{
	uint32_t count = dev->share != NULL ? dpdk_connect_ports(port) : 0;
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = weir_dpdk_share_claim(dev, dpdk_connect_port(port, i));
	if (rc == 0 && count != 0)
		weir_dpdk_share_steer(dev, dpdk_connect_port(port, 0));
	return rc;
}

/* When a device comes and goes nothing may be missed: that may wait. */
static bool
stats_wait(const struct dpdk_dev *dev, struct rte_eth_stats *stats)
{
	int rc;

	while ((rc = weir_dpdk_dev_stats(dev, stats)) == -EBUSY)
		sched_yield();
	return rc == 0;
}

int
weir_dpdk_port_device(struct dpdk_port *port, enum dpdk_dev_role role)
{
	struct rte_eth_stats stats;
	struct dpdk_dev *dev;
	int rc;

	port->spec.role = role;
	rc = weir_dpdk_dev_open(&port->spec, &dev);
	if (rc != 0)
		return rc;
	rc = weir_dpdk_dev_start(dev);
	if (rc == 0)
		rc = ip6_settle(port, dev);
	if (rc == 0)
		rc = claim_connect_ports(port, dev);
	if (rc == 0 && port->fault != NULL)
		rc = weir_dpdk_fault_attach(port->fault, dev);
	if (rc != 0) {
		weir_dpdk_dev_close(dev);
		return rc;
	}
	port->dev = dev;
	if (stats_wait(dev, &stats))
		weir_dpdk_device_begin(&port->device_drops, &stats);
	port->rx_otherwise = port->fed || dev->share != NULL;
	policy_init(port);
	sizes_init(port);
	weir_dpdk_neigh_init(&port->neigh, &port->wire, &port->policy.ip,
			     &dev->mac);
	port->neigh_next_ns = UINT64_MAX;
	port->neigh_generation = 0;
	port->parting_heard = false;
	return 0;
}

/* Some devices answer at once, others after a system call or many reads of
 * registers: only whoever asks for statistics pays for that. */
static void
device_look(struct dpdk_port *port)
{
	struct rte_eth_stats stats;

	if (weir_dpdk_dev_stats(port->dev, &stats) == 0)
		weir_dpdk_device_add(&port->device_drops, &stats);
	port->device_next_look_ns = port->now_ns + DEVICE_LOOK_NS;
}

static void
device_close(struct dpdk_port *port)
{
	struct rte_eth_stats stats;

	if (port->dev == NULL)
		return;
	if (stats_wait(port->dev, &stats))
		weir_dpdk_device_add(&port->device_drops, &stats);
	weir_dpdk_sleep_close(port);
	weir_dpdk_fault_detach(port->fault);
	weir_dpdk_batch_drop(port);
	weir_dpdk_freed_flush(port);
	while (port->spare_count != 0)
		rte_pktmbuf_free(port->spares[--port->spare_count]);
	weir_dpdk_dev_close(port->dev);
	port->dev = NULL;
}

bool
weir_dpdk_port_device_drop(struct dpdk_port *port)
{
	for (uint32_t i = 0; i < port->flow_count; i++)
		if (port->flows[i]->conn != NULL)
			return false;
	/* What they were promised is gone with the device's books. */
	for (uint32_t i = 0; i < port->flow_count; i++) {
		port->flows[i]->tx_admitted = 0;
		port->flows[i]->rx_admitted = 0;
	}
	if (port->dev != NULL && port->dev->share != NULL)
		weir_dpdk_share_retire(port->dev);
	device_close(port);
	return true;
}

/* ---- open --------------------------------------------------------------------------- */

static int
read_local(struct dpdk_port *port, const struct weir_endpoint *ep)
{
	const char *text = weir_endpoint_get(ep, "local");

	return text == NULL ? 0
			    : weir_dpdk_net_read("local", text, &port->local_ip,
						 &port->net_bits);
}

static int
read_peer_mac(struct dpdk_port *port, const struct weir_endpoint *ep)
{
	const char *text = weir_endpoint_get(ep, "peer-mac");

	if (text == NULL)
		return 0;
	if (rte_ether_unformat_addr(text, &port->peer_mac) != 0)
		return weir_fail(-EINVAL,
				 "dpdk: peer-mac=%s is not a MAC address; "
				 "write for example "
				 "peer-mac=02:00:00:00:00:02",
				 text);
	port->mac_given = true;
	return 0;
}

/* Small messages in one packet, if the peer wants that too. */
static int
read_coalesce(struct dpdk_port *port, const struct weir_endpoint *ep)
{
	const char *text = weir_endpoint_get(ep, "coalesce");

	if (text == NULL || strcmp(text, "on") == 0)
		return 0;
	if (strcmp(text, "off") != 0)
		return weir_fail(
			-EINVAL,
			"dpdk: coalesce=%s is neither on nor off; "
			"write coalesce=off for one message per packet",
			text);
	port->features_off |= WIRE_FEATURE_BATCH;
	return 0;
}

static int
read_given(struct dpdk_port *port)
{
	const uint32_t known = WEIR_DPDK_FED | WEIR_DPDK_DRAINED;

	if ((given->flags & ~known) != 0)
		return weir_fail(-EINVAL,
				 "dpdk: unknown queue flags 0x%x; use enum "
				 "weir_dpdk_queue_flags",
				 given->flags);
	port->fed = (given->flags & WEIR_DPDK_FED) != 0;
	port->drained = (given->flags & WEIR_DPDK_DRAINED) != 0;
	port->spec.kind = DPDK_DEV_GIVEN;
	port->spec.port_id = given->port_id;
	port->spec.queue_id = given->queue_id;
	port->spec.mempool = given->tx_pool;
	port->spec.rx_mempool = given->rx_pool;
	return 0;
}

static int
spec_read(struct dpdk_port *port, const struct weir_endpoint *ep)
{
	struct dpdk_dev_spec *spec = &port->spec;
	int rc;

	rc = given != NULL ? read_given(port)
			   : weir_dpdk_dev_spec_parse(ep, spec);
	if (rc != 0)
		return rc;
	spec->hugepages = port->port.config.hugepages;
	spec->telemetry = port->port.config.telemetry != 0;
	rc = read_local(port, ep);
	if (rc == 0)
		rc = weir_dpdk_wire_parse(ep, spec, &port->wire,
					  &port->ttl_min);
	if (rc == 0)
		rc = read_peer_mac(port, ep);
	if (rc == 0)
		rc = read_coalesce(port, ep);
	if (rc != 0)
		return rc;
	spec->local = port->local_ip;
	if (!dpdk_dev_is_pair(spec) && dpdk_ip_is_none(&port->local_ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: a device needs its IP address: add "
				 "local=IP/LEN, for example "
				 "local=10.7.0.1/24",
				 ep->address);
	return 0;
}

static void
clock_init(struct dpdk_port *port)
{
	port->ns_mult = (UINT64_C(1000000000) << 32) / rte_get_tsc_hz();
	port->cycles_base = rte_rdtsc();
	port->ns_base = weir_clock_ns();
	port->now_ns = port->ns_base;
}

/*
 * What EAL is to set aside, if it is us who start it and there are no huge
 * pages: memory that nobody touches costs nothing. Another port in this
 * process may want as much. @return 0: what is usual suffices.
 */
static uint64_t
memory_wanted(const struct dpdk_dev_spec *spec)
{
	uint64_t mbufs = (uint64_t)spec->tx_mbufs + spec->rx_mbufs;
	uint64_t bytes;

	if (mbufs == 0 && spec->queues > 1)
		mbufs = 2 * (DPDK_DEV_MBUFS + DPDK_DEV_RING_SLOTS);
	mbufs *= dpdk_dev_queues(spec);
	bytes = 2 * mbufs * MBUF_BYTES + DPDK_ENV_MEMORY_BYTES / 4;

	return bytes > DPDK_ENV_MEMORY_BYTES ? bytes : 0;
}

static int
open_sleep(struct dpdk_port *port)
{
	int rc = weir_dpdk_sleep_open(port);

	if (rc != 0)
		device_close(port);
	return rc;
}

static int
dpdk_port_open(struct weir_port *p, const struct weir_endpoint *ep)
{
	struct dpdk_port *port = dpdk_port_of(p);
	struct dpdk_env_config env = {
		.hugepages = p->config.hugepages,
		.telemetry = p->config.telemetry != 0,
	};
	int rc = spec_read(port, ep);

	if (rc != 0)
		return rc;
	env.memory_bytes = memory_wanted(&port->spec);
	if (port->spec.is_pci)
		env.pci = port->spec.name;
	rc = weir_env_dpdk_start(&env);
	if (rc != 0)
		return rc;
	clock_init(port);
	port->publish_next_ns = p->board != NULL ? 0 : UINT64_MAX;
	if (p->config.telemetry != 0)
		weir_dpdk_telemetry_start();
	port->fence = !weir_doorbell_setup();
	rc = weir_dpdk_gate_open(&port->gate, ep);
	if (rc != 0)
		return rc;
	if (!dpdk_dev_has_roles(&port->spec)) {
		rc = weir_dpdk_port_device(port, DPDK_ROLE_CONNECTOR);
		if (rc == 0 && port->spec.rx_intr)
			rc = open_sleep(port);
		if (rc != 0)
			return rc;
	}
	pthread_mutex_lock(&open_lock);
	port->next_open = open_ports;
	open_ports = port;
	pthread_mutex_unlock(&open_lock);
	return 0;
}

int
weir_dpdk_port_open(const char *endpoint, const struct weir_port_config *config,
		    const struct weir_dpdk_queue *queue,
		    struct weir_port **port)
{
	int rc;

	given = queue;
	rc = weir_port_open(endpoint, config, port);
	given = NULL;
	return rc;
}

int
weir_dpdk_port_queue(struct weir_port *p, struct weir_dpdk_queue *queue)
{
	struct dpdk_port *port = dpdk_port_of(p);

	if (p->driver != &weir_driver_dpdk)
		return -EINVAL;
	if (port->dev == NULL)
		return -EAGAIN;
	queue->port_id = port->dev->port_id;
	queue->queue_id = port->dev->queue_id;
	queue->tx_pool = port->dev->tx_pool->mp;
	queue->rx_pool = port->dev->rx_pool->mp;
	queue->flags = (port->fed ? WEIR_DPDK_FED : 0) |
		       (port->drained ? WEIR_DPDK_DRAINED : 0);
	return 0;
}

/* ---- faults --------------------------------------------------------------------------- */

static int
fault_make(struct dpdk_port *port, const struct dpdk_fault_spec *spec)
{
	struct dpdk_fault *fault = weir_dpdk_fault_new(spec);
	int rc = 0;

	if (fault == NULL)
		return weir_fail(-ENOMEM, "fault: out of memory");
	if (port->dev != NULL)
		rc = weir_dpdk_fault_attach(fault, port->dev);
	if (rc == 0)
		port->fault = fault;
	else
		weir_dpdk_fault_free(fault);
	return rc;
}

int
weir_dpdk_port_fault(struct weir_port *p, const char *text)
{
	struct dpdk_port *port = dpdk_port_of(p);
	bool off = text == NULL || *text == '\0';
	struct dpdk_fault_spec spec;
	int rc;

	if (p->driver != &weir_driver_dpdk)
		return weir_fail(-EINVAL,
				 "fault: only for ports of the dpdk driver");
	if (off)
		return port->fault == NULL
			       ? 0
			       : weir_dpdk_fault_set(port->fault, NULL);
	rc = weir_dpdk_fault_parse(text, &spec);
	if (rc == 0 && port->fault == NULL)
		rc = fault_make(port, &spec);
	return rc == 0 ? weir_dpdk_fault_set(port->fault, &spec) : rc;
}

int
weir_dpdk_port_fault_stats(struct weir_port *p,
			   struct weir_dpdk_fault_stats *stats, size_t size)
{
	struct dpdk_fault_counts c = { 0 };
	struct weir_dpdk_fault_stats all;

	if (p->driver != &weir_driver_dpdk)
		return -EINVAL;
	if (dpdk_port_of(p)->fault != NULL)
		weir_dpdk_fault_counts(dpdk_port_of(p)->fault, &c);
	all = (struct weir_dpdk_fault_stats){
		.frames = c.frames,
		.lost = c.lost,
		.duplicated = c.duplicated,
		.reordered = c.reordered,
		.delayed = c.delayed,
		.corrupted = c.corrupted,
		.truncated = c.truncated,
		.overflows = c.overflows,
		.held = c.held,
	};
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

/* ---- close -------------------------------------------------------------------------- */

/* Links that have not said goodbye yet. */
static bool
port_is_busy(const struct dpdk_port *port)
{
	for (uint32_t i = 0; i < port->flow_count; i++) {
		const struct dpdk_flow *flow = port->flows[i];
		int status;

		if (flow->conn == NULL)
			continue;
		status = weir_conn_status(flow->conn);
		if (status == 0 || status == -EINPROGRESS ||
		    weir_conn_wants_tx(flow->conn))
			return true;
		/* On a wire our last word may be lost: stay and repeat it. */
		if (!port->dev->no_wire && !weir_conn_finished(flow->conn))
			return true;
	}
	return false;
}

/* The other end may be another port of this very thread. */
static void
poll_siblings(const struct dpdk_port *port)
{
	pthread_mutex_lock(&open_lock);
	for (struct dpdk_port *o = open_ports; o != NULL; o = o->next_open)
		if (o != port && o->port.poller == NULL &&
		    weir_port_is_owner(&o->port))
			weir_dpdk_poll(&o->port);
	pthread_mutex_unlock(&open_lock);
}

static void
say_goodbye(struct dpdk_port *port)
{
	uint64_t end_ns = weir_dpdk_now(port) + CLOSE_WAIT_NS;

	/* Nothing would arrive: the application sees to it before. */
	if (port->fed || port->drained) {
		weir_dpdk_poll(&port->port);
		return;
	}
	while (port->dev != NULL && !port->still && port_is_busy(port) &&
	       port->now_ns < end_ns) {
		if (weir_dpdk_poll(&port->port) == 0)
			sched_yield();
		poll_siblings(port);
	}
	if (port->dev != NULL)
		weir_dpdk_part(port);
}

static void
port_forget(struct dpdk_port *port)
{
	struct dpdk_port **at = &open_ports;

	pthread_mutex_lock(&open_lock);
	while (*at != NULL && *at != port)
		at = &(*at)->next_open;
	if (*at == port)
		*at = port->next_open;
	pthread_mutex_unlock(&open_lock);
}

static void
dpdk_port_close(struct weir_port *p)
{
	struct dpdk_port *port = dpdk_port_of(p);

	say_goodbye(port);
	for (uint32_t i = port->flow_count; i-- > 0;)
		weir_dpdk_flow_orphan(port->flows[i]);
	device_close(port);
	port_forget(port);
	free(port->flows);
	free(port->table);
	weir_dpdk_run_free(&port->run);
	weir_dpdk_fault_free(port->fault);
	weir_dpdk_gate_close(&port->gate);
}

/* ---- the rest of the table ------------------------------------------------------------ */

static int
dpdk_port_fd(struct weir_port *port)
{
	struct dpdk_sleep *sleep = &dpdk_port_of(port)->sleep;

	if (sleep->bell != NULL)
		return sleep->fd;
	return weir_fail(-EOPNOTSUPP,
			 "dpdk: without rx interrupts nothing wakes "
			 "who sleeps; poll, or open the port "
			 "with wait=intr");
}

static int
dpdk_port_arm(struct weir_port *port, uint64_t *deadline_ns)
{
	return weir_dpdk_sleep_arm(dpdk_port_of(port), deadline_ns);
}

static void
dpdk_port_stats(struct weir_port *p, struct weir_port_stats *stats)
{
	struct dpdk_port *port = dpdk_port_of(p);

	*stats = port->stats;
	stats->links = port->flow_count;
	stats->link_bytes = port->link_bytes;
	stats->rx_misdirected = port->share_counts.handed;
	stats->rx_inbox_full = port->share_counts.lost;
	weir_dpdk_count_drops(port->frames, port->neigh.counts, port->packets,
			      port->gate.listen.counts, stats);
	if (port->dev != NULL &&
	    (!port->publishing || port->now_ns >= port->device_next_look_ns))
		device_look(port);
	weir_dpdk_count_device(&port->device_drops, stats);
	if (port->dev == NULL)
		return;
	stats->pool_size = port->dev->tx_pool->mp->size;
	stats->pool_free = rte_mempool_avail_count(port->dev->tx_pool->mp);
}

static struct dpdk_flow *
flow_of(struct weir_link *link)
{
	return WEIR_CONTAINER_OF(link, struct dpdk_link, link)->flow;
}

static int
dpdk_link_status(struct weir_link *link)
{
	struct dpdk_flow *flow = flow_of(link);
	int status = atomic_load_explicit(&flow->status, memory_order_relaxed);

	if (link->tx != NULL && status == 0)
		weir_dpdk_tx_settle(link->tx);
	return status;
}

static int
dpdk_link_peer(struct weir_link *link, struct weir_peer *peer)
{
	struct dpdk_flow *flow = flow_of(link);

	if (atomic_load_explicit(&flow->status, memory_order_relaxed) ==
	    -EINPROGRESS)
		return -ENOTCONN;
	*peer = (struct weir_peer){ .pid = -1, .uid = -1, .gid = -1 };
	memcpy(peer->address, flow->peer_name, sizeof(peer->address));
	return 0;
}

static void
dpdk_link_stats(struct weir_link *link, struct weir_link_stats *stats)
{
	struct dpdk_flow *flow = flow_of(link);
	struct conn_stats c = flow->last_stats;

	if (flow->conn != NULL)
		weir_conn_stats(flow->conn, &c);
	weir_dpdk_count_link(&c, flow->tx_waits, stats);
	stats->rx_unread = flow->rx_unread;
	stats->rx_wait_large = flow->rx_large_waits;
	stats->tx_wire_bytes = flow->tx_wire_bytes;
	stats->rx_wire_bytes = flow->rx_wire_bytes;
}

static void
dpdk_link_destroy(struct weir_link *link)
{
	struct dpdk_flow *flow = flow_of(link);

	flow->link = NULL;
	weir_dpdk_flow_put(flow);
}

/* dev and dev.KEY name the device, the rest is explained in the manual. */
static const char *const dpdk_keys[] = {
	"dev",       "dev.",    "local",     "peer-mac", "queue",
	"mtu",       "mbufs",   "vlan",      "pcp",      "ttl-min",
	"crc",       "cookie",  "reset-key", "coalesce", "cc",
	"cc-target", "offload", "wait",      "queues",   NULL,
};

/* What weir stat can read, wherever the half lies. */
static const struct weir_half_counter
	dpdk_tx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct dpdk_tx, tx.status),
		[WEIR_HALF_messages] =
			WEIR_HALF_COUNTER(struct dpdk_tx, messages),
		[WEIR_HALF_payload_bytes] =
			WEIR_HALF_COUNTER(struct dpdk_tx, payload_bytes),
		[WEIR_HALF_discarded] =
			WEIR_HALF_COUNTER(struct dpdk_tx, discarded),
	};

static const struct weir_half_counter
	dpdk_rx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct dpdk_rx, rx.status),
		[WEIR_HALF_messages] =
			WEIR_HALF_COUNTER(struct dpdk_rx, messages),
		[WEIR_HALF_payload_bytes] =
			WEIR_HALF_COUNTER(struct dpdk_rx, payload_bytes),
	};

const struct weir_driver weir_driver_dpdk = {
	.scheme = "dpdk",
	.caps = WEIR_CAP_REMOTE | WEIR_CAP_PROCESS | WEIR_CAP_POLLED |
		WEIR_CAP_MULTI_PRODUCER,
	.modes = 1u << WEIR_MODE_BARE,
	.large_count = DPDK_LARGE_DEFAULT,
	.keys = dpdk_keys,
	.port_size = sizeof(struct dpdk_port),
	.listener_size = sizeof(struct dpdk_listener),
	.link_size = sizeof(struct dpdk_link),
	.tx_size = sizeof(struct dpdk_tx),
	.rx_size = sizeof(struct dpdk_rx),
	.tx_counters = dpdk_tx_counters,
	.tx_shared_counters = dpdk_tx_counters, /* kept there too */
	.rx_counters = dpdk_rx_counters,
	.port_open = dpdk_port_open,
	.port_poll = weir_dpdk_poll,
	.port_fd = dpdk_port_fd,
	.port_arm = dpdk_port_arm,
	.port_stats = dpdk_port_stats,
	.port_close = dpdk_port_close,
	.listener_open = weir_dpdk_listener_open,
	.listener_fd = weir_dpdk_listener_fd,
	.listener_close = weir_dpdk_listener_close,
	.link_accept = weir_dpdk_link_accept,
	.link_connect = weir_dpdk_link_connect,
	.link_status = dpdk_link_status,
	.link_peer = dpdk_link_peer,
	.link_stats = dpdk_link_stats,
	.link_destroy = dpdk_link_destroy,
};
