/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between a connection and its congestion controller (cc.h): what an
 * acknowledgement means for it, when a loss begins a new recovery, and whose
 * turn it is when packets are spaced. None of it runs for cc=fixed but the
 * counting of recoveries.
 */
#include "conn_impl.h"

/* Limits are agreed upon: the features are known. */
void
weir_conn_cc_start(struct weir_conn *conn)
{
	const struct conn_config *config = &conn->config;

	weir_cc_init(&conn->cc, config->cc, config->tx_window_packets,
		     config->cc_target_ns);
	if (!(conn->limits.features & WIRE_FEATURE_ECN))
		weir_cc_no_marks(&conn->cc);
	conn->ect = conn->cc.marking;
	conn->tx.cwnd = conn->cc.cwnd;
	conn->tx.controlled = config->cc != CC_FIXED;
}

/* How many more marks the peer counts. More than can be true: never again. */
static uint32_t
new_marks(struct weir_conn *conn, const struct wire_hdr *hdr)
{
	uint32_t marks = (uint8_t)(hdr->ce - conn->ce_seen);

	/* A count that goes back is of a packet that was overtaken. */
	if (marks > INT8_MAX)
		return 0;

	conn->ce_seen = hdr->ce;
	if (!conn->ect)
		return 0;
	conn->stats.tx_marked += marks;
	if (conn->stats.tx_marked <= conn->ect_sent)
		return marks;
	weir_cc_no_marks(&conn->cc);
	conn->ect = 0;
	return 0;
}

/* before: una + sacked, which grows by one with each arrival; flight: packets
 * in flight, both before this acknowledgement. */
void
weir_conn_cc_ack(struct weir_conn *conn, const struct wire_hdr *hdr,
		 uint64_t before, uint32_t flight, uint64_t now_ns)
{
	const struct arq_tx *tx = &conn->tx;
	struct cc_ack ack = {
		.acked = (uint32_t)(tx->una + tx->sacked - before),
		.marked = new_marks(conn, hdr),
		/* Less than half used: how it would do is not known. And what
		 * was sent before a loss says nothing of the window since. */
		.limited = 2 * flight >= tx->cwnd &&
			   tx->delivered_ns > conn->recover_ns,
		.una = tx->una,
		.nxt = tx->nxt,
		.rtt_ns = conn->rtt.last_ns,
		.srtt_ns = conn->rtt.srtt_ns,
		.min_ns = conn->rtt.min_ns,
		.now_ns = now_ns,
	};

	conn->rtt.last_ns = 0;
	weir_cc_on_ack(&conn->cc, &ack);
	conn->tx.cwnd = conn->cc.cwnd;
}

/* RFC 9002 section 7.3.2: a recovery begins with the loss of a packet that was
 * sent after the one before had begun. */
void
weir_conn_cc_losses(struct weir_conn *conn, uint64_t now_ns)
{
	struct arq_tx *tx = &conn->tx;

	if (tx->lost_newest_ns <= conn->recover_ns)
		return;
	conn->recover_ns = now_ns;
	conn->stats.recoveries++;
	weir_arq_tx_on_recovery(tx);
	if (!tx->controlled)
		return;
	weir_cc_on_loss(&conn->cc, tx->nxt, conn->rtt.srtt_ns, now_ns);
	tx->cwnd = conn->cc.cwnd;
}

void
weir_conn_cc_timeout(struct weir_conn *conn, uint64_t now_ns)
{
	conn->recover_ns = now_ns;
	if (!conn->tx.controlled)
		return;
	weir_cc_on_timeout(&conn->cc, conn->tx.nxt, conn->rto_times > 1);
	conn->tx.cwnd = conn->cc.cwnd;
}

/*
 * May a packet leave now? Who was late may catch up by a few, but not by more
 * than what a round trip is for: less than one packet banks none.
 */
bool
weir_conn_cc_turn(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t credit_ns = CC_BURST * conn->cc.gap_ns;

	if (conn->cc.gap_ns > conn->rtt.srtt_ns)
		credit_ns = 0;
	else if (credit_ns > conn->rtt.srtt_ns)
		credit_ns = conn->rtt.srtt_ns;
	if (conn->pace_ns + credit_ns < now_ns)
		conn->pace_ns = now_ns - credit_ns;
	if (conn->pace_ns > now_ns) {
		conn->stats.pace_waits++;
		timer_set(&conn->timers, TIMER_PACE, conn->pace_ns);
		return false;
	}
	conn->pace_ns += conn->cc.gap_ns;
	return true;
}
