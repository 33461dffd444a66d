/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_frames: a port on a real interface, and frames on its wire that we
 * write ourselves: IPv4 and IPv6, with and without a VLAN.
 *
 *     this namespace        the other one
 *     port, station b  v0 ======== v0  raw socket, station a
 *
 * What a frame is taken for is tested with the parser alone (test_dpdk_hdr);
 * here, that frames arrive as they were sent, that what they were taken for is
 * counted, and that neighbours are answered.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "../unit/frames.h"
#include "dpdk_neigh.h"
#include "netns.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define LIMIT_NS   UINT64_C(10000000000)
#define PACKET_LEN 100
#define PACKET_ALL 0x0300 /* ETH_P_ALL as on the wire */
#define MTU        1500
#define NETWORK6   "fd01:203:405:607:809:a0b:c0d:"

static int wire = -1; /* the raw socket */
static struct rte_ether_addr mac_b;

/* ---- the wire ------------------------------------------------------------------- */

static void
die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void
open_wire(int other)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = PACKET_ALL };
	struct ifreq request = { .ifr_name = "v0" };
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), yes = 1;

	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) != 0)
		die("v0");
	memcpy(&mac_b, request.ifr_hwaddr.sa_data, sizeof(mac_b));
	close(fd);
	if (setns(other, 0) != 0)
		die("other namespace");
	at.sll_ifindex = (int)if_nametoindex("v0");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      PACKET_ALL);
	if (wire < 0 ||
	    setsockopt(wire, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof(yes)) ||
	    bind(wire, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("raw socket");
	if (setns(home, 0) != 0)
		die("own namespace");
	close(home);
}

static void
put_on_wire(const uint8_t *frame, uint32_t len)
{
	assert_int_equal(send(wire, frame, len, 0), len);
}

/* A frame that the port sent. The kernel takes the tag out and tells it in
 * *tci. @return its length, 0 none. */
static uint32_t
take_from_wire(uint8_t *frame, size_t size, uint32_t *tci)
{
	_Alignas(struct cmsghdr) char control[128];
	struct sockaddr_ll from;
	struct iovec data = { frame, size };
	struct msghdr message = { .msg_name = &from,
				  .msg_namelen = sizeof(from),
				  .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct tpacket_auxdata aux = { 0 };
	ssize_t n = recvmsg(wire, &message, 0);

	if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL;
	     c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_type == PACKET_AUXDATA)
			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	*tci = aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci : 0;
	return (uint32_t)n;
}

/* ---- the port ------------------------------------------------------------------- */

static const char *const locals[FRAME_KINDS] = {
	"10.7.0.2/24",
	"10.7.0.2/24,vlan=7,pcp=5",
	NETWORK6 "102/64",
	NETWORK6 "102/64,vlan=7,pcp=5",
};

struct bench {
	const struct frame_kind *kind;
	struct weir_port *port;
	struct weir_listener *listener;
};

static void
open_port(struct bench *bench, size_t kind, const char *more)
{
	const struct weir_port_config config = {
		.size = sizeof(config),
		.hugepages = WEIR_HUGEPAGES_NEVER,
	};
	char endpoint[160];
	int rc;

	bench->kind = &frame_kinds[kind];
	snprintf(endpoint, sizeof(endpoint),
		 "dpdk:*:7400,dev=net_af_packet0,dev.iface=v0,local=%s%s",
		 locals[kind], more);
	rc = weir_port_open(endpoint, &config, &bench->port);
	if (rc != 0)
		fail_msg("%s: %s", endpoint, weir_last_error());
	rc = weir_listener_open(bench->port, endpoint, NULL, &bench->listener);
	if (rc != 0)
		fail_msg("%s: %s", endpoint, weir_last_error());
}

static void
close_port(struct bench *bench)
{
	weir_listener_close(bench->listener);
	assert_int_equal(weir_port_close(bench->port), 0);
}

static struct weir_port_stats
stats_of(const struct bench *bench)
{
	struct weir_port_stats stats = { 0 };

	weir_port_stats(bench->port, &stats, sizeof(stats));
	return stats;
}

/* Poll until one more frame has come in. */
static void
poll_for_frame(const struct bench *bench)
{
	uint64_t before = stats_of(bench).rx_packets;
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;

	while (stats_of(bench).rx_packets == before) {
		if (weir_now_ns() > end_ns)
			fail_msg("%s: no frame came", bench->kind->name);
		assert_true(weir_port_poll(bench->port) >= 0);
		sched_yield();
	}
}

/* ---- what is dropped ------------------------------------------------------------ */

enum count {
	FOREIGN,
	MALFORMED,
	CHECKSUM,
	COUNTS
};

static void
counts_of(const struct bench *bench, uint64_t counts[COUNTS])
{
	struct weir_port_stats stats = stats_of(bench);

	counts[FOREIGN] = stats.rx_foreign;
	counts[MALFORMED] = stats.rx_malformed;
	counts[CHECKSUM] = stats.rx_checksum_errors;
}

static uint8_t buffer[DPDK_HDR_LEN_MAX + MTU];

/* A frame to b with a packet that is none of weir's. */
static uint8_t *
make_frame(const struct frame_kind *kind)
{
	uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);

	memcpy(frame, &mac_b, sizeof(mac_b));
	return frame;
}

static void
send_and_count(const struct bench *bench, const uint8_t *frame, uint32_t len,
	       enum count expected)
{
	uint64_t before[COUNTS], after[COUNTS];

	counts_of(bench, before);
	put_on_wire(frame, len);
	poll_for_frame(bench);
	counts_of(bench, after);
	for (int i = 0; i < COUNTS; i++)
		if (after[i] - before[i] != (uint64_t)(i == (int)expected))
			fail_msg("%s: counter %d went from %lu to %lu",
				 bench->kind->name, i, (unsigned long)before[i],
				 (unsigned long)after[i]);
}

#define SENT(change, expected)                                   \
	do {                                                     \
		uint8_t *frame = make_frame(kind), *ip, *udp;    \
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN; \
		ip = frame + kind->l2_len;                       \
		udp = ip + kind->l3_len;                         \
		(void)udp;                                       \
		change;                                          \
		send_and_count(&bench, frame, len, (expected));  \
	} while (0)

static void
dropped_frames_are_counted(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++) {
		const struct frame_kind *kind = &frame_kinds[k];
		bool ip4 = kind->l3_len == 20;
		struct bench bench;

		open_port(&bench, k, "");
		/* Whole, but no packet of weir's. */
		SENT((void)ip, MALFORMED);
		SENT(udp[3] ^= 1, CHECKSUM);
		SENT(udp[20] ^= 1, CHECKSUM);
		SENT(memset(udp + 6, 0, 2), CHECKSUM);
		SENT(udp[5] ^= 1, MALFORMED);
		SENT(ip[0] = ip4 ? 0x46 : 0x70, MALFORMED);
		SENT(ip[ip4 ? 19 : 39] ^= 1, FOREIGN);
		SENT(ip[ip4 ? 9 : 6] = 6, FOREIGN);
		SENT(ip[-1] = 0x99, FOREIGN);
		SENT(len = kind->l2_len + 10, MALFORMED);
		if (!ip4) {
			SENT(ip[6] = 44, MALFORMED); /* fragment */
			SENT(ip[6] = 0, MALFORMED);  /* hop by hop */
			SENT((ip[6] = 58, ip[40] = 128), FOREIGN); /* echo */
		}
		close_port(&bench);
	}
}

/* Tags as the kernel hands them over, whatever it does to them. */
static void
other_vlans_are_foreign(void **state)
{
	struct frame_kind other = frame_kinds[1];
	const struct frame_kind *kind = &other;
	struct bench bench;

	(void)state;
	open_port(&bench, 0, "");
	SENT((void)ip, FOREIGN); /* tagged, and we have no VLAN */
	SENT((frame[14] = 0xe0, frame[15] = 0), MALFORMED); /* priority */
	close_port(&bench);

	open_port(&bench, 1, "");
	SENT((void)ip, MALFORMED); /* ours: seen, and no packet of weir's */
	other.wire.vlan = 8;
	SENT((void)ip, FOREIGN);
	kind = &frame_kinds[0];
	SENT((void)ip, FOREIGN);
	/* Two tags: 7 in 7. */
	kind = &frame_kinds[1];
	SENT((memmove(frame - 4, frame, 16), frame -= 4,
	      memcpy(frame + 16, "\x81\x00\x00\x07", 4), len += 4),
	     FOREIGN);
	close_port(&bench);
}

static void
distance_is_told_by_the_hop_limit(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++) {
		struct frame_kind far = frame_kinds[k];
		const struct frame_kind *kind = &far;
		struct bench bench;

		open_port(&bench, k, ",ttl-min=255");
		far.wire.ttl = 254;
		/* One is dropped for its distance, the other seen and found to
		 * be no packet of weir's: the same sum, so look at the port
		 * that nobody listens at, which only the second one reaches. */
		far.dst.port = 7401;
		SENT((void)ip, MALFORMED);
		far.wire.ttl = 255;
		SENT((void)ip, FOREIGN);
		close_port(&bench);
	}
}

/* ---- neighbours ----------------------------------------------------------------- */

/* @return length of a's answer in reply. */
static uint16_t
take_in(struct dpdk_neigh *a, const struct frame_kind *kind,
	const uint8_t *frame, uint32_t len, uint8_t *reply)
{
	struct rte_ether_addr from;
	/* The tag was taken out on the way. */
	struct dpdk_neigh_in in = { frame + 14, len - 14, &from, 0 };

	memcpy(&from, frame + 6, sizeof(from));
	if (kind->l3_len == 20)
		return frame[13] == 0x06 ? weir_dpdk_neigh_arp(a, &in, reply)
					 : 0;
	return frame[13] == 0xdd ? weir_dpdk_neigh_ndp(a, &in, reply) : 0;
}

/* a asks as a port of weir's does, and believes the answer. */
static void
a_port_answers_for_its_address(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++) {
		const struct frame_kind *kind = &frame_kinds[k];
		uint8_t frame[MTU], reply[DPDK_NEIGH_FRAME_MAX];
		struct rte_ether_addr mac;
		struct dpdk_neigh a;
		struct bench bench;
		uint32_t len, tci = 0;
		uint64_t end_ns = weir_now_ns() + LIMIT_NS;

		open_port(&bench, k, "");
		weir_dpdk_neigh_init(&a, &kind->wire, &kind->src.ip,
				     &frame_mac_a);
		assert_int_equal(
			weir_dpdk_neigh_lookup(&a, &kind->dst.ip, 0, &mac), 0);
		len = weir_dpdk_neigh_poll(&a, 0, frame);
		put_on_wire(frame, len);
		while (!weir_dpdk_neigh_known(&a, &kind->dst.ip, &mac)) {
			if (weir_now_ns() > end_ns)
				fail_msg("%s: no answer", kind->name);
			assert_true(weir_port_poll(bench.port) >= 0);
			len = take_from_wire(frame, sizeof(frame), &tci);
			if (len != 0)
				take_in(&a, kind, frame, len, reply);
		}
		assert_memory_equal(&mac, &mac_b, sizeof(mac));
		assert_int_equal(tci, kind->wire.vlan == 0
					      ? 0
					      : FRAME_PCP << 13 | FRAME_VLAN);
		close_port(&bench);
	}
}

static struct weir_link *
connect_to_a(const struct bench *bench, uint64_t timeout_ns)
{
	const struct weir_link_config config = {
		.size = sizeof(config),
		.connect_timeout_ns = timeout_ns,
	};
	struct weir_link *link;
	int rc = weir_link_connect(bench->port,
				   bench->kind->l3_len == 20
					   ? "dpdk:10.7.0.1:7400"
					   : "dpdk:[" NETWORK6 "101]:7400",
				   &config, &link);

	if (rc != 0)
		fail_msg("connect: %s", weir_last_error());
	return link;
}

/* b asks for whom it wants to connect to: a sees the question, three times. */
static void
a_port_asks_for_its_peer(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k += 3) {
		const struct frame_kind *kind = &frame_kinds[k];
		uint64_t end_ns = weir_now_ns() + LIMIT_NS;
		uint8_t frame[MTU], reply[DPDK_NEIGH_FRAME_MAX];
		struct weir_link *link;
		struct dpdk_neigh a;
		struct bench bench;
		uint32_t len, tci;

		open_port(&bench, k, "");
		weir_dpdk_neigh_init(&a, &kind->wire, &kind->src.ip,
				     &frame_mac_a);
		link = connect_to_a(&bench, 500000000);
		while (weir_link_status(link) == -EINPROGRESS) {
			if (weir_now_ns() > end_ns)
				fail_msg("%s: for ever", kind->name);
			weir_port_poll(bench.port);
			len = take_from_wire(frame, sizeof(frame), &tci);
			if (len != 0)
				take_in(&a, kind, frame, len, reply);
		}
		assert_int_equal(weir_link_status(link), -ETIMEDOUT);
		assert_int_equal(a.counts[DPDK_NEIGH_ANSWER], DPDK_NEIGH_TRIES);
		weir_link_destroy(link);
		close_port(&bench);
	}
}

/* Answer for a until b sends a packet of weir's to this MAC. */
static void
answer_until(const struct bench *bench, struct dpdk_neigh *a,
	     const struct rte_ether_addr *mac)
{
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;
	uint8_t frame[MTU], reply[DPDK_NEIGH_FRAME_MAX];
	uint32_t len = 0, tci;
	uint16_t answer;

	/* Nothing else is as long as an INIT. */
	while (len < 256 || memcmp(frame, mac, sizeof(*mac)) != 0) {
		if (weir_now_ns() > end_ns)
			fail_msg("%s: no packet", bench->kind->name);
		weir_port_poll(bench->port);
		len = take_from_wire(frame, sizeof(frame), &tci);
		if (len == 0)
			continue;
		answer = take_in(a, bench->kind, frame, len, reply);
		if (answer != 0)
			put_on_wire(reply, answer);
	}
}

/* a goes to another station, which asks for b: b's packets go there. */
static void
a_link_follows_its_peer(void **state)
{
	static const struct rte_ether_addr mac_c = { { 2, 0, 0, 0, 0, 0xc } };

	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k += 2) {
		const struct frame_kind *kind = &frame_kinds[k];
		uint8_t frame[DPDK_NEIGH_FRAME_MAX];
		struct rte_ether_addr unknown;
		struct weir_link *link;
		struct dpdk_neigh a;
		struct bench bench;

		open_port(&bench, k, "");
		link = connect_to_a(&bench, LIMIT_NS);
		weir_dpdk_neigh_init(&a, &kind->wire, &kind->src.ip,
				     &frame_mac_a);
		answer_until(&bench, &a, &frame_mac_a);
		weir_dpdk_neigh_init(&a, &kind->wire, &kind->src.ip, &mac_c);
		assert_int_equal(
			weir_dpdk_neigh_lookup(&a, &kind->dst.ip, 0, &unknown),
			0);
		put_on_wire(frame, weir_dpdk_neigh_poll(&a, 0, frame));
		answer_until(&bench, &a, &mac_c);
		weir_link_destroy(link);
		close_port(&bench);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dropped_frames_are_counted),
		cmocka_unit_test(other_vlans_are_foreign),
		cmocka_unit_test(distance_is_told_by_the_hop_limit),
		cmocka_unit_test(a_port_answers_for_its_address),
		cmocka_unit_test(a_port_asks_for_its_peer),
		cmocka_unit_test(a_link_follows_its_peer),
	};
	char reason[128];
	int other = netns_pair(0, 0, reason, sizeof(reason));

	if (other < 0) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	weir_driver_register(&weir_driver_dpdk);
	open_wire(other);
	return cmocka_run_group_tests_name("dpdk_frames", tests, NULL, NULL);
}
