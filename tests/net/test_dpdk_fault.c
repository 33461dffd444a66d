/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_fault: links of the dpdk driver over a network that misbehaves,
 * and peers that vanish. Both ends are polled by turns in this process, over
 * net_ring, so that what is counted can be compared to the packet.
 *
 *     a <---- frames, fault of a ---- b
 *       ---- fault of b, frames ---->
 *
 * What devices do to links of their own accord (no buffers, no room, a stop, a
 * pulled cable) is done to memif, af_packet and af_xdp, too: the last two with
 * an end in each of two network namespaces that a veth pair joins. Faults on
 * them: tests/tool/fault.sh.
 */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "netns.h"
#include "net_test.h"
#include "pattern.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define RING         "dpdk:fault-test,dev=net_ring"
#define SECOND_NS    UINT64_C(1000000000)
#define LIMIT_NS     (60 * SECOND_NS)
#define DEAD_NS      (SECOND_NS / 2)
#define TURN_MOST_NS (SECOND_NS / 500)
#define MESSAGES     (getenv("WEIR_CHECK_LONG") != NULL ? 40000u : 1500u)
#define BATCH_MOST   16

struct end {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint32_t sent;
	uint32_t received;
};

struct device {
	const char *name;
	const char *endpoints[2]; /* a's and b's */
	bool veth;                /* b is in the other namespace */
	/* Why that cannot be had; NULL: it can. */
	const char *no_stop;
	const char *no_cable;
};

struct pair {
	const struct device *device; /* NULL: net_ring */
	const char *endpoint;        /* b's */
	struct end a;                /* listened */
	struct end b;                /* connected */
	struct weir_listener *listener;
	uint64_t turn_ns; /* when the last turn was */
	uint64_t gap_ns;  /* longest time between two turns */
	uint64_t lost_ns; /* all such times that are no turn's own */
};

static struct pair the_pair;

static void
turn(struct pair *p)
{
	uint64_t now_ns = weir_now_ns();

	if (now_ns - p->turn_ns > p->gap_ns)
		p->gap_ns = now_ns - p->turn_ns;
	if (now_ns - p->turn_ns > TURN_MOST_NS)
		p->lost_ns += now_ns - p->turn_ns;
	p->turn_ns = now_ns;
	must(weir_port_poll(p->a.port), "poll");
	if (p->b.port != NULL)
		must(weir_port_poll(p->b.port), "poll");
	sched_yield();
}

/* ---- a pair of ports and a link ------------------------------------------------ */

static void
ports_open(struct pair *p, const char *endpoint)
{
	p->endpoint = endpoint;
	must(weir_port_open(endpoint, NULL, &p->a.port), "open");
	must(weir_port_open(endpoint, NULL, &p->b.port), "open");
	p->turn_ns = weir_now_ns();
}

static void
split(struct end *e)
{
	must(weir_link_split(e->link, &e->tx, &e->rx), "split");
	e->sent = e->received = 0;
}

static void
connect_b(struct pair *p, const struct weir_link_config *config)
{
	int rc = 0;

	must(weir_link_connect(p->b.port, p->endpoint, config, &p->b.link),
	     "connect");
	STEP_UNTIL(turn(p),
		   (rc = weir_link_accept(p->listener, &p->a.link)) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(p), (rc = weir_link_status(p->b.link)) != -EINPROGRESS);
	must(rc, "connect");
	split(&p->a);
	split(&p->b);
}

static void
listen_a(struct pair *p, const struct weir_link_config *config)
{
	must(weir_listener_open(p->a.port,
				p->device != NULL ? p->device->endpoints[0]
						  : p->endpoint,
				config, &p->listener),
	     "listen");
}

static void
link_up(struct pair *p, const struct weir_link_config *config)
{
	listen_a(p, config);
	connect_b(p, config);
}

static void
end_down(struct end *e)
{
	if (e->tx != NULL)
		weir_tx_destroy(e->tx);
	if (e->rx != NULL)
		weir_rx_destroy(e->rx);
	if (e->link != NULL)
		weir_link_destroy(e->link);
	e->tx = NULL;
	e->rx = NULL;
	e->link = NULL;
}

/* @param state of cases on several devices: which. */
static int
setup(void **state)
{
	memset(&the_pair, 0, sizeof(the_pair));
	the_pair.device = *state;
	*state = &the_pair;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	end_down(&p->a);
	end_down(&p->b);
	if (p->listener != NULL)
		weir_listener_close(p->listener);
	if (p->a.port != NULL)
		assert_int_equal(weir_port_close(p->a.port), 0);
	if (p->b.port != NULL)
		assert_int_equal(weir_port_close(p->b.port), 0);
	return 0;
}

/* ---- streams ------------------------------------------------------------------- */

static uint32_t
len_of(uint32_t number)
{
	/* Most in one packet, some in many. */
	return number % 97 == 0 ? 20000 : 10 + number * 7919u % 1400;
}

/* As much as there is room for. */
static void
send_more(struct end *e, uint32_t count)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc = 1;

	for (int i = 0; i < BATCH_MOST && e->sent < count; i++) {
		uint32_t len = len_of(e->sent);

		rc = weir_tx_reserve_burst(e->tx, len, &permit, 1);
		must(rc, "reserve");
		if (rc == 0)
			return;
		assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
		pattern_fill(slot.data, len, e->sent++);
		weir_slot_commit(&slot);
	}
}

static void
take_more(struct end *e)
{
	struct weir_msg msg;
	int rc;

	while ((rc = weir_rx_recv(e->rx, &msg)) == 1) {
		assert_int_equal(msg.len, len_of(e->received));
		assert_int_equal(pattern_wrong(msg.data, msg.len, e->received),
				 -1);
		weir_msg_release(&msg);
		e->received++;
	}
	must(rc, "receive");
}

/* Both ways, every byte looked at, until all has arrived. */
static void
exchange(struct pair *p, uint32_t count)
{
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;

	while (p->a.received < count || p->b.received < count) {
		if (weir_now_ns() > end_ns)
			fail_msg("time is up: %u and %u of %u arrived",
				 p->a.received, p->b.received, count);
		send_more(&p->a, count);
		send_more(&p->b, count);
		turn(p);
		take_more(&p->a);
		take_more(&p->b);
	}
}

static void
fault(struct pair *p, const char *spec)
{
	const char *what = spec != NULL ? spec : "no faults";

	must(weir_dpdk_port_fault(p->a.port, spec), what);
	must(weir_dpdk_port_fault(p->b.port, spec), what);
}

static struct weir_dpdk_fault_stats
faults_of(struct end *e)
{
	struct weir_dpdk_fault_stats stats;

	assert_int_equal(
		weir_dpdk_port_fault_stats(e->port, &stats, sizeof(stats)), 0);
	return stats;
}

static struct weir_port_stats
port_stats(struct end *e)
{
	struct weir_port_stats stats;

	weir_port_stats(e->port, &stats, sizeof(stats));
	return stats;
}

static struct weir_link_stats
link_stats(struct end *e)
{
	struct weir_link_stats stats;

	weir_link_stats(e->link, &stats, sizeof(stats));
	return stats;
}

/* ---- every kind ------------------------------------------------------------------- */

struct kind {
	const char *spec;
	size_t counter; /* that must have moved */
};

#define KIND(spec, member)                                           \
	{                                                            \
		spec, offsetof(struct weir_dpdk_fault_stats, member) \
	}

static const struct kind kinds[] = {
	KIND("loss=3%,seed=1", lost),
	KIND("burst=0.2%:15,seed=2", lost),
	KIND("dup=5%,seed=3", duplicated),
	KIND("reorder=5%:8,seed=4", reordered),
	KIND("delay=50us,seed=5", delayed),
	KIND("delay=20us:100us,seed=6", delayed),
	KIND("corrupt=1%,seed=7", corrupted),
	KIND("corrupt=1%:sum,seed=8", corrupted),
	KIND("truncate=1%,seed=9", truncated),
	KIND("loss=1%,burst=0.05%:10,dup=1%,reorder=2%:8,corrupt=0.5%,"
	     "corrupt=0.5%:sum,truncate=0.5%,delay=10us:30us,seed=10",
	     lost),
};

/* Memory does not lie, so pairs have no checksums: the trailer finds out. */
static void
content_survives_every_kind_of_fault(void **state)
{
	struct pair *p = *state;

	ports_open(p, RING ",crc=on");
	link_up(p, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct weir_dpdk_fault_stats before = faults_of(&p->a), after;
		uint64_t was, is;

		fault(p, kinds[i].spec);
		p->a.sent = p->a.received = p->b.sent = p->b.received = 0;
		exchange(p, MESSAGES);
		fault(p, NULL);
		after = faults_of(&p->a);
		memcpy(&was, (char *)&before + kinds[i].counter, sizeof(was));
		memcpy(&is, (char *)&after + kinds[i].counter, sizeof(is));
		if (is == was)
			fail_msg("%s: nothing happened", kinds[i].spec);
	}
}

static void
only_the_trailer_sees_what_the_sum_does_not(void **state)
{
	struct pair *p = *state;
	struct weir_port_stats stats;
	uint64_t damaged;

	ports_open(p, RING ",crc=on");
	link_up(p, NULL);
	fault(p, "corrupt=5%:sum,seed=3");
	exchange(p, MESSAGES);
	fault(p, "");
	turn(p);
	damaged = faults_of(&p->a).corrupted;
	stats = port_stats(&p->a);
	assert_true(damaged > 20);
	/* A few lose what says that there is a trailer, and so are no packet
	 * of this link for another reason. */
	assert_in_range(stats.packet_crc, damaged * 8 / 10, damaged);
	assert_int_equal(stats.frame_udp_checksum, 0);
}

static void
rates_are_what_they_say(void **state)
{
	struct pair *p = *state;
	struct weir_dpdk_fault_stats s;

	ports_open(p, RING);
	link_up(p, NULL);
	fault(p, "loss=5%,dup=5%,seed=11");
	exchange(p, 16000);
	s = faults_of(&p->a);
	assert_true(s.frames > 4000);
	/* Six standard deviations of 5 % of 4,000 frames are 2 %. */
	assert_in_range(s.lost * 100, s.frames * 3, s.frames * 7);
	assert_in_range(s.duplicated * 100, s.frames * 3, s.frames * 7);
	assert_int_equal(s.reordered | s.delayed | s.corrupted | s.truncated |
				 s.overflows,
			 0);
}

static void
what_is_held_arrives_when_the_fault_ends(void **state)
{
	struct pair *p = *state;

	ports_open(p, RING);
	link_up(p, NULL);
	fault(p, "delay=10s");
	send_more(&p->b, 10);
	STEP_UNTIL(turn(p), faults_of(&p->a).held >= 1);
	take_more(&p->a);
	assert_int_equal(p->a.received, 0);
	fault(p, NULL);
	STEP_UNTIL(turn(p), (take_more(&p->a), p->a.received == 10));
	assert_int_equal(faults_of(&p->a).held, 0);
}

/* So many that leave at once, a packet each. */
static void
send_small(struct end *e, uint32_t count)
{
	struct weir_permit permit;
	struct weir_slot slot;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(weir_tx_reserve_burst(e->tx, 8, &permit, 1),
				 1);
		assert_int_equal(weir_permit_alloc(&permit, 8, &slot), 0);
		pattern_fill(slot.data, 8, i);
		weir_slot_commit(&slot);
	}
	weir_tx_flush(e->tx);
}

/* Behind a hole, which is not repaired: b, who would do it, is not polled. */
static void
what_nobody_will_read_is_counted(void **state)
{
	struct pair *p = *state;
	struct weir_link_stats stats;

	ports_open(p, RING ",coalesce=off");
	link_up(p, NULL);
	fault(p, "loss=100%");
	send_small(&p->b, 1);
	must(weir_port_poll(p->a.port), "poll");
	assert_int_equal(faults_of(&p->a).lost, 1);
	fault(p, NULL);
	send_small(&p->b, 5);
	must(weir_port_poll(p->a.port), "poll");
	weir_rx_destroy(p->a.rx);
	p->a.rx = NULL;
	must(weir_port_poll(p->a.port), "poll");
	weir_link_stats(p->a.link, &stats, sizeof(stats));
	assert_int_equal(stats.rx_unread, 5);
}

static void
frames_held_are_bounded_and_the_rest_is_lost(void **state)
{
	struct pair *p = *state;
	struct weir_dpdk_fault_stats s;

	ports_open(p, RING ",coalesce=off");
	link_up(p, NULL);
	fault(p, "delay=20ms,hold=128");
	exchange(p, 1000);
	s = faults_of(&p->a);
	assert_true(s.overflows > 0);
	assert_in_range(s.held, 0, 128);
}

static void
room_for_held_frames_is_promised(void **state)
{
	struct pair *p = *state;

	ports_open(p, RING ",mbufs=512");
	assert_int_equal(
		weir_dpdk_port_fault(p->a.port, "delay=1us,hold=16384"),
		-ENOBUFS);
	assert_non_null(strstr(weir_last_error(), "mbufs="));
	assert_int_equal(weir_dpdk_port_fault(p->a.port, "loss=2"), -EINVAL);
	must(weir_dpdk_port_fault(p->a.port, "delay=1us,hold=128"), "less");
	assert_int_equal(weir_dpdk_port_fault(p->a.port, "delay=1us,hold=256"),
			 -EINVAL);
}

static void
a_port_closes_with_frames_held(void **state)
{
	struct pair *p = *state;
	struct weir_dpdk_queue queue;

	ports_open(p, RING);
	link_up(p, NULL);
	assert_int_equal(weir_dpdk_port_queue(p->b.port, &queue), 0);
	fault(p, "delay=10s");
	send_more(&p->b, 10);
	STEP_UNTIL(turn(p), faults_of(&p->a).held >= 1);
	end_down(&p->a);
	weir_listener_close(p->listener);
	p->listener = NULL;
	assert_int_equal(weir_port_close(p->a.port), 0);
	/* And can be opened again: nothing of it is left. */
	must(weir_port_open(RING, NULL, &p->a.port), "open again");
}

static void
other_drivers_have_no_faults(void **state)
{
	struct weir_dpdk_fault_stats stats;
	struct weir_port *port;

	(void)state;
	must(weir_port_open("mem:fault-test", NULL, &port), "open");
	assert_int_equal(weir_dpdk_port_fault(port, "loss=1%"), -EINVAL);
	assert_int_equal(
		weir_dpdk_port_fault_stats(port, &stats, sizeof(stats)),
		-EINVAL);
	weir_port_close(port);
}

/* ---- the device itself --------------------------------------------------------------- */

#define WIRE_A "dpdk:*:7400,local=10.7.0.1/24,dev="
#define WIRE_B "dpdk:10.7.0.1:7400,local=10.7.0.2/24,dev="

static const struct device net_ring = {
	.name = "net_ring",
	.endpoints = { RING, RING },
};
static const struct device net_ring_large = {
	.name = "net_ring",
	.endpoints = { RING ",coalesce=off,mbufs=16384",
		       RING ",coalesce=off,mbufs=16384" },
};
static const struct device af_packet = {
	.name = "af_packet",
	.endpoints = { WIRE_A "net_af_packet0,dev.iface=v0,coalesce=off",
		       WIRE_B "net_af_packet1,dev.iface=v0,coalesce=off" },
	.veth = true,
	.no_stop = "its driver closes its sockets for good",
};
static const struct device af_xdp = {
	.name = "af_xdp",
	.endpoints = { WIRE_A "net_af_xdp0,dev.iface=v0,coalesce=off",
		       WIRE_B "net_af_xdp1,dev.iface=v0,coalesce=off" },
	.veth = true,
};

static const struct weir_port_config small_port = {
	.size = sizeof(small_port), .hugepages = WEIR_HUGEPAGES_NEVER
};

static int home = -1, other = -1;
static char no_netns_reason[128];

static void
skip_if(const struct device *device, const char *reason)
{
	if (reason == NULL)
		return;
	printf("[  reason  ] %s: %s\n", device->name, reason);
	skip();
}

/* The kernel takes a moment to let go of a queue that was just in use. af_xdp
 * may be missing, or not allowed. */
static int
port_try(const struct pair *p, int side, struct weir_port **port)
{
	uint64_t end_ns = weir_now_ns() + SECOND_NS;
	int rc;

	if (p->device->veth && side == 1)
		assert_int_equal(setns(other, CLONE_NEWNET), 0);
	while ((rc = weir_port_open(p->device->endpoints[side], &small_port,
				    port)) != 0 &&
	       p->device == &af_xdp && weir_now_ns() < end_ns)
		sched_yield();
	if (p->device->veth)
		assert_int_equal(setns(home, CLONE_NEWNET), 0);
	if (rc != 0 && p->device == &af_xdp)
		skip_if(p->device, weir_last_error());
	return rc;
}

/* Ports and a link on the case's device, which may be missing here. */
static void
device_up(struct pair *p, const char *missing,
	  const struct weir_link_config *config)
{
	const struct device *d = p->device;

	skip_if(d, missing);
	if (d->veth && other < 0)
		skip_if(d, no_netns_reason);
	p->endpoint = d->endpoints[1];
	must(port_try(p, 0, &p->a.port), d->name);
	must(port_try(p, 1, &p->b.port), d->name);
	p->turn_ns = weir_now_ns();
	link_up(p, config);
}

/* Nobody would miss its peer while the case lasts. */
static const struct weir_link_config lasting = {
	.size = sizeof(lasting),
	.dead_timeout_ns = LIMIT_NS,
};

/* All buffers to send from that there are, and those that come back. */
struct hoard {
	struct rte_mempool *pool;
	struct rte_mbuf **all;
	uint32_t count;
};

#define HOARD_MOST 65536u

static void
hoard_more(struct hoard *h)
{
	while (h->count < HOARD_MOST &&
	       (h->all[h->count] = rte_pktmbuf_alloc(h->pool)) != NULL)
		h->count++;
}

static void
hoard_from(struct hoard *h, const struct end *e)
{
	struct weir_dpdk_queue queue;

	assert_int_equal(weir_dpdk_port_queue(e->port, &queue), 0);
	h->pool = queue.tx_pool;
	h->count = 0;
	h->all = calloc(HOARD_MOST, sizeof(*h->all));
	assert_non_null(h->all);
	hoard_more(h);
	assert_in_range(h->count, 1, HOARD_MOST - 1);
}

static void
hoard_free(struct hoard *h)
{
	rte_pktmbuf_free_bulk(h->all, h->count);
	free(h->all);
}

static void
a_link_survives_an_empty_pool(void **state)
{
	struct pair *p = *state;
	struct hoard hoard;

	device_up(p, NULL, &lasting);
	exchange(p, 100);
	hoard_from(&hoard, &p->b);
	p->a.sent = p->a.received = p->b.sent = p->b.received = 0;
	/* Spares are few: they are used up, and whatever comes back is taken. */
	STEP_UNTIL(turn(p),
		   (hoard_more(&hoard), send_more(&p->a, MESSAGES),
		    send_more(&p->b, MESSAGES), take_more(&p->a),
		    take_more(&p->b), port_stats(&p->b).tx_no_buffer > 10));
	hoard_free(&hoard);
	exchange(p, MESSAGES);
	assert_int_equal(weir_link_status(p->a.link), 0);
}

/* The peer does not poll: its ring fills up, the rest waits in our batch. One
 * link's window is not enough for that. With af_packet and af_xdp the kernel
 * takes all frames at once, and there is no such ring. */
static void
a_link_survives_a_full_ring(void **state)
{
	struct end first_a, first_b;
	struct pair *p = *state;
	uint64_t end_ns;

	device_up(p, NULL, &lasting);
	first_a = p->a;
	first_b = p->b;
	connect_b(p, &lasting);
	end_ns = weir_now_ns() + LIMIT_NS;
	while (port_stats(&p->b).tx_ring_full == 0) {
		send_more(&first_b, MESSAGES);
		send_more(&p->b, MESSAGES);
		must(weir_port_poll(p->b.port), "poll");
		if (weir_now_ns() > end_ns)
			fail_msg("the ring never filled up");
	}
	exchange(p, MESSAGES);
	STEP_UNTIL(turn(p), (send_more(&first_b, MESSAGES), take_more(&first_a),
			     first_a.received == MESSAGES));
	end_down(&first_a);
	end_down(&first_b);
}

static void
a_link_survives_a_device_that_stops(void **state)
{
	struct weir_dpdk_queue queue;
	struct pair *p = *state;

	device_up(p, p->device->no_stop, &lasting);
	assert_int_equal(weir_dpdk_port_queue(p->a.port, &queue), 0);
	/* DPDK says at length, on stderr, that nobody should poll now. */
	for (uint32_t i = 1; i <= 3; i++) {
		uint64_t end_ns = weir_now_ns() + SECOND_NS / 20;

		exchange(p, i * 500 - 250);
		assert_int_equal(rte_eth_dev_stop(queue.port_id), 0);
		while (weir_now_ns() < end_ns) {
			send_more(&p->a, i * 500);
			send_more(&p->b, i * 500);
			turn(p);
		}
		assert_int_equal(rte_eth_dev_start(queue.port_id), 0);
		exchange(p, i * 500);
	}
}

/* a's interface, or its device where there is none; net_ring says that its link
 * is down and goes on, so its frames are lost by a fault. */
static void
cable(struct pair *p, bool up)
{
	struct ifreq request = { .ifr_name = "v0" };
	struct weir_dpdk_queue queue;
	int fd;

	if (p->device->veth) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
		request.ifr_flags &= (short)~IFF_UP;
		request.ifr_flags |= (short)(up ? IFF_UP : 0);
		assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
		close(fd);
		return;
	}
	fault(p, up ? NULL : "loss=100%");
	assert_int_equal(weir_dpdk_port_queue(p->a.port, &queue), 0);
	assert_int_equal(up ? rte_eth_dev_set_link_up(queue.port_id)
			    : rte_eth_dev_set_link_down(queue.port_id),
			 0);
}

/* Neither end hears the other meanwhile, and both go on. */
static void
a_link_survives_a_device_that_loses_its_link(void **state)
{
	struct pair *p = *state;

	device_up(p, p->device->no_cable, &lasting);
	for (uint32_t i = 1; i <= 4; i++) {
		uint32_t count = i * 400;
		uint64_t end_ns;

		exchange(p, count - 200);
		cable(p, false);
		end_ns = weir_now_ns() + SECOND_NS / 50;
		while (weir_now_ns() < end_ns) {
			send_more(&p->a, count);
			send_more(&p->b, count);
			turn(p);
			take_more(&p->a);
			take_more(&p->b);
		}
		/* All that was sent since would long be there. */
		assert_true(p->a.received < count);
		assert_true(p->b.received < count);
		cable(p, true);
		exchange(p, count);
	}
	assert_int_equal(weir_link_status(p->a.link), 0);
	assert_int_equal(weir_link_status(p->b.link), 0);
	/* The device has counted what the kernel did not take. */
	if (p->device == &af_packet)
		assert_true(port_stats(&p->a).device_tx_errors > 0);
}

/* ---- memif, whose ends are two processes ---------------------------------------------- */

/* Its driver has no link to take down, and to stop it would unmap the rings under
 * the other end's polls: docs/SECURITY.md tells who may use it. */

#define MEMIF       "dpdk:fault-memif,coalesce=off,mbufs=8192"
#define MEMIF_COUNT 500u
#define MEMIF_LINKS \
	6 /* whose windows, 256 packets each, are more than a ring */

static pid_t memif_peer = -1;
static int memif_go = -1;
static struct end memif_ends[MEMIF_LINKS]; /* the child's, or ours */

/* What has come, with the numbers of its link. @return 0; WEIR_EOF; 1: wrong. */
static int
peer_take(struct end *e)
{
	struct weir_msg msg;
	int rc;

	while ((rc = weir_rx_recv(e->rx, &msg)) == 1) {
		uint32_t n = e->received++;

		if (msg.len != len_of(n) ||
		    pattern_wrong(msg.data, msg.len, n) != -1)
			return 1;
		weir_msg_release(&msg);
	}
	return rc == 0 || rc == WEIR_EOF ? rc : 1;
}

/* Sends on the first link what there is room for, until all are closed. */
static int
peer_serve(struct weir_port *port)
{
	int open = MEMIF_LINKS;

	while (open > 0) {
		if (weir_port_poll(port) < 0)
			return 2;
		if (memif_ends[0].tx != NULL)
			send_more(&memif_ends[0], UINT32_MAX);
		for (int i = 0; i < MEMIF_LINKS; i++) {
			struct end *e = &memif_ends[i];
			int rc = e->tx != NULL ? peer_take(e) : 0;

			if (rc == 1)
				return 3;
			if (rc == 0)
				continue;
			weir_tx_destroy(e->tx);
			e->tx = NULL;
			open--;
		}
	}
	return 0;
}

static int
peer_connect(struct weir_port *port, struct end *e)
{
	int rc;

	if (weir_link_connect(port, MEMIF, &lasting, &e->link) != 0)
		return 1;
	while ((rc = weir_link_status(e->link)) == -EINPROGRESS)
		if (weir_port_poll(port) < 0)
			return 1;
	return rc != 0 || weir_link_split(e->link, &e->tx, &e->rx) != 0;
}

/* The child, forked before there is an EAL. */
static void
peer_main(int go)
{
	struct weir_port *port;
	char byte;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go, &byte, 1) != 1)
		_exit(0); /* the case was not run */
	if (weir_driver_register(&weir_driver_dpdk) != 0 ||
	    weir_port_open(MEMIF, &small_port, &port) != 0)
		_exit(4);
	for (int i = 0; i < MEMIF_LINKS; i++)
		if (peer_connect(port, &memif_ends[i]) != 0)
			_exit(5);
	rc = peer_serve(port);
	for (int i = 0; i < MEMIF_LINKS; i++)
		end_down(&memif_ends[i]);
	_exit(rc != 0 ? rc : weir_port_close(port) != 0);
}

static void
peer_fork(void)
{
	int ends[2];

	if (pipe(ends) != 0)
		return;
	memif_peer = fork();
	if (memif_peer == 0) {
		close(ends[1]);
		peer_main(ends[0]);
	}
	close(ends[0]);
	memif_go = ends[1];
}

/* @return messages of ours that the peer has not given back. */
static uint32_t
under_way(const struct end *e)
{
	struct weir_tx_stats stats;

	weir_tx_stats(e->tx, &stats, sizeof(stats));
	return stats.outstanding;
}

/* So many more each way, and nothing left of ours. */
static void
go_on(struct pair *p)
{
	uint32_t received = p->a.received + MEMIF_COUNT;
	uint32_t sent = p->a.sent + MEMIF_COUNT;

	STEP_UNTIL(turn(p), (send_more(&p->a, sent), take_more(&p->a),
			     p->a.received >= received && p->a.sent == sent &&
				     under_way(&p->a) == 0));
}

static void
memif_without_buffers(struct pair *p)
{
	struct hoard hoard;

	hoard_from(&hoard, &p->a);
	STEP_UNTIL(turn(p), (hoard_more(&hoard), take_more(&p->a),
			     send_more(&p->a, UINT32_MAX),
			     port_stats(&p->a).tx_no_buffer != 0));
	hoard_free(&hoard);
}

/* All links at once, as much as there is room for; the first one is the pair's. */
static void
memif_send(struct pair *p, uint32_t count)
{
	send_more(&p->a, p->a.sent + count);
	for (int i = 1; i < MEMIF_LINKS; i++)
		send_more(&memif_ends[i], memif_ends[i].sent + count);
}

static uint32_t
memif_under_way(const struct pair *p)
{
	uint32_t sum = under_way(&p->a);

	for (int i = 1; i < MEMIF_LINKS; i++)
		sum += under_way(&memif_ends[i]);
	return sum;
}

static void
memif_accept(struct pair *p, struct end *e)
{
	int rc = 0;

	STEP_UNTIL(turn(p),
		   (rc = weir_link_accept(p->listener, &e->link)) != 0);
	must(rc, "accept");
	split(e);
}

static void
memif_close(struct pair *p)
{
	int status = -1;

	must(weir_tx_close(p->a.tx), "close");
	for (int i = 1; i < MEMIF_LINKS; i++)
		must(weir_tx_close(memif_ends[i].tx), "close");
	STEP_UNTIL(turn(p),
		   waitpid(memif_peer, &status, WNOHANG) == memif_peer);
	memif_peer = -1;
	assert_int_equal(status, 0);
	for (int i = 1; i < MEMIF_LINKS; i++)
		end_down(&memif_ends[i]);
}

static void
memif_survives_an_empty_pool_and_a_full_ring(void **state)
{
	struct pair *p = *state;

	p->endpoint = MEMIF;
	must(weir_port_open(MEMIF, &small_port, &p->a.port), "open");
	must(weir_listener_open(p->a.port, MEMIF, &lasting, &p->listener),
	     "listen");
	p->turn_ns = weir_now_ns();
	assert_int_equal(write(memif_go, "", 1), 1);
	memif_accept(p, &p->a);
	for (int i = 1; i < MEMIF_LINKS; i++)
		memif_accept(p, &memif_ends[i]);
	go_on(p);
	memif_without_buffers(p);
	go_on(p);
	/* The peer stands still, and its ring fills up. */
	assert_int_equal(kill(memif_peer, SIGSTOP), 0);
	STEP_UNTIL(turn(p), (memif_send(p, BATCH_MOST),
			     port_stats(&p->a).tx_ring_full != 0));
	assert_int_equal(kill(memif_peer, SIGCONT), 0);
	STEP_UNTIL(turn(p), (take_more(&p->a), memif_under_way(p) == 0));
	go_on(p);
	memif_close(p);
}

/* ---- memory ------------------------------------------------------------------------ */

static uint64_t
link_bytes(const struct end *e)
{
	struct weir_port_stats stats;

	weir_port_stats(e->port, &stats, sizeof(stats));
	return stats.link_bytes;
}

static void
memory_of_links_is_counted_until_they_are_gone(void **state)
{
	const struct weir_link_config large = { .size = sizeof(large),
						.msg_size_max = 1u << 20 };
	struct pair *p = *state;

	ports_open(p, RING);
	assert_int_equal(link_bytes(&p->a), 0);
	link_up(p, &large);
	exchange(p, 10);
	/* A large buffer of each direction is the least. */
	assert_true(link_bytes(&p->a) > 2u << 20);
	assert_true(link_bytes(&p->b) > 2u << 20);
	end_down(&p->b);
	end_down(&p->a);
	STEP_UNTIL(turn(p), link_bytes(&p->a) == 0 && link_bytes(&p->b) == 0);
}

/* ---- peers that vanish ------------------------------------------------------------------ */

static const struct weir_link_config short_lived = {
	.size = sizeof(short_lived),
	.msg_size_max = 4 * 1024 * 1024,
	.keepalive_ns = DEAD_NS / 5,
	.dead_timeout_ns = DEAD_NS,
	.connect_timeout_ns = LIMIT_NS,
};

/* From now on neither hears the other. */
static uint64_t
vanish(struct pair *p)
{
	fault(p, "loss=100%");
	return weir_now_ns();
}

/*
 * In time, whatever this machine did to our polls meanwhile: if they stood still
 * before, the peer has been silent for longer; if they did since, that silence
 * begins to count again, once.
 */
static void
assert_in_time(const struct pair *p, uint64_t since_ns)
{
	uint64_t took_ns = weir_now_ns() - since_ns;

	if (p->gap_ns < DEAD_NS / 20)
		assert_in_range(took_ns, DEAD_NS / 2, DEAD_NS + DEAD_NS / 10);
	else
		assert_true(took_ns <= 2 * DEAD_NS + DEAD_NS / 10 + p->lost_ns);
}

static void
a_dies(struct pair *p, uint64_t since_ns)
{
	STEP_UNTIL(turn(p), weir_link_status(p->a.link) != 0);
	assert_int_equal(weir_link_status(p->a.link), -ETIMEDOUT);
	assert_in_time(p, since_ns);
}

/* The same process name again, a new port: what restarting it amounts to. */
static void
restart_b(struct pair *p)
{
	uint64_t start_ns;

	fault(p, NULL);
	end_down(&p->b);
	end_down(&p->a);
	assert_int_equal(weir_port_close(p->b.port), 0);
	p->b.port = NULL;
	must(weir_port_open(p->endpoint, NULL, &p->b.port), "open again");
	start_ns = weir_now_ns();
	p->lost_ns = 0;
	p->turn_ns = start_ns;
	connect_b(p, &short_lived);
	/* At once: no time-out of the earlier link had to pass. */
	assert_in_range(weir_now_ns() - start_ns, 0, DEAD_NS / 2 + p->lost_ns);
	exchange(p, 50);
}

static void
nobody_answers_a_handshake(void **state)
{
	struct pair *p = *state;
	struct weir_link_config hasty = short_lived;
	uint64_t start_ns;
	int rc;

	hasty.connect_timeout_ns = DEAD_NS;
	ports_open(p, RING);
	listen_a(p, &short_lived);
	start_ns = vanish(p);
	must(weir_link_connect(p->b.port, p->endpoint, &hasty, &p->b.link),
	     "connect");
	STEP_UNTIL(turn(p), (rc = weir_link_status(p->b.link)) != -EINPROGRESS);
	assert_int_equal(rc, -ETIMEDOUT);
	assert_in_time(p, start_ns);
	restart_b(p);
}

static void
a_peer_vanishes_under_data(void **state)
{
	struct pair *p = *state;
	uint64_t since_ns;

	ports_open(p, RING);
	link_up(p, &short_lived);
	exchange(p, 500);
	send_more(&p->a, 600);
	send_more(&p->b, 600);
	since_ns = vanish(p);
	a_dies(p, since_ns);
	STEP_UNTIL(turn(p), weir_link_status(p->b.link) != 0);
	assert_int_equal(weir_link_status(p->b.link), -ETIMEDOUT);
	restart_b(p);
}

static void
a_peer_vanishes_without_data(void **state)
{
	struct pair *p = *state;

	ports_open(p, RING);
	link_up(p, &short_lived);
	exchange(p, 10);
	a_dies(p, vanish(p));
	restart_b(p);
}

static void
a_peer_vanishes_in_a_large_message(void **state)
{
	const uint32_t len = 4 * 1024 * 1024;
	struct pair *p = *state;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	uint64_t before;

	ports_open(p, RING);
	link_up(p, &short_lived);
	before = link_stats(&p->a).rx_packets;
	STEP_UNTIL(turn(p),
		   weir_tx_reserve_burst(p->b.tx, len, &permit, 1) == 1);
	assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
	pattern_fill(slot.data, len, 1);
	weir_slot_commit(&slot);
	/* A part of its 3,000 packets has arrived. */
	STEP_UNTIL(turn(p), link_stats(&p->a).rx_packets > before + 100);
	a_dies(p, vanish(p));
	/* Half a message is none. */
	assert_int_equal(weir_rx_recv(p->a.rx, &msg), -ETIMEDOUT);
	restart_b(p);
}

static void
a_peer_vanishes_while_closing(void **state)
{
	struct pair *p = *state;

	ports_open(p, RING);
	link_up(p, &short_lived);
	exchange(p, 10);
	send_more(&p->a, 20);
	must(weir_tx_close(p->a.tx), "close");
	a_dies(p, vanish(p));
	restart_b(p);
}

/* The old link has not been missed yet when its peer is back. */
static void
a_restarted_peer_takes_the_place_of_its_earlier_life(void **state)
{
	struct weir_link_config patient = short_lived;
	struct pair *p = *state;
	struct end old;

	patient.dead_timeout_ns = LIMIT_NS;
	ports_open(p, RING);
	link_up(p, &patient);
	exchange(p, 100);
	vanish(p);
	old = p->a;
	p->a = (struct end){ .port = old.port };
	restart_b(p);
	assert_int_equal(weir_link_status(p->a.link), 0);
	STEP_UNTIL(turn(p), weir_link_status(old.link) != 0);
	end_down(&old);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ON(device, fn)                                   \
	{                                                \
#fn " on " #device, fn, setup, teardown, \
			(void *)(uintptr_t)&device,      \
	}
#define EACH_DEVICE(fn) ON(net_ring, fn), ON(af_packet, fn), ON(af_xdp, fn)

static char run_dir[] = "/tmp/weir-test-XXXXXX";

int
main(void)
{
	int failed;

	const struct CMUnitTest tests[] = {
		CASE(content_survives_every_kind_of_fault),
		CASE(only_the_trailer_sees_what_the_sum_does_not),
		CASE(rates_are_what_they_say),
		CASE(what_is_held_arrives_when_the_fault_ends),
		CASE(what_nobody_will_read_is_counted),
		CASE(frames_held_are_bounded_and_the_rest_is_lost),
		CASE(room_for_held_frames_is_promised),
		CASE(a_port_closes_with_frames_held),
		CASE(other_drivers_have_no_faults),
		EACH_DEVICE(a_link_survives_an_empty_pool),
		ON(net_ring_large, a_link_survives_a_full_ring),
		CASE(memif_survives_an_empty_pool_and_a_full_ring),
		EACH_DEVICE(a_link_survives_a_device_that_stops),
		EACH_DEVICE(a_link_survives_a_device_that_loses_its_link),
		CASE(memory_of_links_is_counted_until_they_are_gone),
		CASE(nobody_answers_a_handshake),
		CASE(a_peer_vanishes_under_data),
		CASE(a_peer_vanishes_without_data),
		CASE(a_peer_vanishes_in_a_large_message),
		CASE(a_peer_vanishes_while_closing),
		CASE(a_restarted_peer_takes_the_place_of_its_earlier_life),
	};

	other = netns_pair(0, 0, no_netns_reason, sizeof(no_netns_reason));
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (mkdtemp(run_dir) == NULL)
		return 1;
	setenv("WEIR_RUNTIME_DIR", run_dir, 1);
	peer_fork();
	must(weir_driver_register(&weir_driver_dpdk), "register");
	failed = cmocka_run_group_tests_name("dpdk_fault", tests, NULL, NULL);
	close(memif_go);
	if (memif_peer > 0)
		kill(memif_peer, SIGKILL);
	if (rmdir(run_dir) != 0) {
		fprintf(stderr, "%s is not empty\n", run_dir);
		failed++;
	}
	return failed != 0;
}
