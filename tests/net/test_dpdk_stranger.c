/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_stranger: what comes over a wire from people who have no link, or
 * had one. One port listens; at the other end of its net_ring the test itself
 * writes and reads frames, or a port of weir's.
 *
 *     stranger's frames --> ring --> port a, polled, listens
 *     answers          <-- ring <--
 *
 * docs/SECURITY.md names these tests. Inside the counters of a are read, which
 * its statistics sum up.
 */

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "crc32c.h"
#include "dpdk_port.h"
#include "net_test.h"
#include "pattern.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define RING      "dpdk:stranger,dev=net_ring"
#define SECOND_NS UINT64_C(1000000000)
#define LIMIT_NS  (20 * SECOND_NS)
#define FRAME_MAX 2048
#define FRAME_HDR 42
#define OUR_IP    UINT32_C(0x0a000001)
#define SERVER_IP UINT32_C(0xa9fe7701)
#define OUR_PORT  49152

static struct weir_port *port_a, *port_b;
static struct weir_listener *listener;
static struct weir_dpdk_queue queue; /* of b */
static uint32_t log_lines;

struct packet {
	uint32_t len;
	uint8_t bytes[FRAME_MAX];
};

/* What came back since the last look. */
static struct packet newest[WIRE_TYPES];
static uint64_t answer_count, answer_bytes, type_count[WIRE_TYPES];

static void
count_line(enum weir_log_level level, const char *text)
{
	(void)level;
	(void)text;
	log_lines++;
}

static uint64_t
happened(enum listen_count what)
{
	return dpdk_port_of(port_a)->gate.listen.counts[what];
}

static uint32_t
links(void)
{
	struct weir_port_stats stats;

	weir_port_stats(port_a, &stats, sizeof(stats));
	return stats.links;
}

/* ---- the stranger's end --------------------------------------------------------- */

static void
put_be(uint8_t *at, uint64_t value, int bytes)
{
	while (bytes-- > 0) {
		at[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

/* One frame with that packet, from ip:port. */
static void throw(uint32_t ip, uint16_t port, const uint8_t *packet,
		  uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(queue.tx_pool);
	uint8_t *frame;

	assert_non_null(m);
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	m->data_len = (uint16_t)(FRAME_HDR + len);
	m->pkt_len = FRAME_HDR + len;
	memset(frame, 0, FRAME_HDR);
	memcpy(frame, "\x02weir\x01\x02weir\x02\x08", 13);
	frame[14] = 0x45;
	put_be(frame + 16, 28 + len, 2);
	frame[20] = 0x40;
	frame[22] = 64;
	frame[23] = 17;
	put_be(frame + 26, ip, 4);
	put_be(frame + 30, SERVER_IP, 4);
	put_be(frame + 34, port, 2);
	put_be(frame + 36, DPDK_UDP_LISTEN, 2);
	put_be(frame + 38, 8 + len, 2);
	memcpy(frame + FRAME_HDR, packet, len);
	assert_int_equal(rte_eth_tx_burst(queue.port_id, 0, &m, 1), 1);
}

/* Port a works, and its answers are read. */
static void
turn(void)
{
	struct rte_mbuf *m[32];
	uint16_t count;

	must(weir_port_poll(port_a), "poll");
	while ((count = rte_eth_rx_burst(queue.port_id, 0, m, 32)) != 0) {
		for (uint16_t i = 0; i < count; i++) {
			const uint8_t *at =
				rte_pktmbuf_mtod(m[i], const uint8_t *);
			uint8_t type = at[FRAME_HDR] & 15;
			struct packet *p = &newest[type];

			p->len = m[i]->data_len - FRAME_HDR;
			memcpy(p->bytes, at + FRAME_HDR, p->len);
			answer_bytes += p->len;
			type_count[type]++;
			answer_count++;
			rte_pktmbuf_free(m[i]);
		}
	}
}

static void
forget_answers(void)
{
	answer_count = answer_bytes = 0;
	memset(type_count, 0, sizeof(type_count));
}

/* Links send PINGs meanwhile: look for one kind of answer. */
static struct wire_hdr
wait_for(enum wire_type type)
{
	const struct packet *p = &newest[type];
	struct wire_hdr hdr;

	STEP_UNTIL(turn(), type_count[type] > 0);
	assert_int_equal(weir_wire_decode(p->bytes, p->len, &hdr), WIRE_OK);
	return hdr;
}

/* Who the stranger says that he is. */
static struct wire_params
params(uint64_t token, uint64_t epoch)
{
	struct wire_params p = {
		.token = token,
		.instance = 4711,
		.epoch = epoch,
		.isn = (uint32_t)token,
		.frag_size = 1400,
		.window_packets = 64,
		.credit_msgs = 64,
		.msg_size_max = 1000,
		.max_ack_delay_ns = 20000,
		.modes = WIRE_MODE_BARE,
		.version_min = 1,
		.version_max = 1,
	};

	memset(p.proof, 0x77, sizeof(p.proof));
	return p;
}

static uint32_t
make_init(const struct wire_params *p, const uint8_t *cookie, uint8_t *packet)
{
	struct wire_hdr hdr = { .vt = 0x10 | WIRE_INIT, .seq = p->isn };
	uint32_t len = WIRE_HDR_LEN;

	memset(packet, 0, WIRE_INIT_LEN);
	len += weir_wire_put_params(p, packet + len);
	if (cookie != NULL) {
		memcpy(packet + len, cookie, cookie[1] * 8u);
		len += cookie[1] * 8u;
	}
	hdr.hlen = (uint8_t)(len / 8);
	weir_wire_encode(&hdr, packet);
	return WIRE_INIT_LEN;
}

static void
send_init(uint32_t ip, uint16_t port, const struct wire_params *p,
	  const uint8_t *cookie)
{
	uint8_t packet[WIRE_INIT_LEN];

	throw(ip, port, packet, make_init(p, cookie, packet));
}

static struct weir_link *newest_link;

/* INIT, RETRY if it is asked for, ACCEPT, ACK. @return the server's PARAMS. */
static struct wire_params
raw_handshake(uint32_t ip, uint16_t port, const struct wire_params *p)
{
	struct wire_params theirs;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	forget_answers();
	send_init(ip, port, p, NULL);
	STEP_UNTIL(turn(),
		   type_count[WIRE_RETRY] + type_count[WIRE_ACCEPT] > 0);
	if (type_count[WIRE_RETRY] != 0) {
		hdr = wait_for(WIRE_RETRY);
		send_init(ip, port, p, hdr.cookie);
	}
	hdr = wait_for(WIRE_ACCEPT);
	weir_wire_get_params(hdr.params, &theirs);
	hdr = (struct wire_hdr){ .vt = 0x10 | WIRE_ACK,
				 .flags = WIRE_F_ACKV,
				 .hlen = WIRE_HDR_LEN / 8,
				 .seq = p->isn,
				 .token = theirs.token,
				 .ack = theirs.isn,
				 .window = theirs.isn + 64,
				 .credit = 64 };
	weir_wire_encode(&hdr, packet);
	throw(ip, port, packet, sizeof(packet));
	return theirs;
}

/* A busy machine may let a half open link expire meanwhile: then again. */
static struct wire_params
raw_link(uint32_t ip, uint16_t port, const struct wire_params *p)
{
	struct wire_params theirs = { 0 };
	int rc = 0;

	for (int i = 0; i < 20 && rc == 0; i++) {
		theirs = raw_handshake(ip, port, p);
		turn();
		rc = weir_link_accept(listener, &newest_link);
	}
	assert_int_equal(rc, 1);
	return theirs;
}

static struct weir_link *
accepted(void)
{
	struct weir_link *link = newest_link;

	newest_link = NULL;
	assert_non_null(link);
	return link;
}

/* ---- floods ------------------------------------------------------------------------ */

static void
a_flood_of_inits_is_kept_nowhere(void **state)
{
	uint32_t frames = getenv("WEIR_CHECK_LONG") != NULL ? 1000000 : 20000;
	struct mallinfo2 before, after;
	uint64_t in = 0;

	(void)state;
	turn();
	log_lines = 0;
	before = mallinfo2();
	for (uint32_t i = 0; i < frames; i++) {
		struct wire_params p = params((uint64_t)i << 20 | 5, 1);

		send_init(OUR_IP + i * 7, (uint16_t)(1000 + i % 60000), &p,
			  NULL);
		in += WIRE_INIT_LEN;
		if (i % 16 == 15)
			turn();
	}
	STEP_UNTIL(turn(), answer_count == frames);
	after = mallinfo2();
	assert_int_equal(links(), 0);
	assert_int_equal(after.uordblks, before.uordblks);
	assert_int_equal(type_count[WIRE_RETRY], frames);
	assert_int_equal(happened(LISTEN_INIT_RETRY), frames);
	assert_true(4 * answer_bytes <= in);
	assert_int_equal(log_lines, 0);
	/* And who comes honestly gets his link. */
	{
		struct wire_params p = params(UINT64_C(0xabcd0000), 1);
		struct weir_link *link;

		raw_link(OUR_IP, OUR_PORT, &p);
		link = accepted();
		weir_link_destroy(link);
	}
}

static void
without_cookies_a_flood_ends_at_the_cap(void **state)
{
	uint32_t frames = 2000;
	uint64_t in = 0;

	(void)state;
	log_lines = 0;
	for (uint32_t i = 0; i < frames; i++) {
		struct wire_params p = params((uint64_t)i << 20 | 5, 1);

		send_init(OUR_IP + i, OUR_PORT, &p, NULL);
		in += WIRE_INIT_LEN;
		if (i % 16 == 15)
			turn();
	}
	STEP_UNTIL(turn(), happened(LISTEN_INIT_REFUSED) +
					   happened(LISTEN_INIT_WELCOME) ==
				   frames);
	assert_true(links() <= LISTEN_BACKLOG);
	assert_true(happened(LISTEN_INIT_WELCOME) > 0);
	assert_true(happened(LISTEN_REJECT_LIMITED) > 0);
	assert_true(happened(LISTEN_INIT_REFUSED) > 0);
	assert_int_equal(happened(LISTEN_INIT_NO_ROOM),
			 happened(LISTEN_INIT_REFUSED));
	assert_true(answer_bytes <= in);
	assert_int_equal(log_lines, 0);
	/* Nobody confirmed: all of them go by themselves. */
	STEP_UNTIL(turn(), links() == 0);
}

static void
under_pressure_cookies_are_asked_for(void **state)
{
	(void)state;
	/* Small links, so that many fit. */
	for (uint32_t i = 0; i < 100; i++) {
		struct wire_params p = params((uint64_t)i << 20 | 5, 1);

		send_init(OUR_IP + i, OUR_PORT, &p, NULL);
	}
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) +
					   happened(LISTEN_INIT_RETRY) ==
				   100);
	assert_int_equal(happened(LISTEN_INIT_WELCOME), 64);
}

static struct weir_port_stats
port_stats(void)
{
	struct weir_port_stats stats;

	weir_port_stats(port_a, &stats, sizeof(stats));
	return stats;
}

/* Not refused but dropped: whoever sent it is no weir. */
static void
an_init_that_no_honest_peer_sends_is_dropped(void **state)
{
	struct wire_params p = params(UINT64_C(0x1230000), 1);
	uint8_t packet[WIRE_INIT_LEN];
	uint32_t len;

	(void)state;
	p.frag_size = 0;
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	p = params(UINT64_C(0x1230000), 1);
	len = make_init(&p, NULL, packet);
	packet[7] ^= 1; /* its number is not that of its PARAMS */
	throw(OUR_IP, OUR_PORT, packet, len);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_MALFORMED) == 2);
	assert_int_equal(port_stats().init_malformed, 2);
	assert_int_equal(port_stats().rx_malformed, 2);
	assert_int_equal(answer_count, 0);
	assert_int_equal(links(), 0);
}

/* ---- cookies ------------------------------------------------------------------------ */

static void
a_cookie_is_of_no_use_to_another(void **state)
{
	struct wire_params p = params(UINT64_C(0x1230000), 1), other;
	uint8_t cookie[WIRE_COOKIE_MAX];
	struct wire_hdr hdr;

	(void)state;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	hdr = wait_for(WIRE_RETRY);
	memcpy(cookie, hdr.cookie, hdr.cookie[1] * 8u);
	/* From another address, another port, with another token or epoch. */
	forget_answers();
	send_init(OUR_IP + 1, OUR_PORT, &p, cookie);
	send_init(OUR_IP, OUR_PORT + 1, &p, cookie);
	other = params(UINT64_C(0x1240000), 1);
	send_init(OUR_IP, OUR_PORT, &other, cookie);
	other = params(UINT64_C(0x1230000), 2);
	send_init(OUR_IP, OUR_PORT, &other, cookie);
	STEP_UNTIL(turn(), answer_count == 4);
	assert_int_equal(type_count[WIRE_RETRY], 4);
	assert_int_equal(happened(LISTEN_COOKIE_WRONG), 4);
	assert_int_equal(links(), 0);
	/* The same again is the same link. */
	send_init(OUR_IP, OUR_PORT, &p, cookie);
	send_init(OUR_IP, OUR_PORT, &p, cookie);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_AGAIN) == 1);
	assert_int_equal(happened(LISTEN_INIT_WELCOME), 1);
	assert_int_equal(links(), 1);
	STEP_UNTIL(turn(), links() == 0);
}

/* Half an hour later its key has been replaced, and it is too old anyway. */
static void
an_old_cookie_is_worth_nothing(void **state)
{
	struct wire_params p = params(UINT64_C(0x1230000), 1);
	uint8_t cookie[WIRE_COOKIE_MAX];
	struct wire_hdr hdr;

	(void)state;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	hdr = wait_for(WIRE_RETRY);
	memcpy(cookie, hdr.cookie, hdr.cookie[1] * 8u);
	/* The port's clock is its own: put it forward. */
	dpdk_port_of(port_a)->ns_base += 11 * SECOND_NS;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, cookie);
	STEP_UNTIL(turn(), answer_count > 0);
	assert_int_equal(type_count[WIRE_RETRY], 1);
	assert_int_equal(happened(LISTEN_COOKIE_WRONG), 1);
	assert_int_equal(links(), 0);
}

/* However often he asks again: 3 s, on the port's own clock. */
static void
nobody_keeps_a_link_half_open(void **state)
{
	struct wire_params p = params(UINT64_C(0x1230000), 1);
	struct dpdk_port *port = dpdk_port_of(port_a);
	uint64_t start_ns;

	(void)state;
	start_ns = port->now_ns;
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 1);
	assert_int_equal(links(), 1);
	while (port->now_ns - start_ns < SECOND_NS) {
		port->ns_base += SECOND_NS / 10;
		send_init(OUR_IP, OUR_PORT, &p, NULL);
		turn();
	}
	assert_true(happened(LISTEN_INIT_AGAIN) > 0);
	port->ns_base += 2 * SECOND_NS + SECOND_NS / 10;
	for (int i = 0; i < 10; i++)
		turn();
	/* Unless this machine stood still for seconds, and it was another. */
	if (happened(LISTEN_INIT_WELCOME) == 1)
		assert_int_equal(links(), 0);
}

/* ---- later lives, gone ------------------------------------------------------------ */

static void
a_restarted_peer_gets_its_link_at_once(void **state)
{
	struct wire_params p = params(UINT64_C(0x550000), 1);
	struct weir_link *old, *new;
	struct wire_params theirs;

	(void)state;
	raw_link(OUR_IP, OUR_PORT, &p);
	old = accepted();
	/* The same epoch is another link of the same life. */
	p = params(UINT64_C(0x560000), 1);
	raw_link(OUR_IP, OUR_PORT, &p);
	new = accepted();
	assert_int_equal(weir_link_status(old), 0);
	weir_link_destroy(new);
	/* A later one, but from elsewhere. */
	p = params(UINT64_C(0x570000), 2);
	raw_link(OUR_IP + 1, OUR_PORT, &p);
	new = accepted();
	assert_int_equal(weir_link_status(old), 0);
	assert_int_equal(happened(LISTEN_SUPERSEDED), 0);
	weir_link_destroy(new);
	p = params(UINT64_C(0x580000), 2);
	theirs = raw_link(OUR_IP, OUR_PORT, &p);
	assert_int_not_equal(theirs.token, 0);
	new = accepted();
	assert_int_equal(weir_link_status(old), -ETIMEDOUT);
	assert_int_equal(weir_link_status(new), 0);
	assert_true(happened(LISTEN_SUPERSEDED) >= 1);
	weir_link_destroy(old);
	weir_link_destroy(new);
}

/* Killed in the middle of the handshake: nothing of it may come up later. */
static void
a_half_open_link_of_a_former_life_goes_too(void **state)
{
	struct wire_params p = params(UINT64_C(0x590000), 1);
	struct wire_params later = params(UINT64_C(0x5a0000), 2);
	uint8_t cookie[WIRE_COOKIE_MAX];
	struct wire_hdr hdr;

	(void)state;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	hdr = wait_for(WIRE_RETRY);
	memcpy(cookie, hdr.cookie, hdr.cookie[1] * 8u);
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &later, NULL);
	hdr = wait_for(WIRE_RETRY);
	send_init(OUR_IP, OUR_PORT, &p, cookie);
	send_init(OUR_IP, OUR_PORT, &later, hdr.cookie);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 2);
	assert_int_equal(happened(LISTEN_SUPERSEDED), 1);
	STEP_UNTIL(turn(), links() < 2);
}

/* One INIT ends a bounded number of links, and the next one the others. */
static void
former_links_end_a_few_at_a_time(void **state)
{
	struct wire_params p;

	(void)state;
	for (uint32_t i = 0; i < 70; i++) {
		p = params((uint64_t)i << 20 | 5, 1);
		send_init(OUR_IP, OUR_PORT, &p, NULL);
	}
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 70);
	p = params(UINT64_C(0x620000), 2);
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 71);
	assert_in_range(happened(LISTEN_SUPERSEDED), 1, 64);
	p = params(UINT64_C(0x630000), 2);
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 72 && links() <= 2);
}

/* As if the ring were a wire, where anyone can be at the other end. */
static void
pretend_wire(void)
{
	dpdk_port_of(port_a)->dev->paired = false;
}

static void
nobody_ends_a_link_by_saying_that_he_is_its_peer(void **state)
{
	struct wire_params p = params(UINT64_C(0x5b0000), 1);
	struct weir_link *old, *new;

	(void)state;
	pretend_wire();
	raw_link(OUR_IP, OUR_PORT, &p);
	assert_int_equal(type_count[WIRE_RETRY], 0);
	old = accepted();
	/* cookie=off, and he is asked for one nevertheless. */
	p = params(UINT64_C(0x5c0000), 2);
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	wait_for(WIRE_RETRY);
	assert_int_equal(weir_link_status(old), 0);
	raw_link(OUR_IP, OUR_PORT, &p);
	new = accepted();
	assert_int_equal(weir_link_status(old), -ETIMEDOUT);
	weir_link_destroy(old);
	weir_link_destroy(new);
}

/* So many that a stranger's INIT must not have us look at all of them. */
static void
who_has_many_links_may_have_old_ones(void **state)
{
	struct wire_params p;

	(void)state;
	pretend_wire();
	for (uint32_t i = 0; i < 65; i++) {
		p = params((uint64_t)i << 20 | 5, 1);
		send_init(OUR_IP, OUR_PORT, &p, NULL);
	}
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 65);
	/* Another name, another port: nobody that we know. */
	p = params(UINT64_C(0x5f0000), 1);
	p.instance++;
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	p = params(UINT64_C(0x600000), 1);
	send_init(OUR_IP, OUR_PORT + 1, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 67);
	assert_int_equal(happened(LISTEN_INIT_RETRY), 0);
	p = params(UINT64_C(0x610000), 1);
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_RETRY) == 1);
	assert_int_equal(happened(LISTEN_INIT_WELCOME), 67);
}

static void
accept_is_repeated_only_to_who_is_known_to_be_there(void **state)
{
	struct wire_params p = params(UINT64_C(0x5d0000), 1);

	(void)state;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	wait_for(WIRE_ACCEPT);
	STEP_UNTIL(turn(), links() == 0);
	/* Some 20 in 3 s, if we are let. */
	assert_true(type_count[WIRE_ACCEPT] > 1);
	pretend_wire();
	p = params(UINT64_C(0x5e0000), 1);
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	wait_for(WIRE_ACCEPT);
	STEP_UNTIL(turn(), links() == 0);
	assert_int_equal(type_count[WIRE_ACCEPT], 1);
}

/* Token and number are not secret from those who see the wire. */
static void
the_same_init_from_elsewhere_is_another(void **state)
{
	struct wire_params p = params(UINT64_C(0x5f0000), 1);

	(void)state;
	forget_answers();
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	wait_for(WIRE_ACCEPT);
	send_init(OUR_IP + 1, OUR_PORT, &p, NULL);
	send_init(OUR_IP, OUR_PORT + 1, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == 3);
	assert_int_equal(happened(LISTEN_INIT_AGAIN), 0);
}

static void
gone_needs_its_proof(void **state)
{
	struct wire_params p = params(UINT64_C(0x660000), 1);
	uint8_t packet[WIRE_HDR_LEN], proof[WIRE_PROOF_LEN];
	struct weir_link *link;

	(void)state;
	raw_link(OUR_IP, OUR_PORT, &p);
	link = accepted();
	for (uint32_t i = 0; i < 1000; i++) {
		memset(proof, 0x77, sizeof(proof));
		proof[i % 16] ^= (uint8_t)(1 + i / 16);
		weir_wire_put_gone(p.token, proof, packet);
		throw(OUR_IP, OUR_PORT, packet, sizeof(packet));
		weir_wire_put_gone(p.token + ((uint64_t)i << 16) + 0x10000,
				   p.proof, packet);
		throw(OUR_IP, OUR_PORT, packet, sizeof(packet));
		turn();
	}
	STEP_UNTIL(turn(), happened(LISTEN_GONE_FORGED) == 1000);
	assert_int_equal(happened(LISTEN_GONE_UNKNOWN), 1000);
	assert_int_equal(weir_link_status(link), 0);
	weir_wire_put_gone(p.token, p.proof, packet);
	throw(OUR_IP, OUR_PORT, packet, sizeof(packet));
	STEP_UNTIL(turn(), weir_link_status(link) != 0);
	assert_int_equal(weir_link_status(link), -ETIMEDOUT);
	assert_int_equal(happened(LISTEN_GONE_TAKEN), 1);
	weir_link_destroy(link);
}

static void
ping(uint64_t token, uint8_t type)
{
	struct wire_hdr hdr = { .vt = (uint8_t)(0x10 | type),
				.flags = WIRE_F_ACKV,
				.hlen = WIRE_HDR_LEN / 8 + 1,
				.token = token };
	uint8_t packet[WIRE_HDR_LEN + WIRE_PAD_LEN];

	weir_wire_encode(&hdr, packet);
	weir_wire_put_pad(packet + WIRE_HDR_LEN);
	throw(OUR_IP, OUR_PORT, packet, sizeof(packet));
}

static void
who_asks_for_a_link_that_is_gone_is_told_with_proof(void **state)
{
	uint64_t token = UINT64_C(0x1234567800000000);
	uint8_t want[WIRE_PROOF_LEN], got[WIRE_PROOF_LEN];
	struct wire_hdr hdr;

	(void)state;
	forget_answers();
	ping(token, WIRE_PING);
	hdr = wait_for(WIRE_GONE);
	assert_int_equal(newest[WIRE_GONE].len, WIRE_HDR_LEN);
	assert_true(hdr.token == token);
	weir_wire_get_gone(&hdr, got);
	weir_cookie_proof(dpdk_port_of(port_a)->gate.listen.secret, token,
			  want);
	assert_memory_equal(got, want, sizeof(want));
	/* Answers are not answered. */
	forget_answers();
	ping(token, WIRE_ACK);
	ping(token, WIRE_REJECT);
	ping(token, WIRE_RETRY);
	ping(token, WIRE_RESET);
	for (int i = 0; i < 100; i++)
		turn();
	assert_int_equal(answer_count, 0);
	/* And there are not many of them. */
	for (uint32_t i = 0; i < 5000; i++) {
		ping(token + ((uint64_t)i << 16), WIRE_PING);
		if (i % 16 == 15)
			turn();
	}
	STEP_UNTIL(turn(),
		   happened(LISTEN_GONE_SENT) + happened(LISTEN_GONE_LIMITED) ==
			   5001);
	assert_true(happened(LISTEN_GONE_LIMITED) > 0);
	assert_true(type_count[WIRE_GONE] < 5000);
}

/* ---- no room to answer ---------------------------------------------------------- */

/* Who has SERVER_IP? */
static void
throw_arp(void)
{
	static const uint8_t question[42] =
		"\xff\xff\xff\xff\xff\xff\x02weir\x01\x08\x06" /* Ethernet */
		"\x00\x01\x08\x00\x06\x04\x00\x01\x02weir\x01";
	struct rte_mbuf *m = rte_pktmbuf_alloc(queue.tx_pool);
	uint8_t *frame;

	assert_non_null(m);
	m->data_len = sizeof(question);
	m->pkt_len = sizeof(question);
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(frame, question, sizeof(question));
	put_be(frame + 28, OUR_IP, 4);
	put_be(frame + 38, SERVER_IP, 4);
	assert_int_equal(rte_eth_tx_burst(queue.port_id, 0, &m, 1), 1);
}

/* INITs until no answer finds room; nobody reads them. @return how many. */
static uint32_t
fill_up(uint64_t limit_ns)
{
	uint32_t thrown = 0;

	while (port_stats().tx_answer_dropped == 0) {
		struct wire_params p = params((uint64_t)thrown << 20 | 5, 1);

		send_init(OUR_IP + thrown++, OUR_PORT, &p, NULL);
		must(weir_port_poll(port_a), "poll");
		if (weir_now_ns() > limit_ns)
			fail_msg("the ring never filled up");
	}
	return thrown;
}

static void
what_finds_no_room_is_dropped_and_not_counted_as_sent(void **state)
{
	struct wire_params p = params(UINT64_C(0x1230000), 1);
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;
	uint32_t thrown;

	(void)state;
	thrown = fill_up(end_ns);
	assert_true(port_stats().tx_ring_full > 0);
	/* The one after the last that found room. */
	assert_int_equal(happened(LISTEN_INIT_RETRY), thrown - 1);
	p.version_min = p.version_max = 9;
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	ping(UINT64_C(0x1234567800000000), WIRE_PING);
	throw_arp();
	while (port_stats().tx_neighbour_dropped == 0 && weir_now_ns() < end_ns)
		must(weir_port_poll(port_a), "poll");
	assert_int_equal(port_stats().tx_neighbour_dropped, 1);
	assert_int_equal(port_stats().tx_answer_dropped, 3);
	assert_int_equal(happened(LISTEN_INIT_REFUSED), 1);
	assert_int_equal(happened(LISTEN_TOKEN_UNKNOWN), 1);
	assert_int_equal(happened(LISTEN_GONE_SENT), 0);
	/* All that were counted as sent arrive, and no more. */
	STEP_UNTIL(turn(), answer_count == thrown - 1);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(type_count[WIRE_RETRY], thrown - 1);
	assert_int_equal(answer_count, thrown - 1);
	/* There is room again. */
	ping(UINT64_C(0x1234567800000000), WIRE_PING);
	STEP_UNTIL(turn(), type_count[WIRE_GONE] == 1);
	assert_int_equal(port_stats().tx_neighbour_dropped, 1);
	assert_int_equal(happened(LISTEN_GONE_SENT), 1);
}

/* Without memif nobody says goodbye: another unknown token, as it is counted. */
static void
a_goodbye_where_nobody_parts_is_an_unknown_token(void **state)
{
	(void)state;
	ping(0, WIRE_RESET);
	STEP_UNTIL(turn(), happened(LISTEN_TOKEN_UNKNOWN) == 1);
	assert_int_equal(port_stats().rx_unknown_link, 1);
	assert_int_equal(port_stats().token_unknown, 1);
}

/* The proof that a link was promised is what GONE carries when it is over. */
static void
the_promised_proof_is_the_one_that_comes(void **state)
{
	struct wire_params p = params(UINT64_C(0x870000), 1), theirs;
	uint8_t got[WIRE_PROOF_LEN], packet[WIRE_HDR_LEN];
	struct weir_link *link, *other;
	uint64_t unknown;
	struct wire_hdr hdr;

	(void)state;
	raw_link(OUR_IP, OUR_PORT, &p);
	other = accepted();
	p = params(UINT64_C(0x880000), 1);
	theirs = raw_link(OUR_IP, OUR_PORT, &p);
	link = accepted();
	weir_wire_put_gone(p.token, p.proof, packet);
	throw(OUR_IP, OUR_PORT, packet, sizeof(packet));
	STEP_UNTIL(turn(), weir_link_status(link) != 0);
	for (int i = 0; i < 10; i++)
		turn();
	forget_answers();
	ping(theirs.token, WIRE_PING);
	hdr = wait_for(WIRE_GONE);
	weir_wire_get_gone(&hdr, got);
	assert_memory_equal(got, theirs.proof, sizeof(got));
	/* Its place in the table is still taken; no token leads there. */
	assert_int_not_equal(theirs.token & 0xffff, 0);
	unknown = happened(LISTEN_TOKEN_UNKNOWN);
	ping(theirs.token & 0xffff, WIRE_PING);
	ping((theirs.token & 0xffff) ^ 1, WIRE_PING);
	STEP_UNTIL(turn(), happened(LISTEN_TOKEN_UNKNOWN) >= unknown + 2);
	weir_link_destroy(link);
	weir_link_destroy(other);
}

/* ---- forged packets ------------------------------------------------------------------ */

static void
a_link_does_not_notice_forged_packets(void **state)
{
	struct wire_params p = params(UINT64_C(0x990000), 1), theirs;
	struct weir_link_stats before, after;
	uint64_t random = 9;
	struct weir_link *link;

	(void)state;
	theirs = raw_link(OUR_IP, OUR_PORT, &p);
	link = accepted();
	for (int i = 0; i < 100; i++)
		turn();
	weir_link_stats(link, &before, sizeof(before));
	log_lines = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t packet[WIRE_HDR_LEN + 8] = { 0 };
		struct wire_hdr hdr = {
			.flags = WIRE_F_FIRST | WIRE_F_LAST | WIRE_F_ACKV,
			.hlen = WIRE_HDR_LEN / 8,
			.seq = p.isn,
			.ack = theirs.isn,
			.window = theirs.isn + 64,
			.credit = 64,
			.mlo = 8,
		};

		random = random * UINT64_C(6364136223846793005) + 1;
		hdr.vt = (uint8_t)(0x10 | (WIRE_DATA + (random >> 60) % 5));
		/* The index is easy to guess. */
		hdr.token = (theirs.token & 0xffff) |
			    (random & ~UINT64_C(0xffff));
		if (hdr.token == theirs.token)
			continue;
		weir_wire_encode(&hdr, packet);
		throw(OUR_IP, OUR_PORT, packet,
		      hdr.vt == (0x10 | WIRE_DATA) ? sizeof(packet)
						   : WIRE_HDR_LEN);
		if (i % 16 == 15)
			turn();
	}
	weir_link_stats(link, &after, sizeof(after));
	assert_int_equal(after.rx_packets, before.rx_packets);
	assert_int_equal(after.rx_wire_bytes, before.rx_wire_bytes);
	assert_int_equal(weir_link_status(link), 0);
	assert_true(happened(LISTEN_TOKEN_UNKNOWN) > 15000);
	assert_int_equal(log_lines, 0);
	weir_link_destroy(link);
}

/* So that nobody can have us look at thousands of links for one packet. */
static void
a_token_is_worth_only_a_few_links(void **state)
{
	struct wire_params p = params(UINT64_C(0x620000), 1);
	struct wire_params other = params(UINT64_C(0x630000), 1);
	uint32_t most;

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		send_init(OUR_IP + i, OUR_PORT, &p, NULL);
	/* Those that are there are found, and another token is welcome. */
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	send_init(OUR_IP, OUR_PORT, &other, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) +
					   happened(LISTEN_INIT_NO_ROOM) +
					   happened(LISTEN_INIT_AGAIN) ==
				   42);
	most = (uint32_t)happened(LISTEN_INIT_WELCOME);
	assert_in_range(most, 2, 16);
	assert_int_equal(happened(LISTEN_INIT_AGAIN), 1);
	wait_for(WIRE_REJECT);
	/* Nobody confirms. Once they are gone, their token is free. */
	dpdk_port_of(port_a)->ns_base += 60 * SECOND_NS;
	STEP_UNTIL(turn(), links() == 0);
	send_init(OUR_IP, OUR_PORT, &p, NULL);
	STEP_UNTIL(turn(), happened(LISTEN_INIT_WELCOME) == most + 1);
}

/* ---- CRC32C ----------------------------------------------------------------------------- */

struct flipper {
	uint64_t random;
	uint32_t flipped;
};

/* A bit behind all headers' checks, as bad memory would: in a copy, since the
 * frame is also the sender's. */
static uint16_t
flip(uint16_t port, uint16_t q, struct rte_mbuf **m, uint16_t count,
     uint16_t most, void *arg)
{
	struct flipper *f = arg;

	(void)port;
	(void)q;
	(void)most;
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *copy;
		uint32_t bit;

		f->random = f->random * UINT64_C(6364136223846793005) + 1;
		if (f->random >> 61 != 0)
			continue;
		copy = rte_pktmbuf_copy(m[i], m[i]->pool, 0, UINT32_MAX);
		if (copy == NULL)
			continue;
		/* Ports and addresses too, but nothing that moves the end. */
		bit = (uint32_t)(f->random >> 20) %
		      (8u * (copy->data_len - FRAME_HDR));
		rte_pktmbuf_mtod(copy, uint8_t *)[FRAME_HDR + bit / 8] ^=
			(uint8_t)(1 << bit % 8);
		rte_pktmbuf_free(m[i]);
		m[i] = copy;
		f->flipped++;
	}
	return count;
}

static void
flipped_bits_are_found_by_the_trailer(void **state)
{
	static const char *const endpoint = RING ",crc=require";
	const struct rte_eth_rxtx_callback *callback;
	struct weir_dpdk_queue at_a;
	struct flipper flipper = { .random = 5 };
	struct weir_link *a = NULL, *b;
	struct weir_tx *tx, *tx_a;
	struct weir_rx *rx, *rx_b;
	uint32_t sent = 0, received = 0;
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;
	int rc;

	(void)state;
	weir_listener_close(listener);
	must(weir_listener_open(port_a, endpoint, NULL, &listener), "listen");
	must(weir_link_connect(port_b, endpoint, NULL, &b), "connect");
	assert_int_equal(weir_dpdk_port_queue(port_a, &at_a), 0);
	callback = rte_eth_add_rx_callback(at_a.port_id, 0, flip, &flipper);
	assert_non_null(callback);
	while ((rc = weir_link_accept(listener, &a)) == 0) {
		weir_port_poll(port_b);
		assert_true(weir_now_ns() < end_ns);
	}
	must(rc, "accept");
	must(weir_link_split(a, &tx_a, &rx), "split");
	must(weir_link_split(b, &tx, &rx_b), "split");
	while (received < 300) {
		struct weir_permit permit;
		struct weir_slot slot;
		struct weir_msg msg;

		assert_true(weir_now_ns() < end_ns);
		if (sent < 300 && sent < received + 64 &&
		    weir_tx_reserve_burst(tx, 1900, &permit, 1) == 1) {
			assert_int_equal(
				weir_permit_alloc(&permit, 1900, &slot), 0);
			pattern_fill(slot.data, 1900, sent++);
			weir_slot_commit(&slot);
		}
		weir_port_poll(port_b);
		weir_port_poll(port_a);
		rc = weir_rx_recv(rx, &msg);
		must(rc, "recv");
		if (rc == 0)
			continue;
		assert_int_equal(msg.len, 1900);
		assert_int_equal(pattern_wrong(msg.data, 1900, received++), -1);
		weir_msg_release(&msg);
	}
	rte_eth_remove_rx_callback(at_a.port_id, 0, callback);
	assert_true(flipper.flipped > 10);
	assert_true(dpdk_port_of(port_a)->packets[WIRE_DROP_CRC] > 0);
	weir_tx_destroy(tx);
	weir_tx_destroy(tx_a);
	weir_rx_destroy(rx);
	weir_rx_destroy(rx_b);
	weir_link_destroy(a);
	weir_link_destroy(b);
}

/* ---- fairness ---------------------------------------------------------------------------- */

struct talk {
	struct weir_link *a, *b;
	struct weir_tx *tx, *unused_tx;
	struct weir_rx *rx, *unused_rx;
	uint32_t received;
};

static void
talk_begin(struct talk *t)
{
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;
	int rc;

	memset(t, 0, sizeof(*t));
	must(weir_link_connect(port_b, RING, NULL, &t->b), "connect");
	while ((rc = weir_link_accept(listener, &t->a)) == 0) {
		weir_port_poll(port_b);
		assert_true(weir_now_ns() < end_ns);
	}
	must(rc, "accept");
	must(weir_link_split(t->a, &t->unused_tx, &t->rx), "split");
	must(weir_link_split(t->b, &t->tx, &t->unused_rx), "split");
}

static void
talk_end(struct talk *t)
{
	weir_tx_destroy(t->tx);
	weir_tx_destroy(t->unused_tx);
	weir_rx_destroy(t->rx);
	weir_rx_destroy(t->unused_rx);
	weir_link_destroy(t->a);
	weir_link_destroy(t->b);
}

/* Send all that there is room for, take all that came. */
static void
talk_step(struct talk *t, uint32_t len)
{
	struct weir_permit permits[64];
	struct weir_slot slot;
	struct weir_msg msg;
	int rc = weir_tx_reserve_burst(t->tx, len, permits, 64);

	must(rc, "reserve");
	for (int i = 0; i < rc; i++) {
		assert_int_equal(weir_permit_alloc(&permits[i], len, &slot), 0);
		memset(slot.data, 1, len);
		weir_slot_commit(&slot);
	}
	while (weir_rx_recv(t->rx, &msg) == 1) {
		t->received++;
		weir_msg_release(&msg);
	}
}

static void
a_storm_on_one_link_leaves_the_others_their_share(void **state)
{
	struct talk victim, attacker;
	uint32_t alone;

	(void)state;
	talk_begin(&victim);
	for (int i = 0; i < 3000; i++) {
		talk_step(&victim, 1000);
		weir_port_poll(port_b);
		weir_port_poll(port_a);
	}
	alone = victim.received;
	assert_true(alone > 3000);
	talk_begin(&attacker);
	victim.received = 0;
	for (int i = 0; i < 3000; i++) {
		talk_step(&attacker, 0);
		talk_step(&victim, 1000);
		weir_port_poll(port_b);
		weir_port_poll(port_a);
	}
	/* Its share of two links is a half, and it keeps 80 % of that. */
	if (victim.received < alone * 4 / 10)
		fail_msg("%u of %u are left", victim.received, alone);
	talk_end(&victim);
	talk_end(&attacker);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static int
open_with_key(const char *path, struct siphash_key *secret)
{
	struct weir_port *port;
	char endpoint[200];
	int rc;

	snprintf(endpoint, sizeof(endpoint),
		 "dpdk:stranger-key,dev=net_ring,reset-key=%s", path);
	rc = weir_port_open(endpoint, NULL, &port);
	if (rc != 0)
		return rc;
	*secret = dpdk_port_of(port)->gate.listen.secret;
	weir_port_close(port);
	return 0;
}

static void
a_reset_key_is_read_or_refused(void **state)
{
	char path[] = "/tmp/weir-key-XXXXXX";
	struct siphash_key first, again, other;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789abcde", 15), 15);
	assert_int_equal(open_with_key(path, &first), -EINVAL);
	assert_non_null(strstr(weir_last_error(), "less than 16"));
	assert_int_equal(write(fd, "f", 1), 1);
	assert_int_equal(open_with_key(path, &first), 0);
	assert_int_equal(open_with_key(path, &again), 0);
	assert_memory_equal(&first, &again, sizeof(first));
	assert_int_equal(write(fd, "g", 1), 1);
	assert_int_equal(open_with_key(path, &other), 0);
	assert_memory_not_equal(&first, &other, sizeof(first));
	assert_int_equal(ftruncate(fd, 64), 0);
	assert_int_equal(open_with_key(path, &other), 0);
	assert_int_equal(ftruncate(fd, 65), 0);
	assert_int_equal(open_with_key(path, &other), -EINVAL);
	assert_non_null(strstr(weir_last_error(), "more than 64"));
	assert_int_equal(ftruncate(fd, 32), 0);
	assert_int_equal(fchmod(fd, 0604), 0);
	assert_int_equal(open_with_key(path, &other), -EACCES);
	assert_non_null(strstr(weir_last_error(), "chmod"));
	close(fd);
	unlink(path);
	assert_int_equal(open_with_key(path, &other), -ENOENT);
	assert_int_equal(open_with_key("/tmp", &other), -EINVAL);
}

static void
misspelt_values_are_named(void **state)
{
	struct weir_listener *l;
	struct weir_link *link;

	(void)state;
	assert_int_equal(
		weir_listener_open(port_b, RING ",cookie=sometimes", NULL, &l),
		-EINVAL);
	assert_non_null(strstr(weir_last_error(), "cookie=always, pressure"));
	assert_int_equal(
		weir_link_connect(port_b, RING ",crc=yes", NULL, &link),
		-EINVAL);
	assert_non_null(strstr(weir_last_error(), "crc=off, on or require"));
}

/* ---- run ------------------------------------------------------------------------------------ */

static int
open_ports(const char *keys, uint32_t credits)
{
	struct weir_link_config config = { .size = sizeof(config) };
	char endpoint[100];

	/* Nobody at the other end sends ACKs to keep a link alive. */
	config.dead_timeout_ns = 60 * SECOND_NS;
	config.tx_credits = credits;
	config.msg_size_max = credits != 0 ? 1000 : 0;
	snprintf(endpoint, sizeof(endpoint), RING "%s", keys);
	must(weir_port_open(RING, NULL, &port_a), "open");
	must(weir_port_open(RING, NULL, &port_b), "open");
	must(weir_listener_open(port_a, endpoint, &config, &listener),
	     "listen");
	assert_int_equal(weir_dpdk_port_queue(port_b, &queue), 0);
	forget_answers();
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return open_ports("", 0);
}

static int
setup_cookie(void **state)
{
	(void)state;
	return open_ports(",cookie=always", 0);
}

static int
setup_many(void **state)
{
	(void)state;
	return open_ports(",cookie=off", 16);
}

static int
setup_pressure(void **state)
{
	(void)state;
	return open_ports(",cookie=pressure", 16);
}

static int
teardown(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	weir_listener_close(listener);
	while (rte_eth_rx_burst(queue.port_id, 0, &m, 1) == 1)
		rte_pktmbuf_free(m);
	weir_port_close(port_a);
	weir_port_close(port_b);
	return 0;
}

#define RAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define COOKIE(name) \
	cmocka_unit_test_setup_teardown(name, setup_cookie, teardown)
#define MANY(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)
#define PRESSURE(name) \
	cmocka_unit_test_setup_teardown(name, setup_pressure, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		COOKIE(a_flood_of_inits_is_kept_nowhere),
		RAW(without_cookies_a_flood_ends_at_the_cap),
		PRESSURE(under_pressure_cookies_are_asked_for),
		RAW(an_init_that_no_honest_peer_sends_is_dropped),
		COOKIE(what_finds_no_room_is_dropped_and_not_counted_as_sent),
		RAW(a_goodbye_where_nobody_parts_is_an_unknown_token),
		COOKIE(a_cookie_is_of_no_use_to_another),
		COOKIE(an_old_cookie_is_worth_nothing),
		MANY(nobody_keeps_a_link_half_open),
		COOKIE(a_restarted_peer_gets_its_link_at_once),
		COOKIE(a_half_open_link_of_a_former_life_goes_too),
		MANY(former_links_end_a_few_at_a_time),
		RAW(nobody_ends_a_link_by_saying_that_he_is_its_peer),
		MANY(who_has_many_links_may_have_old_ones),
		RAW(accept_is_repeated_only_to_who_is_known_to_be_there),
		PRESSURE(the_same_init_from_elsewhere_is_another),
		MANY(a_token_is_worth_only_a_few_links),
		RAW(gone_needs_its_proof),
		RAW(who_asks_for_a_link_that_is_gone_is_told_with_proof),
		RAW(the_promised_proof_is_the_one_that_comes),
		RAW(a_link_does_not_notice_forged_packets),
		RAW(flipped_bits_are_found_by_the_trailer),
		RAW(a_storm_on_one_link_leaves_the_others_their_share),
		RAW(a_reset_key_is_read_or_refused),
		RAW(misspelt_values_are_named),
	};

	weir_driver_register(&weir_driver_dpdk);
	weir_set_log(count_line);
	return cmocka_run_group_tests_name("dpdk_stranger", tests, NULL, NULL);
}
