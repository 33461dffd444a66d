/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_FLOW_H
#define DPDK_FLOW_H

/*
 * dpdk_flow: what one link is made of on this side of the wire.
 *
 *      tx half                    flow (shared)                port owner
 *     ---------                  ---------------              ------------
 *     free places <-- back ring -------------------- acknowledged, refilled
 *       | alloc, write                                            ^
 *       v                                                         |
 *     slot --------- commit ring -------------> weir_conn -> tx burst
 *
 *      rx half
 *     ---------
 *     message <----- ready ring --------------- weir_conn <- rx burst
 *       | release, any thread                                     ^
 *       +----------- return ring ---------------> window, credit --+
 *
 * A *place* is where one message is written: an mbuf (small) or a buffer of
 * msg_size_max bytes (large). The port hands out all places when the link
 * comes up and gives each back when its message is acknowledged; so credits
 * and memory are both at hand when reserve grants a permit, and threads of
 * halves never touch a mempool.
 *
 * The flow lives as long as anyone refers to it: the link, either half, the
 * port's table, or received messages. Rings have one writer per side, also
 * when both sides are the same thread: one path, not two.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "dpdk_hdr.h"
#include "dpdk_large.h"
#include "dpdk_run.h"
#include "dpdk_stranger.h"
#include "spsc.h"
#include "weir_driver.h"

struct dpdk_bell;
struct dpdk_multi;
struct dpdk_port;
struct dpdk_pool;
struct rte_mbuf;

/* Entries of the commit ring that are not messages: the last word. */
#define DPDK_COMMIT_CLOSE UINT32_MAX
#define DPDK_COMMIT_ABORT (UINT32_MAX - 1)

/* Ring entries: one store wide or two, never more. */
struct dpdk_free {
	uint8_t *data;
	uint32_t index; /* of the place */
	uint32_t pad;
};

struct dpdk_commit {
	uint32_t index; /* of the place, or DPDK_COMMIT_* */
	uint32_t len;
};

struct dpdk_ready {
	const uint8_t *data;
	uint32_t len;
	uint32_t index; /* of the held entry */
};

/* Port's view of a place; the half's while the place is with it. */
struct dpdk_place {
	uint8_t *data;
	struct rte_mbuf *mbuf; /* NULL: large, or no mbuf at hand yet */
	struct rte_mbuf *own;  /* set aside: an application's stands in */
	bool lent;             /* the mbuf itself was sent */
	bool wrapped;          /* mbuf is an application's, see dpdk_wrap.c */
	uint8_t phase;         /* of several threads' halves: dpdk_multi.h */
};

/*
 * What a received message holds on to. Messages of one batch share an entry:
 * the port counts those that are left, and the last one frees the mbuf. Without
 * a port they have a reference of the mbuf each, and none is left to count.
 */
struct dpdk_held {
	struct rte_mbuf *mbuf; /* NULL: a large buffer */
	uint32_t large;        /* or DPDK_HELD_TAKEN */
	uint16_t left;         /* messages; 0: a reference each */
	bool shared;
};

/* dpdk_held.large, without an mbuf: the application has it now. */
#define DPDK_HELD_TAKEN UINT32_MAX

/* Life on the port's side. */
enum dpdk_phase {
	DPDK_PHASE_DEVICE, /* connecting: no device yet (memif) */
	DPDK_PHASE_ROUTE,  /* connecting: the peer's MAC is being asked for */
	DPDK_PHASE_SETUP,  /* the handshake runs */
	DPDK_PHASE_UP,
	DPDK_PHASE_OVER, /* conn is gone; buffers may still be out */
};

/*
 * The port went before these messages were released: each frees its own
 * buffer, and the last one the flow. In the same word as the tickets, so that
 * a releaser learns in one step which way to go and never looks back.
 */
#define DPDK_ORPHAN (UINT64_C(1) << 63)

/* Bits of dpdk_flow.gone: halves that were destroyed. */
enum {
	DPDK_GONE_TX = 1,
	DPDK_GONE_RX = 2,
};

/* Why reserve found no room, as in WEIR_TX_WAITS. */
enum dpdk_wait {
	DPDK_WAIT_DOWN,
	DPDK_WAIT_CREDIT,
	DPDK_WAIT_QUEUE,
	DPDK_WAIT_SMALL,
	DPDK_WAIT_LARGE,
	DPDK_WAITS
};

struct dpdk_flow {
	/* Port to tx half. */
	struct weir_spsc back_q;
	_Alignas(64) _Atomic uint32_t tx_limit; /* messages since the start */
	_Atomic int32_t tx_end;                 /* 0, or why no more */
	_Atomic bool up;
	struct dpdk_free *back;
	uint32_t frag_size; /* these are settled before `up` */
	uint32_t msg_size_max;
	uint32_t tx_capacity; /* small places = credits */
	uint32_t large_count;
	uintptr_t wrap_begin; /* where mbufs that are wrapped may lie */
	uintptr_t wrap_end;
	uint64_t tx_copied;            /* bytes; relaxed */
	uint64_t tx_doorbells;         /* relaxed */
	uint64_t tx_waits[DPDK_WAITS]; /* written by the half; relaxed */

	/* Tx half to port. */
	struct weir_spsc commit_q;
	struct dpdk_commit *commit;
	struct dpdk_multi *multi; /* NULL: one thread sends */
	_Atomic uint32_t tx_sleeping;
	_Atomic int32_t tx_fd;

	/* Port to rx half. */
	struct weir_spsc ready_q;
	struct dpdk_ready *ready;
	_Atomic int32_t rx_end; /* WEIR_EOF or negative, after all messages */
	uint64_t rx_copied;
	uint64_t rx_doorbells;
	_Atomic uint32_t rx_sleeping;
	_Atomic int32_t rx_fd;

	/* Releasers to port. */
	_Alignas(64) struct weir_store store;
	_Atomic uint64_t *returns;
	uint32_t return_mask;
	bool fence;               /* membarrier is missing */
	_Atomic uint64_t tickets; /* and DPDK_ORPHAN */
	_Atomic int64_t orphan_left;

	/* Everyone, rarely. */
	_Alignas(64) _Atomic uint32_t refs;
	_Atomic uint32_t gone; /* DPDK_GONE_* */
	_Atomic int32_t status;
	_Atomic uint32_t attention; /* enum dpdk_attention */
	struct dpdk_flow *posted_next;
	struct dpdk_bell *bell; /* of the port, or NULL */

	/* Port owner only, from here on. */
	_Alignas(64) struct dpdk_port *port;
	struct weir_conn *conn;
	void *conn_mem;
	size_t bytes;   /* all that this link takes; the port sums them up */
	uint64_t token; /* ours; of another index while there is no conn */
	uint64_t deadline_ns;
	struct dpdk_run_node run;
	uint32_t quota; /* packets that may leave yet */
	uint8_t phase;  /* enum dpdk_phase */
	bool connector;
	bool by_sibling;       /* the last packet came to another queue */
	uint8_t connect_tries; /* UDP ports that we connected from in vain */
	bool touched;          /* there may be something to do */
	bool put_off;          /* what follows a message was left undone */
	bool commits_over;     /* CLOSE or ABORT was read */
	bool rx_stopped;
	bool tx_reclaimed;
	bool rx_reclaimed;
	uint32_t limit_told;
	uint32_t away_count; /* places with conn */
	uint32_t delivered;  /* messages pushed to the ready ring, wraps */

	struct dpdk_place *places; /* small, then large */
	uint32_t *owed;            /* places without an mbuf */
	uint32_t owed_count;
	uint32_t place_count;

	struct dpdk_held *held;
	uint32_t *held_free;
	uint32_t held_free_count;
	uint32_t held_total;
	uint32_t return_head;
	struct dpdk_large rx_large;
	struct dpdk_large tx_large;
	uint64_t rx_large_waits; /* times that no large buffer was free */
	bool rx_large_waiting;
	uint64_t rx_unread; /* packets received when nobody read any more */

	struct dpdk_hdr hdr;
	struct dpdk_addr local;
	struct dpdk_addr peer;
	uint16_t init_port;       /* accepted: INIT came from there */
	struct dpdk_node of_peer; /* in the gate's tables */
	struct dpdk_node of_life;
	struct dpdk_link_keys keys;
	uint32_t arp_generation;
	uint32_t slot;  /* index in the port's array of flows */
	uint16_t index; /* in the token table */
	uint16_t ip_id;
	uint32_t tx_admitted;
	uint32_t rx_admitted;
	uint64_t connect_end_ns;
	struct weir_link_config config;
	struct conn_stats last_stats; /* when the conn went */
	uint64_t tx_wire_bytes;
	uint64_t rx_wire_bytes;

	struct weir_link *link; /* as long as it lives, for weir stat */

	/* Accept queue. */
	struct dpdk_listener *listener;
	struct dpdk_flow *next_waiting;
	bool waiting;
	char peer_name[64];

	/* References: messages may outlive the port, places its device. */
	struct dpdk_pool *rx_pool;
	struct dpdk_pool *tx_pool;
	struct dpdk_free *tx_free; /* the half's stacks; memory only */
};

struct dpdk_tx {
	struct weir_tx tx;
	struct dpdk_flow *flow;
	struct dpdk_free *small; /* stack of free places */
	struct dpdk_free *large;
	uint32_t small_count;
	uint32_t large_count;
	uint32_t small_pledged;
	uint32_t large_pledged;
	uint32_t limit_seen;
	uint32_t committed; /* messages, wraps */
	uint32_t out;       /* permits and slots */
	uint32_t frag_size;
	bool up;
	bool armed;
	bool closed;
	uint32_t small_total;
	uint32_t small_allocated;
	uint32_t large_allocated;
	uint64_t harvested; /* places, the first hand-out included */
	uint64_t large_harvested;
	uint64_t large_committed;
	uint64_t messages;
	uint64_t payload_bytes;
	uint64_t discarded;
};

struct dpdk_rx {
	struct weir_rx rx;
	struct dpdk_flow *flow;
	bool armed;
	uint64_t messages;
	uint64_t payload_bytes;
};

struct dpdk_link {
	struct weir_link link;
	struct dpdk_flow *flow;
};

/* Something was put into the flow's rings: if the port does not look at them,
 * tell it. Halves and releasers. */
static inline void
dpdk_flow_news(struct dpdk_flow *flow)
{
	if (__builtin_expect(
		    weir_doorbell_wanted(&flow->attention, flow->fence), 0))
		weir_dpdk_run_post(flow);
}

/* ---- dpdk_half.c: the threads of the halves ---- */

extern const struct weir_tx_ops weir_dpdk_tx_ops;
extern const struct weir_rx_ops weir_dpdk_rx_ops;

/* A half's descriptor to sleep on, made on first use. @return it or negative. */
int weir_dpdk_half_fd(_Atomic int32_t *fd);

/* Wake who sleeps on it, if anybody ever could. Any thread, signal-safe. */
void weir_dpdk_half_wake(_Atomic int32_t *fd);

/* Learn msg_size_max if the link is up. Half's thread. */
void weir_dpdk_tx_settle(struct weir_tx *tx);
void weir_dpdk_release(struct weir_store *store, const struct weir_msg *msg);
void weir_dpdk_release_burst(struct weir_store *store,
			     const struct weir_msg *msgs, uint16_t n);

/* ---- dpdk_flow.c: memory and references ---- */

/* Make a flow with one reference, the port's, in the port's arrays. NULL: no
 * memory. */
struct dpdk_flow *weir_dpdk_flow_new(struct dpdk_port *port,
				     const struct weir_link_config *config,
				     const struct dpdk_link_keys *keys);
void weir_dpdk_flow_put(struct dpdk_flow *flow);

/* Give link, tx and rx a reference each and their tables of operations. */
void weir_dpdk_flow_attach(struct dpdk_flow *flow, struct weir_link *link);

/* The parts of a connection's config that come from port and link config. */
void weir_dpdk_conn_config(const struct dpdk_port *port,
			   const struct weir_link_config *link,
			   const struct dpdk_link_keys *keys,
			   struct conn_config *c);

/* The connection is over: its token is nobody's from now on. */
void weir_dpdk_flow_drop_conn(struct dpdk_flow *flow);

/* Make the connection; the device is there. @return 0; -ENOBUFS, -ENOMEM. */
int weir_dpdk_flow_make_conn(struct dpdk_flow *flow);

/* Both sides agree: hand out the places. @return 0 or -ENOMEM. */
int weir_dpdk_flow_up(struct dpdk_flow *flow);

/* Why there is no more, for the halves; the first reason counts. */
void weir_dpdk_tell_tx_end(struct dpdk_flow *flow, int rc);
void weir_dpdk_tell_rx_end(struct dpdk_flow *flow, int rc);
void weir_dpdk_wake_tx(struct dpdk_flow *flow);
void weir_dpdk_wake_rx(struct dpdk_flow *flow);

/* The link failed as a whole. */
void weir_dpdk_flow_fail(struct dpdk_flow *flow, int rc);

/*
 * Take back what nobody needs any more.
 *
 * @return true when the flow has left the port's arrays.
 */
bool weir_dpdk_flow_reap(struct dpdk_flow *flow);

/* The port is going: leave the flow to whoever still holds messages. */
void weir_dpdk_flow_orphan(struct dpdk_flow *flow);

/* Release a message that has no port any more. Any thread. */
void weir_dpdk_flow_orphan_release(struct dpdk_flow *flow, uint32_t index);

/* Places (struct dpdk_place *) are free again: to the half, each with a fresh
 * mbuf if need be. */
void weir_dpdk_places_back(struct dpdk_flow *flow,
			   const struct conn_tx_msg *msgs, uint32_t count);

/* The application's mbuf goes out of the place, and the place's own comes
 * back. Whoever has the place: half or port. @return the former. */
struct rte_mbuf *weir_dpdk_place_unwrap(const struct dpdk_flow *flow,
					struct dpdk_place *place);

/* Places that wait for an mbuf. */
void weir_dpdk_place_repay(struct dpdk_flow *flow);

/* The rx half is gone: free what it did not take. */
void weir_dpdk_ready_drop(struct dpdk_flow *flow);

#endif /* DPDK_FLOW_H */
