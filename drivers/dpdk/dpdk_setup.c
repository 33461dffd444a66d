/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How links begin: listeners, connects, neighbours.
 *
 *     connect: device there? -> MAC known? -> INIT ... ACCEPT -> up
 *     listen:  INIT -> checked, admitted -> ACCEPT ... first packet -> up,
 *              waits for weir_link_accept()
 */

#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "doorbell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- addresses --------------------------------------------------------------- */

int
weir_dpdk_address(const struct dpdk_port *port, const char *text,
		  struct dpdk_addr *addr)
{
	if (weir_dpdk_is_ip_address(text))
		return weir_dpdk_addr_read(text, addr);
	memset(addr, 0, sizeof(*addr));
	if (port->dev != NULL)
		addr->ip = dpdk_ip4(port->dev->pair_peer_ip);
	addr->port = DPDK_UDP_LISTEN;
	/* Of a pair with several queues: the peer's port on the same one. */
	if (dpdk_dev_is_pair(&port->spec))
		addr->port += port->spec.queue_id;
	return 0;
}

void
weir_dpdk_port_hdr(const struct dpdk_port *port, struct dpdk_hdr *hdr,
		   const struct rte_ether_addr *dst_mac,
		   const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	weir_dpdk_hdr_init(hdr, &port->wire, &port->dev->mac, dst_mac, src,
			   dst);
}

/* ---- neighbours ----------------------------------------------------------------- */

/* A neighbour's MAC became known or changed: connected links follow. */
static void
macs_follow(struct dpdk_port *port)
{
	struct rte_ether_addr mac;

	for (uint32_t i = 0; i < port->flow_count; i++) {
		struct dpdk_flow *flow = port->flows[i];

		if (flow->connector && flow->phase >= DPDK_PHASE_SETUP &&
		    weir_dpdk_neigh_known(&port->neigh, &flow->peer.ip, &mac))
			weir_dpdk_hdr_set_dst_mac(&flow->hdr, &mac);
	}
}

void
weir_dpdk_neigh_step(struct dpdk_port *port)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX];
	uint16_t len;

	while ((len = weir_dpdk_neigh_poll(&port->neigh, port->now_ns,
					   frame)) != 0)
		weir_dpdk_send_frame(port, frame, len);
	if (port->neigh_generation != port->neigh.generation) {
		port->neigh_generation = port->neigh.generation;
		if (!port->mac_given)
			macs_follow(port);
	}
	port->neigh_next_ns = weir_dpdk_neigh_deadline_ns(&port->neigh);
}

/* @return 1 and the MAC, 0 not yet, negative: nobody answers. */
static int
route(struct dpdk_port *port, const struct dpdk_ip *ip,
      struct rte_ether_addr *mac)
{
	int rc;

	if (port->dev->paired) {
		*mac = port->dev->peer_mac;
		return weir_dpdk_dev_link_up(port->dev);
	}
	if (port->mac_given) {
		*mac = port->peer_mac;
		return 1;
	}
	rc = weir_dpdk_neigh_lookup(&port->neigh, ip, port->now_ns, mac);
	port->neigh_next_ns = weir_dpdk_neigh_deadline_ns(&port->neigh);
	return rc;
}

/* ---- connect ---------------------------------------------------------------------- */

/* Over before there was a connection. */
static void
connect_failed(struct dpdk_flow *flow, int rc)
{
	weir_dpdk_flow_fail(flow, rc);
	flow->phase = DPDK_PHASE_OVER;
}

/* As above, and weir_last_error() knows why: it is for the log, since this
 * may be another thread than the application's. */
static void
connect_failed_because(struct dpdk_flow *flow, int rc)
{
	weir_log(WEIR_LOG_ERROR, "%s", weir_last_error());
	connect_failed(flow, rc);
}

/* @return true when there is a device. */
static bool
device_step(struct dpdk_port *port, struct dpdk_flow *flow)
{
	int rc;

	if (port->dev == NULL && port->now_ns >= port->device_next_ns) {
		rc = weir_dpdk_port_device(port, DPDK_ROLE_CONNECTOR);
		if (rc != 0 && rc != -EAGAIN) {
			connect_failed_because(flow, rc);
			return false;
		}
		weir_dpdk_now(port);
		port->device_next_ns =
			port->now_ns +
			(rc == 0 ? DPDK_DEVICE_UP_NS : DPDK_DEVICE_RETRY_NS);
	}
	if (port->dev != NULL)
		return true;
	if (port->now_ns >= flow->connect_end_ns)
		connect_failed(flow, -ECONNREFUSED);
	return false;
}

static void
addresses_settle(struct dpdk_port *port, struct dpdk_flow *flow)
{
	flow->local.port = dpdk_connect_port(port, 0);
	flow->connect_tries = 0;
	if (port->dev->paired) {
		flow->local.ip = dpdk_ip4(port->dev->pair_ip);
		flow->peer.ip = dpdk_ip4(port->dev->pair_peer_ip);
	} else {
		flow->local.ip = port->local_ip;
	}
	if (port->dev->share != NULL)
		weir_dpdk_share_choose(port->dev, &flow->local, &flow->peer,
				       DPDK_UDP_CONNECTS);
}

bool
weir_dpdk_connect_elsewhere(struct dpdk_port *port, struct dpdk_flow *flow)
{
	if (!flow->by_sibling || !weir_dpdk_share_probes(port->dev) ||
	    flow->connect_tries + 1u == DPDK_UDP_CONNECTS)
		return false;
	flow->connect_tries++;
	flow->local.port = dpdk_connect_port(port, flow->connect_tries);
	flow->phase = DPDK_PHASE_ROUTE;
	return true;
}

void
weir_dpdk_connect_step(struct dpdk_port *port, struct dpdk_flow *flow)
{
	struct rte_ether_addr mac;
	int rc;

	if (atomic_load_explicit(&flow->gone, memory_order_relaxed) ==
	    (DPDK_GONE_TX | DPDK_GONE_RX)) {
		connect_failed(flow, -ECONNRESET);
		return;
	}
	if (flow->phase == DPDK_PHASE_DEVICE) {
		if (port->still || !device_step(port, flow))
			return;
		addresses_settle(port, flow);
		flow->phase = DPDK_PHASE_ROUTE;
	}
	if (port->dev == NULL) {
		flow->phase = DPDK_PHASE_DEVICE;
		return;
	}
	rc = route(port, &flow->peer.ip, &mac);
	if (rc != 1) {
		if (port->now_ns >= flow->connect_end_ns)
			connect_failed(flow, port->dev->paired ? -ECONNREFUSED
							       : -ETIMEDOUT);
		else if (dpdk_dev_has_roles(&port->spec) &&
			 port->now_ns >= port->device_next_ns)
			weir_dpdk_port_device_drop(port);
		return;
	}
	rc = weir_dpdk_flow_make_conn(flow);
	if (rc != 0) {
		connect_failed_because(flow, -ENOMEM);
		return;
	}
	weir_dpdk_port_hdr(port, &flow->hdr, &mac, &flow->local, &flow->peer);
	weir_conn_connect(flow->conn, port->now_ns);
	flow->phase = DPDK_PHASE_SETUP;
	dpdk_flow_touch(port, flow);
}

/* Can we reach that address from here at all? */
static int
connect_check(const struct dpdk_port *port, const struct dpdk_addr *addr,
	      const char *text)
{
	if (dpdk_dev_is_pair(&port->spec))
		return 0;
	if (!weir_dpdk_is_ip_address(text) || dpdk_ip_is_none(&addr->ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: connect needs an address; write "
				 "dpdk:IP:PORT",
				 text);
	if (dpdk_ip_is_none(&port->local_ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: own address unknown; open the port "
				 "with local=IP/LEN",
				 text);
	if (dpdk_ip_equal(&addr->ip, &port->local_ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: that is local=, our own address; "
				 "write the peer's",
				 text);
	if (dpdk_ip_is_ip4(&addr->ip) != dpdk_ip_is_ip4(&port->local_ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: local= is of the other IP version; "
				 "open a port for each",
				 text);
	if (!port->mac_given &&
	    !weir_dpdk_ip_same_net(&addr->ip, &port->local_ip, port->net_bits))
		return weir_fail(-EINVAL,
				 "dpdk:%s: not in the network of local=; give "
				 "the router's MAC with peer-mac=",
				 text);
	return 0;
}

int
weir_dpdk_link_connect(struct weir_link *link, const struct weir_endpoint *ep)
{
	struct dpdk_port *port = dpdk_port_of(link->port);
	struct dpdk_flow *flow;
	struct dpdk_link_keys keys;
	struct dpdk_addr addr;
	int rc = weir_dpdk_address(port, ep->address, &addr);

	if (rc == 0)
		rc = connect_check(port, &addr, ep->address);
	if (rc == 0)
		rc = weir_dpdk_link_keys_read(ep, &keys);
	if (rc != 0)
		return rc;
	if (dpdk_dev_has_roles(&port->spec) && port->listeners != NULL)
		return weir_fail(-EINVAL,
				 "dpdk:%s: this port listens; connect through "
				 "a port of its own",
				 ep->address);
	flow = weir_dpdk_flow_new(port, &link->config, &keys);
	if (flow == NULL)
		return weir_fail(-ENOMEM, "dpdk: no memory for another link; "
					  "close some or ask for less");
	weir_dpdk_now(port);
	flow->connector = true;
	flow->peer = addr;
	if (link->config.connect_timeout_ns > CONN_NEVER - port->now_ns)
		flow->connect_end_ns = CONN_NEVER;
	else
		flow->connect_end_ns =
			port->now_ns + link->config.connect_timeout_ns;
	if (weir_dpdk_is_ip_address(ep->address))
		weir_dpdk_addr_print(&addr, flow->peer_name,
				     sizeof(flow->peer_name));
	else
		snprintf(flow->peer_name, sizeof(flow->peer_name), "%.63s",
			 ep->address);
	weir_dpdk_flow_attach(flow, link);
	return 0;
}

/* ---- listen ------------------------------------------------------------------------- */

/* Could anyone reach that address? */
static int
listen_check(const struct dpdk_port *port, const struct dpdk_addr *addr,
	     const char *text)
{
	if (dpdk_dev_is_pair(&port->spec))
		return 0;
	if (!weir_dpdk_is_ip_address(text))
		return weir_fail(-EINVAL,
				 "dpdk:%s: not an address to listen at; write "
				 "dpdk:*:PORT or dpdk:IP:PORT",
				 text);
	if (!dpdk_ip_is_none(&addr->ip) &&
	    !dpdk_ip_equal(&addr->ip, &port->local_ip))
		return weir_fail(-EINVAL,
				 "dpdk:%s: not our address, which is what "
				 "local= says; write dpdk:*:PORT",
				 text);
	return 0;
}

int
weir_dpdk_listener_open(struct weir_listener *listener,
			const struct weir_endpoint *ep)
{
	struct dpdk_listener *l =
		WEIR_CONTAINER_OF(listener, struct dpdk_listener, listener);
	struct dpdk_port *port = dpdk_port_of(listener->port);
	struct dpdk_addr addr;
	int rc;

	if (port->dev == NULL) {
		rc = weir_dpdk_port_device(port, DPDK_ROLE_LISTENER);
		if (rc != 0)
			return rc;
	} else if (dpdk_dev_has_roles(&port->spec) &&
		   port->spec.role != DPDK_ROLE_LISTENER) {
		return weir_fail(-EINVAL,
				 "dpdk:%s: this port has connected; listen "
				 "through a port of its own",
				 ep->address);
	}
	rc = weir_dpdk_address(port, ep->address, &addr);
	if (rc == 0)
		rc = listen_check(port, &addr, ep->address);
	if (rc == 0)
		rc = weir_dpdk_link_keys_read(ep, &l->keys);
	if (rc == 0)
		rc = weir_dpdk_cookie_read(ep, port->dev->no_wire, &l->cookie);
	if (rc != 0)
		return rc;
	for (struct dpdk_listener *o = port->listeners; o; o = o->next)
		if (o->udp_port == addr.port)
			return weir_fail(-EADDRINUSE,
					 "dpdk:%s: a listener of this port has "
					 "UDP port %u; choose another",
					 ep->address, addr.port);
	if (port->dev->share != NULL)
		rc = weir_dpdk_share_claim(port->dev, addr.port);
	if (rc != 0)
		return rc;
	l->fd = weir_doorbell_open();
	if (l->fd < 0)
		return weir_fail(l->fd, "dpdk: no descriptor for a listener; "
					"raise the limit (ulimit -n)");
	if (port->dev->share != NULL)
		weir_dpdk_share_steer(port->dev, addr.port);
	l->udp_port = addr.port;
	l->next = port->listeners;
	port->listeners = l;
	return 0;
}

int
weir_dpdk_listener_fd(struct weir_listener *listener)
{
	return WEIR_CONTAINER_OF(listener, struct dpdk_listener, listener)->fd;
}

static struct dpdk_flow *
waiting_pop(struct dpdk_listener *l)
{
	struct dpdk_flow *flow = l->waiting_first;

	if (flow == NULL)
		return NULL;
	l->waiting_first = flow->next_waiting;
	l->waiting_count--;
	flow->listener = NULL;
	return flow;
}

/* No application will ever see this link. */
static void
refuse(struct dpdk_port *port, struct dpdk_flow *flow)
{
	flow->listener = NULL;
	flow->commits_over = true;
	atomic_fetch_or_explicit(&flow->gone, DPDK_GONE_TX | DPDK_GONE_RX,
				 memory_order_relaxed);
	if (flow->conn != NULL)
		weir_conn_abort(flow->conn, WIRE_E_ABORT, port->now_ns);
	dpdk_flow_touch(port, flow);
	weir_dpdk_bell_ring(flow->bell);
}

void
weir_dpdk_listener_close(struct weir_listener *listener)
{
	struct dpdk_listener *l =
		WEIR_CONTAINER_OF(listener, struct dpdk_listener, listener);
	struct dpdk_port *port = dpdk_port_of(listener->port);
	struct dpdk_listener **at = &port->listeners;
	struct dpdk_flow *flow;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	weir_dpdk_now(port);
	while ((flow = waiting_pop(l)) != NULL)
		refuse(port, flow);
	for (uint32_t i = 0; i < port->flow_count; i++)
		if (port->flows[i]->listener == l)
			refuse(port, port->flows[i]);
	close(l->fd);
}

int
weir_dpdk_link_accept(struct weir_listener *listener, struct weir_link *link)
{
	struct dpdk_listener *l =
		WEIR_CONTAINER_OF(listener, struct dpdk_listener, listener);
	struct dpdk_flow *flow = waiting_pop(l);

	if (l->waiting_first == NULL)
		weir_doorbell_drain(l->fd);
	if (flow == NULL)
		return 0;
	weir_dpdk_flow_attach(flow, link);
	weir_dpdk_tx_settle(link->tx);
	return 1;
}

/* ---- established ------------------------------------------------------------------------ */

void
weir_dpdk_established(struct dpdk_port *port, struct dpdk_flow *flow)
{
	struct dpdk_listener *l = flow->listener;
	int rc = weir_dpdk_flow_up(flow);

	weir_dpdk_peer_enter(flow);
	if (l != NULL)
		l->half_open--;
	if (rc != 0) {
		if (weir_dpdk_may_log(port))
			weir_log(WEIR_LOG_ERROR,
				 "dpdk: no memory for the large "
				 "buffers of a link; ask for less");
		weir_dpdk_flow_fail(flow, rc);
		weir_conn_abort(flow->conn, WIRE_E_ABORT, port->now_ns);
		if (!flow->connector)
			refuse(port, flow);
		return;
	}
	if (l == NULL)
		return;
	flow->next_waiting = NULL;
	if (l->waiting_first == NULL)
		l->waiting_first = flow;
	else
		l->waiting_last->next_waiting = flow;
	l->waiting_last = flow;
	l->waiting_count++;
	weir_doorbell_ring(l->fd);
}

void
weir_dpdk_half_open_failed(struct dpdk_flow *flow)
{
	if (flow->connector)
		return;
	if (flow->listener != NULL)
		flow->listener->half_open--;
	flow->listener = NULL;
	atomic_fetch_or_explicit(&flow->gone, DPDK_GONE_TX | DPDK_GONE_RX,
				 memory_order_relaxed);
}
