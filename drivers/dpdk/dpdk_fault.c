/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_fault: the callback and its queues. See dpdk_fault.h.
 */

#include "dpdk_fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "weir_driver.h"

/* A late frame that nothing follows comes after so long: networks do not keep
 * a frame until the next one is sent. */
#define LATE_NS UINT64_C(1000000)

/* Repeats need room that frames of the device may want more. */
#define SPARE_ROOM 64u

/* Where a UDP payload begins at the earliest: Ethernet, IPv4 or IPv6, UDP. */
#define PAYLOAD_IP4 42u
#define PAYLOAD_IP6 62u

/* Streams of random numbers, by what they decide. */
enum stream {
	STREAM_LOSS,
	STREAM_BURST,
	STREAM_DUP,
	STREAM_REORDER,
	STREAM_CORRUPT,
	STREAM_SUM,
	STREAM_TRUNCATE,
	STREAM_DELAY,
	STREAM_PLACE, /* which bit */
	STREAMS,
};

struct held {
	struct rte_mbuf *mbuf;
	uint64_t due_tsc;
	uint64_t due_seen; /* late: when so many frames have passed */
};

/* Indices run on; the room is a power of two. */
struct queue {
	struct held *at;
	uint32_t head;
	uint32_t tail;
};

struct dpdk_fault {
	struct dpdk_fault_spec spec;
	bool on;
	bool in_burst;
	uint32_t room; /* of all queues together, and of each array */
	uint64_t seen; /* frames that were passed on */
	uint64_t delay_tsc;
	uint64_t jitter_tsc;
	uint64_t late_tsc;
	struct queue late;
	struct queue delay;
	struct queue out;
	uint64_t random[STREAMS];
	struct dpdk_fault_counts counts;
	struct dpdk_dev *dev;
	const struct rte_eth_rxtx_callback *callback;
};

/* ---- random numbers ---------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014): one addition, then mixed. */
static uint64_t
random_next(struct dpdk_fault *f, enum stream stream)
{
	uint64_t z = f->random[stream] += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* A kind that was asked for draws also at 0 %: a run without faults that is
 * to be compared with one that has them costs the same. */
static bool
happens(struct dpdk_fault *f, enum stream stream, dpdk_fault_rate rate)
{
	return rate != DPDK_FAULT_NOT_ASKED &&
	       (uint32_t)random_next(f, stream) < rate;
}

/* @return 0 .. limit - 1; by multiplication, not by division. */
static uint32_t
random_below(struct dpdk_fault *f, enum stream stream, uint32_t limit)
{
	return (uint32_t)(((uint64_t)(uint32_t)random_next(f, stream) *
			   limit) >>
			  32);
}

static void
random_seed(struct dpdk_fault *f)
{
	/* Far apart in one sequence. */
	for (int i = 0; i < STREAMS; i++)
		f->random[i] = f->spec.seed * UINT64_C(0xd1342543de82ef95) +
			       ((uint64_t)i << 56);
}

/* ---- queues -------------------------------------------------------------------- */

static uint32_t
count_of(const struct queue *q)
{
	return q->tail - q->head;
}

static uint32_t
held_count(const struct dpdk_fault *f)
{
	return count_of(&f->late) + count_of(&f->delay) + count_of(&f->out);
}

static struct held *
entry(const struct dpdk_fault *f, const struct queue *q, uint32_t index)
{
	return &q->at[index & (f->room - 1)];
}

static void
to_out(struct dpdk_fault *f, struct rte_mbuf *m)
{
	entry(f, &f->out, f->out.tail++)->mbuf = m;
}

/* Sorted by time; those of one time stay in order. */
static void
to_delay(struct dpdk_fault *f, struct rte_mbuf *m, uint64_t now_tsc)
{
	uint64_t due_tsc = now_tsc + f->delay_tsc;
	uint32_t at = f->delay.tail++;

	if (f->jitter_tsc != 0)
		due_tsc +=
			(uint64_t)(((__uint128_t)random_next(f, STREAM_DELAY) *
				    f->jitter_tsc) >>
				   64);
	for (; at != f->delay.head &&
	       entry(f, &f->delay, at - 1)->due_tsc > due_tsc;
	     at--)
		*entry(f, &f->delay, at) = *entry(f, &f->delay, at - 1);
	*entry(f, &f->delay, at) =
		(struct held){ .mbuf = m, .due_tsc = due_tsc };
	f->counts.delayed++;
}

static void
pass_on(struct dpdk_fault *f, struct rte_mbuf *m, uint64_t now_tsc)
{
	f->seen++;
	if (f->delay_tsc + f->jitter_tsc == 0)
		to_out(f, m);
	else
		to_delay(f, m, now_tsc);
}

static void
release_late(struct dpdk_fault *f, uint64_t now_tsc)
{
	while (count_of(&f->late) != 0) {
		struct held *first = entry(f, &f->late, f->late.head);

		if (first->due_seen > f->seen && first->due_tsc > now_tsc)
			return;
		f->late.head++;
		pass_on(f, first->mbuf, now_tsc);
	}
}

static void
release_delayed(struct dpdk_fault *f, uint64_t now_tsc)
{
	while (count_of(&f->delay) != 0 &&
	       entry(f, &f->delay, f->delay.head)->due_tsc <= now_tsc)
		to_out(f, entry(f, &f->delay, f->delay.head++)->mbuf);
}

/* ---- damage ---------------------------------------------------------------------- */

/* The mbuf, or a copy where somebody else refers to its bytes: on net_ring
 * they are the sender's, who may send them again. NULL: none was left. */
static struct rte_mbuf *
writable(struct rte_mbuf *m)
{
	struct rte_mbuf *copy;

	if (RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1)
		return m;
	copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);
	if (copy != NULL)
		rte_pktmbuf_free(m);
	return copy;
}

static void
flip_one(struct dpdk_fault *f, struct rte_mbuf *m)
{
	uint32_t bit = random_below(f, STREAM_PLACE, m->data_len * 8u);

	*rte_pktmbuf_mtod_offset(m, uint8_t *, bit / 8) ^=
		(uint8_t)(1u << bit % 8);
	f->counts.corrupted++;
}

/*
 * The same bit of two 16-bit words, one set and the other not: their sum, and
 * with it the UDP checksum, stays as it was.
 */
static void
flip_two(struct dpdk_fault *f, struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t begin = frame[12] == 0x08 ? PAYLOAD_IP4 : PAYLOAD_IP6;
	uint32_t words, one, bit;

	if (m->data_len < begin + 8)
		return;
	words = (m->data_len - begin) / 2;
	one = random_below(f, STREAM_PLACE, words);
	bit = random_below(f, STREAM_PLACE, 16);
	for (uint32_t i = 1; i < words; i++) {
		uint32_t other = one + i < words ? one + i : one + i - words;
		uint8_t *a = frame + begin + 2 * one + bit / 8;
		uint8_t *b = frame + begin + 2 * other + bit / 8;

		if (((*a ^ *b) & 1u << bit % 8) == 0)
			continue;
		*a ^= (uint8_t)(1u << bit % 8);
		*b ^= (uint8_t)(1u << bit % 8);
		f->counts.corrupted++;
		return;
	}
}

static void
cut(struct dpdk_fault *f, struct rte_mbuf *m)
{
	rte_pktmbuf_trim(
		m, (uint16_t)(1 + random_below(f, STREAM_PLACE, m->data_len)));
	f->counts.truncated++;
}

/* ---- one frame -------------------------------------------------------------------- */

/* What befalls a frame. */
enum fate {
	FATE_LOST = 1,
	FATE_DUP = 2,
	FATE_LATE = 4,
	FATE_ONE = 8,  /* bit flipped */
	FATE_TWO = 16, /* bits flipped, the same sum */
	FATE_LESS = 32,
	FATE_DAMAGE = FATE_ONE | FATE_TWO | FATE_LESS,
};

static bool
is_lost(struct dpdk_fault *f)
{
	if (!f->in_burst)
		f->in_burst = happens(f, STREAM_BURST, f->spec.burst);
	if (f->in_burst) {
		f->in_burst = !happens(f, STREAM_BURST, f->spec.burst_end);
		return true;
	}
	return happens(f, STREAM_LOSS, f->spec.loss);
}

/* Of one that is not lost. */
static uint32_t
draw_rest(struct dpdk_fault *f)
{
	uint32_t fate = 0;

	if (happens(f, STREAM_CORRUPT, f->spec.corrupt))
		fate |= FATE_ONE;
	if (happens(f, STREAM_SUM, f->spec.corrupt_sum))
		fate |= FATE_TWO;
	if (happens(f, STREAM_TRUNCATE, f->spec.truncate))
		fate |= FATE_LESS;
	if (happens(f, STREAM_REORDER, f->spec.reorder))
		fate |= FATE_LATE;
	return fate;
}

static uint32_t
draw(struct dpdk_fault *f)
{
	uint32_t fate;

	if (is_lost(f))
		return FATE_LOST;
	fate = draw_rest(f);
	if (happens(f, STREAM_DUP, f->spec.dup))
		fate |= FATE_DUP;
	return fate;
}

/* @return the frame, damaged, maybe elsewhere. */
static struct rte_mbuf *
damage(struct dpdk_fault *f, struct rte_mbuf *m, uint32_t fate)
{
	struct rte_mbuf *mine;

	if (m->nb_segs != 1 || m->data_len == 0)
		return m;
	mine = writable(m);
	if (mine == NULL)
		return m;
	if (fate & FATE_ONE)
		flip_one(f, mine);
	if (fate & FATE_TWO)
		flip_two(f, mine);
	if (fate & FATE_LESS)
		cut(f, mine);
	return mine;
}

static void
place(struct dpdk_fault *f, struct rte_mbuf *m, uint32_t fate, uint64_t now_tsc)
{
	if (fate & FATE_DAMAGE)
		m = damage(f, m, fate);
	if ((fate & FATE_LATE) && held_count(f) < f->room / 2) {
		*entry(f, &f->late, f->late.tail++) = (struct held){
			.mbuf = m,
			.due_tsc = now_tsc + f->late_tsc,
			.due_seen = f->seen + f->spec.reorder_by,
		};
		f->counts.reordered++;
		return;
	}
	pass_on(f, m, now_tsc);
	release_late(f, now_tsc);
}

static void
take_in(struct dpdk_fault *f, struct rte_mbuf *m, uint32_t fate,
	uint64_t now_tsc)
{
	struct rte_mbuf *copy = NULL;

	if (fate & FATE_LOST) {
		f->counts.lost++;
		rte_pktmbuf_free(m);
		return;
	}
	if (held_count(f) == f->room) {
		f->counts.overflows++;
		rte_pktmbuf_free(m);
		return;
	}
	if ((fate & FATE_DUP) && held_count(f) + SPARE_ROOM < f->room)
		copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);
	place(f, m, fate, now_tsc);
	if (copy != NULL) {
		f->counts.duplicated++;
		place(f, copy, draw_rest(f), now_tsc);
	}
}

uint16_t
weir_dpdk_fault_befall(struct dpdk_fault *f, struct rte_mbuf **mbufs,
		       uint16_t count, uint16_t room)
{
	uint64_t now_tsc;
	uint16_t out = 0;

	if (!f->on && held_count(f) == 0)
		return count;
	now_tsc = rte_rdtsc();
	for (uint16_t i = 0; i < count; i++) {
		uint32_t fate = f->on ? draw(f) : 0;

		/* Most frames of a mild network stay where they are. */
		if (fate == 0 && held_count(f) == 0 &&
		    f->delay_tsc + f->jitter_tsc == 0)
			mbufs[out++] = mbufs[i];
		else
			take_in(f, mbufs[i], fate, now_tsc);
	}
	f->counts.frames += count;
	release_late(f, now_tsc);
	release_delayed(f, now_tsc);
	while (out < room && count_of(&f->out) != 0)
		mbufs[out++] = entry(f, &f->out, f->out.head++)->mbuf;
	return out;
}

/* As rte_rx_callback_fn. */
static uint16_t
on_receive(uint16_t port_id, uint16_t queue_id, struct rte_mbuf **mbufs,
	   uint16_t count, uint16_t room, void *fault)
{
	(void)port_id;
	(void)queue_id;
	return weir_dpdk_fault_befall(fault, mbufs, count, room);
}

/* ---- life ---------------------------------------------------------------------- */

static bool
make_queue(struct queue *q, uint32_t room)
{
	q->at = calloc(room, sizeof(*q->at));
	return q->at != NULL;
}

struct dpdk_fault *
weir_dpdk_fault_new(const struct dpdk_fault_spec *spec)
{
	struct dpdk_fault *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->room = spec->hold;
	if (!make_queue(&f->late, f->room) || !make_queue(&f->delay, f->room) ||
	    !make_queue(&f->out, f->room)) {
		weir_dpdk_fault_free(f);
		return NULL;
	}
	return f;
}

void
weir_dpdk_fault_free(struct dpdk_fault *f)
{
	if (f == NULL)
		return;
	weir_dpdk_fault_detach(f);
	free(f->late.at);
	free(f->delay.at);
	free(f->out.at);
	free(f);
}

static uint64_t
tsc_of(uint64_t ns)
{
	return (uint64_t)((__uint128_t)ns * rte_get_tsc_hz() / 1000000000u);
}

/* What is held comes out at the next receive, in the order of the queues. */
static void
let_go(struct dpdk_fault *f)
{
	f->delay_tsc = 0;
	f->jitter_tsc = 0;
	while (count_of(&f->delay) != 0)
		to_out(f, entry(f, &f->delay, f->delay.head++)->mbuf);
	while (count_of(&f->late) != 0)
		to_out(f, entry(f, &f->late, f->late.head++)->mbuf);
}

int
weir_dpdk_fault_set(struct dpdk_fault *f, const struct dpdk_fault_spec *spec)
{
	if (spec != NULL && spec->hold > f->room)
		return weir_fail(-EINVAL,
				 "fault: hold=%u: this port has room for %u "
				 "from its first fault; give that one more",
				 spec->hold, f->room);
	let_go(f);
	f->on = spec != NULL;
	f->in_burst = false;
	if (spec == NULL) {
		return 0;
	}
	f->spec = *spec;
	f->delay_tsc = tsc_of(spec->delay_ns);
	f->jitter_tsc = tsc_of(spec->jitter_ns);
	f->late_tsc = tsc_of(LATE_NS);
	random_seed(f);
	return 0;
}

int
weir_dpdk_fault_attach(struct dpdk_fault *f, struct dpdk_dev *dev)
{
	if (dev->rx_pool->budget < f->room)
		return weir_fail(-ENOBUFS,
				 "dpdk %s: a fault that holds %u frames needs "
				 "as many packet buffers, %u are left: open "
				 "the port with more (mbufs=), or give it "
				 "less (hold=)",
				 dev->dev_name, f->room, dev->rx_pool->budget);
	if (dev->share == NULL)
		f->callback = rte_eth_add_rx_callback(
			dev->port_id, dev->queue_id, on_receive, f);
	if (dev->share == NULL && f->callback == NULL)
		return weir_fail(-ENOMEM,
				 "dpdk %s: cannot add a receive callback; "
				 "is DPDK built with them?",
				 dev->dev_name);
	dev->rx_pool->budget -= f->room;
	f->dev = dev;
	return 0;
}

void
weir_dpdk_fault_detach(struct dpdk_fault *f)
{
	if (f == NULL || f->dev == NULL)
		return;
	if (f->callback != NULL)
		rte_eth_remove_rx_callback(f->dev->port_id, f->dev->queue_id,
					   f->callback);
	/* Ours to free once nobody polls any more, and that would be us. */
	rte_free((void *)(uintptr_t)f->callback);
	f->callback = NULL;
	let_go(f);
	while (count_of(&f->out) != 0)
		rte_pktmbuf_free(entry(f, &f->out, f->out.head++)->mbuf);
	f->dev->rx_pool->budget += f->room;
	f->dev = NULL;
}

void
weir_dpdk_fault_counts(const struct dpdk_fault *f,
		       struct dpdk_fault_counts *counts)
{
	*counts = f->counts;
	counts->held = held_count(f);
}
