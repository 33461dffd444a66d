/* SPDX-License-Identifier: BSD-3-Clause */
/* The steps of a peer; see peer_steps.h. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "peer_steps.h"

/* Messages in one turn, so that the other peer gets its own. */
#define TURN_MAX 64

/* Links that STEP_SHORT_LINKS opens live here. */
#define SHORT_END (PEER_ENDS - 1)

/* ---- checks --------------------------------------------------------------- */

bool
steps_audit(struct weir_tx *tx, char *text, size_t size)
{
	struct weir_tx_stats t;

	weir_tx_stats(tx, &t, sizeof(t));
	if (t.capacity != t.free + t.permitted + t.allocated + t.outstanding) {
		snprintf(text, size,
			 "credits: %u free + %u permitted + %u allocated + %u "
			 "outstanding are not %u",
			 t.free, t.permitted, t.allocated, t.outstanding,
			 t.capacity);
		return false;
	}
	for (uint32_t i = 0; i < t.class_count; i++) {
		struct weir_class_stats *c = &t.classes[i];

		if (c->total ==
		    c->free + c->pledged + c->allocated + c->outstanding)
			continue;
		snprintf(text, size,
			 "class of %u B: %u free + %u pledged + %u allocated "
			 "+ %u outstanding are not %u",
			 c->size, c->free, c->pledged, c->allocated,
			 c->outstanding, c->total);
		return false;
	}
	return true;
}

bool
steps_compare(const struct weir_msg *msg, uint32_t len, uint64_t seed,
	      uint64_t number, char *text, size_t size)
{
	int64_t at;

	if (msg->len != len) {
		snprintf(text, size, "message %" PRIu64 ": %u bytes, not %u",
			 number, msg->len, len);
		return false;
	}
	at = pattern_wrong(msg->data, len, seed);
	if (at >= 0) {
		snprintf(text, size,
			 "message %" PRIu64 " of %u bytes differs near byte "
			 "%" PRId64,
			 number, len, at);
		return false;
	}
	return true;
}

/* The order ends here with a broken rule. */
static bool
broken(struct answer *answer, const char *text)
{
	if (answer->text[0] == '\0')
		snprintf(answer->text, sizeof(answer->text), "%s", text);
	answer->rc = -EBADMSG;
	return true;
}

static bool
audited(struct weir_tx *tx, struct answer *answer)
{
	return steps_audit(tx, answer->text, sizeof(answer->text));
}

static bool
ended(struct answer *answer, int64_t rc)
{
	answer->rc = rc;
	return true;
}

/* ---- set-up ---------------------------------------------------------------- */

static bool
step_port_open(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_port_config config = { sizeof(config), .spin_ns = o->n };

	if (s->ports[o->k] != NULL)
		return broken(a, "the port is open");
	a->rc = weir_port_open(o->endpoint, &config, &s->ports[o->k]);
	if (a->rc != 0)
		snprintf(a->text, sizeof(a->text), "%s", weir_last_error());
	return true;
}

static bool
step_port_close(struct steps *s, const struct order *o, struct answer *a)
{
	if (s->ports[o->k] == NULL)
		return true;
	a->rc = weir_port_close(s->ports[o->k]);
	if (a->rc == 0)
		s->ports[o->k] = NULL;
	return true;
}

static bool
step_listen(struct steps *s, const struct order *o, struct answer *a)
{
	a->rc = weir_listener_open(s->ports[o->k], o->endpoint, &o->config,
				   &s->listeners[o->k]);
	return true;
}

static bool
step_unlisten(struct steps *s, const struct order *o, struct answer *a)
{
	(void)a;
	if (s->listeners[o->k] != NULL)
		weir_listener_close(s->listeners[o->k]);
	s->listeners[o->k] = NULL;
	return true;
}

static bool
step_connect(struct steps *s, const struct order *o, struct answer *a)
{
	a->rc = weir_link_connect(s->ports[o->k], o->endpoint, &o->config,
				  &s->ends[o->end].carrier[o->k]);
	return true;
}

static bool
step_accept(struct steps *s, const struct order *o, struct answer *a)
{
	int rc = weir_link_accept(s->listeners[o->k],
				  &s->ends[o->end].carrier[o->k]);

	if (rc == 0)
		return false;
	return ended(a, rc < 0 ? rc : 0);
}

static struct weir_link *
end_link(struct end *e)
{
	return e->link != NULL ? e->link : e->carrier[0];
}

static bool
step_up(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];

	for (int i = 0; i < PEER_CARRIERS; i++) {
		int rc = e->carrier[i] != NULL ? weir_link_status(e->carrier[i])
					       : 0;

		if (rc == -EINPROGRESS)
			return false;
		if (rc != 0)
			return ended(a, rc);
	}
	return true;
}

/* Tx of one link and Rx of another one become a link; their other halves say
 * goodbye and go. */
static int
join(struct end *e, struct weir_link *out, struct weir_link *in)
{
	struct weir_tx *tx, *tx_unused;
	struct weir_rx *rx, *rx_unused;
	int rc;

	rc = weir_link_split(out, &tx, &rx_unused);
	if (rc == 0)
		rc = weir_link_split(in, &tx_unused, &rx);
	if (rc != 0)
		return rc;
	weir_tx_close(tx_unused);
	weir_tx_destroy(tx_unused);
	weir_rx_destroy(rx_unused);
	weir_link_destroy(out);
	weir_link_destroy(in);
	rc = weir_link_join(tx, rx, &e->link);
	return rc != 0 ? rc : weir_link_split(e->link, &e->tx, &e->rx);
}

/* The first reserve of a link that is up may say "not yet" once more. */
static void
settle(struct weir_tx *tx)
{
	struct weir_permit permit;

	if (weir_tx_reserve(tx, &permit) == 1)
		weir_permit_drop(&permit);
}

static bool
step_split(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];
	struct weir_link *out = e->carrier[o->k], *in = e->carrier[o->n];

	e->carrier[0] = e->carrier[1] = NULL;
	if (out != in) {
		a->rc = join(e, out, in);
	} else {
		e->link = out;
		a->rc = weir_link_split(out, &e->tx, &e->rx);
	}
	if (a->rc == 0)
		settle(e->tx);
	return true;
}

static bool
step_status(struct steps *s, const struct order *o, struct answer *a)
{
	return ended(a, weir_link_status(end_link(&s->ends[o->end])));
}

static bool
step_status_last(struct steps *s, const struct order *o, struct answer *a)
{
	int rc = weir_link_status(end_link(&s->ends[o->end]));

	if (rc == 0 || rc == -EINPROGRESS)
		return false;
	return ended(a, rc);
}

static bool
step_peer(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_peer peer = { 0 };

	a->rc = weir_link_peer(end_link(&s->ends[o->end]), &peer);
	a->n = (uint64_t)peer.pid;
	return true;
}

/* ---- sending --------------------------------------------------------------- */

/* @return 1 and a filled slot; 0 no room; negative. */
static int
open_slot(struct weir_tx *tx, uint32_t len, uint64_t seed,
	  struct weir_slot *slot)
{
	struct weir_permit permit;
	int rc = weir_tx_reserve_burst(tx, len, &permit, 1);

	if (rc != 1)
		return rc;
	rc = weir_permit_alloc(&permit, len, slot);
	if (rc != 0)
		return rc;
	pattern_fill(slot->data, len, seed);
	return 1;
}

static bool
step_send(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_tx *tx = s->ends[o->end].tx;
	int rc = 1;

	for (int turn = 0; s->done < o->n && turn < TURN_MAX; turn++) {
		uint64_t i = o->k + s->done;
		struct weir_slot slot;

		rc = open_slot(tx, pattern_size(o->seed, i, o->size),
			       pattern_seed(o->seed, i), &slot);
		if (rc != 1)
			break;
		weir_slot_commit(&slot);
		s->done++;
	}
	weir_tx_flush(tx);
	a->n = s->done;
	if (!audited(tx, a))
		return broken(a, "");
	if (rc < 0)
		return ended(a, rc);
	return s->done == o->n;
}

static bool
step_open_slots(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_tx *tx = s->ends[o->end].tx;

	for (; s->done < o->n; s->done++) {
		uint64_t i = s->done;
		int rc = open_slot(tx, pattern_size(o->seed, i, o->size),
				   pattern_seed(o->seed, i), &s->slots[i]);

		if (rc == 0)
			return false;
		if (rc < 0)
			return ended(a, rc);
	}
	return !audited(tx, a) ? broken(a, "") : true;
}

static bool
step_commit(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_tx *tx = s->ends[o->end].tx;

	weir_slot_commit(&s->slots[o->k]);
	weir_tx_flush(tx);
	return !audited(tx, a) ? broken(a, "") : true;
}

static bool
step_discard(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_tx *tx = s->ends[o->end].tx;

	weir_slot_discard(&s->slots[o->k]);
	return !audited(tx, a) ? broken(a, "") : true;
}

static bool
step_reserve_end(struct steps *s, const struct order *o, struct answer *a)
{
	struct weir_tx *tx = s->ends[o->end].tx;
	struct weir_permit permit;
	int rc = weir_tx_reserve(tx, &permit);

	if (rc == 1)
		weir_permit_drop(&permit);
	return rc < 0 ? ended(a, rc) : false;
}

static bool
step_reserve_fill(struct steps *s, const struct order *o, struct answer *a)
{
	static struct weir_permit permits[32768];
	struct weir_tx *tx = s->ends[o->end].tx;
	uint32_t n = 0;
	int rc;

	while ((rc = weir_tx_reserve_burst(tx, (uint32_t)o->size, &permits[n],
					   1)) == 1)
		n++;
	if (!audited(tx, a))
		return broken(a, "");
	a->n = n;
	while (n > 0)
		weir_permit_drop(&permits[--n]);
	return !audited(tx, a) ? broken(a, "") : ended(a, rc);
}

/* ---- receiving --------------------------------------------------------------- */

/* What becomes of a message that step_receive() has compared. */
enum fate {
	FATE_RELEASE,
	FATE_HOLD,
};

/* @return true when n messages are in or the half has ended. */
static bool
receive(struct steps *s, const struct order *o, struct answer *a,
	enum fate fate)
{
	struct weir_rx *rx = s->ends[o->end].rx;
	int rc = 1;

	for (int turn = 0; s->done < o->n && turn < TURN_MAX; turn++) {
		uint64_t i = o->k + s->done, seed = pattern_seed(o->seed, i);
		struct weir_msg msg;

		rc = weir_rx_recv(rx, &msg);
		if (rc != 1)
			break;
		s->done++;
		if (!steps_compare(&msg, pattern_size(o->seed, i, o->size),
				   seed, i, a->text, sizeof(a->text)))
			return broken(a, "");
		if (fate == FATE_RELEASE)
			weir_msg_release(&msg);
		else
			s->held[s->held_count++] = (struct held){ msg, seed };
	}
	a->n = s->done;
	return rc < 0 ? ended(a, rc) : s->done == o->n;
}

static bool
step_recv(struct steps *s, const struct order *o, struct answer *a)
{
	return receive(s, o, a, FATE_RELEASE);
}

static bool
step_drain(struct steps *s, const struct order *o, struct answer *a)
{
	struct order all = *o;

	all.n = PEER_ALL;
	return receive(s, &all, a, FATE_RELEASE);
}

static bool
step_hold(struct steps *s, const struct order *o, struct answer *a)
{
	if (s->held_count + o->n - s->done > PEER_HELD)
		return broken(a, "more than this peer can hold");
	return receive(s, o, a, FATE_HOLD);
}

static bool
step_check(struct steps *s, const struct order *o, struct answer *a)
{
	(void)o;
	for (uint32_t i = 0; i < s->held_count; i++) {
		struct held *h = &s->held[i];

		if (!steps_compare(&h->msg, h->msg.len, h->seed, i, a->text,
				   sizeof(a->text)))
			return broken(a, "");
	}
	return true;
}

static bool
step_release(struct steps *s, const struct order *o, struct answer *a)
{
	uint32_t n = o->n < s->held_count ? (uint32_t)o->n : s->held_count;

	for (uint32_t i = 0; i < n; i++)
		weir_msg_release(&s->held[i].msg);
	s->held_count -= n;
	memmove(s->held, s->held + n, s->held_count * sizeof(s->held[0]));
	a->n = n;
	return true;
}

/* ---- both ways ----------------------------------------------------------------- */

/* @return 1 echoed, 0 nothing to do or no room, negative. */
static int
echo_one(struct steps *s, struct end *e)
{
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	int rc;

	/* Room first: then a message is never left in our hands. */
	rc = weir_tx_reserve(e->tx, &permit);
	if (rc != 1)
		return rc;
	rc = weir_rx_recv(e->rx, &msg);
	if (rc != 1) {
		weir_permit_drop(&permit);
		return rc;
	}
	s->done++;
	rc = weir_permit_alloc(&permit, msg.len, &slot);
	if (rc != 0)
		return rc;
	memcpy(slot.data, msg.data, msg.len);
	weir_slot_commit(&slot);
	weir_tx_flush(e->tx);
	weir_msg_release(&msg);
	return 1;
}

static bool
step_echo(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];
	int rc = 1;

	for (int turn = 0; s->done < o->n && turn < TURN_MAX && rc == 1; turn++)
		rc = echo_one(s, e);
	a->n = s->done;
	return rc < 0 ? ended(a, rc) : s->done == o->n;
}

static bool
step_exchange(struct steps *s, const struct order *o, struct answer *a)
{
	struct order in = *o;
	uint64_t sent;

	if (s->done < o->n) {
		struct order out = *o;

		out.k = 0;
		step_send(s, &out, a);
		if (a->rc != 0)
			return true;
	}
	sent = s->done;
	in.seed = o->k;
	in.k = 0;
	s->done = s->received;
	receive(s, &in, a, FATE_RELEASE);
	s->received = s->done;
	s->done = sent;
	return a->rc != 0 || (sent == o->n && s->received == o->n);
}

/* @return 1 done with this phase, 0 not yet, negative. */
static int
short_link_turn(struct steps *s, const struct order *o)
{
	struct weir_link **link = &s->ends[SHORT_END].carrier[0];
	struct weir_tx **tx = &s->ends[SHORT_END].tx;
	struct weir_slot slot;
	int rc;

	switch (s->phase) {
	case 0:
		if (s->listeners[0] != NULL)
			return weir_link_accept(s->listeners[0], link);
		rc = weir_link_connect(s->ports[0], o->endpoint, &o->config,
				       link);
		return rc == 0 ? 1 : rc;
	case 1:
		rc = weir_link_status(*link);
		if (rc != 0)
			return rc == -EINPROGRESS ? 0 : rc;
		rc = weir_link_split(*link, tx, NULL);
		return rc == 0 ? 1 : rc;
	default:
		rc = open_slot(*tx, pattern_size(o->seed, 0, o->size),
			       pattern_seed(o->seed, s->done), &slot);
		if (rc != 1)
			return rc;
		weir_slot_commit(&slot);
		rc = weir_tx_close(*tx);
		weir_tx_destroy(*tx);
		*tx = NULL;
		weir_link_destroy(*link);
		*link = NULL;
		return rc == 0 ? 1 : rc;
	}
}

static bool
step_short_links(struct steps *s, const struct order *o, struct answer *a)
{
	int rc = 1;

	while (s->done < o->n) {
		rc = short_link_turn(s, o);
		if (rc != 1)
			break;
		if (++s->phase == 3) {
			s->phase = 0;
			s->done++;
		}
	}
	a->n = s->done;
	return rc < 0 ? ended(a, rc) : s->done == o->n;
}

static bool
step_counters(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];
	struct weir_tx_stats t = { 0 };
	struct weir_rx_stats r = { 0 };

	if (e->tx != NULL)
		weir_tx_stats(e->tx, &t, sizeof(t));
	if (e->rx != NULL)
		weir_rx_stats(e->rx, &r, sizeof(r));
	a->tx_messages = t.messages;
	a->tx_bytes = t.payload_bytes;
	a->tx_copied = t.copied_bytes;
	a->rx_messages = r.messages;
	a->rx_bytes = r.payload_bytes;
	a->rx_copied = r.copied_bytes;
	a->rx_released = r.released;
	return true;
}

/* ---- endings --------------------------------------------------------------- */

static bool
step_tx_close(struct steps *s, const struct order *o, struct answer *a)
{
	return ended(a, weir_tx_close(s->ends[o->end].tx));
}

static bool
step_tx_destroy(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];

	(void)a;
	/* Slots that are out die with the half. */
	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		if (s->slots[i].tx == e->tx)
			s->slots[i].tx = NULL;
	if (e->tx != NULL)
		weir_tx_destroy(e->tx);
	e->tx = NULL;
	return true;
}

static bool
step_rx_destroy(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];

	(void)a;
	if (e->rx != NULL)
		weir_rx_destroy(e->rx);
	e->rx = NULL;
	return true;
}

static bool
step_link_destroy(struct steps *s, const struct order *o, struct answer *a)
{
	struct end *e = &s->ends[o->end];

	(void)a;
	if (e->link != NULL)
		weir_link_destroy(e->link);
	for (int i = 0; i < PEER_CARRIERS; i++)
		if (e->carrier[i] != NULL)
			weir_link_destroy(e->carrier[i]);
	e->link = e->carrier[0] = e->carrier[1] = NULL;
	return true;
}

static bool
step_reset(struct steps *s, const struct order *o, struct answer *a)
{
	struct order each = { .n = PEER_ALL };

	(void)o;
	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		if (s->slots[i].tx != NULL)
			weir_slot_discard(&s->slots[i]);
	step_release(s, &each, a);
	for (each.end = 0; each.end < PEER_ENDS; each.end++) {
		if (s->ends[each.end].tx != NULL)
			weir_tx_close(s->ends[each.end].tx);
		step_tx_destroy(s, &each, a);
		step_rx_destroy(s, &each, a);
		step_link_destroy(s, &each, a);
	}
	for (each.k = 0; each.k < PEER_CARRIERS; each.k++)
		step_unlisten(s, &each, a);
	return true;
}

/* ---- running --------------------------------------------------------------- */

typedef bool (*step_fn)(struct steps *, const struct order *, struct answer *);

static const step_fn step_fns[STEPS] = {
	[STEP_PORT_OPEN] = step_port_open,
	[STEP_PORT_CLOSE] = step_port_close,
	[STEP_LISTEN] = step_listen,
	[STEP_UNLISTEN] = step_unlisten,
	[STEP_CONNECT] = step_connect,
	[STEP_ACCEPT] = step_accept,
	[STEP_UP] = step_up,
	[STEP_SPLIT] = step_split,
	[STEP_STATUS] = step_status,
	[STEP_STATUS_LAST] = step_status_last,
	[STEP_PEER] = step_peer,
	[STEP_SEND] = step_send,
	[STEP_RECV] = step_recv,
	[STEP_DRAIN] = step_drain,
	[STEP_RESERVE_END] = step_reserve_end,
	[STEP_RESERVE_FILL] = step_reserve_fill,
	[STEP_HOLD] = step_hold,
	[STEP_CHECK] = step_check,
	[STEP_RELEASE] = step_release,
	[STEP_OPEN_SLOTS] = step_open_slots,
	[STEP_COMMIT] = step_commit,
	[STEP_DISCARD] = step_discard,
	[STEP_ECHO] = step_echo,
	[STEP_EXCHANGE] = step_exchange,
	[STEP_SHORT_LINKS] = step_short_links,
	[STEP_COUNTERS] = step_counters,
	[STEP_TX_CLOSE] = step_tx_close,
	[STEP_TX_DESTROY] = step_tx_destroy,
	[STEP_RX_DESTROY] = step_rx_destroy,
	[STEP_LINK_DESTROY] = step_link_destroy,
	[STEP_RESET] = step_reset,
};

bool
steps_run(struct steps *steps, const struct order *order, struct answer *answer)
{
	if (order->step >= STEPS || step_fns[order->step] == NULL ||
	    order->end >= PEER_ENDS)
		return broken(answer, "no such step or end");
	if (!step_fns[order->step](steps, order, answer))
		return false;
	steps->done = 0;
	steps->received = 0;
	steps->phase = 0;
	return true;
}

bool
steps_poll(struct steps *steps)
{
	bool moved = false;

	for (int i = 0; i < PEER_CARRIERS; i++)
		if (steps->ports[i] != NULL)
			moved |= weir_port_poll(steps->ports[i]) > 0;
	return moved;
}
