/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of a connection, shared by conn.c (packets in and out),
 * conn_hello.c (set-up), conn_time.c (timers) and conn_end.c (ends).
 *
 *   IDLE --connect--> INIT_SENT --ACCEPT--> OPEN --both FINs--> OPEN, lingering
 *     `---accept--> ACCEPT_SENT --packet with our token--^          |
 *   any --RESET, violation, silence, abort--> FAILED ------------> over
 */
#ifndef WEIR_CONN_IMPL_H
#define WEIR_CONN_IMPL_H

#include "arq_rx.h"
#include "arq_tx.h"
#include "conn.h"
#include "rtt.h"
#include "timer.h"

/* So many packets may go unacknowledged before an ACK goes out at once. */
#define CONN_ACK_EVERY 16
/* Clocks on the wire are compared only if we heard from the peer so lately. */
#define CONN_TS_FRESH_NS UINT64_C(60000000000)
/* The least a connection lingers, in retransmission time-outs. */
#define CONN_LINGER_RTOS 3
/* Beyond it the hold time in a packet is not known. */
#define CONN_ACK_DELAY_MAX UINT16_MAX

/* What a packet in flight may hold up the answer to the last one: 1,500 bytes
 * at 25 Gbit/s. Round trips were perhaps measured with less on the way. */
#define CONN_TLP_PACKET_NS 500

/* So many RETRYs does a client obey. */
#define CONN_RETRIES 3
/* So many INITs may go without an answer before shorter ones are tried. */
#define CONN_SILENT_INITS 2
/* Any path takes packets of so many bytes; see docs/wire.md 4.4. */
#define CONN_SAFE_LEN 1200
/* So many time-outs must have struck only longer ones, or so many repeats have
 * been in vain; see docs/wire.md 7. */
#define CONN_NARROW_TRIES 3
/* Who may not repeat ACCEPT waits so many turns longer for a sign of life. */
#define CONN_UNVALIDATED_TURNS 4
/* Nobody keeps a link half open for longer, however often he asks. */
#define CONN_HALF_OPEN_MAX_NS UINT64_C(3000000000)

enum conn_state {
	CONN_IDLE,
	CONN_INIT_SENT,
	CONN_ACCEPT_SENT,
	CONN_OPEN,
	CONN_FAILED,
};

/* What weir_conn_next() has to send besides data. */
enum conn_due {
	DUE_ACK = 1,
	DUE_HELLO = 2,
	DUE_RESET = 4,
	DUE_TLP = 8,
	DUE_PING = 16,
};

struct weir_conn {
	enum conn_state state;
	uint32_t due;
	uint32_t unacked;   /* ack-eliciting packets since our last ack */
	uint8_t gate;       /* OPEN: trailer; else what no packet has */
	uint8_t trailer;    /* WIRE_F_TRAILER if CRC32C was agreed on */
	uint8_t base_flags; /* in every packet of an open link */
	uint8_t stop_flag;  /* WIRE_F_STOP once nobody reads here */
	bool peer_stopped;  /* nobody reads there */
	bool tx_done;       /* our FIN was acknowledged */
	bool lingering;
	bool over;            /* nothing will be sent any more */
	bool tlp_done;        /* one probe per episode */
	uint64_t patience_ns; /* before a probe, at least; see judge_probe() */
	uint64_t probed_ns;   /* not judged yet; or 0 */
	uint64_t peer_token;
	uint64_t peer_credit; /* messages, absolute */

	uint32_t echo_ts;   /* peer's clock in its newest packet */
	uint32_t echo_seen; /* newest echo of our clock */
	uint32_t ack_ts;    /* peer's clock in the newest ack applied */
	uint16_t ack_delay; /* for the packet being encoded */
	uint64_t echo_ns;   /* when echo_ts came */
	uint64_t ack_ns;    /* when the newest ack was applied */
	uint64_t last_rx_ns;
	uint64_t progress_ns; /* last news from an ack; or went busy */
	uint64_t rto_fired_ns;
	uint64_t narrow_ns;   /* since then time-outs strike long ones only */
	uint64_t ping_ns;     /* last PING */
	uint64_t alive_ns;    /* silence counts from here at the earliest */
	uint64_t now_ns;      /* newest time seen */
	uint32_t rto_times;   /* in a row */
	uint32_t probe_times; /* in a row */

	/* What the packets of one burst have in common, see burst_begin(). */
	uint64_t burst_ns;   /* its moment, CONN_NEVER: none */
	uint64_t burst_end;  /* number of the first packet beyond it */
	uint64_t burst_half; /* half the window is in flight before it */
	uint8_t burst_hdr[WIRE_HDR_LEN]; /* no type, flags, seq, mlo */

	/* The packet before, if one that differs from it in number and length
	 * alone has nothing else to say, see stream_begin(). */
	uint64_t stream_ns; /* when it came, CONN_NEVER: it does not help */
	uint64_t hole_ns;   /* the same, of a stream behind a hole */
	struct wire_hdr stream_hdr;

	uint64_t pace_ns;  /* the next packet may leave */
	uint64_t ce_count; /* packets received with a mark */
	bool ce_now;       /* the newest packet had one */
	uint8_t ect;       /* ours are to be marked instead of dropped */
	uint8_t ce_seen;   /* the peer's count */
	uint64_t ect_sent;
	uint64_t recover_ns; /* what was sent before is of the old recovery */

	struct arq_tx tx;
	struct arq_rx rx;
	struct cc cc;
	struct rtt rtt;
	struct timers timers;

	int error;           /* of the whole link */
	int rx_error;        /* why nobody reads here */
	int tx_error;        /* of our direction */
	uint32_t error_code; /* enum wire_error */
	uint32_t fin_code;   /* abortive FIN: its code */
	uint32_t tries;      /* INIT or ACCEPT packets sent */
	uint32_t silent;     /* client: INITs since the last answer */
	uint32_t retries;    /* client: RETRYs obeyed */
	uint32_t retry_ts;   /* client: our clock at the newest of them */
	uint32_t hello_len;  /* of the next INIT or ACCEPT, padding included */
	uint32_t hello_frag; /* client: what the next INIT offers */
	uint8_t hello_flags; /* WIRE_F_TRAILER if INIT has it */
	bool validated;      /* server: as in struct conn_init */
	uint8_t cookie[WIRE_COOKIE_MAX]; /* client; cookie[1] 0: none */
	uint32_t init_ts;                /* server: clock of the newest INIT */
	uint64_t init_ns;
	uint64_t peer_ack_delay_ns;
	struct wire_params peer;
	struct conn_limits limits;
	struct conn_config config;
	struct conn_stats stats; /* tx_packets here: without DATA */
	uint64_t retx_data;
	void *rx_mem;
};

/* The data path looks at one byte to know that all is as usual. */
static inline void
conn_set_state(struct weir_conn *conn, enum conn_state state)
{
	conn->state = state;
	conn->gate = state == CONN_OPEN ? conn->trailer : 1;
}

static inline uint32_t
conn_ts(uint64_t now_ns)
{
	return (uint32_t)(now_ns >> WIRE_TIME_SHIFT);
}

static inline uint64_t
conn_rto(const struct weir_conn *conn)
{
	return rtt_rto(&conn->rtt, conn->peer_ack_delay_ns,
		       conn->config.rto_min_ns, conn->config.rto_max_ns);
}

/* How long to wait for the n-th time before giving the same packet again. */
static inline uint64_t
conn_patience(const struct weir_conn *conn, uint32_t times, uint64_t most_ns)
{
	return rtt_backoff(conn_rto(conn), times, most_ns);
}

/*
 * The newest packet has arrived, and the repair of a hole before it is silent: no
 * later packet will tell that it was lost. The peer is awake, for he told of the
 * newest, and answers a repair at once; so a round trip is patience enough, more
 * with each try. As long as none was measured a probe has patience of its own.
 * @return when the repair is given up, or TIMER_NEVER.
 */
static inline uint64_t
conn_hole_probe_ns(const struct weir_conn *conn)
{
	const struct arq_tx *tx = &conn->tx;
	const struct tx_slot *slot = arq_tx_slot(tx, tx->una);

	if (tx->sacked == 0 || tx->lost != 0 || slot->tries == 0 ||
	    conn->rtt.srtt_ns == 0 ||
	    !bitring_test(&tx->sacked_bits, tx->nxt - 1))
		return TIMER_NEVER;
	return slot->sent_ns + rtt_backoff(rtt_pto(&conn->rtt, 0, 0),
					   slot->tries - 1u,
					   conn->config.rto_max_ns);
}

/* Something changed that the next packet depends on. */
static inline void
conn_end_burst(struct weir_conn *conn)
{
	conn->burst_ns = CONN_NEVER;
}

/* The next packet is to be looked at as if it were the first. */
static inline void
conn_end_stream(struct weir_conn *conn)
{
	conn->stream_ns = CONN_NEVER;
	conn->hole_ns = CONN_NEVER;
}

/* conn.c: what the other files need of it */
void weir_conn_note_arrival(struct weir_conn *conn, const struct wire_hdr *hdr,
			    uint64_t now_ns);
int weir_conn_apply_ack(struct weir_conn *conn, const struct wire_hdr *hdr,
			uint64_t now_ns);

/* conn_hello.c */
void weir_conn_hello_packet(struct weir_conn *conn, const struct wire_hdr *hdr,
			    uint64_t now_ns);
void weir_conn_opened(struct weir_conn *conn, uint64_t now_ns);
int weir_conn_next_hello(struct weir_conn *conn, uint64_t now_ns,
			 struct conn_tx_packet *out);
void weir_conn_own_params(const struct weir_conn *conn,
			  struct wire_params *out);
void weir_conn_hello_timer(struct weir_conn *conn, uint64_t now_ns);

/* conn_cc.c */
void weir_conn_cc_start(struct weir_conn *conn);
void weir_conn_cc_ack(struct weir_conn *conn, const struct wire_hdr *hdr,
		      uint64_t before, uint32_t flight, uint64_t now_ns);
void weir_conn_cc_losses(struct weir_conn *conn, uint64_t now_ns);
void weir_conn_cc_timeout(struct weir_conn *conn, uint64_t now_ns);
bool weir_conn_cc_turn(struct weir_conn *conn, uint64_t now_ns);

/* conn_time.c */
void weir_conn_loss_timer(struct weir_conn *conn, uint64_t now_ns);
bool weir_conn_blocked(const struct weir_conn *conn);
void weir_conn_arm_probe(struct weir_conn *conn, uint64_t now_ns);

/* conn_end.c */
void weir_conn_fail(struct weir_conn *conn, int error, enum wire_error code,
		    bool tell_peer, uint64_t now_ns);
void weir_conn_violation(struct weir_conn *conn, enum wire_error code,
			 uint64_t now_ns);
void weir_conn_on_stop(struct weir_conn *conn, uint64_t now_ns);
void weir_conn_on_reset(struct weir_conn *conn, const struct wire_hdr *hdr,
			uint64_t now_ns);
void weir_conn_check_ends(struct weir_conn *conn, uint64_t now_ns);
void weir_conn_peer_lost(struct weir_conn *conn, bool tell_peer,
			 uint64_t now_ns);

#endif
