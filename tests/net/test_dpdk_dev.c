/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_dev: raw frames over every kind of device, both ways at once,
 * and what opening and closing one does to the process and the machine.
 */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "core.h"
#include "dev_process.h"
#include "dpdk_dev.h"
#include "env_dpdk.h"
#include "netns.h"
#include "weir_driver.h"

#define FRAMES     600
#define AHEAD_MAX  32 /* frames sent and not yet matched by received ones */
#define HEADER_LEN 20 /* Ethernet and a sequence number */

static char run_dir[] = "/tmp/weir-test-XXXXXX";
static int other_netns = -1;
static char no_netns_reason[128];
static bool is_root; /* outside of any user namespace made here */

/* ---- frames ------------------------------------------------------------------ */

static uint16_t
frame_len(const struct dpdk_dev *dev, uint32_t seq)
{
	uint32_t span = dev->frame_max - 60u + 1u;

	/* Both ends of the range often, the rest in between. */
	if (seq % 5 == 0)
		return 60;
	if (seq % 5 == 1)
		return dev->frame_max;
	return (uint16_t)(60 + seq * 7919u % span);
}

static uint8_t
pattern(uint32_t seq, uint32_t at)
{
	return (uint8_t)(seq * 31 + at * 7 + 5);
}

static void
write_header(uint8_t *bytes, const struct dpdk_dev *dev, uint32_t seq,
	     uint16_t len)
{
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, dev->mac.addr_bytes, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5; /* IEEE 802, local experiments */
	memcpy(bytes + 14, &seq, sizeof(seq));
	memcpy(bytes + 18, &len, sizeof(len));
}

/* Every fourth frame in two segments, where the device offers that. */
static struct rte_mbuf *
build_frame(struct dpdk_dev *dev, uint32_t seq)
{
	bool chained = dev->tx_segs_max > 1 && seq % 4 == 3;
	uint16_t len = frame_len(dev, seq);
	struct rte_mbuf *head = rte_pktmbuf_alloc(dev->tx_pool->mp);
	struct rte_mbuf *body = head;
	uint8_t *bytes;

	CHECK(head != NULL);
	/* The payload of every mbuf can begin on a cache line. */
	CHECK(((uintptr_t)head->buf_addr + DPDK_PAYLOAD_OFFSET) % 64 == 0);
	head->data_off = DPDK_PAYLOAD_OFFSET;
	CHECK(rte_pktmbuf_tailroom(head) >= dev->frame_max);
	if (chained) {
		body = rte_pktmbuf_alloc(dev->tx_pool->mp);
		CHECK(body != NULL);
	} else {
		head->data_off -= HEADER_LEN;
	}
	bytes = (uint8_t *)head->buf_addr + head->data_off;
	write_header(bytes, dev, seq, len);
	head->data_len = HEADER_LEN;
	bytes = chained ? rte_pktmbuf_mtod(body, uint8_t *)
			: bytes + HEADER_LEN;
	for (uint32_t i = HEADER_LEN; i < len; i++)
		bytes[i - HEADER_LEN] = pattern(seq, i);
	body->data_len += (uint16_t)(len - HEADER_LEN);
	if (chained) {
		head->next = body;
		head->nb_segs = 2;
	}
	head->pkt_len = len;
	return head;
}

/* @return true if it is the next of ours, false if someone else's. */
static bool
check_frame(const struct rte_mbuf *mbuf, uint32_t expected)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint8_t copy[16384];
	uint32_t seq;
	uint16_t len;

	CHECK(mbuf->pkt_len <= sizeof(copy));
	bytes = rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, copy);
	CHECK(bytes != NULL);
	if (mbuf->pkt_len < HEADER_LEN || bytes[12] != 0x88 ||
	    bytes[13] != 0xb5)
		return false;
	memcpy(&seq, bytes + 14, sizeof(seq));
	memcpy(&len, bytes + 18, sizeof(len));
	CHECK(seq == expected);
	CHECK(len == mbuf->pkt_len);
	for (uint32_t i = HEADER_LEN; i < len; i++)
		CHECK(bytes[i] == pattern(seq, i));
	return true;
}

struct traffic {
	uint32_t sent, received;
};

static void
send_some(struct dpdk_dev *dev, struct traffic *traffic)
{
	struct rte_mbuf *burst[8];
	uint32_t count = 0, sent;

	while (count < 8 && traffic->sent + count < FRAMES &&
	       traffic->sent + count < traffic->received + AHEAD_MAX) {
		burst[count] = build_frame(dev, traffic->sent + count);
		count++;
	}
	sent = dpdk_dev_tx(dev, burst, (uint16_t)count);
	traffic->sent += sent;
	for (; sent < count; sent++)
		rte_pktmbuf_free(burst[sent]);
}

static void
receive_some(struct dpdk_dev *dev, struct traffic *traffic)
{
	struct rte_mbuf *burst[32];
	uint16_t count = dpdk_dev_rx(dev, burst, 32);

	for (uint16_t i = 0; i < count; i++) {
		traffic->received += check_frame(burst[i], traffic->received);
		rte_pktmbuf_free(burst[i]);
	}
	if (count == 0)
		sched_yield();
}

static bool
is_done(const struct traffic *traffic)
{
	return traffic->sent == FRAMES && traffic->received == FRAMES;
}

static void
exchange(struct dpdk_dev *dev)
{
	uint64_t deadline = deadline_in(25);
	struct traffic traffic = { 0 };

	while (!is_done(&traffic)) {
		CHECK(!is_over(deadline));
		send_some(dev, &traffic);
		receive_some(dev, &traffic);
	}
}

/* ---- devices ----------------------------------------------------------------- */

static struct dpdk_dev_spec
spec_of(const char *text, int side)
{
	struct weir_endpoint ep;
	struct dpdk_dev_spec spec;

	CHECK(weir_endpoint_parse(text, &ep) == 0);
	CHECK(weir_dpdk_dev_spec_parse(&ep, &spec) == 0);
	spec.role = side == 0 ? DPDK_ROLE_LISTENER : DPDK_ROLE_CONNECTOR;
	spec.hugepages = WEIR_HUGEPAGES_NEVER;
	spec.priv_size = 40;
	return spec;
}

/* @return true if the other end came within some time. */
static bool
peer_comes(struct dpdk_dev *dev, unsigned int seconds)
{
	uint64_t deadline = deadline_in(seconds);

	while (!weir_dpdk_dev_link_up(dev)) {
		if (is_over(deadline))
			return false;
		sched_yield();
	}
	return true;
}

static int
try_to_start(const struct dpdk_dev_spec *spec, struct dpdk_dev **dev)
{
	int rc = weir_dpdk_dev_open(spec, dev);

	if (rc != 0)
		return rc;
	rc = weir_dpdk_dev_start(*dev);
	/* A connector does not start without its listener. */
	if (rc == 0 && spec->kind == DPDK_DEV_MEMIF &&
	    spec->role == DPDK_ROLE_CONNECTOR)
		CHECK(weir_dpdk_dev_link_up(*dev));
	if (rc != 0)
		weir_dpdk_dev_close(*dev);
	return rc;
}

/* As a link does: an absent listener is tried again. */
static struct dpdk_dev *
open_and_start(const struct dpdk_dev_spec *spec)
{
	uint64_t deadline = deadline_in(20);
	struct dpdk_dev *dev;
	int rc;

	do {
		CHECK(!is_over(deadline));
		rc = try_to_start(spec, &dev);
		sched_yield();
	} while (rc == -EAGAIN);
	if (rc != 0)
		dprintf(STDERR_FILENO, "%s\n", weir_last_error());
	CHECK(rc == 0);
	return dev;
}

static void
wait_for_peer(struct dpdk_dev *dev)
{
	CHECK(peer_comes(dev, 10));
}

/*
 * Both must have stopped polling before a memif goes: see its page. And
 * neither goes on before both have gone: a connector that is too quick would
 * reach the listener that is just closing. Links then try again, see
 * dpdk_setup.c; these bare devices do not.
 */
static void
close_in_turn(struct dpdk_dev *dev, int side, int meet_fd)
{
	meet(meet_fd);
	if (side == 0)
		meet(meet_fd);
	weir_dpdk_dev_close(dev);
	if (side == 1)
		meet(meet_fd);
	meet(meet_fd);
}

static const char *pair_endpoint;
static uint32_t pair_hugepages;

static void
exchange_over_pair(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);
	struct dpdk_dev *dev;

	spec.hugepages = pair_hugepages;
	dev = open_and_start(&spec);
	wait_for_peer(dev);
	meet(meet_fd);
	exchange(dev);
	close_in_turn(dev, side, meet_fd);
	/* Once more in the same process: nothing of the first is in the way. */
	dev = open_and_start(&spec);
	wait_for_peer(dev);
	meet(meet_fd);
	exchange(dev);
	close_in_turn(dev, side, meet_fd);
}

/* The connector does not wait for the listener to be gone or to come. */
static void
come_and_go(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);

	for (int i = 0; i < 25; i++) {
		struct dpdk_dev *dev = open_and_start(&spec);

		wait_for_peer(dev);
		meet(meet_fd);
		exchange(dev);
		close_in_turn(dev, side, meet_fd);
	}
}

static void
run_pair(const char *endpoint, uint32_t hugepages, side_fn fn)
{
	const char *trouble;

	pair_endpoint = endpoint;
	pair_hugepages = hugepages;
	trouble = run_sides(fn, 2);
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static bool
exists(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	return stat(path, &st) == 0;
}

/* ---- memif ------------------------------------------------------------------- */

static void
memif_without_hugepages(void **state)
{
	(void)state;
	run_pair("dpdk:plain", WEIR_HUGEPAGES_NEVER, exchange_over_pair);
	assert_false(exists("plain.memif"));
	assert_false(exists("plain.memif.lock"));
}

static void
memif_pairs_come_and_go(void **state)
{
	(void)state;
	run_pair("dpdk:often,mbufs=256", WEIR_HUGEPAGES_NEVER, come_and_go);
	assert_false(exists("often.memif"));
}

static void
memif_with_frames_of_9000(void **state)
{
	(void)state;
	run_pair("dpdk:jumbo,mtu=9000,mbufs=512", WEIR_HUGEPAGES_NEVER,
		 exchange_over_pair);
}

static long
read_long(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (file != NULL && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file != NULL)
		fclose(file);
	return value;
}

static void
add_hugepages(long count)
{
	const char *path = "/proc/sys/vm/nr_hugepages";
	long now = read_long(path);
	FILE *file = fopen(path, "we");

	if (file == NULL)
		return;
	fprintf(file, "%ld", now + count);
	fclose(file);
}

static void
pairs_with_hugepages(void **state)
{
	const long count = 128; /* of 2 MiB: two processes of 64 MiB, twice */
	const char *free_path =
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	long before = read_long("/proc/sys/vm/nr_hugepages");
	const char *trouble;
	bool enough;

	(void)state;
	add_hugepages(count);
	enough = read_long(free_path) >= count;
	pair_endpoint = "dpdk:huge";
	pair_hugepages = WEIR_HUGEPAGES_REQUIRE;
	trouble = enough ? run_sides(exchange_over_pair, 2) : NULL;
	pair_endpoint = "dpdk:huge,dev=net_vhost";
	if (enough && trouble == NULL)
		trouble = run_sides(exchange_over_pair, 2);
	if (read_long("/proc/sys/vm/nr_hugepages") > before)
		add_hugepages(before - read_long("/proc/sys/vm/nr_hugepages"));
	if (!enough) {
		print_message("no huge pages can be reserved here\n");
		skip();
	}
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static void
become_nobody_and_exchange(int side, int meet_fd)
{
	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	exchange_over_pair(side, meet_fd);
}

static void
run_as_nobody(const char *endpoint)
{
	char dir[] = "/tmp/weir-test-XXXXXX";

	if (!is_root) {
		print_message("already unprivileged\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chown(dir, 65534, 65534), 0);
	setenv("WEIR_RUNTIME_DIR", dir, 1);
	pair_endpoint = endpoint;
	pair_hugepages = WEIR_HUGEPAGES_NEVER;
	{
		const char *trouble = run_sides(become_nobody_and_exchange, 2);

		setenv("WEIR_RUNTIME_DIR", run_dir, 1);
		/* Empty, or it would not go. */
		assert_int_equal(rmdir(dir), 0);
		if (trouble != NULL)
			fail_msg("%s", trouble);
	}
}

static void
memif_as_nobody(void **state)
{
	(void)state;
	run_as_nobody("dpdk:nobody");
}

static void
vhost_as_nobody(void **state)
{
	(void)state;
	run_as_nobody("dpdk:nobody,dev=net_vhost");
}

/* The listener comes, opens the door to one connector, and goes. */
static void
talk_about_names(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);
	struct dpdk_dev *dev, *second;

	if (side == 1)
		CHECK(weir_dpdk_dev_open(&spec, &dev) == -EAGAIN);
	meet(meet_fd);
	if (side == 0) {
		dev = open_and_start(&spec);
		CHECK(weir_dpdk_dev_open(&spec, &second) == -EADDRINUSE);
		spec.role = DPDK_ROLE_CONNECTOR;
		CHECK(weir_dpdk_dev_open(&spec, &second) == -EOPNOTSUPP);
	}
	meet(meet_fd);
	if (side == 1) {
		dev = open_and_start(&spec);
		CHECK(weir_dpdk_dev_open(&spec, &second) == -EAGAIN);
		CHECK(strstr(weir_last_error(), "two ends") != NULL);
		spec.role = DPDK_ROLE_LISTENER;
		CHECK(weir_dpdk_dev_open(&spec, &second) == -EADDRINUSE);
	}
	wait_for_peer(dev);
	close_in_turn(dev, side, meet_fd);
	meet(meet_fd);
	spec.role = DPDK_ROLE_CONNECTOR;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -EAGAIN);
}

static void
memif_names_belong_to_one_pair(void **state)
{
	(void)state;
	run_pair("dpdk:names", WEIR_HUGEPAGES_NEVER, talk_about_names);
}

static void
vhost_names_belong_to_one_pair(void **state)
{
	(void)state;
	run_pair("dpdk:names,dev=net_vhost", WEIR_HUGEPAGES_NEVER,
		 talk_about_names);
}

/* Shorter and longer than the driver takes for Ethernet's. */
static void
vhost_with_other_frames(void **state)
{
	(void)state;
	run_pair("dpdk:vhost,dev=net_vhost,mtu=576", WEIR_HUGEPAGES_NEVER,
		 exchange_over_pair);
	run_pair("dpdk:vhost,dev=net_vhost,mtu=9000", WEIR_HUGEPAGES_NEVER,
		 exchange_over_pair);
}

static void
listen_and_die(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);

	(void)meet_fd;
	open_and_start(&spec);
	raise(SIGKILL);
}

static void
memif_after_kill_the_next_start_works(void **state)
{
	const char *trouble;

	(void)state;
	pair_endpoint = "dpdk:killed";
	trouble = run_sides(listen_and_die, 1);
	assert_string_equal(trouble, "side 0 was killed by signal 9\n");
	assert_true(exists("killed.memif"));
	run_pair("dpdk:killed", WEIR_HUGEPAGES_NEVER, exchange_over_pair);
	assert_false(exists("killed.memif"));
}

static void
vhost_after_kill_the_next_start_works(void **state)
{
	const char *trouble;

	(void)state;
	pair_endpoint = "dpdk:killed,dev=net_vhost";
	trouble = run_sides(listen_and_die, 1);
	assert_string_equal(trouble, "side 0 was killed by signal 9\n");
	assert_true(exists("killed.vhost"));
	run_pair(pair_endpoint, WEIR_HUGEPAGES_NEVER, exchange_over_pair);
	assert_false(exists("killed.vhost"));
}

/* The connector is killed while the listener sends to it. */
static void
outlive_the_connector(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);
	struct dpdk_dev *dev;

	if (side == 1) {
		meet(meet_fd);
		dev = open_and_start(&spec);
		wait_for_peer(dev);
		raise(SIGKILL);
	}
	dev = open_and_start(&spec);
	meet(meet_fd);
	wait_for_peer(dev);
	for (uint64_t end = deadline_in(20); weir_dpdk_dev_link_up(dev);) {
		struct traffic traffic = { 0 };

		CHECK(!is_over(end));
		send_some(dev, &traffic);
		sched_yield();
	}
	weir_dpdk_dev_close(dev);
}

static void
vhost_link_goes_down_with_the_peer(void **state)
{
	const char *trouble;

	(void)state;
	pair_endpoint = "dpdk:outlive,dev=net_vhost";
	pair_hugepages = WEIR_HUGEPAGES_NEVER;
	trouble = run_sides(outlive_the_connector, 2);
	assert_string_equal(trouble, "side 1 was killed by signal 9\n");
}

static void
look_at_names_of_files(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of("dpdk:../a b/%s", side);
	struct dpdk_dev *dev = open_and_start(&spec);

	(void)meet_fd;
	CHECK(exists("%2E.%2Fa%20b%2F%25s.memif"));
	weir_dpdk_dev_close(dev);
	memset(spec.name, 'x', 60);
	spec.name[60] = '\0';
	setenv("WEIR_RUNTIME_DIR",
	       "/tmp/weir-test-that-is-rather-long-"
	       "to-hold-a-socket-path",
	       1);
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -ENAMETOOLONG);
	CHECK(rmdir(getenv("WEIR_RUNTIME_DIR")) == 0);
}

static void
memif_names_stay_in_the_runtime_directory(void **state)
{
	const char *trouble = run_sides(look_at_names_of_files, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

/* ---- net_ring ------------------------------------------------------------------ */

static void
exchange_in_one_process(struct dpdk_dev *a, struct dpdk_dev *b)
{
	uint64_t deadline = deadline_in(25);
	struct traffic at_a = { 0 }, at_b = { 0 };

	while (!is_done(&at_a) || !is_done(&at_b)) {
		CHECK(!is_over(deadline));
		send_some(a, &at_a);
		send_some(b, &at_b);
		receive_some(a, &at_a);
		receive_some(b, &at_b);
	}
}

static void
both_rings_here(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of("dpdk:twins,dev=net_ring", 0);
	struct dpdk_dev *a = open_and_start(&spec), *b, *third;
	cpu_set_t cpus;

	(void)side;
	(void)meet_fd;
	CHECK(!weir_dpdk_dev_link_up(a));
	b = open_and_start(&spec);
	CHECK(weir_dpdk_dev_link_up(a) && weir_dpdk_dev_link_up(b));
	CHECK(weir_dpdk_dev_open(&spec, &third) == -EADDRINUSE);
	CHECK(a->paired && a->pair_ip == b->pair_peer_ip);
	CHECK(memcmp(&a->mac, &b->peer_mac, sizeof(a->mac)) == 0);
	exchange_in_one_process(a, b);
	weir_dpdk_dev_close(a);
	CHECK(!weir_dpdk_dev_link_up(b));
	a = open_and_start(&spec);
	exchange_in_one_process(a, b);
	weir_dpdk_dev_close(a);
	weir_dpdk_dev_close(b);
	/* EAL pins its main thread; ours has its CPUs back. */
	CHECK(sched_getaffinity(0, sizeof(cpus), &cpus) == 0);
	CHECK(CPU_COUNT(&cpus) == sysconf(_SC_NPROCESSORS_ONLN) ||
	      getenv("WEIR_TEST_PINNED") != NULL);
}

static void
ring_in_one_process(void **state)
{
	const char *trouble = run_sides(both_rings_here, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static uint64_t
heap_in_use(void)
{
	struct rte_malloc_socket_stats stats;

	CHECK(rte_malloc_get_socket_stats(0, &stats) == 0);
	return stats.heap_allocsz_bytes;
}

static void
open_and_close_often(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of("dpdk:often,dev=net_ring", 0);
	uint64_t after_first = 0;

	(void)side;
	(void)meet_fd;
	spec.tx_mbufs = 512;
	spec.rx_mbufs = 512;
	for (int i = 0; i < 60; i++) {
		struct dpdk_dev *a = open_and_start(&spec);
		struct dpdk_dev *b = open_and_start(&spec);
		struct rte_mbuf *mbuf = build_frame(a, 0);

		/* Left in the ring: closing must not lose it. */
		CHECK(dpdk_dev_tx(a, &mbuf, 1) == 1);
		weir_dpdk_dev_close(i % 2 == 0 ? a : b);
		weir_dpdk_dev_close(i % 2 == 0 ? b : a);
		/* Rings of strangers linger for 0.1 s: let them go. */
		if (i == 0)
			after_first = heap_in_use();
		usleep(20000);
	}
	/* One round may linger still, with what the first one left. */
	CHECK(heap_in_use() < after_first * 8);
}

static void
pools_go_when_their_mbufs_are_back(void **state)
{
	const char *trouble = run_sides(open_and_close_often, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

/* ---- kernel interfaces ---------------------------------------------------------- */

static void
enter_side(int side)
{
	if (side == 1)
		CHECK(setns(other_netns, CLONE_NEWNET) == 0);
}

static void
exchange_over_veth(int side, int meet_fd)
{
	enter_side(side);
	exchange_over_pair(side, meet_fd);
}

static void
skip_without_netns(void)
{
	if (other_netns >= 0)
		return;
	print_message("%s\n", no_netns_reason);
	skip();
}

static void
packet_sockets_over_veth(void **state)
{
	(void)state;
	skip_without_netns();
	run_pair("dpdk:10.7.0.1:7400,dev=net_af_packet0,dev.iface=v0",
		 WEIR_HUGEPAGES_NEVER, exchange_over_veth);
}

static void
xdp_sockets_over_veth(void **state)
{
	(void)state;
	skip_without_netns();
	if (!is_root) {
		print_message("AF_XDP needs root\n");
		skip();
	}
	run_pair("dpdk:10.7.0.1:7400,dev=net_af_xdp0,dev.iface=v0",
		 WEIR_HUGEPAGES_NEVER, exchange_over_veth);
}

static void
jumbo_veth(int side, int meet_fd)
{
	struct dpdk_dev_spec spec;
	struct dpdk_dev *dev;

	enter_side(side);
	CHECK(system("ip link set v0 mtu 9000") == 0);
	meet(meet_fd);
	spec = spec_of(pair_endpoint, side);
	spec.tx_mbufs = spec.rx_mbufs = 512;
	dev = open_and_start(&spec);
	CHECK(dev->mtu == 9000);
	meet(meet_fd);
	exchange(dev);
	close_in_turn(dev, side, meet_fd);
	CHECK(system("ip link set v0 mtu 1500") == 0);
}

static void
packet_sockets_with_jumbo_frames(void **state)
{
	(void)state;
	skip_without_netns();
	run_pair("dpdk:10.7.0.1:7400,dev=net_af_packet0,dev.iface=v0",
		 WEIR_HUGEPAGES_NEVER, jumbo_veth);
}

static void
read_mac(const char *iface, uint8_t mac[6])
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	CHECK(ioctl(fd, SIOCGIFHWADDR, &request) == 0);
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

static void
check_no_signal_is_taken(void)
{
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++) {
		struct sigaction action;

		CHECK(sigaction(signo, NULL, &action) == 0);
		CHECK(action.sa_handler == SIG_DFL);
	}
}

/* A bridge knows the interface by its MAC, and the device by another. */
static void
open_waiting_tap(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);
	uint8_t before[6], after[6];
	struct dpdk_dev *dev;

	(void)meet_fd;
	CHECK(system("ip tuntap add dev t7 mode tap multi_queue") == 0);
	read_mac("t7", before);
	dev = open_and_start(&spec);
	read_mac("t7", after);
	CHECK(memcmp(before, after, 6) == 0);
	CHECK(memcmp(before, dev->mac.addr_bytes, 6) != 0);
	CHECK(!rte_is_multicast_ether_addr(&dev->mac));
	check_no_signal_is_taken();
	weir_dpdk_dev_close(dev);
	read_mac("t7", after);
	CHECK(memcmp(before, after, 6) == 0);
	CHECK(system("ip tuntap del dev t7 mode tap multi_queue") == 0);
}

/* No interface of that name: it comes and goes with the device. */
static void
open_new_tap(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of(pair_endpoint, side);
	struct dpdk_dev *dev = open_and_start(&spec);

	(void)meet_fd;
	CHECK(if_nametoindex("t7") != 0);
	check_no_signal_is_taken();
	weir_dpdk_dev_close(dev);
	CHECK(if_nametoindex("t7") == 0);
}

static void
taps_leave_the_kernels_end_alone(void **state)
{
	const char *endpoint = "dpdk:10.7.0.1:7400,dev=net_tap0,dev.iface=t7";
	const char *trouble;

	(void)state;
	skip_without_netns();
	if (access("/dev/net/tun", R_OK | W_OK) != 0) {
		print_message("no taps here\n");
		skip();
	}
	pair_endpoint = endpoint;
	trouble = run_sides(open_waiting_tap, 1);
	if (trouble == NULL)
		trouble = run_sides(open_new_tap, 1);
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

/* ---- what goes wrong ------------------------------------------------------------ */

static void
expect_failure(const char *endpoint, int rc, const char *text)
{
	struct weir_endpoint ep;
	struct dpdk_dev_spec spec;
	struct dpdk_dev *dev;
	int got;

	CHECK(weir_endpoint_parse(endpoint, &ep) == 0);
	got = weir_dpdk_dev_spec_parse(&ep, &spec);
	spec.hugepages = WEIR_HUGEPAGES_NEVER;
	if (got == 0)
		got = weir_dpdk_dev_open(&spec, &dev);
	if (got != rc || strstr(weir_last_error(), text) == NULL)
		dprintf(STDERR_FILENO, "%s: %d, %s\n", endpoint, got,
			weir_last_error());
	CHECK(strchr(weir_last_error(), '\n') == NULL);
}

static void
fail_in_every_way(int side, int meet_fd)
{
	(void)side;
	(void)meet_fd;
	expect_failure("dpdk:10.7.0.1:7400", -EINVAL, "add dev=");
	expect_failure("dpdk:*:7400", -EINVAL, "add dev=");
	expect_failure("dpdk:a,dev=net_af_packet0", -EINVAL, "dev.iface=");
	expect_failure("dpdk:a,dev=net_af_packet0,dev.iface=nosuch0", -ENODEV,
		       "nosuch0");
	expect_failure("dpdk:a,dev=net_nosuch0", -ENODEV, "net_nosuch0");
	expect_failure("dpdk:a,dev=eth0", -ENODEV, "eth0");
	expect_failure("dpdk:a,dev=0000:ff:1f.7", -ENODEV, "vfio-pci");
	expect_failure("dpdk:10.7.0.1:7400,dev=net_vhost", -EINVAL,
		       "dpdk:NAME");
	expect_failure("dpdk:a,dev=net_ring,dev.x=1", -EINVAL, "dev.");
	expect_failure("dpdk:a,mtu=100", -EINVAL, "mtu");
	expect_failure("dpdk:a,mbufs=1", -EINVAL, "mbufs");
	expect_failure("dpdk:a,offload=no", -EINVAL, "offload");
	if (other_netns >= 0 && access("/dev/net/tun", R_OK | W_OK) == 0)
		expect_failure("dpdk:a,dev=net_tap0,dev.iface=v0", -EINVAL,
			       "ip tuntap add");
	if (other_netns >= 0)
		expect_failure("dpdk:a,dev=net_af_packet0,dev.iface=v0,"
			       "mtu=9000",
			       -EINVAL, "mtu=9000");
}

static void
failures_say_what_to_do(void **state)
{
	const char *trouble = run_sides(fail_in_every_way, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static void
ask_for_too_much(int side, int meet_fd)
{
	struct dpdk_dev_spec spec =
		spec_of("dpdk:a,dev=net_null0,mbufs=300", 0);
	struct dpdk_dev *dev = open_and_start(&spec);

	(void)side;
	(void)meet_fd;
	CHECK(weir_dpdk_dev_admit(dev, 200, 200) == 0);
	CHECK(weir_dpdk_dev_admit(dev, 100, 101) == -ENOBUFS);
	CHECK(strstr(weir_last_error(), "mbufs=") != NULL);
	CHECK(weir_dpdk_dev_admit(dev, 101, 0) == -ENOBUFS);
	CHECK(weir_dpdk_dev_admit(dev, 100, 100) == 0);
	weir_dpdk_dev_dismiss(dev, 200, 200);
	CHECK(weir_dpdk_dev_admit(dev, 200, 200) == 0);
	weir_dpdk_dev_close(dev);
	spec.tx_mbufs = 1u << 20;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -ENOMEM);
	CHECK(strstr(weir_last_error(), "mbufs=") != NULL);
}

static void
no_link_is_promised_what_is_not_there(void **state)
{
	const char *trouble = run_sides(ask_for_too_much, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

/* ---- an application with an EAL of its own --------------------------------------- */

static struct rte_mempool *
start_own_port(uint16_t *port_id, uint16_t priv_size)
{
	char *args[] = { "app",
			 "--no-huge",
			 "-m",
			 "64",
			 "--no-pci",
			 "--no-shconf",
			 "--lcores=0@0",
			 "--log-level=1",
			 "--no-telemetry",
			 "--vdev=net_null5" };
	struct rte_eth_conf conf = { 0 };
	struct rte_mempool *mp;

	/* It makes a directory even with --no-shconf. */
	setenv("RUNTIME_DIRECTORY", run_dir, 1);
	CHECK(rte_eal_init(10, args) >= 0);
	CHECK(rmdir(rte_eal_get_runtime_dir()) == 0);
	CHECK(chdir(run_dir) == 0 && rmdir("dpdk") == 0);
	CHECK(rte_eth_dev_get_port_by_name("net_null5", port_id) == 0);
	mp = rte_pktmbuf_pool_create("app", 8191, 256, priv_size, 2176,
				     SOCKET_ID_ANY);
	CHECK(mp != NULL);
	CHECK(rte_eth_dev_configure(*port_id, 2, 2, &conf) == 0);
	for (uint16_t q = 0; q < 2; q++) {
		CHECK(rte_eth_rx_queue_setup(*port_id, q, 256, 0, NULL, mp) ==
		      0);
		CHECK(rte_eth_tx_queue_setup(*port_id, q, 256, 0, NULL) == 0);
	}
	CHECK(rte_eth_dev_start(*port_id) == 0);
	return mp;
}

static void
lend_a_queue(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = { .kind = DPDK_DEV_GIVEN, .queue_id = 1 };
	struct rte_mbuf *mbuf;
	struct dpdk_dev *dev;
	uint16_t port_id;

	(void)side;
	(void)meet_fd;
	spec.mempool = start_own_port(&port_id, 64);
	spec.port_id = port_id;
	spec.priv_size = 40;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == 0);
	CHECK(!weir_env_dpdk_is_ours());
	CHECK(dev->tx_pool->mp == spec.mempool && dev->queue_id == 1);
	CHECK(weir_dpdk_dev_start(dev) == 0);
	mbuf = build_frame(dev, 0);
	CHECK(dpdk_dev_tx(dev, &mbuf, 1) == 1);
	weir_dpdk_dev_close(dev);
	/* It runs on, and its pool is whole. */
	CHECK(rte_eth_rx_burst(port_id, 0, &mbuf, 1) == 1);
	rte_pktmbuf_free(mbuf);
	CHECK(rte_mempool_full(spec.mempool));
	/* Without a mempool of its own, weir makes one for what it sends. */
	spec.mempool = NULL;
	spec.tx_mbufs = 512;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -EINVAL ||
	      dev->tx_pool != dev->rx_pool);
	spec.queue_id = 2;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -EINVAL);
	spec.port_id = 30;
	CHECK(weir_dpdk_dev_open(&spec, &dev) == -ENODEV);
}

static void
an_applications_port_is_only_borrowed(void **state)
{
	const char *trouble = run_sides(lend_a_queue, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static void
fork_after_start(int side, int meet_fd)
{
	struct dpdk_dev_spec spec = spec_of("dpdk:a,dev=net_null0", side);
	struct dpdk_dev *dev = open_and_start(&spec);
	int status;
	pid_t pid;

	(void)meet_fd;
	weir_dpdk_dev_close(dev);
	pid = fork();
	if (pid == 0)
		_exit(weir_dpdk_dev_open(&spec, &dev) == -ENOTSUP ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
a_forked_process_is_told_so(void **state)
{
	const char *trouble = run_sides(fork_after_start, 1);

	(void)state;
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

/* test_dpdk_dev [PATTERN]: without one all but the vhost pairs, which take no
 * huge pages and may run beside other tests. */
int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_in_one_process),
		cmocka_unit_test(pools_go_when_their_mbufs_are_back),
		cmocka_unit_test(memif_without_hugepages),
		cmocka_unit_test(pairs_with_hugepages),
		cmocka_unit_test(memif_with_frames_of_9000),
		cmocka_unit_test(memif_pairs_come_and_go),
		cmocka_unit_test(memif_as_nobody),
		cmocka_unit_test(memif_names_belong_to_one_pair),
		cmocka_unit_test(memif_after_kill_the_next_start_works),
		cmocka_unit_test(memif_names_stay_in_the_runtime_directory),
		cmocka_unit_test(vhost_as_nobody),
		cmocka_unit_test(vhost_with_other_frames),
		cmocka_unit_test(vhost_names_belong_to_one_pair),
		cmocka_unit_test(vhost_after_kill_the_next_start_works),
		cmocka_unit_test(vhost_link_goes_down_with_the_peer),
		cmocka_unit_test(packet_sockets_over_veth),
		cmocka_unit_test(packet_sockets_with_jumbo_frames),
		cmocka_unit_test(xdp_sockets_over_veth),
		cmocka_unit_test(taps_leave_the_kernels_end_alone),
		cmocka_unit_test(failures_say_what_to_do),
		cmocka_unit_test(no_link_is_promised_what_is_not_there),
		cmocka_unit_test(an_applications_port_is_only_borrowed),
		cmocka_unit_test(a_forked_process_is_told_so),
	};
	int rc;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	else
		cmocka_set_skip_filter("vhost*");
	is_root = geteuid() == 0;
	if (mkdtemp(run_dir) == NULL)
		return 77;
	setenv("WEIR_RUNTIME_DIR", run_dir, 1);
	other_netns =
		netns_pair(0, 0, no_netns_reason, sizeof(no_netns_reason));
	rc = cmocka_run_group_tests_name("dpdk_dev", tests, NULL, NULL);
	/* Nothing may be left in it. */
	if (rmdir(run_dir) != 0) {
		print_error("%s: %s\n", run_dir, strerror(errno));
		rc++;
	}
	return rc;
}
