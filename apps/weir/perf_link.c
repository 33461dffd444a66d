/* SPDX-License-Identifier: BSD-3-Clause */
/* Round trips and one-way streams over a weir link; see perf_link.h. */

#include "perf_link.h"

#include <stdlib.h>

#include "slices.h"
#include "spin.h"
#include "ticks.h"

/* Longer than any delayed acknowledgement: after this no packet of the link
 * is on its way any more. */
#define SETTLE_NS 200000u

/* Bytes of a burst that fit the nearest cache. */
#define BURST_BYTES 32768u

/* A sleeping side: how soon it sees that its window is over, and how long it
 * waits for an answer. */
#define GATE_NS   UINT64_C(1000000)
#define ANSWER_NS UINT64_C(10000000000)

/* ---- payload ------------------------------------------------------------------ */

int
weir_work_open(struct weir_work *work, uint32_t size)
{
	size_t bytes = ((size_t)size + 127) / 64 * 64;

	work->out = aligned_alloc(64, bytes);
	work->in = aligned_alloc(64, bytes);
	if (work->out == NULL || work->in == NULL) {
		weir_work_close(work);
		return -ENOMEM;
	}
	weir_payload_fill(work->out, (uint32_t)bytes, 0);
	memset(work->in, 0, bytes);
	return 0;
}

void
weir_work_close(struct weir_work *work)
{
	free(work->out);
	free(work->in);
	work->out = work->in = NULL;
}

/* The first word is the number itself; the others differ from message to
 * message and from place to place. */
static uint64_t
payload_word(uint64_t number, uint32_t at)
{
	return at == 0 ? number : (number + at) * UINT64_C(0x9e3779b97f4a7c15);
}

void
weir_payload_fill(void *payload, uint32_t size, uint64_t number)
{
	uint8_t *to = payload;

	for (uint32_t at = 0; at < size; at += 8) {
		uint64_t word = payload_word(number, at);

		memcpy(to + at, &word, size - at < 8 ? size - at : 8);
	}
}

bool
weir_payload_matches(const void *payload, uint32_t size, uint64_t number)
{
	const uint8_t *from = payload;

	for (uint32_t at = 0; at < size; at += 8) {
		uint64_t word = payload_word(number, at);

		if (memcmp(from + at, &word, size - at < 8 ? size - at : 8) !=
		    0)
			return false;
	}
	return true;
}

static inline void
build(struct weir_perf_link *link, struct weir_slot *slot)
{
	if (__builtin_expect(link->verify, 0))
		weir_payload_fill(slot->data, link->load.size, link->number);
	else
		weir_work_put(link->load.work, slot->data, link->load.size,
			      link->number);
	link->number++;
}

/* Read it out; then judge number, length and, if asked for, content. */
static inline void
inspect(struct weir_perf_link *link, const struct weir_msg *msg)
{
	uint64_t number = link->order.next;

	if (__builtin_expect(msg->len != link->load.size, 0)) {
		link->order.found.corrupt++;
		link->order.next++;
		return;
	}
	weir_work_take(link->load.work, msg->data, msg->len);
	if (msg->len >= sizeof(number))
		memcpy(&number, msg->data, sizeof(number));
	weir_order_note(&link->order, number);
	if (__builtin_expect(link->verify, 0) &&
	    !weir_payload_matches(link->load.work->in, msg->len, number))
		link->order.found.corrupt++;
}

/* ---- one message --------------------------------------------------------------- */

/* @return permits, at least 1; negative. */
static inline int
get_permits(struct weir_perf_link *link, struct weir_permit *permits,
	    uint16_t n)
{
	struct weir_spin spin = { .limit = link->load.spin_limit };
	int rc;

	while ((rc = weir_tx_reserve_burst(link->tx, link->load.size, permits,
					   n)) == 0) {
		rc = weir_perf_link_poll(link);
		if (rc == 0)
			rc = weir_spin(&spin);
		if (rc != 0)
			break;
	}
	return rc;
}

/*
 * A permit for the next message, while we wait anyway: who is in a hurry to
 * answer has it before he is asked. One look, since there may be no room yet.
 */
static inline void
get_ahead(struct weir_perf_link *link, struct weir_permit *ahead)
{
	if (ahead->tx == NULL &&
	    weir_tx_reserve_burst(link->tx, link->load.size, ahead, 1) != 1)
		ahead->tx = NULL;
}

/* The one of before, or a new one. @return 1; negative. */
static inline int
take_ahead(struct weir_perf_link *link, struct weir_permit *ahead,
	   struct weir_permit *permit)
{
	if (__builtin_expect(ahead->tx == NULL, 0))
		return get_permits(link, permit, 1);
	*permit = *ahead;
	ahead->tx = NULL;
	return 1;
}

static void
drop_ahead(struct weir_permit *ahead)
{
	if (ahead->tx != NULL)
		weir_permit_drop(ahead);
}

int
weir_perf_link_ready(struct weir_perf_link *link)
{
	struct weir_permit permit;
	int rc = get_permits(link, &permit, 1);

	if (rc < 0)
		return rc;
	weir_permit_drop(&permit);
	return 0;
}

static inline int
send_one(struct weir_perf_link *link, struct weir_permit *ahead)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc = take_ahead(link, ahead, &permit);

	if (__builtin_expect(rc < 0, 0))
		return rc;
	(void)weir_permit_alloc(&permit, link->load.size, &slot);
	build(link, &slot);
	weir_slot_commit(&slot);
	if (link->polled)
		weir_tx_flush(link->tx);
	return 0;
}

int
weir_perf_link_send(struct weir_perf_link *link)
{
	struct weir_permit none = { .tx = NULL };

	return send_one(link, &none);
}

/* A burst that the nearest cache holds is filled first and then published, and
 * given back when all of it is read. Larger messages go out one by one: the peer
 * reads one while the next is written. */
static inline bool
together(const struct weir_perf_link *link)
{
	return link->load.burst > 1 &&
	       link->load.burst * link->load.size <= BURST_BYTES;
}

int
weir_perf_link_take(struct weir_perf_link *link)
{
	struct weir_msg msgs[WEIR_PERF_BURST_MAX];
	int rc = weir_perf_link_poll(link);

	if (__builtin_expect(rc < 0, 0))
		return rc;
	rc = weir_rx_recv_burst(link->rx, msgs, (uint16_t)link->load.burst);
	for (int i = 0; i < rc; i++) {
		inspect(link, &msgs[i]);
		if (!together(link))
			weir_msg_release(&msgs[i]);
	}
	if (rc > 0 && together(link))
		weir_msg_release_burst(msgs, (uint16_t)rc);
	return rc;
}

void
weir_perf_link_put(struct weir_perf_link *link, struct weir_permit *permits,
		   uint32_t n)
{
	struct weir_slot slot;

	for (uint32_t i = 0; i < n; i++) {
		(void)weir_permit_alloc(&permits[i], link->load.size, &slot);
		build(link, &slot);
		weir_slot_commit(&slot);
	}
	if (link->polled)
		weir_tx_flush(link->tx);
}

int
weir_perf_link_echo(struct weir_perf_link *link, struct weir_msg *msgs,
		    uint32_t n)
{
	struct weir_permit permits[WEIR_PERF_BURST_MAX];
	struct weir_slot slot;
	uint32_t done = 0;

	while (done < n) {
		int got = get_permits(link, permits, (uint16_t)(n - done));

		if (got < 0)
			break;
		for (int i = 0; i < got; i++) {
			inspect(link, &msgs[done]);
			(void)weir_permit_alloc(&permits[i], link->load.size,
						&slot);
			weir_work_echo(link->load.work, slot.data,
				       link->load.size);
			weir_slot_commit(&slot);
			weir_msg_release(&msgs[done++]);
		}
	}
	if (link->polled)
		weir_tx_flush(link->tx);
	if (done == n)
		return (int)n;
	while (done < n)
		weir_msg_release(&msgs[done++]);
	return -ETIMEDOUT;
}

/* The reply is built while the request is held, and the request handed back
 * when the reply is on its way. */
static inline int
reply(struct weir_perf_link *link, struct weir_msg *msg,
      struct weir_permit *ahead)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc;

	inspect(link, msg);
	rc = take_ahead(link, ahead, &permit);
	if (__builtin_expect(rc < 0, 0)) {
		weir_msg_release(msg);
		return rc;
	}
	(void)weir_permit_alloc(&permit, link->load.size, &slot);
	weir_work_echo(link->load.work, slot.data, link->load.size);
	weir_slot_commit(&slot);
	if (link->polled)
		weir_tx_flush(link->tx);
	weir_msg_release(msg);
	return 1;
}

/* @return 1; 0; negative. */
static inline int
answer(struct weir_perf_link *link, struct weir_permit *ahead)
{
	struct weir_msg msg;
	int rc = weir_perf_link_poll(link);

	if (__builtin_expect(rc < 0, 0))
		return rc;
	rc = weir_rx_recv(link->rx, &msg);
	return rc <= 0 ? rc : reply(link, &msg, ahead);
}

int
weir_perf_link_answer(struct weir_perf_link *link)
{
	struct weir_permit none = { .tx = NULL };

	return answer(link, &none);
}

/* ---- as a load ------------------------------------------------------------------ */

/* @return 1; negative. */
static inline int
await_answer(struct weir_perf_link *link, struct weir_msg *msg)
{
	struct weir_spin spin = { .limit = link->load.spin_limit };
	int rc;

	for (;;) {
		rc = weir_perf_link_poll(link);
		if (rc == 0)
			rc = weir_rx_recv(link->rx, msg);
		if (rc != 0)
			return rc;
		if (weir_spin(&spin) != 0)
			return -ETIMEDOUT;
	}
}

static int
link_rounds(struct weir_load *load, uint32_t n)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;
	struct weir_permit ahead = { .tx = NULL };
	struct weir_msg msg;
	int rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		rc = send_one(link, &ahead);
		if (__builtin_expect(rc < 0, 0))
			break;
		if (i + 1 < n)
			get_ahead(link, &ahead);
		rc = await_answer(link, &msg);
		if (__builtin_expect(rc < 0, 0))
			break;
		inspect(link, &msg);
		weir_msg_release(&msg);
	}
	drop_ahead(&ahead);
	return rc < 0 ? rc : 0;
}

static int
link_echo(struct weir_load *load)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;
	struct weir_spin spin = { .limit = load->spin_limit };
	struct weir_permit ahead = { .tx = NULL };
	int rc;

	for (;;) {
		get_ahead(link, &ahead);
		rc = answer(link, &ahead);
		if (rc < 0)
			break;
		if (rc > 0) {
			weir_spin_reset(&spin);
			continue;
		}
		if (!weir_gate_open(load->gate))
			break;
		(void)weir_spin(&spin);
	}
	drop_ahead(&ahead);
	return rc < 0 ? rc : 0;
}

/* One after the other. */
static inline void
put_each(struct weir_perf_link *link, struct weir_permit *permits, int n)
{
	struct weir_slot slot;

	for (int i = 0; i < n; i++) {
		(void)weir_permit_alloc(&permits[i], link->load.size, &slot);
		build(link, &slot);
		weir_slot_commit(&slot);
	}
}

/* With one call for each step of all. */
static inline void
put_together(struct weir_perf_link *link, struct weir_permit *permits, int n)
{
	struct weir_slot slots[WEIR_PERF_BURST_MAX];
	uint32_t lens[WEIR_PERF_BURST_MAX];

	for (int i = 0; i < n; i++)
		lens[i] = link->load.size;
	(void)weir_permit_alloc_burst(permits, lens, slots, (uint16_t)n);
	for (int i = 0; i < n; i++)
		build(link, &slots[i]);
	weir_slot_commit_burst(slots, (uint16_t)n);
}

static int
link_send(struct weir_load *load, uint32_t n)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;
	struct weir_permit permits[WEIR_PERF_BURST_MAX];
	uint32_t left = n;

	while (left > 0) {
		uint32_t want = left < load->burst ? left : load->burst;
		int got = get_permits(link, permits, (uint16_t)want);

		if (__builtin_expect(got < 0, 0))
			return got;
		if (together(link))
			put_together(link, permits, got);
		else
			put_each(link, permits, got);
		/* Transmits what was committed and takes in what came. */
		if (weir_perf_link_poll(link) < 0)
			return -ENODEV;
		left -= (uint32_t)got;
	}
	load->sent += n;
	return 0;
}

static int
link_sink(struct weir_load *load, struct weir_flow *flow)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;
	struct weir_spin spin = { .limit = load->spin_limit };
	struct weir_slices slices;
	uint64_t got = 0;
	int rc;

	weir_slices_begin(&slices, load->gate->slice_ticks, load->size);
	for (;;) {
		rc = weir_perf_link_take(link);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			got += (uint64_t)rc;
			weir_slices_note(&slices, got);
			weir_spin_reset(&spin);
			continue;
		}
		if (!weir_gate_open(load->gate)) {
			if (got >= load->gate->sent)
				break;
			/* Messages are missing: for good, after a while. */
			if (weir_spin(&spin) != 0)
				break;
			continue;
		}
		(void)weir_spin_stream(&spin);
	}
	flow->messages = got;
	weir_slices_end(&slices, flow);
	return 0;
}

void
weir_perf_link_linger(struct weir_perf_link *link, uint64_t ns)
{
	uint64_t start_ns = weir_raw_ns();

	if (!link->polled)
		return;
	while (weir_raw_ns() - start_ns < ns)
		if (weir_perf_link_poll(link) < 0)
			return;
}

static void
link_settle(struct weir_load *load)
{
	weir_perf_link_linger((struct weir_perf_link *)load, SETTLE_NS);
}

static void
link_idle(struct weir_load *load)
{
	(void)weir_perf_link_poll((struct weir_perf_link *)load);
}

static void
link_close(struct weir_load *load)
{
	(void)load; /* belongs to its side, which closes the link */
}

const struct weir_load_ops weir_perf_link_ops = {
	.rounds = link_rounds,
	.echo = link_echo,
	.send = link_send,
	.sink = link_sink,
	.settle = link_settle,
	.idle = link_idle,
	.close = link_close,
};

/* ---- asleep ---------------------------------------------------------------------- */

/* @return 1; 0 nothing for so long; negative. */
static int
sleep_until(struct weir_perf_link *link, uint64_t ns, struct weir_msg *msg)
{
	uint64_t deadline_ns = weir_now_ns() + ns;
	int rc;

	do {
		rc = weir_rx_recv_wait(link->rx, deadline_ns, msg);
	} while (rc == -EINTR); /* a signal ends the run, not the window */
	return rc;
}

static int
sleep_rounds(struct weir_load *load, uint32_t n)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;

	for (uint32_t i = 0; i < n; i++) {
		struct weir_msg msg;
		int rc;

		weir_load_think(load);
		rc = weir_perf_link_send(link);
		if (rc == 0)
			rc = sleep_until(link, ANSWER_NS, &msg);
		if (rc <= 0)
			return rc == 0 ? -ETIMEDOUT : rc;
		inspect(link, &msg);
		weir_msg_release(&msg);
	}
	return 0;
}

static int
sleep_echo(struct weir_load *load)
{
	struct weir_perf_link *link = (struct weir_perf_link *)load;
	struct weir_permit none = { .tx = NULL };
	struct weir_msg msg;
	int rc;

	do {
		rc = sleep_until(link, GATE_NS, &msg);
		if (rc > 0) {
			weir_load_think(load);
			rc = reply(link, &msg, &none);
		}
	} while (rc > 0 || (rc == 0 && weir_gate_open(load->gate)));
	return rc;
}

const struct weir_load_ops weir_perf_sleep_ops = {
	.rounds = sleep_rounds,
	.echo = sleep_echo,
	.send = link_send,
	.sink = link_sink,
	.settle = link_settle,
	.idle = link_idle,
	.close = link_close,
};
