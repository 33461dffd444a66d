/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens when nothing happens: delayed acknowledgements, tail-loss
 * probes, retransmission, zero-window probes, keepalive, dead peers, linger.
 *
 * The data path never moves a deadline back; each timer asks the state, when
 * it fires, whether its time has really come, and else sets itself again.
 */
#include <errno.h>
#include "conn_impl.h"
#include "seq.h"

uint64_t
weir_conn_deadline(const struct weir_conn *conn)
{
	return conn->timers.wake;
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- loss ------------------------------------------------------------- */

/* @return when to look at a silent repair again, see conn_hole_probe_ns(). */
static uint64_t
hole_probe(struct weir_conn *conn, uint64_t at_ns, uint64_t now_ns)
{
	if (at_ns > now_ns)
		return at_ns;
	conn->due |= DUE_TLP;
	return now_ns + rtt_pto(&conn->rtt, 0, 0);
}

/* @return when the tail-loss probe is due, or never. */
static uint64_t
tail_probe(struct weir_conn *conn, uint64_t now_ns)
{
	const struct arq_tx *tx = &conn->tx;
	uint64_t hole_ns = conn_hole_probe_ns(conn);
	uint64_t base_ns =
		later(conn->progress_ns, arq_tx_slot(tx, tx->nxt - 1)->sent_ns);
	uint64_t at_ns = base_ns +
			 rtt_pto(&conn->rtt, conn->peer_ack_delay_ns,
				 conn->patience_ns) +
			 arq_tx_in_flight(tx) * CONN_TLP_PACKET_NS;

	if (hole_ns != TIMER_NEVER)
		return hole_probe(conn, hole_ns, now_ns);
	if (conn->tlp_done || tx->lost != 0)
		return TIMER_NEVER;
	if (at_ns > now_ns)
		return at_ns;
	conn->tlp_done = true;
	conn->due |= DUE_TLP;
	return TIMER_NEVER;
}

/*
 * Has the path become narrower than it was at set-up? Time-outs strike packets
 * that are too long for it, and nothing else: what is short is answered. We
 * ask, to be sure, and give the path the time that a peer has to say something.
 */
static void
look_for_narrow_path(struct weir_conn *conn, uint32_t shortest, uint64_t now_ns)
{
	uint64_t most_ns = conn->config.dead_timeout_ns;

	if (shortest == UINT32_MAX)
		return;
	if (shortest + WIRE_HDR_LEN <= CONN_SAFE_LEN) {
		conn->narrow_ns = 0;
		return;
	}
	if (conn->rto_times == 1 || conn->narrow_ns == 0) {
		conn->narrow_ns = now_ns;
		return;
	}
	conn->due |= DUE_PING;
	if (most_ns == 0 || conn->rto_times < CONN_NARROW_TRIES ||
	    now_ns - later(conn->narrow_ns, conn->alive_ns) < most_ns)
		return;
	/* A long packet that arrived would have been acknowledged. */
	if (seq_before(conn_ts(conn->narrow_ns), conn->echo_seen))
		weir_conn_fail(conn, -ETIMEDOUT, WIRE_E_NARROW, true, now_ns);
}

/*
 * The same without a time-out: each time that something short is answered, what
 * was sent before it is lost by the rule of time, and goes out again before a
 * time-out is due. Our own pauses do not count.
 */
static void
look_for_vanishing(struct weir_conn *conn, const struct tx_slot *oldest,
		   uint64_t now_ns)
{
	uint64_t most_ns = conn->config.dead_timeout_ns;
	uint64_t since_ns = later(conn->progress_ns, conn->alive_ns);

	if (most_ns == 0 || oldest->len + WIRE_HDR_LEN <= CONN_SAFE_LEN ||
	    now_ns - since_ns < most_ns)
		return;
	if (seq_before(conn_ts(since_ns), conn->echo_seen))
		weir_conn_fail(conn, -ETIMEDOUT, WIRE_E_NARROW, true, now_ns);
}

/* @return when the retransmission timer is due next. */
static uint64_t
retransmission(struct weir_conn *conn, uint64_t now_ns)
{
	struct arq_tx *tx = &conn->tx;
	const struct tx_slot *oldest = arq_tx_slot(tx, tx->una);
	uint64_t base_ns = later(conn->progress_ns, conn->rto_fired_ns);
	uint64_t rto_ns =
		conn_patience(conn, conn->rto_times, conn->config.rto_max_ns);

	if (__builtin_expect(oldest->tries >= CONN_NARROW_TRIES, 0))
		look_for_vanishing(conn, oldest, now_ns);
	base_ns = later(base_ns, oldest->sent_ns);
	if (base_ns + rto_ns > now_ns)
		return base_ns + rto_ns;
	conn->rto_fired_ns = now_ns;
	conn->rto_times++;
	conn->stats.rto++;
	look_for_narrow_path(conn, weir_arq_tx_on_rto(tx, now_ns, rto_ns),
			     now_ns);
	weir_conn_cc_timeout(conn, now_ns);
	return now_ns +
	       conn_patience(conn, conn->rto_times, conn->config.rto_max_ns);
}

void
weir_conn_loss_timer(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t at_ns;

	if (conn->tx.una == conn->tx.nxt) {
		timer_clear(&conn->timers, TIMER_LOSS);
		weir_conn_arm_probe(conn, now_ns);
		return;
	}
	at_ns = weir_arq_tx_detect(&conn->tx, &conn->rtt, now_ns);
	weir_conn_cc_losses(conn, now_ns);
	at_ns = sooner(at_ns, tail_probe(conn, now_ns));
	at_ns = sooner(at_ns, retransmission(conn, now_ns));
	if (conn->state == CONN_OPEN)
		timer_set(&conn->timers, TIMER_LOSS, at_ns);
}

/* --- zero window, STOP ------------------------------------------------ */

/* Nothing is in flight, and only the peer can say when we may go on. */
bool
weir_conn_blocked(const struct weir_conn *conn)
{
	const struct arq_tx *tx = &conn->tx;

	if (tx->una != tx->nxt || tx->fin_sent || conn->tx_error != 0)
		return false;
	if (arq_tx_has_unsent(tx))
		return tx->nxt >= tx->limit;
	return !tx->fin_wanted && tx->pushed >= conn->peer_credit;
}

/* Our STOP is not known to have arrived before the peer ends. */
static bool
stop_pending(const struct weir_conn *conn)
{
	return conn->stop_flag != 0 && !conn->rx.ended;
}

void
weir_conn_arm_probe(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t base_ns;

	(void)now_ns;
	if (!stop_pending(conn) && !weir_conn_blocked(conn)) {
		conn->probe_times = 0;
		timer_clear(&conn->timers, TIMER_PROBE);
		return;
	}
	base_ns = later(conn->ack_ns, conn->ping_ns);
	timer_set(&conn->timers, TIMER_PROBE,
		  base_ns + conn_patience(conn, conn->probe_times,
					  conn->config.probe_max_ns));
}

static void
probe_timer(struct weir_conn *conn, uint64_t now_ns)
{
	weir_conn_arm_probe(conn, now_ns);
	if (!timer_due(&conn->timers, TIMER_PROBE, now_ns))
		return;
	timer_clear(&conn->timers, TIMER_PROBE);
	conn->probe_times++;
	conn->stats.probes++;
	/* Sending it sets the timer again. */
	conn->due |= DUE_PING;
}

/* --- keepalive, death, pauses ----------------------------------------- */

static void
alive_timer(struct weir_conn *conn, uint64_t now_ns)
{
	const struct conn_config *config = &conn->config;
	uint64_t heard_ns = later(conn->last_rx_ns, conn->alive_ns);
	uint64_t at_ns = TIMER_NEVER;

	timer_clear(&conn->timers, TIMER_ALIVE);
	if (config->keepalive_ns != 0) {
		uint64_t ping_ns =
			later(heard_ns, conn->ping_ns) + config->keepalive_ns;

		if (ping_ns <= now_ns) {
			conn->due |= DUE_PING;
			conn->stats.keepalives++;
			ping_ns = now_ns + config->keepalive_ns;
		}
		at_ns = ping_ns;
	}
	if (config->dead_timeout_ns != 0) {
		uint64_t dead_ns = heard_ns + config->dead_timeout_ns;
		bool asked = config->keepalive_ns != 0 ||
			     conn->tx.una != conn->tx.nxt;

		/* Who was not asked is not late with the answer. */
		if (!asked)
			dead_ns = later(dead_ns,
					now_ns + config->dead_timeout_ns);
		else if (config->keepalive_ns == 0)
			dead_ns =
				later(dead_ns, conn->progress_ns +
						       config->dead_timeout_ns);
		if (dead_ns <= now_ns) {
			weir_conn_peer_lost(conn, true, now_ns);
			return;
		}
		at_ns = sooner(at_ns, dead_ns);
	}
	if (at_ns != TIMER_NEVER)
		timer_set(&conn->timers, TIMER_ALIVE, at_ns);
}

/*
 * We were not polled for long: suspended, or starved. The peer's packets may
 * still be on their way to us, so its silence begins now.
 */
static void
look_for_pause(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t most_ns = conn->config.keepalive_ns / 2;

	if (most_ns == 0)
		most_ns = conn->config.dead_timeout_ns / 2;
	if (most_ns == 0 || now_ns - conn->timers.wake <= most_ns)
		return;
	conn->stats.pauses++;
	/* Once per silence: who is polled rarely must miss a dead peer too.
	 * And no other timer waits for it, or nothing would be repaired. */
	if (conn->alive_ns <= conn->last_rx_ns)
		conn->alive_ns = now_ns;
}

/* --- all -------------------------------------------------------------- */

static void
giveup_timer(struct weir_conn *conn, uint64_t now_ns)
{
	timer_clear(&conn->timers, TIMER_GIVEUP);
	if (conn->state == CONN_ACCEPT_SENT)
		weir_conn_fail(conn, -ETIMEDOUT, WIRE_E_NONE, false, now_ns);
	else if (conn->state == CONN_INIT_SENT)
		weir_conn_fail(
			conn,
			conn->error_code != 0 ? -ECONNREFUSED : -ETIMEDOUT,
			(enum wire_error)conn->error_code, false, now_ns);
	else if (arq_tx_has_unsent(&conn->tx))
		weir_arq_tx_give_up(&conn->tx);
}

static void
open_timers(struct weir_conn *conn, uint64_t now_ns)
{
	struct timers *timers = &conn->timers;

	if (timer_due(timers, TIMER_ACK, now_ns)) {
		timer_clear(timers, TIMER_ACK);
		conn->due |= DUE_ACK;
	}
	if (timer_due(timers, TIMER_PACE, now_ns))
		timer_clear(timers, TIMER_PACE);
	if (timer_due(timers, TIMER_LOSS, now_ns))
		weir_conn_loss_timer(conn, now_ns);
	if (timer_due(timers, TIMER_PROBE, now_ns))
		probe_timer(conn, now_ns);
	if (timer_due(timers, TIMER_ALIVE, now_ns))
		alive_timer(conn, now_ns);
}

void
weir_conn_on_time(struct weir_conn *conn, uint64_t now_ns)
{
	struct timers *timers = &conn->timers;

	if (now_ns < timers->wake)
		return;
	conn_end_burst(conn);
	conn->now_ns = now_ns;
	look_for_pause(conn, now_ns);
	if (timer_due(timers, TIMER_HELLO, now_ns))
		weir_conn_hello_timer(conn, now_ns);
	if (timer_due(timers, TIMER_GIVEUP, now_ns))
		giveup_timer(conn, now_ns);
	if (conn->state == CONN_OPEN)
		open_timers(conn, now_ns);
	if (timer_due(timers, TIMER_LINGER, now_ns)) {
		timers_init(timers);
		conn->due = 0;
		conn->over = true;
	}
	timers_settle(timers);
}
