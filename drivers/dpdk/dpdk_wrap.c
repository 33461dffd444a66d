/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mbufs of the application as messages, and messages as its mbufs, without a
 * copy. Runs on the threads of the halves.
 *
 *     wrap      permit + mbuf --> slot     its place sets its own mbuf aside
 *     unwrap    slot --> mbuf              back out: nothing was sent
 *     unwrap    message --> mbuf           the peer gets its credit back
 *
 * A wrapped mbuf is sent itself: headers are written in front of its bytes.
 * When its message is acknowledged the port frees it to its pool, and the
 * place's own mbuf serves again (weir_dpdk_places_back). All that a link needs
 * for a message it has set aside before, so nothing can fail after the checks.
 */

#include "dpdk_flow.h"
#include "dpdk_hdr.h"
#include "dpdk_multi.h"
#include "dpdk_poison.h"
#include "dpdk_pool.h"
#include "weir_dpdk.h"

#include <rte_mbuf.h>

_Static_assert(WEIR_DPDK_HEADROOM >= DPDK_HDR_LEN_MAX + WIRE_FULL_HDR_LEN,
	       "room for headers with one word of SACK");
_Static_assert(WEIR_DPDK_TAILROOM >= WIRE_TRAILER_LEN, "room for a trailer");

/* ---- which mbufs may go --------------------------------------------------- */

/* One piece, of its own, and nobody else's. */
static int
check_form(const struct rte_mbuf *m)
{
	if (m->nb_segs != 1)
		return weir_fail(-EINVAL,
				 "mbuf: has %u segments; make it one "
				 "(rte_pktmbuf_linearize())",
				 m->nb_segs);
	if (!RTE_MBUF_DIRECT(m))
		return weir_fail(-EINVAL,
				 "mbuf: is %s; copy it (rte_pktmbuf_copy())",
				 RTE_MBUF_CLONED(m) ? "indirect"
						    : "of an external buffer");
	if (rte_mbuf_refcnt_read(m) != 1)
		return weir_fail(-EBUSY,
				 "mbuf: has %u references, and headers would "
				 "be written into it; wait, or copy it",
				 rte_mbuf_refcnt_read(m));
	return 0;
}

static int
check_room(const struct dpdk_flow *flow, const struct rte_mbuf *m)
{
	if (rte_pktmbuf_headroom(m) < WEIR_DPDK_HEADROOM)
		return weir_fail(-ENOSPC,
				 "mbuf: has %u bytes of headroom, headers need "
				 "%u",
				 rte_pktmbuf_headroom(m), WEIR_DPDK_HEADROOM);
	if (rte_pktmbuf_tailroom(m) < WEIR_DPDK_TAILROOM)
		return weir_fail(-ENOSPC,
				 "mbuf: has %u bytes behind its data, a "
				 "checksum needs %u",
				 rte_pktmbuf_tailroom(m), WEIR_DPDK_TAILROOM);
	if ((uintptr_t)m->buf_addr < flow->wrap_begin ||
	    (uintptr_t)m->buf_addr + m->buf_len > flow->wrap_end)
		return weir_fail(-EFAULT,
				 "mbuf: the device cannot read pool %s, made "
				 "after it; copy, or make the pool first",
				 m->pool->name);
	return 0;
}

static int
check_fit(const struct weir_permit *permit, const struct dpdk_flow *flow,
	  const struct rte_mbuf *m)
{
	uint32_t most = permit->size < flow->frag_size ? permit->size
						       : flow->frag_size;
	int rc = check_form(m);

	if (rc == 0 && m->data_len > most)
		rc = weir_fail(-EMSGSIZE,
			       "mbuf: has %u bytes, permit and packet take %u",
			       m->data_len, most);
	return rc == 0 ? check_room(flow, m) : rc;
}

/* ---- messages from mbufs -------------------------------------------------- */

static bool
is_dpdk(const struct weir_tx *tx)
{
	return tx != NULL && (tx->ops == &weir_dpdk_tx_ops ||
			      tx->ops == &weir_dpdk_multi_ops);
}

static struct dpdk_flow *
tx_flow(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct dpdk_tx, tx)->flow;
}

int
weir_dpdk_permit_wrap(struct weir_permit *permit, struct rte_mbuf *mbuf,
		      struct weir_slot *slot)
{
	struct dpdk_place *place;
	struct dpdk_flow *flow;
	int rc;

	if (!is_dpdk(permit->tx))
		return weir_fail(-EOPNOTSUPP,
				 "mbuf: only links of the dpdk driver take it");
	flow = tx_flow(permit->tx);
	rc = check_fit(permit, flow, mbuf);
	if (rc != 0)
		return rc;
	/* Within the permit: cannot fail. */
	weir_permit_alloc(permit, mbuf->data_len, slot);
	place = &flow->places[slot->cookie];
	place->own = place->mbuf;
	place->mbuf = mbuf;
	place->wrapped = true;
	place->data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	slot->data = place->data;
	return 0;
}

struct rte_mbuf *
weir_dpdk_slot_unwrap(struct weir_slot *slot)
{
	struct dpdk_place *place;
	struct dpdk_flow *flow;
	struct rte_mbuf *mbuf;

	if (!is_dpdk(slot->tx))
		return NULL;
	flow = tx_flow(slot->tx);
	place = &flow->places[slot->cookie];
	if (!place->wrapped)
		return NULL;
	mbuf = weir_dpdk_place_unwrap(flow, place);
	slot->data = place->data;
	weir_slot_discard(slot);
	return mbuf;
}

/* ---- mbufs from messages -------------------------------------------------- */

static struct dpdk_held *
held_of(const struct weir_msg *msg, struct dpdk_flow **flow)
{
	if (msg->store == NULL || msg->store->release != weir_dpdk_release)
		return NULL;
	*flow = WEIR_CONTAINER_OF(msg->store, struct dpdk_flow, store);
	return &(*flow)->held[msg->cookie];
}

struct rte_mbuf *
weir_dpdk_msg_mbuf(const struct weir_msg *msg)
{
	struct dpdk_flow *flow;
	const struct dpdk_held *held = held_of(msg, &flow);

	return held != NULL ? held->mbuf : NULL;
}

/* It was a whole packet, now it is the message. */
static void
mbuf_narrow(struct rte_mbuf *m, const struct weir_msg *msg)
{
	dpdk_unpoison_room(m);
	m->data_off =
		(uint16_t)((const uint8_t *)msg->data - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)msg->len;
	m->pkt_len = msg->len;
	m->packet_type = 0;
	/* Not what the device said about the packet; but whose memory it is. */
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
}

int
weir_dpdk_msg_unwrap(struct weir_msg *msg, struct rte_mbuf **mbuf)
{
	struct dpdk_flow *flow;
	struct dpdk_held *held = held_of(msg, &flow);

	if (held == NULL)
		return weir_fail(-EOPNOTSUPP, "message: is not in an mbuf, "
					      "only links of the dpdk driver "
					      "receive such");
	if (held->mbuf == NULL)
		return weir_fail(-EMSGSIZE,
				 "message: came in several packets and lies in "
				 "a large buffer; copy it");
	if (held->shared)
		return weir_fail(-EBUSY, "message: shares its mbuf with "
					 "others; copy it, or let the peer use "
					 "coalesce=off");
	*mbuf = held->mbuf;
	held->mbuf = NULL;
	held->large = DPDK_HELD_TAKEN;
	mbuf_narrow(*mbuf, msg);
	/* The application may keep it longer than the port lives. */
	weir_dpdk_pool_linger(flow->rx_pool);
	weir_msg_release(msg);
	return 0;
}
