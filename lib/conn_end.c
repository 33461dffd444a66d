/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ends: close, abort and stop of one direction, RESET of the whole link,
 * what remains to be asked afterwards.
 *
 *   our direction      close_tx: FIN            abort_tx: FIN with ERROR
 *   peer's direction   stop_rx: STOP flag in every packet, until its FIN comes
 *   both               abort, violation, silence: RESET, then FAILED
 */
#include <errno.h>
#include <string.h>
#include "conn_impl.h"

void
weir_conn_fail(struct weir_conn *conn, int error, enum wire_error code,
	       bool tell_peer, uint64_t now_ns)
{
	if (conn->state == CONN_FAILED)
		return;
	conn_end_burst(conn);
	conn_end_stream(conn);
	conn_set_state(conn, CONN_FAILED);
	conn->error = error;
	conn->error_code = code;
	conn->due = 0;
	weir_arq_tx_kill(&conn->tx);
	weir_arq_rx_fail(&conn->rx);
	timers_init(&conn->timers);
	if (tell_peer && conn->peer_token != 0) {
		conn->due = DUE_RESET;
		timer_set(&conn->timers, TIMER_LINGER,
			  now_ns + conn->config.linger_ns);
	} else {
		conn->over = true;
	}
}

void
weir_conn_violation(struct weir_conn *conn, enum wire_error code,
		    uint64_t now_ns)
{
	conn->stats.drops[CONN_DROP_VIOLATION]++;
	weir_conn_fail(conn, -EPROTO, code, true, now_ns);
}

/*
 * Both directions have all but our FIN's acknowledgement: the peer has
 * everything, said so, and has stopped lingering. Not an error.
 */
static bool
only_fin_left(const struct weir_conn *conn)
{
	return conn->rx.ended && conn->tx.fin_sent &&
	       conn->tx.una == conn->tx.fin_seq;
}

/* Silent for too long, or known to be gone. */
void
weir_conn_peer_lost(struct weir_conn *conn, bool tell_peer, uint64_t now_ns)
{
	if (conn->lingering || only_fin_left(conn)) {
		conn->tx_done = true;
		conn->over = true;
		timers_init(&conn->timers);
		conn->due = 0;
		return;
	}
	weir_conn_fail(conn, -ETIMEDOUT, WIRE_E_DEAD, tell_peer, now_ns);
}

void
weir_conn_supersede(struct weir_conn *conn, uint64_t now_ns)
{
	weir_conn_peer_lost(conn, false, now_ns);
}

bool
weir_conn_on_gone(struct weir_conn *conn, const struct wire_hdr *hdr,
		  uint64_t now_ns)
{
	uint8_t proof[WIRE_PROOF_LEN], any = 0, other = 0;

	weir_wire_get_gone(hdr, proof);
	for (int i = 0; i < WIRE_PROOF_LEN; i++) {
		any |= conn->peer.proof[i];
		other |= conn->peer.proof[i] ^ proof[i];
	}
	if (conn->state != CONN_OPEN || hdr->token != conn->peer_token ||
	    any == 0 || other != 0) {
		conn->stats.drops[CONN_DROP_GONE]++;
		return false;
	}
	weir_conn_peer_lost(conn, false, now_ns);
	return true;
}

bool
weir_conn_gone_may_answer(const struct wire_hdr *hdr, uint32_t len)
{
	switch (wire_hdr_type(hdr)) {
	case WIRE_INIT:
	case WIRE_RETRY:
	case WIRE_ACCEPT:
	case WIRE_REJECT:
	case WIRE_ACK:
	case WIRE_RESET:
	case WIRE_GONE:
		return false;
	default:
		return len > WIRE_HDR_LEN && hdr->token != 0;
	}
}

/* Both directions are over: stay a while to answer what comes late. */
void
weir_conn_check_ends(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t least_ns = CONN_LINGER_RTOS * conn_rto(conn);
	uint64_t linger_ns = conn->config.linger_ns;

	if (!conn->tx_done || !conn->rx.ended || conn->lingering)
		return;
	conn->lingering = true;
	timer_clear(&conn->timers, TIMER_ALIVE);
	timer_clear(&conn->timers, TIMER_PROBE);
	timer_set(&conn->timers, TIMER_LINGER,
		  now_ns + (linger_ns > least_ns ? linger_ns : least_ns));
}

/* The peer reads no more: what we have is for nobody. */
void
weir_conn_on_stop(struct weir_conn *conn, uint64_t now_ns)
{
	struct arq_tx *tx = &conn->tx;

	conn->peer_stopped = true;
	/* All data had arrived before: the direction ended well. */
	if (conn->tx_done || (tx->fin_sent && tx->una == tx->fin_seq))
		return;
	conn->tx_error = -ECONNRESET;
	weir_arq_tx_abandon(tx);
	if (!tx->fin_sent && conn->fin_code == 0)
		conn->fin_code = WIRE_E_STOPPED;
	tx->fin_wanted = true;
	conn->progress_ns = now_ns;
}

void
weir_conn_on_reset(struct weir_conn *conn, const struct wire_hdr *hdr,
		   uint64_t now_ns)
{
	uint64_t seq = seq_expand(conn->rx.nxt, hdr->seq);
	struct wire_error_info error = { 0 };

	if (seq + WIRE_WINDOW_MAX < conn->rx.nxt ||
	    seq > conn->rx.nxt + WIRE_WINDOW_MAX) {
		conn->stats.drops[CONN_DROP_STALE]++;
		return;
	}
	if (conn->lingering) {
		conn->due = 0;
		conn->over = true;
		timers_init(&conn->timers);
		return;
	}
	if (hdr->error != NULL)
		weir_wire_get_error(hdr->error, &error);
	weir_conn_fail(conn, -ECONNRESET, (enum wire_error)error.code, false,
		       now_ns);
}

int
weir_conn_close_tx(struct weir_conn *conn)
{
	if (conn->state == CONN_FAILED)
		return conn->error;
	if (conn->tx_error != 0)
		return conn->tx_error;
	if (conn->tx.fin_wanted)
		return -EALREADY;
	conn->tx.fin_wanted = true;
	return 0;
}

void
weir_conn_abort_tx(struct weir_conn *conn, uint64_t now_ns)
{
	if (conn->state == CONN_FAILED || conn->tx.fin_wanted)
		return;
	conn->tx.fin_wanted = true;
	conn->tx_error = -ECONNABORTED;
	conn->fin_code = WIRE_E_ABORT;
	if (conn->state == CONN_OPEN)
		timer_set(&conn->timers, TIMER_GIVEUP,
			  now_ns + conn->config.linger_ns);
}

/* Nobody reads here any more; an error that was there before stays. */
static void
stop_reading(struct weir_conn *conn)
{
	conn_end_burst(conn);
	conn_end_stream(conn);
	if (!conn->rx.stopped)
		conn->rx_error = conn->error != 0 ? conn->error : -ECONNABORTED;
	weir_arq_rx_stop(&conn->rx);
}

void
weir_conn_stop_rx(struct weir_conn *conn)
{
	if (conn->stop_flag != 0)
		return;
	conn->stop_flag = WIRE_F_STOP;
	conn->base_flags |= WIRE_F_STOP;
	stop_reading(conn);
	if (conn->state == CONN_OPEN && !conn->rx.ended)
		conn->due |= DUE_PING;
	else if (conn->state == CONN_OPEN)
		weir_conn_check_ends(conn, conn->now_ns);
}

void
weir_conn_abort(struct weir_conn *conn, enum wire_error code, uint64_t now_ns)
{
	bool polite = conn->state == CONN_OPEN && !conn->lingering;

	weir_conn_fail(conn, -ECONNABORTED, code,
		       polite || conn->state == CONN_ACCEPT_SENT, now_ns);
	stop_reading(conn);
}

void
weir_conn_discard(struct weir_conn *conn)
{
	weir_conn_fail(conn, -ECONNABORTED, WIRE_E_GOING, false, conn->now_ns);
	stop_reading(conn);
	timers_init(&conn->timers);
	conn->due = 0;
	conn->over = true;
}

/* --- questions -------------------------------------------------------- */

int
weir_conn_status(const struct weir_conn *conn)
{
	if (conn->state == CONN_FAILED)
		return conn->error;
	if (conn->state != CONN_OPEN)
		return -EINPROGRESS;
	return conn->tx_done && conn->rx.ended ? CONN_CLOSED : 0;
}

uint32_t
weir_conn_error_code(const struct weir_conn *conn)
{
	return conn->error_code;
}

int
weir_conn_tx_state(const struct weir_conn *conn)
{
	if (conn->tx_error != 0)
		return conn->tx_error;
	if (conn->tx_done)
		return CONN_TX_DONE;
	return conn->state == CONN_FAILED ? conn->error : 0;
}

bool
weir_conn_finished(const struct weir_conn *conn)
{
	const struct arq_tx *tx = &conn->tx;

	return conn->over && tx->popped == tx->pushed && conn->rx.parked == 0 &&
	       arq_rx_peek(&conn->rx) == NULL &&
	       conn->rx.head >= conn->rx.read_end;
}

const char *
weir_conn_drop_name(enum conn_drop reason)
{
	static const char *const names[CONN_DROPS] = {
		[CONN_DROP_TOKEN] = "token",
		[CONN_DROP_STATE] = "state",
		[CONN_DROP_DUPLICATE] = "duplicate",
		[CONN_DROP_STOPPED] = "stopped",
		[CONN_DROP_STALE] = "stale",
		[CONN_DROP_PARAMS] = "params",
		[CONN_DROP_VIOLATION] = "violation",
		[CONN_DROP_RETRY] = "retry",
		[CONN_DROP_GONE] = "gone",
		[CONN_DROP_CRC_MISSING] = "crc_missing",
		[CONN_DROP_FLAGS] = "flags",
	};

	return (unsigned int)reason < CONN_DROPS ? names[reason] : "unknown";
}

void
weir_conn_stats(const struct weir_conn *conn, struct conn_stats *out)
{
	*out = conn->stats;
	/* What the windows know anyway is not counted per packet. */
	out->tx_data =
		conn->tx.nxt - seq_first(conn->config.isn) - conn->tx.fin_sent;
	out->tx_packets += out->tx_data + conn->retx_data;
	out->rx_data = (conn->rx.ended ? conn->rx.data_end : conn->rx.nxt) -
		       conn->rx.first;
	out->tx_msgs = conn->tx.pushed;
	out->tx_msgs_acked = conn->tx.popped;
	out->rx_msgs = conn->rx.msgs;
	out->rx_bytes = conn->rx.bytes;
	out->tx_batches = conn->tx.batches;
	out->tx_batched = conn->tx.batched;
	out->rx_batches = conn->rx.batches;
	out->rx_batched = conn->rx.batched;
	out->rx_reordered = conn->rx.reordered;
	out->lost_sack = conn->tx.lost_sack;
	out->lost_time = conn->tx.lost_time;
	out->lost_rto = conn->tx.lost_rto;
	out->reorder_seen = conn->tx.reordered;
	out->spurious = conn->tx.spurious;
	out->srtt_ns = conn->rtt.srtt_ns;
	out->rttvar_ns = conn->rtt.rttvar_ns;
	out->min_rtt_ns = conn->rtt.min_ns;
	out->rto_ns = conn_rto(conn);
	out->cwnd = conn->tx.cwnd;
	out->rx_marked = conn->ce_count;
	out->gap_ns = conn->cc.gap_ns;
}

void
weir_conn_gauge(const struct weir_conn *conn, struct conn_gauge *out)
{
	const struct arq_tx *tx = &conn->tx;
	const struct arq_rx *rx = &conn->rx;
	uint64_t read_end = rx->ended ? rx->fin_seq : rx->nxt;

	*out = (struct conn_gauge){
		.tx_pushed = tx->pushed,
		.tx_popped = tx->popped,
		.tx_credit = conn->peer_credit,
		.snd_una = tx->una,
		.snd_nxt = tx->nxt,
		.snd_limit = tx->limit,
		.in_flight = arq_tx_in_flight(tx),
		.sacked = tx->sacked,
		.lost = tx->lost,
		.rcv_nxt = rx->nxt,
		.rcv_limit = rx->window.told,
		.rcv_room = rx->window.allowed,
		.rx_credit = rx->credit.told,
		.rx_credit_room = rx->credit.allowed,
		.rx_started = rx->started,
		.rx_queued = rx->head < read_end
				     ? (uint32_t)(read_end - rx->head)
				     : 0,
		.rx_parked = rx->parked,
		.rx_held = rx->held,
	};
}
