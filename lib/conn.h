/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection: the whole wire protocol as a pure state machine. It has no
 * clock, memory, random number or device of its own: time comes as an argument,
 * memory from the caller, packets go in by weir_conn_on_packet() and are pulled
 * out by weir_conn_next(). The simulator and the dpdk driver run the same code.
 *
 *      push(ref) ----> send queue --> send window --+
 *      pop_acked() <------- acked messages          |   weir_conn_next()
 *                                                   +--> header + payload
 *      rx_peek/rx_consume <- in order <- reorder <--+--- weir_conn_on_packet()
 *      rx_release(packets, msgs) --> window, credit |
 *      pop_dropped_rx() <-- refs nobody will read   |
 *      deadline() / on_time() <--- timers ----------+
 *
 * A `ref` is whatever the caller uses to find a buffer (an mbuf). Each ref
 * that goes in comes out exactly once:
 *   push                 -> weir_conn_pop_acked
 *   on_packet returned 1 -> weir_conn_rx_consume (after rx_peek showed it)
 *                           or weir_conn_pop_dropped_rx
 *
 * How a driver uses it, per poll:
 *   for each packet of the burst: decode, find the link, weir_conn_on_packet
 *   if (weir_conn_deadline(c) <= now) weir_conn_on_time(c, now)
 *   rx_peek / rx_consume into the receive half; rx_release what came back
 *   push what was committed
 *   while (room && weir_conn_next(c, now, &out)) encode, send; the rest of a
 *     burst by weir_conn_burst()
 *   pop_acked, and after an error or stop_rx pop_dropped_rx, until NULL
 *
 * Not thread-safe: one thread (the port's owner) per connection at a time.
 * `now_ns` is monotonic and never goes back between calls.
 */
#ifndef WEIR_CONN_H
#define WEIR_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cc.h"
#include "cookie.h"
#include "wire.h"

struct weir_conn;

#define CONN_NEVER    UINT64_MAX /* a deadline that is not there */
#define CONN_FRAG_MIN 64
#define CONN_FRAG_MAX 65000
#define CONN_ALIGN    64 /* alignment of the memory given to init */

/*
 * Everything a connection is told at birth. Start from
 * weir_conn_config_init(), then set identity and sizes.
 */
struct conn_config {
	/* Identity; all random parts come from outside. */
	uint64_t token;    /* 48 random bits << 16 | index in caller's table */
	uint64_t instance; /* same over restarts of this endpoint, or random */
	uint64_t epoch;    /* grows with each restart */
	uint32_t isn;      /* 32 random bits */

	/* Negotiation. */
	uint16_t modes;            /* offered; WIRE_MODE_BARE */
	uint16_t data_port;        /* where the peer shall send; 0: same */
	uint64_t features_offer;   /* bits both sides want are chosen */
	uint64_t features_require; /* refused when the peer lacks one */
	uint32_t hello_len;        /* client: pad INIT to it, see docs/wire.md
				    * 4.4; 0: no more than necessary */

	/* What GONE from us will carry (weir_cookie_proof); zeros: none. */
	uint8_t proof[WIRE_PROOF_LEN];

	/* Sizes. */
	uint32_t frag_size;         /* payload bytes per packet, 64..65000 */
	uint32_t rx_window_packets; /* packets we can hold, 1..32768 */
	uint32_t rx_credit_msgs;    /* messages we can hold, 1..32767 */
	uint32_t tx_window_packets; /* in flight, power of two 64..32768 */
	uint32_t tx_msgs;           /* send queue, power of two 1..32768 */
	uint32_t msg_size_max;      /* largest message we accept */

	/* Congestion control of our direction, see cc.h. */
	enum cc_kind cc;
	uint64_t cc_target_ns; /* swift */

	/* Times, in nanoseconds. */
	uint64_t max_ack_delay_ns; /* how long an ack may wait */
	uint64_t tlp_min_ns;       /* floor of the tail-loss probe */
	bool tlp_learns; /* less where probes find losses; at most tlp_min_ns */
	uint64_t rto_min_ns;             /* floor of the retransmission timer */
	uint64_t rto_max_ns;             /* ceiling of its back-off */
	uint64_t keepalive_ns;           /* PING after so long idle; 0: off */
	uint64_t dead_timeout_ns;        /* silent for so long: dead; 0: off */
	uint64_t linger_ns;              /* answer late packets after the end */
	uint64_t probe_max_ns;           /* ceiling of zero-window probing */
	uint64_t connect_timeout_ns;     /* client: give up after so long */
	uint64_t handshake_retry_ns;     /* first repeat of INIT or ACCEPT */
	uint64_t handshake_retry_max_ns; /* ceiling of its doubling */
	uint32_t accept_tries;           /* server: ACCEPTs before giving up */
};

/* Defaults for a polled link on one host or LAN. */
void weir_conn_config_init(struct conn_config *config);

/** @return 0, or -EINVAL when a value is out of its range. */
int weir_conn_config_check(const struct conn_config *config);

/** Bytes of memory, aligned to CONN_ALIGN, that init wants. */
size_t weir_conn_size(const struct conn_config *config);

/**
 * Build a connection in caller's memory; the config must have passed
 * weir_conn_config_check(). Needs no undoing: when weir_conn_finished() or
 * after weir_conn_discard(), and with all refs popped, just free the memory.
 */
struct weir_conn *weir_conn_init(void *mem, const struct conn_config *config);

/* --- set-up ----------------------------------------------------------- */

/**
 * Client: start. The first packet is pulled by weir_conn_next(). INIT is
 * repeated until connect_timeout_ns; then the status is -ECONNREFUSED when a
 * soft REJECT (no listener, busy) came meanwhile, else -ETIMEDOUT.
 */
void weir_conn_connect(struct weir_conn *conn, uint64_t now_ns);

/* What an INIT asks for: enough to create the server's connection. */
struct conn_init {
	struct wire_params params;
	uint32_t ts;    /* echoed, so that the client can measure */
	uint32_t len;   /* of the packet without its trailer */
	bool trailer;   /* it had one */
	bool validated; /* its sender does receive at his address: set by
			 * weir_conn_check_cookie(), or by a caller who knows;
			 * without it nothing is sent but answers */
};

/**
 * Server, without any state: look at an INIT. `policy` gives versions, modes,
 * features and sizes that the listener is ready to use (its token and isn
 * are not looked at).
 * @return 0: *init is filled, a connection may be created;
 *   -EPROTO: malformed, drop it silently;
 *   -ECONNREFUSED: answer with weir_conn_build_reject(hdr, *reason).
 */
int weir_conn_check_init(const struct conn_config *policy,
			 const struct wire_hdr *hdr, struct conn_init *init,
			 enum wire_error *reason);

/* Who an INIT comes from, and what is needed to judge his cookie. */
struct conn_stranger {
	const struct cookie_keys *keys;
	const uint8_t *addr; /* both addresses and ports */
	uint32_t addr_len;   /* at most COOKIE_ADDR_MAX */
	uint32_t now_s;
};

/**
 * Server, without any state: does this INIT, for which check_init gave 0, carry
 * a cookie of ours? Then init->validated is set.
 * @return false: answer with weir_conn_build_retry() if cookies are wanted.
 */
bool weir_conn_check_cookie(const struct conn_stranger *who,
			    const struct wire_hdr *hdr, struct conn_init *init);

#define CONN_RETRY_MAX (WIRE_HDR_LEN + COOKIE_LEN)

/**
 * Build a RETRY for an INIT, stateless. dst has CONN_RETRY_MAX bytes. As with
 * REJECT the caller appends the trailer if dst[1] says that there is one.
 * @return its length, trailer not counted.
 */
uint32_t weir_conn_build_retry(const struct conn_stranger *who,
			       const struct wire_hdr *hdr,
			       const struct conn_init *init, uint8_t *dst);

/** Server: answer `init`; ACCEPT is pulled by weir_conn_next(). */
void weir_conn_accept(struct weir_conn *conn, const struct conn_init *init,
		      uint64_t now_ns);

/**
 * Is this INIT a repetition of the one that created the connection? Then hand
 * it to weir_conn_on_packet(), which answers with the same ACCEPT.
 */
bool weir_conn_is_same_init(const struct weir_conn *conn,
			    const struct conn_init *init);

/** Is this INIT from a later life of the peer of this connection? */
bool weir_conn_is_superseded(const struct weir_conn *conn,
			     const struct conn_init *init);

/**
 * The peer of this connection is known to be gone for good: as if it had been
 * silent for the dead time, but nothing is sent any more.
 */
void weir_conn_supersede(struct weir_conn *conn, uint64_t now_ns);

/**
 * GONE has come, for the token of our peer (weir_conn_peer()->token).
 * @return true: its proof was right, and the link is over.
 */
bool weir_conn_on_gone(struct weir_conn *conn, const struct wire_hdr *hdr,
		       uint64_t now_ns);

/**
 * May this packet of `len` bytes, whose token nobody here knows, be answered
 * with GONE (weir_wire_put_gone)?
 */
bool weir_conn_gone_may_answer(const struct wire_hdr *hdr, uint32_t len);

#define CONN_REJECT_MAX 64

/**
 * Build a REJECT for an INIT, stateless. dst has CONN_REJECT_MAX bytes.
 * @return its length (always less than that of the INIT), without the trailer
 * that the caller appends if dst[1] has WIRE_F_TRAILER.
 */
uint32_t weir_conn_build_reject(const struct wire_hdr *init,
				enum wire_error reason, uint8_t *dst);

/**
 * -EINPROGRESS while not established, 0 established, CONN_CLOSED when both
 * directions ended in good order, negative when the whole link failed:
 * -ECONNREFUSED rejected, -EPROTONOSUPPORT no common version, mode or feature,
 * -ETIMEDOUT no answer, silent peer, or (error code WIRE_E_NARROW) a path that
 * lets only short packets through, -ECONNRESET reset by the peer,
 * -EPROTO the peer broke the rules, -ECONNABORTED we aborted.
 * A server's link should be shown to the application once it is 0.
 */
int weir_conn_status(const struct weir_conn *conn);
#define CONN_CLOSED 1

/** The code of the REJECT, RESET or violation behind the status, or 0. */
uint32_t weir_conn_error_code(const struct weir_conn *conn);

/** What both sides settled on; all 0 before it is established. */
struct conn_limits {
	uint64_t features;
	uint32_t frag_size;    /* payload bytes per packet, both ways */
	uint32_t msg_size_max; /* largest message the peer takes */
	uint16_t peer_port;    /* send there; 0: where ACCEPT/INIT came from */
	uint16_t mode;
	uint8_t version;
};
void weir_conn_limits(const struct weir_conn *conn, struct conn_limits *out);

/** What the peer said about itself; NULL before its hello arrived. */
const struct wire_params *weir_conn_peer(const struct weir_conn *conn);

/* --- receive ---------------------------------------------------------- */

/**
 * Hand over one decoded packet. `ref` owns the bytes behind hdr.
 * @return 1: the connection keeps ref (hdr->payload must stay valid);
 *         0: it is done with it, the caller frees ref.
 */
int weir_conn_on_packet(struct weir_conn *conn, const struct wire_hdr *hdr,
			void *ref, uint64_t now_ns);

/* A packet as it came, without ECN's mark: common header and what follows it. */
struct conn_stream_packet {
	const uint8_t *head;
	const uint8_t *payload; /* WIRE_HDR_LEN behind head */
	void *ref;
	uint32_t len; /* of the payload */
};

/** @return false: it is too short for a header. */
static inline bool
conn_stream_packet(struct conn_stream_packet *packet, const uint8_t *bytes,
		   uint32_t len, void *ref)
{
	packet->head = bytes;
	packet->payload = bytes + WIRE_HDR_LEN;
	packet->ref = ref;
	packet->len = len - WIRE_HDR_LEN;
	return len >= WIRE_HDR_LEN;
}

/**
 * The same for packets as they came: those that go on with a stream, saying
 * nothing new but their number and length, are taken without being decoded.
 * @return how many of the first were taken, their refs kept; the next one is to
 * be decoded, nothing was done with it.
 */
uint32_t weir_conn_on_stream(struct weir_conn *conn,
			     const struct conn_stream_packet *packets,
			     uint32_t count, uint64_t now_ns);

enum {
	CONN_RX_FIRST = WIRE_F_FIRST,
	CONN_RX_LAST = WIRE_F_LAST,
	CONN_RX_BATCH = 0x80, /* several whole messages: conn_rx_records() */
};

/*
 * One packet, in order and checked against the rules: a piece of a message, or
 * with CONN_RX_BATCH (and none of the other flags) several messages, to be
 * walked with conn_rx_records() and wire_records_next(). Such a packet is one
 * for the window, given back when all of its messages are released, and each
 * message one for the credit.
 */
struct conn_rx_packet {
	void *ref;
	const uint8_t *payload;
	uint32_t len;
	uint32_t offset;  /* of this fragment in its message; 0 in a batch */
	uint32_t msg_len; /* of the whole message; batch: how many there are */
	uint8_t flags;    /* CONN_RX_* */
};

static inline struct wire_records
conn_rx_records(const struct conn_rx_packet *packet)
{
	return wire_records(packet->payload, packet->msg_len);
}

/** The next packet in order, or NULL. Stays until consumed. */
const struct conn_rx_packet *weir_conn_rx_peek(const struct weir_conn *conn);

/** The same, and how many of them stand in a row; *count 0 if NULL. */
const struct conn_rx_packet *weir_conn_rx_peek_burst(
	const struct weir_conn *conn, uint32_t *count);

/**
 * Take `count` of what peek showed: the refs belong to the caller now. They
 * still count against the window until weir_conn_rx_release().
 */
void weir_conn_rx_consume(struct weir_conn *conn, uint32_t count);

/**
 * Storage came back: `packets` consumed packets were freed (or copied out),
 * `msgs` whole messages were released. Opens window and credit. Any order,
 * any time until the memory goes; after stop_rx or an error it does nothing.
 */
void weir_conn_rx_release(struct weir_conn *conn, uint32_t packets,
			  uint32_t msgs);

/**
 * What follows when peek gives NULL: 0 more may come; CONN_EOF the peer closed
 * and everything was consumed; negative: error, nothing more will come.
 * In-order packets received before an error stay readable (the last message
 * may lack its LAST: drop it).
 */
int weir_conn_rx_state(const struct weir_conn *conn);
#define CONN_EOF 1

/** Refs kept by on_packet that will never be read; NULL when none. */
void *weir_conn_pop_dropped_rx(struct weir_conn *conn);

/* --- send ------------------------------------------------------------- */

/**
 * How many messages, counted from the beginning, may have been pushed by now:
 * the smaller of the peer's credit and the room in the send queue. Never goes
 * back. 0 until established. A permit is granted while pushed + reserved is
 * below it. The room grows with weir_conn_pop_acked().
 */
uint64_t weir_conn_tx_credit(const struct weir_conn *conn);

/* A message on its way out. */
struct conn_tx_msg {
	void *ref;
	const uint8_t *payload;
	uint64_t end_seq; /* the connection's */
	uint32_t len;
};

/**
 * Queue one message; the caller is within weir_conn_tx_credit(), and len
 * within conn_limits.msg_size_max. payload stays in place and unchanged until
 * ref is popped. Cannot fail; after the end of the direction ref just comes
 * back by pop_acked.
 */
void weir_conn_push(struct weir_conn *conn, void *ref, const uint8_t *payload,
		    uint32_t len);

/**
 * The same for several: where to write ref, payload and len of the next ones.
 * @return the first, *count in a row, at least 1; more than the credit, perhaps.
 */
struct conn_tx_msg *weir_conn_push_room(struct weir_conn *conn,
					uint32_t *count);

/** So many of them are written, with so many bytes in all. */
void weir_conn_pushed(struct weir_conn *conn, uint32_t count, uint64_t bytes);

enum conn_tx_kind {
	CONN_TX_CONTROL, /* header only, no ref */
	CONN_TX_DATA,    /* payload goes out for the first time */
	CONN_TX_RETX,    /* payload goes out again: device may own the old */
};

/* What comes after a packet at the same moment. */
enum conn_tx_more {
	CONN_TX_ASK,  /* weir_conn_next() knows */
	CONN_TX_ROW,  /* weir_conn_burst() may have more */
	CONN_TX_LAST, /* nothing: there is no need to ask */
};

/* A packet to send now; weir_conn_encode() writes its header. */
struct conn_tx_packet {
	void *ref; /* the (first) message's; stays with the connection */
	const uint8_t *payload; /* WIRE_BATCH: NULL, see weir_conn_gather() */
	uint32_t payload_len;
	uint32_t hdr_len; /* multiple of 8; DATA: <= WIRE_DATA_HDR_MAX,
			   * CONTROL: <= WIRE_CONTROL_MAX, but for a padded
			   * INIT or ACCEPT: <= WIRE_HDR_LEN + frag_size */
	uint32_t seq;
	uint32_t mlo;
	uint32_t ts;
	uint8_t kind;  /* enum conn_tx_kind */
	uint8_t type;  /* enum wire_type */
	uint8_t flags; /* WIRE_F_TRAILER: append one behind the payload */
	uint8_t sack_words;
	uint8_t ect;  /* 1: let it leave as ECT(0) */
	bool whole;   /* the packet is the whole message of ref and no other */
	uint8_t more; /* enum conn_tx_more */
};

/**
 * Decide the next packet to send at this moment: ends of links and
 * handshakes first, then retransmissions, then new data, then a lone ACK.
 * The decision is final: call only when the packet can be sent.
 * @return 1 with *out filled, 0 nothing to send now.
 */
int weir_conn_next(struct weir_conn *conn, uint64_t now_ns,
		   struct conn_tx_packet *out);

/**
 * Write out->hdr_len bytes of header (with extensions and padding) at dst.
 * Call right after the weir_conn_next() that filled out, before any other
 * call on this connection.
 */
void weir_conn_encode(const struct weir_conn *conn,
		      const struct conn_tx_packet *out, uint8_t *dst);

/**
 * Write out->payload_len bytes of payload at dst, for a packet of the type
 * WIRE_BATCH: its messages stay where they were pushed from and are brought
 * together here. Call like weir_conn_encode().
 * @return how many bytes of messages that copied.
 */
uint32_t weir_conn_gather(const struct weir_conn *conn,
			  const struct conn_tx_packet *out, uint8_t *dst);

/**
 * What weir_conn_next() would give in a row, if that is data that leaves at the
 * moment of the packet before, each packet one whole message: a quicker way for
 * the rest of a burst. Nothing is decided yet.
 * @return the messages, *count of them at most CONN_BURST_MAX, valid until the
 * next call on this connection; *count 0: ask weir_conn_next().
 */
const struct conn_tx_msg *weir_conn_burst(const struct weir_conn *conn,
					  uint64_t now_ns, uint32_t *count);
#define CONN_BURST_MAX 32

/**
 * The first `count` of these messages leave, as packets of the kind
 * CONN_TX_DATA without a trailer: the WIRE_HDR_LEN bytes of the header of each
 * are written at dst[i]. Call right after weir_conn_burst().
 * @return true: let them leave as ECT(0).
 */
bool weir_conn_burst_take(struct weir_conn *conn, uint8_t *const *dst,
			  uint32_t count);

/** Would weir_conn_next() have something? Cheap; may say yes wrongly. */
bool weir_conn_wants_tx(const struct weir_conn *conn);

/**
 * Refs of messages that are done with, in order of push: acknowledged, or
 * given up after an error. NULL when none.
 */
void *weir_conn_pop_acked(struct weir_conn *conn);

/**
 * The same for several: a look at the oldest, as far as they are done with.
 * @return the first, *count in a row; maybe there are more behind these.
 */
const struct conn_tx_msg *weir_conn_acked(const struct weir_conn *conn,
					  uint32_t *count);

/** Pop so many of those that weir_conn_acked() has just shown. */
void weir_conn_pop(struct weir_conn *conn, uint32_t count);

/* --- time ------------------------------------------------------------- */

/** Call weir_conn_on_time() at this moment; may be early, never late. */
uint64_t weir_conn_deadline(const struct weir_conn *conn);
void weir_conn_on_time(struct weir_conn *conn, uint64_t now_ns);

/* --- ends ------------------------------------------------------------- */

/**
 * Close our direction: FIN after everything pushed so far.
 * @return 0, -EALREADY when closed or aborted before, or the error of
 * weir_conn_tx_state().
 */
int weir_conn_close_tx(struct weir_conn *conn);

/**
 * Abort our direction only (the Tx half was destroyed without close): the
 * peer receives what was pushed, then -ECONNRESET. Messages that found no
 * room in the peer's window within linger_ns are given up. The other
 * direction goes on.
 */
void weir_conn_abort_tx(struct weir_conn *conn, uint64_t now_ns);

/**
 * Stop the peer's direction only (the Rx half was destroyed): everything not
 * consumed comes back by pop_dropped_rx; the peer's sending side gets
 * -ECONNRESET. Our own direction goes on.
 */
void weir_conn_stop_rx(struct weir_conn *conn);

/** Abort the whole link now: RESET with a code, nothing more is delivered. */
void weir_conn_abort(struct weir_conn *conn, enum wire_error code,
		     uint64_t now_ns);

/**
 * Forget everything without a word (the port is gone): every ref, also those
 * in order, comes back by pop_acked and pop_dropped_rx; finished at once.
 */
void weir_conn_discard(struct weir_conn *conn);

/**
 * Our direction: 0 open or still draining, CONN_TX_DONE the FIN was
 * acknowledged (all is in the peer's transport), negative: -ECONNRESET the
 * peer stopped reading, or the error of the whole link.
 */
int weir_conn_tx_state(const struct weir_conn *conn);
#define CONN_TX_DONE 1

/**
 * Both directions are over and the time to answer late packets has passed:
 * the connection will send nothing more and may be freed.
 */
bool weir_conn_finished(const struct weir_conn *conn);

/* --- what happened ---------------------------------------------------- */

/* Why a decoded packet changed nothing. */
enum conn_drop {
	CONN_DROP_TOKEN,       /* not our token */
	CONN_DROP_STATE,       /* type not expected in this state */
	CONN_DROP_DUPLICATE,   /* payload already received */
	CONN_DROP_STOPPED,     /* our side does not read any more */
	CONN_DROP_STALE,       /* sequence number far outside any window */
	CONN_DROP_PARAMS,      /* hello without or with wrong parameters */
	CONN_DROP_VIOLATION,   /* broke the rules: the link was reset */
	CONN_DROP_RETRY,       /* RETRY without sense, or one too many */
	CONN_DROP_GONE,        /* GONE without the right proof */
	CONN_DROP_CRC_MISSING, /* no trailer, though it was agreed on */
	CONN_DROP_FLAGS,       /* a trailer, though none was agreed on */
	CONN_DROPS,
};
const char *weir_conn_drop_name(enum conn_drop reason);

struct conn_stats {
	/* sent */
	uint64_t tx_packets; /* all types */
	uint64_t tx_data;    /* DATA and BATCH for the first time */
	uint64_t tx_bytes;   /* payload, first time */
	uint64_t tx_msgs;    /* pushed */
	uint64_t tx_msgs_acked;
	uint64_t tx_acks; /* packets sent only to acknowledge */
	uint64_t tx_retx; /* sequence numbers sent again */
	uint64_t tx_pings;
	uint64_t tx_batches; /* BATCH for the first time; in tx_data too */
	uint64_t tx_batched; /* messages in these */
	/* received */
	uint64_t rx_packets; /* with our token */
	uint64_t rx_data;    /* DATA and BATCH in order */
	uint64_t rx_bytes;
	uint64_t rx_msgs;      /* whole messages in order */
	uint64_t rx_batches;   /* BATCH in order; in rx_data too */
	uint64_t rx_batched;   /* messages in these */
	uint64_t rx_reordered; /* DATA that arrived before its turn */
	uint64_t rx_acks;      /* pure ACKs */
	uint64_t drops[CONN_DROPS];
	/* recovery; all 0 on a wire without faults */
	uint64_t rto;       /* retransmission timer fired */
	uint64_t tlp;       /* tail-loss probe sent */
	uint64_t lost_sack; /* declared lost by packet threshold */
	uint64_t lost_time; /* declared lost by the time rule */
	uint64_t lost_rto;
	uint64_t reorder_seen;   /* acked as first sent, after later ones */
	uint64_t spurious;       /* repaired what was not lost */
	uint64_t handshake_retx; /* INIT or ACCEPT repeated */
	uint64_t probe_healed;   /* probe found a lost window update */
	/* not recovery */
	uint64_t probes; /* zero-window probes */
	uint64_t keepalives;
	uint64_t pauses;      /* our own polling stood still */
	uint64_t window_full; /* new data waited for the peer's window */
	uint64_t cwnd_full;   /* new data waited for our own window */
	uint64_t pace_waits;  /* new data waited for its turn to leave */
	uint64_t recoveries;  /* round trips with a loss */
	uint64_t rx_marked;   /* packets received with a CE mark */
	uint64_t tx_marked;   /* of ours, as the peer counts them */
	uint64_t ack_stale;   /* older ack info ignored */
	/* measured */
	uint64_t srtt_ns;
	uint64_t rttvar_ns;
	uint64_t min_rtt_ns;
	uint64_t rto_ns;
	uint64_t gap_ns; /* between packets; 0: none */
	uint32_t cwnd;   /* packets that may be in flight */
};
/** Counters so far. */
void weir_conn_stats(const struct weir_conn *conn, struct conn_stats *out);

/* Momentary figures, for identities in tests and for display. */
struct conn_gauge {
	uint64_t tx_pushed; /* messages, absolute */
	uint64_t tx_popped; /* of these given back */
	uint64_t tx_credit; /* peer's limit, absolute */
	uint64_t snd_una;   /* 64-bit sequence numbers */
	uint64_t snd_nxt;
	uint64_t snd_limit; /* peer's window */
	uint32_t in_flight; /* sent, neither acked nor sacked nor lost */
	uint32_t sacked;
	uint32_t lost;
	uint64_t rcv_nxt;
	uint64_t rcv_limit; /* window as last advertised */
	uint64_t rcv_room;  /* window as it could be advertised now */
	uint64_t rx_credit; /* credit as last advertised, absolute */
	uint64_t rx_credit_room;
	uint64_t rx_started; /* messages whose FIRST came in order */
	uint32_t rx_queued;  /* in order, not consumed */
	uint32_t rx_parked;  /* out of order */
	uint32_t rx_held;    /* consumed, not released */
};
void weir_conn_gauge(const struct weir_conn *conn, struct conn_gauge *out);

#endif
