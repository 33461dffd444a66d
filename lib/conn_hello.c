/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Set-up: configuration, INIT, RETRY, ACCEPT, REJECT.
 *
 *   client                               listener            server's conn
 *   INIT(token_c, isn_c, offers)   -->   check_init
 *                                          |-- no --> REJECT(reason)
 *          <------------- RETRY(cookie) ---+ check_cookie, if wanted
 *   INIT(the same, cookie)         -->     `-- yes -----------> accept
 *          <------------- ACCEPT(token_s, isn_s, choices) --------'
 *   ACK or DATA to token_s  ----------------------------------> OPEN
 */
#include <errno.h>
#include <string.h>
#include "conn_impl.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* A peer that announces more is cut down to it. */
#define PEER_ACK_DELAY_MAX_NS (1000 * MS)

/* --- configuration ---------------------------------------------------- */

void
weir_conn_config_init(struct conn_config *config)
{
	*config = (struct conn_config){
		.modes = WIRE_MODE_BARE,
		.features_offer = WIRE_FEATURE_BATCH | WIRE_FEATURE_ECN,
		.cc = CC_FIXED,
		.cc_target_ns = CC_TARGET,
		.frag_size = 1400,
		.rx_window_packets = 256,
		.rx_credit_msgs = 256,
		.tx_window_packets = 256,
		.tx_msgs = 256,
		.msg_size_max = 65536,
		.max_ack_delay_ns = 20 * US,
		.tlp_min_ns = 40 * US,
		.rto_min_ns = 200 * US,
		.rto_max_ns = 2000 * MS,
		.keepalive_ns = 100 * MS,
		.dead_timeout_ns = 3000 * MS,
		.linger_ns = 200 * MS,
		.probe_max_ns = 100 * MS,
		.connect_timeout_ns = 3000 * MS,
		.handshake_retry_ns = 3 * MS,
		.handshake_retry_max_ns = 200 * MS,
		.accept_tries = 24, /* CONN_HALF_OPEN_MAX_NS is sooner */
	};
}

static bool
in_range(uint32_t value, uint32_t least, uint32_t most)
{
	return value >= least && value <= most;
}

static bool
is_power_of_two(uint32_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

int
weir_conn_config_check(const struct conn_config *c)
{
	if (c->token == 0 || c->modes == 0 || (unsigned int)c->cc >= CC_KINDS)
		return -EINVAL;
	if (!in_range(c->frag_size, CONN_FRAG_MIN, CONN_FRAG_MAX) ||
	    !in_range(c->rx_window_packets, 1, WIRE_WINDOW_MAX) ||
	    !in_range(c->rx_credit_msgs, 1, WIRE_CREDIT_MAX) ||
	    !in_range(c->tx_window_packets, 64, WIRE_WINDOW_MAX) ||
	    !in_range(c->tx_msgs, 1, WIRE_WINDOW_MAX))
		return -EINVAL;
	if (!is_power_of_two(c->tx_window_packets) ||
	    !is_power_of_two(c->tx_msgs))
		return -EINVAL;
	if (c->max_ack_delay_ns > PEER_ACK_DELAY_MAX_NS || c->rto_min_ns == 0 ||
	    c->rto_max_ns < c->rto_min_ns || c->handshake_retry_ns == 0 ||
	    c->accept_tries == 0)
		return -EINVAL;
	if (c->hello_len != 0 && !in_range(c->hello_len, WIRE_INIT_LEN,
					   WIRE_FULL_HDR_LEN + CONN_FRAG_MAX))
		return -EINVAL;
	return 0;
}

static size_t
round_up(size_t size)
{
	return (size + CONN_ALIGN - 1) & ~(size_t)(CONN_ALIGN - 1);
}

size_t
weir_conn_size(const struct conn_config *config)
{
	return round_up(sizeof(struct weir_conn)) +
	       round_up(weir_arq_tx_size(config->tx_window_packets,
					 config->tx_msgs)) +
	       round_up(weir_arq_rx_size(config->rx_window_packets));
}

struct weir_conn *
weir_conn_init(void *mem, const struct conn_config *config)
{
	struct weir_conn *conn = mem;
	uint8_t *at = mem;

	memset(conn, 0, sizeof(*conn));
	conn->config = *config;
	conn->patience_ns = config->tlp_min_ns;
	conn->base_flags = WIRE_F_ACKV;
	conn_set_state(conn, CONN_IDLE);
	conn_end_burst(conn);
	conn_end_stream(conn);
	at += round_up(sizeof(struct weir_conn));
	weir_arq_tx_init(&conn->tx, at, config->isn, config->tx_window_packets,
			 config->tx_msgs);
	at += round_up(
		weir_arq_tx_size(config->tx_window_packets, config->tx_msgs));
	/* The receive window starts with the peer's first number. */
	conn->rx_mem = at;
	timers_init(&conn->timers);
	return conn;
}

/* --- what both sides say ---------------------------------------------- */

void
weir_conn_own_params(const struct weir_conn *conn, struct wire_params *out)
{
	const struct conn_config *config = &conn->config;
	bool server = conn->state == CONN_ACCEPT_SENT;

	*out = (struct wire_params){
		.token = config->token,
		.features = server ? conn->limits.features
				   : config->features_offer,
		.instance = config->instance,
		.epoch = config->epoch,
		.isn = config->isn,
		.frag_size = server ? conn->limits.frag_size : conn->hello_frag,
		.window_packets = config->rx_window_packets,
		.credit_msgs = config->rx_credit_msgs,
		.msg_size_max = config->msg_size_max,
		.max_ack_delay_ns = (uint32_t)config->max_ack_delay_ns,
		.dead_timeout_ms = (uint32_t)(config->dead_timeout_ns / MS),
		.data_port = config->data_port,
		.modes = server ? conn->limits.mode : config->modes,
		.version_min = server ? conn->limits.version : WIRE_VERSION_MIN,
		.version_max = server ? conn->limits.version : WIRE_VERSION_MAX,
	};
	memcpy(out->proof, config->proof, sizeof(out->proof));
}

/* Numbers that no honest peer sends. */
static bool
params_are_sane(const struct wire_params *params)
{
	return params->token != 0 && params->version_min != 0 &&
	       params->version_min <= params->version_max &&
	       params->modes != 0 && params->frag_size >= CONN_FRAG_MIN &&
	       in_range(params->window_packets, 1, WIRE_WINDOW_MAX) &&
	       in_range(params->credit_msgs, 1, WIRE_CREDIT_MAX);
}

int
weir_conn_check_init(const struct conn_config *policy,
		     const struct wire_hdr *hdr, struct conn_init *init,
		     enum wire_error *reason)
{
	struct wire_params params;

	if (wire_hdr_type(hdr) != WIRE_INIT || hdr->token != 0 ||
	    hdr->params == NULL)
		return -EPROTO;
	weir_wire_get_params(hdr->params, &params);
	if (!params_are_sane(&params) || params.isn != hdr->seq)
		return -EPROTO;
	*reason = WIRE_E_NONE;
	if (params.version_min > WIRE_VERSION_MAX ||
	    params.version_max < WIRE_VERSION_MIN)
		*reason = WIRE_E_VERSION;
	else if ((params.modes & policy->modes) == 0)
		*reason = WIRE_E_MODE;
	else if (policy->features_require & ~params.features)
		*reason = WIRE_E_FEATURES;
	if (*reason != WIRE_E_NONE)
		return -ECONNREFUSED;
	*init = (struct conn_init){
		.params = params,
		.ts = hdr->ts,
		.len = hdr->hlen * 8u + hdr->payload_len,
		.trailer = (hdr->flags & WIRE_F_TRAILER) != 0,
	};
	return 0;
}

/* --- stateless answers ------------------------------------------------ */

bool
weir_conn_check_cookie(const struct conn_stranger *who,
		       const struct wire_hdr *hdr, struct conn_init *init)
{
	const struct cookie_owner owner = { who->addr, who->addr_len,
					    &init->params };

	if (hdr->cookie != NULL &&
	    weir_cookie_check(who->keys, &owner, who->now_s, hdr->cookie))
		init->validated = true;
	return init->validated;
}

/* Echoing token and number shows that the INIT was seen. */
static uint32_t
put_answer(enum wire_type type, uint32_t ext_len, const struct wire_hdr *init,
	   uint64_t token, uint8_t *dst)
{
	struct wire_hdr hdr = {
		.vt = (uint8_t)(WIRE_VERSION_MAX << 4 | type),
		.flags = init->flags & WIRE_F_TRAILER,
		.hlen = (uint8_t)((WIRE_HDR_LEN + ext_len) / 8),
		.token = token,
		.ack = init->seq,
		.ts_echo = init->ts,
	};

	weir_wire_encode(&hdr, dst);
	return WIRE_HDR_LEN + ext_len;
}

uint32_t
weir_conn_build_retry(const struct conn_stranger *who,
		      const struct wire_hdr *hdr, const struct conn_init *init,
		      uint8_t *dst)
{
	const struct cookie_owner owner = { who->addr, who->addr_len,
					    &init->params };

	weir_cookie_make(who->keys, &owner, who->now_s, dst + WIRE_HDR_LEN);
	return put_answer(WIRE_RETRY, COOKIE_LEN, hdr, init->params.token, dst);
}

uint32_t
weir_conn_build_reject(const struct wire_hdr *init, enum wire_error reason,
		       uint8_t *dst)
{
	struct wire_error_info error = {
		.code = reason,
		.seq = init->seq,
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
	};
	struct wire_params params;

	weir_wire_get_params(init->params, &params);
	weir_wire_put_error(&error, dst + WIRE_HDR_LEN);
	return put_answer(WIRE_REJECT, WIRE_ERROR_LEN, init, params.token, dst);
}

/* --- both: learn about the peer --------------------------------------- */

static uint16_t
lowest_bit(uint16_t bits)
{
	return bits & (uint16_t)-bits;
}

static void
agree_on_trailer(struct weir_conn *conn, uint64_t features)
{
	conn->trailer = (features & WIRE_FEATURE_CRC32C) ? WIRE_F_TRAILER : 0;
	conn->base_flags |= conn->trailer;
}

static void
adopt_peer(struct weir_conn *conn, const struct wire_params *params)
{
	const struct conn_config *config = &conn->config;
	struct conn_limits *limits = &conn->limits;

	conn->peer = *params;
	conn->peer_token = params->token;
	conn->peer_ack_delay_ns = params->max_ack_delay_ns;
	if (conn->peer_ack_delay_ns > PEER_ACK_DELAY_MAX_NS)
		conn->peer_ack_delay_ns = PEER_ACK_DELAY_MAX_NS;

	limits->features = params->features & config->features_offer;
	limits->frag_size = params->frag_size < config->frag_size
				    ? params->frag_size
				    : config->frag_size;
	limits->msg_size_max = params->msg_size_max;
	limits->peer_port = params->data_port;
	limits->mode = lowest_bit(params->modes & config->modes);
	limits->version = params->version_max < WIRE_VERSION_MAX
				  ? params->version_max
				  : WIRE_VERSION_MAX;

	weir_arq_rx_init(&conn->rx, conn->rx_mem, params->isn,
			 config->rx_window_packets, config->rx_credit_msgs);
	/* A client may have offered less in between, and be answered late. */
	weir_arq_rx_limits(&conn->rx,
			   conn->state == CONN_INIT_SENT ? config->frag_size
							 : limits->frag_size,
			   config->msg_size_max);
	weir_arq_tx_limits(&conn->tx, limits->frag_size,
			   limits->features & WIRE_FEATURE_BATCH);
	agree_on_trailer(conn, limits->features);
	weir_conn_cc_start(conn);
	conn->rx.stopped = conn->stop_flag != 0;
}

void
weir_conn_opened(struct weir_conn *conn, uint64_t now_ns)
{
	conn_set_state(conn, CONN_OPEN);
	conn->due &= ~(uint32_t)DUE_HELLO;
	conn->tx.limit = conn->tx.una + conn->peer.window_packets;
	conn->peer_credit = conn->peer.credit_msgs;
	conn->last_rx_ns = now_ns;
	conn->ack_ns = now_ns;
	conn->alive_ns = now_ns;
	timers_init(&conn->timers);
	timer_set(&conn->timers, TIMER_ALIVE, now_ns);
	/* The Rx half went away while we were connecting. */
	if (conn->stop_flag != 0)
		conn->due |= DUE_PING;
}

/* --- client ----------------------------------------------------------- */

void
weir_conn_connect(struct weir_conn *conn, uint64_t now_ns)
{
	const struct conn_config *config = &conn->config;

	conn_set_state(conn, CONN_INIT_SENT);
	conn->due = DUE_HELLO;
	conn->hello_len = WIRE_INIT_LEN;
	conn->hello_frag = config->frag_size;
	if (config->features_offer & WIRE_FEATURE_CRC32C)
		conn->hello_flags = WIRE_F_TRAILER;
	conn->now_ns = now_ns;
	timer_set(&conn->timers, TIMER_GIVEUP,
		  now_ns + config->connect_timeout_ns);
}

/*
 * The size of the next INIT. Two in full size; without an answer a smaller one
 * every other time, since the peer may just have been away.
 */
static void
size_init(struct weir_conn *conn)
{
	const struct conn_config *config = &conn->config;
	bool smaller = conn->silent >= CONN_SILENT_INITS &&
		       (conn->silent - CONN_SILENT_INITS) % 2 == 0;

	conn->hello_len = WIRE_INIT_LEN;
	conn->hello_frag = config->frag_size;
	if (config->hello_len <= WIRE_INIT_LEN)
		return;
	conn->hello_len = config->hello_len;
	if (smaller) {
		uint32_t frag;

		conn->hello_len = config->hello_len > CONN_SAFE_LEN
					  ? CONN_SAFE_LEN
					  : WIRE_INIT_LEN;
		frag = conn->hello_len - WIRE_FULL_HDR_LEN;
		if (frag < conn->hello_frag)
			conn->hello_frag = frag;
	}
}

/* Did the server choose from what we offered? */
static enum wire_error
check_choice(const struct conn_config *config, const struct wire_params *params)
{
	if (!params_are_sane(params) || params->frag_size > config->frag_size)
		return WIRE_E_PARAMS;
	if (params->version_min != params->version_max ||
	    params->version_max > WIRE_VERSION_MAX ||
	    params->version_min < WIRE_VERSION_MIN)
		return WIRE_E_VERSION;
	if (params->modes != lowest_bit(params->modes) ||
	    (params->modes & ~config->modes) != 0)
		return WIRE_E_MODE;
	if ((params->features & ~config->features_offer) != 0 ||
	    (config->features_require & ~params->features) != 0)
		return WIRE_E_FEATURES;
	return WIRE_E_NONE;
}

static void
on_accept(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	struct wire_params params;
	enum wire_error wrong;

	if (hdr->params == NULL || !(hdr->flags & WIRE_F_ACKV) ||
	    hdr->ack != conn->config.isn) {
		conn->stats.drops[CONN_DROP_PARAMS]++;
		return;
	}
	weir_wire_get_params(hdr->params, &params);
	wrong = check_choice(&conn->config, &params);
	if (params.isn != hdr->seq)
		wrong = WIRE_E_PARAMS;
	conn->peer_token = params.token;
	if (wrong != WIRE_E_NONE) {
		agree_on_trailer(conn,
				 params.features & conn->config.features_offer);
		conn->stats.drops[CONN_DROP_PARAMS]++;
		weir_conn_fail(conn,
			       wrong == WIRE_E_PARAMS ? -EPROTO
						      : -EPROTONOSUPPORT,
			       wrong, true, now_ns);
		return;
	}
	adopt_peer(conn, &params);
	weir_conn_opened(conn, now_ns);
	conn->echo_ts = hdr->ts;
	conn->ack_ts = hdr->ts;
	conn->echo_seen = hdr->ts_echo - 1;
	weir_conn_note_arrival(conn, hdr, now_ns);
	weir_conn_apply_ack(conn, hdr, now_ns);
	/* The server becomes OPEN by hearing from us. */
	conn->due |= DUE_ACK;
}

static void
on_retry(struct weir_conn *conn, const struct wire_hdr *hdr)
{
	/* One that answers an INIT from before the newest cookie is late. */
	if (hdr->cookie == NULL || hdr->ack != conn->config.isn ||
	    conn->retries >= CONN_RETRIES ||
	    (conn->retries != 0 && seq_before(hdr->ts_echo, conn->retry_ts))) {
		conn->stats.drops[CONN_DROP_RETRY]++;
		return;
	}
	conn->retries++;
	conn->retry_ts = conn_ts(conn->now_ns);
	conn->silent = 0;
	memcpy(conn->cookie, hdr->cookie, hdr->cookie[1] * 8u);
	conn->due |= DUE_HELLO;
}

static void
on_reject(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	struct wire_error_info error;

	if (hdr->error == NULL || hdr->ack != conn->config.isn) {
		conn->stats.drops[CONN_DROP_PARAMS]++;
		return;
	}
	weir_wire_get_error(hdr->error, &error);
	conn->error_code = error.code;
	switch (error.code) {
	case WIRE_E_NO_LISTENER:
	case WIRE_E_BUSY:
		/* It may come yet: go on until connect_timeout. */
		conn->silent = 0;
		break;
	case WIRE_E_VERSION:
	case WIRE_E_FEATURES:
	case WIRE_E_MODE:
		weir_conn_fail(conn, -EPROTONOSUPPORT,
			       (enum wire_error)error.code, false, now_ns);
		break;
	default:
		weir_conn_fail(conn, -ECONNREFUSED, (enum wire_error)error.code,
			       false, now_ns);
		break;
	}
}

/* --- server ----------------------------------------------------------- */

/* As long as the INIT, so that its sender sees whether that gets through. */
static void
size_accept(struct weir_conn *conn, uint32_t init_len)
{
	uint32_t most = WIRE_FULL_HDR_LEN + conn->config.frag_size;

	if (most < WIRE_INIT_LEN)
		most = WIRE_INIT_LEN;
	conn->hello_len = (init_len < most ? init_len : most) & ~7u;
}

/* The INIT again: shorter perhaps, since longer ones do not get through. */
static void
on_same_init(struct weir_conn *conn, const struct wire_hdr *hdr,
	     uint64_t now_ns)
{
	struct wire_params params = { 0 };

	if (hdr->params != NULL)
		weir_wire_get_params(hdr->params, &params);
	if (params.token != conn->peer_token || params.isn != conn->peer.isn ||
	    params.frag_size < CONN_FRAG_MIN) {
		conn->stats.drops[CONN_DROP_STATE]++;
		return;
	}
	if (params.frag_size < conn->limits.frag_size) {
		conn->limits.frag_size = params.frag_size;
		conn->tx.frag_size = params.frag_size;
	}
	size_accept(conn, hdr->hlen * 8u + hdr->payload_len);
	conn->stats.drops[CONN_DROP_DUPLICATE]++;
	if (!seq_before(hdr->ts, conn->echo_ts)) {
		conn->echo_ts = hdr->ts;
		conn->echo_ns = now_ns;
	}
	conn->due |= DUE_HELLO;
}

void
weir_conn_accept(struct weir_conn *conn, const struct conn_init *init,
		 uint64_t now_ns)
{
	adopt_peer(conn, &init->params);
	conn_set_state(conn, CONN_ACCEPT_SENT);
	conn->due = DUE_HELLO;
	conn->validated = init->validated;
	conn->hello_flags = init->trailer ? WIRE_F_TRAILER : 0;
	size_accept(conn, init->len);
	timer_set(&conn->timers, TIMER_GIVEUP, now_ns + CONN_HALF_OPEN_MAX_NS);
	conn->now_ns = now_ns;
	conn->echo_ts = init->ts;
	conn->echo_ns = now_ns;
	conn->ack_ts = init->ts;
	conn->echo_seen = conn_ts(now_ns) - 1;
	conn->last_rx_ns = now_ns;
}

bool
weir_conn_is_same_init(const struct weir_conn *conn,
		       const struct conn_init *init)
{
	return conn->peer_token == init->params.token &&
	       conn->peer.isn == init->params.isn &&
	       conn->peer.instance == init->params.instance;
}

bool
weir_conn_is_superseded(const struct weir_conn *conn,
			const struct conn_init *init)
{
	return conn->peer_token != init->params.token &&
	       conn->peer.instance == init->params.instance &&
	       init->params.epoch > conn->peer.epoch;
}

/* --- both ------------------------------------------------------------- */

void
weir_conn_hello_packet(struct weir_conn *conn, const struct wire_hdr *hdr,
		       uint64_t now_ns)
{
	uint8_t type = wire_hdr_type(hdr);

	conn->now_ns = now_ns;
	if (conn->state == CONN_ACCEPT_SENT && type == WIRE_INIT) {
		on_same_init(conn, hdr, now_ns);
	} else if (type == WIRE_RETRY) {
		on_retry(conn, hdr);
	} else if (type == WIRE_ACCEPT) {
		on_accept(conn, hdr, now_ns);
	} else if (type == WIRE_REJECT) {
		on_reject(conn, hdr, now_ns);
	} else {
		conn->stats.drops[CONN_DROP_STATE]++;
	}
}

static void
arm_hello(struct weir_conn *conn, uint64_t now_ns)
{
	timer_set(&conn->timers, TIMER_HELLO,
		  now_ns + rtt_backoff(conn->config.handshake_retry_ns,
				       conn->tries,
				       conn->config.handshake_retry_max_ns));
}

int
weir_conn_next_hello(struct weir_conn *conn, uint64_t now_ns,
		     struct conn_tx_packet *out)
{
	bool server = conn->state == CONN_ACCEPT_SENT;
	uint64_t held = (now_ns - conn->echo_ns) >> WIRE_TIME_SHIFT;

	memset(out, 0, sizeof(*out));
	out->kind = CONN_TX_CONTROL;
	out->type = server ? WIRE_ACCEPT : WIRE_INIT;
	out->flags = conn->hello_flags | (server ? WIRE_F_ACKV : 0);
	out->seq = conn->config.isn;
	out->ts = conn_ts(now_ns);
	if (!server)
		size_init(conn);
	out->hdr_len = conn->hello_len;
	conn->ack_delay = held < CONN_ACK_DELAY_MAX ? (uint16_t)held
						    : CONN_ACK_DELAY_MAX;
	if (!server)
		conn->ack_delay = 0;
	conn->due &= ~(uint32_t)DUE_HELLO;
	arm_hello(conn, now_ns);
	conn->stats.handshake_retx += conn->silent != 0;
	conn->tries++;
	conn->silent++;
	conn->stats.tx_packets++;
	return 1;
}

void
weir_conn_hello_timer(struct weir_conn *conn, uint64_t now_ns)
{
	uint32_t tries = conn->config.accept_tries;

	timer_clear(&conn->timers, TIMER_HELLO);
	if (conn->state == CONN_ACCEPT_SENT && !conn->validated)
		tries += CONN_UNVALIDATED_TURNS;
	if (conn->state == CONN_ACCEPT_SENT && conn->tries >= tries) {
		weir_conn_fail(conn, -ETIMEDOUT, WIRE_E_NONE, false, now_ns);
	} else if (conn->state == CONN_ACCEPT_SENT && !conn->validated) {
		/* Whoever is there may not have asked for anything. */
		arm_hello(conn, now_ns);
		conn->tries++;
	} else {
		conn->due |= DUE_HELLO;
	}
}

const struct wire_params *
weir_conn_peer(const struct weir_conn *conn)
{
	return conn->peer.token != 0 ? &conn->peer : NULL;
}

void
weir_conn_limits(const struct weir_conn *conn, struct conn_limits *out)
{
	if (conn->state == CONN_OPEN || conn->state == CONN_FAILED)
		*out = conn->limits;
	else
		memset(out, 0, sizeof(*out));
}
