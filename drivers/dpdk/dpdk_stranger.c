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

/* While more links than that are half open, `pressure` asks for cookies. */
#define PRESSURE 64u

/* Links of one peer that a stranger's INIT can have us look at. */
#define FORMER_LOOK 64u

/* Links that are looked at for a token their peers chose. An honest one has 48
 * random bits: hardly ever do two of them share one. */
#define TOKEN_LOOK 8u

/* Nobody needs more of these. */
#define REJECT_EVERY_NS UINT64_C(100000)
#define REJECT_BURST    256u
#define GONE_EVERY_NS   UINT64_C(1000000)
#define GONE_BURST      64u
#define LOG_EVERY_NS    SECOND_NS
/* Memory that is not there is not looked for with every INIT. */
#define BUSY_NS   UINT64_C(1000000)
#define LOG_BURST 5u

const char *
weir_dpdk_stranger_name(enum dpdk_stranger what)
{
	static const char *const names[DPDK_STRANGERS] = {
		[DPDK_INIT_MALFORMED] = "init_malformed",
		[DPDK_INIT_AGAIN] = "init_again",
		[DPDK_INIT_WELCOME] = "init_welcome",
		[DPDK_INIT_RETRY] = "init_retry",
		[DPDK_INIT_REFUSED] = "init_refused",
		[DPDK_INIT_NO_ROOM] = "init_no_room",
		[DPDK_COOKIE_WRONG] = "cookie_wrong",
		[DPDK_REJECT_LIMITED] = "reject_limited",
		[DPDK_SUPERSEDED] = "superseded",
		[DPDK_TOKEN_UNKNOWN] = "token_unknown",
		[DPDK_GONE_SENT] = "gone_sent",
		[DPDK_GONE_LIMITED] = "gone_limited",
		[DPDK_GONE_TAKEN] = "gone_taken",
		[DPDK_GONE_UNKNOWN] = "gone_unknown",
		[DPDK_GONE_FORGED] = "gone_forged",
	};

	return what < DPDK_STRANGERS ? names[what] : "unknown";
}

bool
weir_dpdk_may_log(struct dpdk_port *port)
{
	return bucket_take(&port->gate.logs, port->now_ns, LOG_EVERY_NS,
			   LOG_BURST);
}

static void
count(struct dpdk_port *port, enum dpdk_stranger what)
{
	port->gate.counts[what]++;
}

/* ---- answers ------------------------------------------------------------------ */

/* Back to where it came from. @return false: no room to send it. */
static bool
answer(struct dpdk_port *port, const struct dpdk_hdr_in *in,
       const uint8_t *packet, uint32_t len)
{
	struct dpdk_hdr back;

	weir_dpdk_port_hdr(port, &back, &in->src_mac, &in->dst, &in->src);
	return weir_dpdk_send_packet(port, &back, packet, (uint16_t)len);
}

static void
reject(struct dpdk_port *port, const struct dpdk_hdr_in *in,
       const struct wire_hdr *hdr, enum wire_error reason)
{
	uint8_t packet[CONN_REJECT_MAX];

	count(port, DPDK_INIT_REFUSED);
	if (!bucket_take(&port->gate.rejects, port->now_ns, REJECT_EVERY_NS,
			 REJECT_BURST)) {
		count(port, DPDK_REJECT_LIMITED);
		return;
	}
	(void)answer(port, in, packet,
		     weir_conn_build_reject(hdr, reason, packet));
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
		weir_cookie_rotate(&gate->keys, fresh);
}

static struct conn_stranger
who_is(struct dpdk_port *port, const struct dpdk_hdr_in *in,
       uint8_t addr[2 * DPDK_ADDR_BYTES])
{
	keys_rotate(port);
	dpdk_addr_bytes(&in->src, addr);
	dpdk_addr_bytes(&in->dst, addr + DPDK_ADDR_BYTES);
	return (struct conn_stranger){
		.keys = &port->gate.keys,
		.addr = addr,
		.addr_len = 2 * DPDK_ADDR_BYTES,
		.now_s = (uint32_t)(port->now_ns / SECOND_NS),
	};
}

static bool
cookie_wanted(const struct dpdk_listener *l)
{
	return l->cookie == DPDK_COOKIE_ALWAYS ||
	       (l->cookie == DPDK_COOKIE_PRESSURE && l->half_open >= PRESSURE);
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
	       weir_conn_is_superseded(flow->conn, init) &&
	       !weir_conn_finished(flow->conn);
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
		count(port, DPDK_SUPERSEDED);
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
		port->gate.busy_until_ns = port->now_ns + BUSY_NS;
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
	count(port, DPDK_INIT_WELCOME);
	return true;
}

/* Does he have to show first that he is where he says he is? */
static bool
must_come_again(struct dpdk_port *port, const struct dpdk_listener *l,
		const struct dpdk_hdr_in *in, const struct wire_hdr *hdr,
		struct conn_init *init)
{
	uint8_t addr[2 * DPDK_ADDR_BYTES], packet[CONN_RETRY_MAX];
	struct conn_stranger who = who_is(port, in, addr);
	bool wanted = cookie_wanted(l);

	if (weir_conn_check_cookie(&who, hdr, init))
		return false;
	if (hdr->cookie != NULL)
		count(port, DPDK_COOKIE_WRONG);
	/* A pair has one other end, and it is not a wire to lie on. */
	if (port->dev->paired && !wanted) {
		init->validated = true;
		return false;
	}
	/* Nobody ends links just by saying that he is their peer. */
	if (!wanted && !may_have_former(port, in, init))
		return false;
	if (answer(port, in, packet,
		   weir_conn_build_retry(&who, hdr, init, packet)))
		count(port, DPDK_INIT_RETRY);
	return true;
}

/* An INIT that a listener can agree with. @return why there is no link. */
static enum wire_error
on_good_init(struct dpdk_port *port, struct dpdk_listener *l,
	     const struct dpdk_hdr_in *in, const struct wire_hdr *hdr,
	     struct conn_init *init)
{
	bool full = l->half_open + l->waiting_count >= DPDK_BACKLOG ||
		    port->now_ns < port->gate.busy_until_ns;
	bool crowded = false;
	struct dpdk_flow *flow = flow_of_init(port, in, init, &crowded);

	if (flow != NULL) {
		count(port, DPDK_INIT_AGAIN);
		dpdk_flow_touch(port, flow);
		weir_conn_on_packet(flow->conn, hdr, NULL, port->now_ns);
		return WIRE_E_NONE;
	}
	if (crowded || (full && !cookie_wanted(l))) {
		count(port, DPDK_INIT_NO_ROOM);
		return WIRE_E_BUSY;
	}
	if (must_come_again(port, l, in, hdr, init))
		return WIRE_E_NONE;
	if (init->validated)
		end_former(port, in, init);
	if (full || !welcome(port, l, in, init)) {
		count(port, DPDK_INIT_NO_ROOM);
		return WIRE_E_BUSY;
	}
	return WIRE_E_NONE;
}

static void
on_init(struct dpdk_port *port, const struct dpdk_hdr_in *in,
	const struct wire_hdr *hdr)
{
	struct dpdk_listener *l = listener_at(port, in->dst.port);
	const struct dpdk_link_keys no_keys = { 0 };
	enum wire_error reason = WIRE_E_NONE;
	struct weir_link_config none = { 0 };
	struct conn_config policy;
	struct conn_init init;

	weir_dpdk_conn_config(port, l != NULL ? &l->listener.config : &none,
			      l != NULL ? &l->keys : &no_keys, &policy);
	if (weir_conn_check_init(&policy, hdr, &init, &reason) == -EPROTO) {
		count(port, DPDK_INIT_MALFORMED);
		port->stats.rx_malformed++;
		return;
	}
	if (l == NULL)
		reason = WIRE_E_NO_LISTENER;
	else if (reason == WIRE_E_NONE)
		reason = on_good_init(port, l, in, hdr, &init);
	if (reason != WIRE_E_NONE)
		reject(port, in, hdr, reason);
}

void
weir_dpdk_on_stray(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		   const struct wire_hdr *hdr)
{
	switch (wire_hdr_type(hdr)) {
	case WIRE_INIT:
		on_init(port, in, hdr);
		break;
	case WIRE_RESET:
		weir_dpdk_on_parting(port, in, hdr);
		break;
	default:
		count(port, DPDK_TOKEN_UNKNOWN);
		port->stats.rx_unknown_link++;
		break;
	}
}

/* ---- tokens that nobody here knows ---------------------------------------------- */

static void
on_gone(struct dpdk_port *port, const struct wire_hdr *hdr)
{
	struct dpdk_flow *flow = weir_dpdk_peer_find(&port->gate, hdr->token);
	enum dpdk_stranger what = DPDK_GONE_UNKNOWN;

	/* A server can give all links that we open the same token: those that
	 * are not looked at miss their peer a little later. */
	for (uint32_t i = 0; flow != NULL && i < TOKEN_LOOK;
	     i++, flow = weir_dpdk_peer_next(flow)) {
		what = DPDK_GONE_FORGED;
		if (!weir_conn_on_gone(flow->conn, hdr, port->now_ns))
			continue;
		dpdk_flow_touch(port, flow);
		what = DPDK_GONE_TAKEN;
		break;
	}
	count(port, what);
}

void
weir_dpdk_on_unknown(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		     const struct wire_hdr *hdr, uint32_t len)
{
	uint8_t packet[WIRE_HDR_LEN], proof[WIRE_PROOF_LEN];

	if (wire_hdr_type(hdr) == WIRE_GONE) {
		on_gone(port, hdr);
		return;
	}
	count(port, DPDK_TOKEN_UNKNOWN);
	port->stats.rx_unknown_link++;
	if (!weir_conn_gone_may_answer(hdr, len))
		return;
	if (!bucket_take(&port->gate.gones, port->now_ns, GONE_EVERY_NS,
			 GONE_BURST)) {
		count(port, DPDK_GONE_LIMITED);
		return;
	}
	weir_cookie_proof(port->gate.secret, hdr->token, proof);
	weir_wire_put_gone(hdr->token, proof, packet);
	if (answer(port, in, packet, WIRE_HDR_LEN))
		count(port, DPDK_GONE_SENT);
}
