/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Strangers come by: INITs, tokens that nobody here knows, GONE. See
 * dpdk_stranger.h for what is said to them.
 */

#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "dpdk_stranger.h"

#include <string.h>
#include <sys/random.h>

#define SECOND_NS UINT64_C(1000000000)

/* Links of one peer that a stranger's INIT can have us look at. */
#define FORMER_LOOK 64u

/* Links that are looked at for a token their peers chose. An honest one has 48
 * random bits: hardly ever do two of them share one. */
#define TOKEN_LOOK 8u

#define LOG_EVERY_NS SECOND_NS
#define LOG_BURST    5u

bool
weir_dpdk_may_log(struct dpdk_port *port)
{
	return bucket_take(&port->gate.logs, port->now_ns, LOG_EVERY_NS,
			   LOG_BURST);
}

static void
count(struct dpdk_port *port, enum listen_count what)
{
	port->gate.listen.counts[what]++;
}

/* ---- answers ------------------------------------------------------------------ */

/* Back to where it came from. */
static void
answer(struct dpdk_port *port, const struct dpdk_hdr_in *in,
       const struct listen_visit *visit)
{
	struct dpdk_hdr back;

	weir_dpdk_port_hdr(port, &back, &in->src_mac, &in->dst, &in->src);
	if (weir_dpdk_send_packet(port, &back, visit->answer,
				  (uint16_t)visit->answer_len))
		weir_listen_sent(&port->gate.listen, visit);
}

/* ---- cookies ------------------------------------------------------------------ */

/* Keys are replaced when an INIT comes and it is time; without INITs nobody
 * needs a new one, and a cookie does not outlive ten seconds anyway. */
static void
keys_rotate(struct dpdk_port *port)
{
	struct dpdk_gate *gate = &port->gate;
	struct siphash_key fresh;

	if (port->now_ns < gate->keys_next_ns)
		return;
	gate->keys_next_ns = port->now_ns + COOKIE_ROTATE_S * SECOND_NS;
	if (getrandom(&fresh, sizeof(fresh), GRND_NONBLOCK) ==
	    (ssize_t)sizeof(fresh))
		weir_cookie_rotate(&gate->listen.keys, fresh);
}

/* ---- links that are there ------------------------------------------------------- */

static struct dpdk_listener *
listener_at(struct dpdk_port *port, uint16_t udp_port)
{
	struct dpdk_listener *l = port->listeners;

	while (l != NULL && l->udp_port != udp_port)
		l = l->next;
	return l;
}

static bool
is_connect_port(const struct dpdk_port *port, uint16_t udp_port)
{
	uint32_t away = (uint32_t)udp_port - dpdk_connect_port(port, 0);
	uint32_t queues = dpdk_dev_queues(&port->spec);

	return away % queues == 0 && away / queues < dpdk_connect_ports(port);
}

bool
weir_dpdk_is_our_port(struct dpdk_port *port, uint16_t udp_port)
{
	return is_connect_port(port, udp_port) ||
	       listener_at(port, udp_port) != NULL;
}

static bool
comes_from(const struct dpdk_flow *flow, const struct dpdk_hdr_in *in)
{
	return dpdk_ip_equal(&flow->peer.ip, &in->src.ip) &&
	       flow->init_port == in->src.port;
}

/*
 * The flow that this INIT made earlier.
 *
 * @param crowded set if so many links have its token that not all of them were
 *        looked at, or that one more would not be
 */
static struct dpdk_flow *
flow_of_init(struct dpdk_port *port, const struct dpdk_hdr_in *in,
	     const struct conn_init *init, bool *crowded)
{
	struct dpdk_flow *flow =
		weir_dpdk_peer_find(&port->gate, init->params.token);
	uint32_t seen = 0;

	for (; flow != NULL && seen < TOKEN_LOOK; seen++) {
		if (!flow->connector && comes_from(flow, in) &&
		    weir_conn_is_same_init(flow->conn, init))
			return flow;
		flow = weir_dpdk_peer_next(flow);
	}
	*crowded = seen == TOKEN_LOOK;
	return NULL;
}

/* Is this a link of a former life of this INIT's sender? */
static bool
is_former(const struct dpdk_flow *flow, const struct dpdk_hdr_in *in,
	  const struct conn_init *init)
{
	return flow->conn != NULL && comes_from(flow, in) &&
	       listen_is_former(flow->conn, init);
}

/*
 * Has this INIT's sender links of a former life here? Anyone can ask, so who
 * has more links than are looked at here may have some.
 */
static bool
may_have_former(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		const struct conn_init *init)
{
	const struct dpdk_flow *flow = weir_dpdk_life_find(
		&port->gate, &in->src, init->params.instance);

	for (uint32_t i = 0; flow != NULL; i++) {
		if (i == FORMER_LOOK || is_former(flow, in, init))
			return true;
		flow = weir_dpdk_life_next(flow);
	}
	return false;
}

/* These links end as if the peer had been silent, and are looked at no more: of
 * more than are looked at here the next INITs find the rest. */
static void
end_former(struct dpdk_port *port, const struct dpdk_hdr_in *in,
	   const struct conn_init *init)
{
	struct dpdk_flow *next,
		*flow = weir_dpdk_life_find(&port->gate, &in->src,
					    init->params.instance);

	for (uint32_t i = 0; flow != NULL && i < FORMER_LOOK;
	     i++, flow = next) {
		next = weir_dpdk_life_next(flow);
		if (!is_former(flow, in, init))
			continue;
		weir_dpdk_life_leave(flow);
		weir_conn_supersede(flow->conn, port->now_ns);
		dpdk_flow_touch(port, flow);
		count(port, LISTEN_SUPERSEDED);
	}
}

/* ---- INIT ----------------------------------------------------------------------- */

/* A new link from there. @return false: no room now. */
static bool
welcome(struct dpdk_port *port, struct dpdk_listener *l,
	const struct dpdk_hdr_in *in, const struct conn_init *init)
{
	struct dpdk_flow *flow;

	flow = weir_dpdk_flow_new(port, &l->listener.config, &l->keys);
	if (flow == NULL)
		return false;
	flow->local = in->dst;
	flow->peer = in->src;
	flow->init_port = in->src.port;
	if (weir_dpdk_flow_make_conn(flow) != 0) {
		flow->phase = DPDK_PHASE_OVER;
		atomic_store_explicit(&flow->gone, DPDK_GONE_TX | DPDK_GONE_RX,
				      memory_order_relaxed);
		return false;
	}
	weir_dpdk_addr_print(&in->src, flow->peer_name,
			     sizeof(flow->peer_name));
	weir_dpdk_port_hdr(port, &flow->hdr, &in->src_mac, &flow->local,
			   &flow->peer);
	flow->phase = DPDK_PHASE_SETUP;
	flow->listener = l;
	l->half_open++;
	weir_conn_accept(flow->conn, init, port->now_ns);
	weir_dpdk_peer_enter(flow);
	count(port, LISTEN_INIT_WELCOME);
	return true;
}

/* An INIT that the listener can agree with. */
static enum listen_verdict
on_good_init(struct dpdk_port *port, struct dpdk_listener *l,
	     const struct dpdk_hdr_in *in, const struct listen_door *door,
	     struct listen_visit *visit)
{
	const struct conn_init *init = &visit->init;
	struct listen *listen = &port->gate.listen;
	struct listen_known known = { 0 };
	struct dpdk_flow *flow = flow_of_init(port, in, init, &known.crowded);
	enum listen_verdict verdict;

	known.same = flow != NULL;
	known.former = !known.same && !weir_listen_asks(door) &&
		       may_have_former(port, in, init);
	keys_rotate(port);
	verdict = weir_listen_judge(listen, door, visit, &known);
	if (verdict == LISTEN_AGAIN) {
		dpdk_flow_touch(port, flow);
		weir_conn_on_packet(flow->conn, visit->hdr, NULL, port->now_ns);
	}
	if (init->validated)
		end_former(port, in, init);
	if (verdict == LISTEN_ACCEPT && !welcome(port, l, in, init))
		verdict = weir_listen_no_memory(listen, visit);
	return verdict;
}

static void
on_init(struct dpdk_port *port, const struct dpdk_hdr_in *in,
	struct listen_visit *visit)
{
	struct dpdk_listener *l = listener_at(port, in->dst.port);
	const struct dpdk_link_keys no_keys = { 0 };
	struct weir_link_config none = { 0 };
	uint8_t addr[2 * DPDK_ADDR_BYTES];
	enum listen_verdict verdict;
	struct conn_config policy;
	struct listen_door door = { .policy = &policy,
				    .paired = port->dev->paired };

	weir_dpdk_conn_config(port, l != NULL ? &l->listener.config : &none,
			      l != NULL ? &l->keys : &no_keys, &policy);
	if (l != NULL) {
		door.open = true;
		door.cookie = l->cookie;
		door.half_open = l->half_open;
		door.waiting = l->waiting_count;
	}
	dpdk_addr_bytes(&in->src, addr);
	dpdk_addr_bytes(&in->dst, addr + DPDK_ADDR_BYTES);
	visit->addr = addr;
	visit->addr_len = sizeof(addr);
	verdict = weir_listen_read(&port->gate.listen, &door, visit);
	if (verdict == LISTEN_LOOK)
		verdict = on_good_init(port, l, in, &door, visit);
	if (verdict == LISTEN_ANSWER)
		answer(port, in, visit);
	port->stats.rx_malformed += verdict == LISTEN_MALFORMED;
}

void
weir_dpdk_on_stray(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		   const struct wire_hdr *hdr)
{
	struct listen_visit visit = { .hdr = hdr, .now_ns = port->now_ns };

	switch (wire_hdr_type(hdr)) {
	case WIRE_INIT:
		on_init(port, in, &visit);
		break;
	case WIRE_RESET:
		weir_dpdk_on_parting(port, in, hdr);
		break;
	default:
		count(port, LISTEN_TOKEN_UNKNOWN);
		port->stats.rx_unknown_link++;
		break;
	}
}

/* ---- tokens that nobody here knows ---------------------------------------------- */

static void
on_gone(struct dpdk_port *port, const struct wire_hdr *hdr)
{
	struct dpdk_flow *flow = weir_dpdk_peer_find(&port->gate, hdr->token);
	enum listen_count what = LISTEN_GONE_UNKNOWN;

	/* A server can give all links that we open the same token: those that
	 * are not looked at miss their peer a little later. */
	for (uint32_t i = 0; flow != NULL && i < TOKEN_LOOK;
	     i++, flow = weir_dpdk_peer_next(flow)) {
		what = LISTEN_GONE_FORGED;
		if (!weir_conn_on_gone(flow->conn, hdr, port->now_ns))
			continue;
		dpdk_flow_touch(port, flow);
		what = LISTEN_GONE_TAKEN;
		break;
	}
	count(port, what);
}

void
weir_dpdk_on_unknown(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		     const struct wire_hdr *hdr, uint32_t len)
{
	struct listen_visit visit = { .hdr = hdr,
				      .len = len,
				      .now_ns = port->now_ns };

	if (wire_hdr_type(hdr) == WIRE_GONE) {
		on_gone(port, hdr);
		return;
	}
	port->stats.rx_unknown_link++;
	if (weir_listen_unknown(&port->gate.listen, &visit) == LISTEN_ANSWER)
		answer(port, in, &visit);
}
