/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_dev: open, start and close a device. See dpdk_dev.h.
 *
 *     find or make the ethdev        make_memif, make_ring, make_vdev, ...
 *     ask what it can do             learn_*
 *     pools                          make_pools
 *     configure one queue pair       configure
 *
 * Facts about particular drivers stand in one table, with their reasons in
 * docs/drivers/dpdk.md; everything else is asked of rte_eth_dev_info_get().
 */

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>

#include "clock.h"
#include "dpdk_dev.h"
#include "dpdk_memfd.h"
#include "dpdk_memif.h"
#include "dpdk_ring.h"
#include "dpdk_xdp.h"
#include "env_dpdk.h"
#include "weir_driver.h"

/* Frame of a memif or ring pair: a power of two holds a 1,900 B message. */
#define PAIR_FRAME_MAX 2048

/* af_xdp: the kernel puts XDP_PACKET_HEADROOM behind the mbuf's own. */
#define XDP_HEADROOM 256

/* af_packet: what precedes a frame in the slots of its rings, rounded up. */
#define PACKET_SLOT_OVERHEAD 96

/* af_packet: a ring each way, in locked memory, of which 8 MiB are usual. */
#define PACKET_RING_BYTES (2u << 20)

/* Largest frame that af_xdp is known to carry (docs/drivers/dpdk.md). */
#define XDP_MTU_MAX 1500

/* mbufs that af_xdp keeps in its fill queue, and in its completion queue. */
#define XDP_QUEUE_MBUFS 2048

/* A memif listener that lives answers long before. */
#define MEMIF_CONNECT_NS UINT64_C(250000000)

/*
 * memif's zero-copy transmit looks at the room in its ring once per four
 * frames, of one slot each: four chained ones can run past the end. Bursts of
 * up to four take its other, careful path.
 */
#define MEMIF_CHAINS_MAX 4

/* mbufs in bursts on the way between device and link. */
#define BURST_MBUFS 64

/* What rte_eth_dev_info_get() does not tell. */
struct driver_facts {
	const char *name;
	bool no_wire; /* memory to memory: checksums guard nothing */
	bool same_host;
	bool retains;  /* keeps mbufs after tx_burst returned */
	bool one_pool; /* sends without copy only from its rx pool */
	bool direct;   /* sends only direct mbufs of that pool */
	bool linear;   /* corrupts what has two segments */
};

static const struct driver_facts facts_table[] = {
	{ .name = "net_memif", .no_wire = true, .same_host = true },
	{ .name = "net_ring",
	  .no_wire = true,
	  .same_host = true,
	  .retains = true,
	  .one_pool = true },
	{ .name = "net_null", .no_wire = true, .same_host = true },
	{ .name = "net_af_packet" },
	{ .name = "net_af_xdp",
	  .retains = true,
	  .one_pool = true,
	  .direct = true,
	  .linear = true },
	{ .name = "net_vhost", .same_host = true },
	{ .name = "net_virtio_user", .same_host = true, .retains = true },
};

/* A real NIC: keeps mbufs until its ring comes round. */
static const struct driver_facts facts_default = { .retains = true };

struct dpdk_dev_private {
	const struct driver_facts *facts;
	struct dpdk_memif *memif;
	struct dpdk_ring_pair *pair;
	int side;
	char vdev[64]; /* made by us, to be removed; or "" */
	bool is_ours;  /* configured by us: to be stopped and closed */
	bool memif_zero_copy;
	char iface[IF_NAMESIZE]; /* kernel interface beneath, or "" */
	struct dpdk_xdp_socket xdp;
	uint32_t conf_mtu;    /* above Ethernet's 1500; or 0 */
	uint32_t packet_slot; /* af_packet: bytes per slot of its rings */
};

static atomic_uint vdev_serial;

static bool
driver_is(const struct dpdk_dev *dev, const char *name)
{
	return strcmp(dev->driver_name, name) == 0;
}

/* ---- errors ---------------------------------------------------------------- */

/* The driver's own last line says more than its return value. */
static int
fail_with_log(int rc, const char *subject, const char *what)
{
	char text[200];

	weir_env_dpdk_error(text, sizeof(text));
	return weir_fail(rc, "dpdk %s: %s: %s", subject, what,
			 text[0] != '\0' ? text : rte_strerror(-rc));
}

/* ---- kernel interfaces ------------------------------------------------------ */

static uint32_t
iface_mtu(const char *iface)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t mtu = 0;

	if (fd < 0)
		return 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	if (ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
		mtu = (uint32_t)request.ifr_mtu;
	close(fd);
	return mtu;
}

/* @return true and the value of key in "a=b,key=value". */
static bool
find_arg(const char *args, const char *key, char *value, size_t size)
{
	size_t key_len = strlen(key);

	while (*args != '\0') {
		size_t len = strcspn(args, ",");

		if (len > key_len && args[key_len] == '=' &&
		    strncmp(args, key, key_len) == 0) {
			snprintf(value, size, "%.*s", (int)(len - key_len - 1),
				 args + key_len + 1);
			return true;
		}
		args += len;
		args += *args == ',';
	}
	return false;
}

static int
check_iface(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	char *iface = dev->priv->iface;

	if (!find_arg(spec->args, "iface", iface, sizeof(dev->priv->iface)))
		return weir_fail(-EINVAL,
				 "dpdk %s: which interface? add dev.iface=NAME",
				 spec->name);
	if (if_nametoindex(iface) == 0)
		return weir_fail(-ENODEV,
				 "dpdk %s: no interface '%s' here; see ip link",
				 spec->name, iface);
	return 0;
}

static int
check_packet_rights(const char *name)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int error = errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	return weir_fail(-error,
			 "dpdk %s: no raw sockets (%s): run as root, with "
			 "CAP_NET_RAW, or under weir lab run",
			 name, strerror(error));
}

/* ---- making the ethdev ------------------------------------------------------ */

static int
init_vdev(struct dpdk_dev *dev, const char *name, const char *args)
{
	int rc = rte_vdev_init(name, args);

	if (rc == -EEXIST)
		return weir_fail(-EADDRINUSE,
				 "dpdk %s: this process has it open already; "
				 "use another number",
				 name);
	if (rc != 0)
		return fail_with_log(rc < 0 && rc != -1 ? rc : -ENODEV, name,
				     "cannot make the device");
	snprintf(dev->priv->vdev, sizeof(dev->priv->vdev), "%s", name);
	rc = rte_eth_dev_get_port_by_name(name, &dev->port_id);
	if (rc != 0)
		return weir_fail(rc, "dpdk %s: is not a network device", name);
	dev->priv->is_ours = true;
	return 0;
}

/* 02:"weir":end, on a link with just two ends. */
static void
name_ends(struct dpdk_dev *dev, uint8_t ours, uint8_t theirs)
{
	const uint8_t prefix[5] = { 0x02, 'w', 'e', 'i', 'r' };
	const uint32_t network = UINT32_C(0xa9fe7700); /* 169.254.119.0 */

	dev->paired = true;
	memcpy(dev->mac.addr_bytes, prefix, sizeof(prefix));
	dev->mac.addr_bytes[5] = ours;
	memcpy(dev->peer_mac.addr_bytes, prefix, sizeof(prefix));
	dev->peer_mac.addr_bytes[5] = theirs;
	dev->pair_ip = network | ours;
	dev->pair_peer_ip = network | theirs;
}

/* Frame that the caller wants, or as much as a pair gives by itself. */
static uint16_t
pair_frame_max(const struct dpdk_dev_spec *spec)
{
	return spec->mtu == 0 ? PAIR_FRAME_MAX
			      : (uint16_t)(spec->mtu + DPDK_ETHER_LEN);
}

static int
make_memif(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	bool listens = spec->role == DPDK_ROLE_LISTENER;
	struct dpdk_dev_private *priv = dev->priv;
	char name[24], args[400];
	int rc;

	if (priv->memif == NULL) {
		rc = weir_dpdk_memif_claim(spec->name, spec->role,
					   &priv->memif);
		if (rc != 0)
			return rc;
	}
	name_ends(dev, listens ? 1 : 2, listens ? 2 : 1);
	dev->frame_max = pair_frame_max(spec);
	snprintf(name, sizeof(name), "net_memif_w%u",
		 atomic_fetch_add(&vdev_serial, 1));
	snprintf(args, sizeof(args),
		 "role=%s,id=0,socket=%s,socket-abstract=no,rsize=10,bsize=%u,"
		 "zero-copy=%s",
		 listens ? "server" : "client", priv->memif->socket_path,
		 dev->frame_max, priv->memif_zero_copy ? "yes" : "no");
	return init_vdev(dev, name, args);
}

static int
make_ring(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_dev_private *priv = dev->priv;
	int rc = weir_dpdk_ring_open(spec->name, &priv->pair, &priv->side,
				     &dev->port_id);

	if (rc != 0)
		return rc;
	priv->is_ours = true;
	name_ends(dev, (uint8_t)(1 + priv->side), (uint8_t)(2 - priv->side));
	dev->frame_max = pair_frame_max(spec);
	dev->rx_shared = true;
	return 0;
}

/* Slots that hold the interface's frames, and rings as deep as others'. */
static void
add_packet_args(struct dpdk_dev *dev, char *args, size_t size)
{
	uint32_t mtu = iface_mtu(dev->priv->iface);
	uint32_t slot =
		rte_align32pow2(mtu + DPDK_ETHER_LEN + PACKET_SLOT_OVERHEAD);
	char given[16];
	size_t len = strlen(args);

	if (find_arg(args, "framesz", given, sizeof(given))) {
		dev->priv->packet_slot = (uint32_t)strtoul(given, NULL, 10);
		return;
	}
	slot = RTE_MAX(slot, 2048u);
	slot = RTE_MIN(slot, 32768u);
	dev->priv->packet_slot = slot;
	snprintf(args + len, size - len, ",framesz=%u,blocksz=%u,framecnt=%u",
		 slot, RTE_MAX(slot, 65536u),
		 RTE_MAX(PACKET_RING_BYTES / slot, 65536u / slot));
}

/* Preferred busy polling does not drive receive on veth: off by default. */
static void
add_xdp_args(char *args, size_t size)
{
	size_t len = strlen(args);
	char given[16];

	if (!find_arg(args, "busy_budget", given, sizeof(given)))
		snprintf(args + len, size - len, ",busy_budget=0");
}

static bool
name_begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int
make_vdev(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	char args[sizeof(spec->args) + 80];
	int rc = 0;

	strcpy(args, spec->args);
	if (name_begins(spec->name, "net_af_packet")) {
		rc = check_iface(dev, spec);
		if (rc == 0)
			rc = check_packet_rights(spec->name);
		if (rc == 0)
			add_packet_args(dev, args, sizeof(args));
	} else if (name_begins(spec->name, "net_af_xdp")) {
		rc = check_iface(dev, spec);
		if (rc == 0)
			rc = weir_dpdk_xdp_check_rights(spec->name);
		if (rc == 0)
			add_xdp_args(args, sizeof(args));
		weir_dpdk_xdp_settle();
	}
	if (rc != 0)
		return rc;
	return init_vdev(dev, spec->name, args);
}

/* A device that EAL knows; one that the application runs is only borrowed. */
static int
find_existing(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_get_port_by_name(spec->name, &dev->port_id);

	if (rc != 0 && spec->is_pci && rte_dev_probe(spec->name) == 0)
		rc = rte_eth_dev_get_port_by_name(spec->name, &dev->port_id);
	if (rc != 0 && spec->is_pci)
		return weir_fail(
			-ENODEV,
			"dpdk %s: no such device, or it is not bound "
			"to vfio-pci (dpdk-devbind.py -b vfio-pci %s); "
			"a process opens its PCI device first",
			spec->name, spec->name);
	if (rc != 0)
		return weir_fail(-ENODEV,
				 "dpdk %s: no such device in this process; "
				 "virtual ones end in a number "
				 "(net_af_packet0), hardware is named by its "
				 "PCI address",
				 spec->name);
	rc = rte_eth_dev_info_get(dev->port_id, &info);
	if (rc != 0)
		return weir_fail(rc, "dpdk %s: does not describe itself",
				 spec->name);
	dev->priv->is_ours = info.nb_rx_queues == 0;
	dev->queue_id = dev->priv->is_ours ? 0 : spec->queue_id;
	return 0;
}

static int
find_given(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_eth_dev_info info;

	if (!rte_eth_dev_is_valid_port(spec->port_id) ||
	    rte_eth_dev_info_get(spec->port_id, &info) != 0)
		return weir_fail(-ENODEV, "dpdk: there is no port %u",
				 spec->port_id);
	if (spec->queue_id >= info.nb_rx_queues ||
	    spec->queue_id >= info.nb_tx_queues)
		return weir_fail(-EINVAL,
				 "dpdk: port %u has %u rx and %u tx queues, "
				 "none is number %u",
				 spec->port_id, info.nb_rx_queues,
				 info.nb_tx_queues, spec->queue_id);
	dev->port_id = spec->port_id;
	dev->queue_id = spec->queue_id;
	return 0;
}

static int
make_device(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	uint16_t port_id;

	switch (spec->kind) {
	case DPDK_DEV_MEMIF:
		return make_memif(dev, spec);
	case DPDK_DEV_RING:
		return make_ring(dev, spec);
	case DPDK_DEV_VDEV:
		/* The application may have made it with --vdev. */
		if (!weir_env_dpdk_is_ours() &&
		    rte_eth_dev_get_port_by_name(spec->name, &port_id) == 0)
			return find_existing(dev, spec);
		return make_vdev(dev, spec);
	case DPDK_DEV_EXISTING:
		return find_existing(dev, spec);
	default:
		return find_given(dev, spec);
	}
}

static void
unmake_device(struct dpdk_dev *dev)
{
	struct dpdk_dev_private *priv = dev->priv;

	if (priv->is_ours)
		rte_eth_dev_close(dev->port_id);
	if (priv->vdev[0] != '\0')
		rte_vdev_uninit(priv->vdev);
	weir_dpdk_xdp_close(&priv->xdp);
	if (priv->pair != NULL)
		weir_dpdk_ring_close(priv->pair, priv->side);
	priv->is_ours = false;
	priv->vdev[0] = '\0';
	priv->pair = NULL;
}

/* ---- learning ---------------------------------------------------------------- */

static const struct driver_facts *
facts_of(const char *driver)
{
	for (size_t i = 0; i < RTE_DIM(facts_table); i++)
		if (strcmp(facts_table[i].name, driver) == 0)
			return &facts_table[i];
	return &facts_default;
}

/* Longest IP packet, where the pair did not decide it. */
static int
learn_mtu(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	  const struct rte_eth_dev_info *info)
{
	struct dpdk_dev_private *priv = dev->priv;
	uint16_t port_mtu = 1500;
	uint32_t mtu;

	rte_eth_dev_get_mtu(dev->port_id, &port_mtu);
	mtu = port_mtu;
	if (priv->iface[0] == '\0' && info->if_index != 0)
		if_indextoname(info->if_index, priv->iface);
	if (priv->iface[0] != '\0')
		mtu = iface_mtu(priv->iface);
	else if (spec->mtu > mtu && priv->is_ours && spec->mtu <= info->max_mtu)
		mtu = priv->conf_mtu = spec->mtu;
	if (priv->packet_slot != 0)
		mtu = RTE_MIN(mtu, priv->packet_slot - PACKET_SLOT_OVERHEAD -
					   DPDK_ETHER_LEN);
	if (driver_is(dev, "net_af_xdp") && spec->mtu == 0)
		mtu = RTE_MIN(mtu, (uint32_t)XDP_MTU_MAX);
	if (info->max_mtu >= RTE_ETHER_MIN_MTU)
		mtu = RTE_MIN(mtu, info->max_mtu);
	if (spec->mtu > mtu)
		return weir_fail(-EINVAL,
				 "dpdk %s: mtu=%u is more than the device's "
				 "%u; raise that (ip link set ... mtu) or ask "
				 "for less",
				 dev->dev_name, spec->mtu, mtu);
	if (spec->mtu != 0)
		mtu = spec->mtu;
	mtu = RTE_MIN(mtu, (uint32_t)UINT16_MAX - DPDK_ETHER_LEN);
	dev->frame_max = (uint16_t)(mtu + DPDK_ETHER_LEN);
	return 0;
}

static void
learn_offloads(struct dpdk_dev *dev, const struct rte_eth_dev_info *info)
{
	uint64_t tx = info->tx_offload_capa;
	uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM |
		      RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

	/* Of a queue that the application set up, only what it enabled. */
	if (!dev->priv->is_ours) {
		struct rte_eth_txq_info txq;
		struct rte_eth_rxq_info rxq;

		tx = rte_eth_tx_queue_info_get(dev->port_id, dev->queue_id,
					       &txq) == 0
			     ? txq.conf.offloads
			     : 0;
		rx &= rte_eth_rx_queue_info_get(dev->port_id, dev->queue_id,
						&rxq) == 0
			      ? rxq.conf.offloads
			      : 0;
	}
	dev->tx_segs_max = 1;
	if ((tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 &&
	    !dev->priv->facts->linear)
		/* One header and one payload; more is never sent. */
		dev->tx_segs_max = 2;
	if (info->tx_desc_lim.nb_mtu_seg_max == 1)
		dev->tx_segs_max = 1;
	if (dev->no_wire)
		return;
	if ((tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0)
		dev->tx_cksum_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	if ((tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0)
		dev->tx_cksum_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	dev->rx_cksum_offloads = info->rx_offload_capa & rx;
}

static int
learn(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_dev_private *priv = dev->priv;
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(dev->port_id, &info);

	if (rc != 0)
		return weir_fail(rc, "dpdk: port %u does not describe itself",
				 dev->port_id);
	snprintf(dev->driver_name, sizeof(dev->driver_name), "%s",
		 info.driver_name);
	rte_eth_dev_get_name_by_port(dev->port_id, dev->dev_name);
	priv->facts = facts_of(dev->driver_name);
	dev->no_wire = priv->facts->no_wire;
	dev->same_host = priv->facts->same_host;
	dev->tx_retains = priv->facts->retains || priv->memif_zero_copy;
	dev->peer_crash_unsafe = driver_is(dev, "net_memif");
	dev->numa_node = rte_eth_dev_socket_id(dev->port_id);
	if (!dev->paired) {
		rte_eth_macaddr_get(dev->port_id, &dev->mac);
		rc = learn_mtu(dev, spec, &info);
		if (rc != 0)
			return rc;
	}
	dev->mtu = (uint16_t)(dev->frame_max - DPDK_ETHER_LEN);
	learn_offloads(dev, &info);
	if (!priv->facts->direct && !priv->memif_zero_copy)
		dev->refer_end = UINTPTR_MAX;

	dev->rx_ring_slots = DPDK_DEV_RING_SLOTS;
	dev->tx_ring_slots = DPDK_DEV_RING_SLOTS;
	rte_eth_dev_adjust_nb_rx_tx_desc(dev->port_id, &dev->rx_ring_slots,
					 &dev->tx_ring_slots);
	return 0;
}

/* ---- pools ------------------------------------------------------------------- */

static uint32_t
data_room_of(const struct dpdk_dev *dev)
{
	uint32_t room = DPDK_PAYLOAD_OFFSET + dev->frame_max;
	uint32_t rx_room = RTE_PKTMBUF_HEADROOM + dev->frame_max;

	if (driver_is(dev, "net_af_xdp"))
		rx_room += XDP_HEADROOM;
	/* af_packet wants to be sure that a whole slot fits. */
	rx_room =
		RTE_MAX(rx_room, dev->priv->packet_slot + RTE_PKTMBUF_HEADROOM);
	return RTE_ALIGN_CEIL(RTE_MAX(room, rx_room), 64);
}

static void
plan_pools(const struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	   struct dpdk_pool_spec *tx, struct dpdk_pool_spec *rx)
{
	bool retains = dev->tx_retains;

	*tx = (struct dpdk_pool_spec){
		.what = "tx",
		.budget = spec->tx_mbufs,
		.reserve = BURST_MBUFS + (retains ? dev->tx_ring_slots : 0),
		.data_room = data_room_of(dev),
		.priv_size = spec->priv_size,
		.numa_node = dev->numa_node,
		/* Strangers: the other ring's reader, a NIC that stays. */
		.lingers = dev->rx_shared || !dev->priv->is_ours,
	};
	*rx = *tx;
	rx->what = "rx";
	rx->budget = spec->rx_mbufs;
	rx->reserve = BURST_MBUFS + dev->rx_ring_slots;
	if (driver_is(dev, "net_af_xdp")) {
		tx->reserve += XDP_QUEUE_MBUFS;
		rx->reserve += XDP_QUEUE_MBUFS;
	}
	if (tx->budget == 0)
		tx->budget = DPDK_DEV_MBUFS;
	if (rx->budget == 0)
		rx->budget = DPDK_DEV_MBUFS;
}

/* The application's mempool serves both ways; check that it can. */
static int
adopt_mempool(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	uint32_t room = rte_pktmbuf_data_room_size(spec->mempool);
	uint32_t needed = DPDK_PAYLOAD_OFFSET + dev->frame_max;
	uint16_t priv_size = rte_pktmbuf_priv_size(spec->mempool);
	int rc;

	if (room < needed)
		return weir_fail(-EINVAL,
				 "dpdk: mempool %s has a data room of %u, weir "
				 "needs %u for frames of %u; create it larger "
				 "or set mtu=",
				 spec->mempool->name, room, needed,
				 dev->frame_max);
	if (priv_size < spec->priv_size || priv_size % 64 != 0)
		return weir_fail(-EINVAL,
				 "dpdk: mempool %s has a private area of %u, "
				 "weir needs a multiple of 64 and at least %u",
				 spec->mempool->name, priv_size,
				 spec->priv_size);
	rc = weir_dpdk_pool_adopt(spec->mempool,
				  (uint32_t)dev->rx_ring_slots +
					  dev->tx_ring_slots + BURST_MBUFS,
				  &dev->tx_pool);
	if (rc != 0)
		return rc;
	weir_dpdk_pool_get(dev->tx_pool);
	dev->rx_pool = dev->tx_pool;
	return 0;
}

/* Received mbufs come from the pool that the application gave the queue. */
static int
adopt_rx_pool(struct dpdk_dev *dev)
{
	struct rte_eth_rxq_info rxq;

	if (rte_eth_rx_queue_info_get(dev->port_id, dev->queue_id, &rxq) != 0)
		return weir_fail(-EINVAL,
				 "dpdk %s: the driver does not tell which "
				 "mempool receives; pass it to weir",
				 dev->dev_name);
	return weir_dpdk_pool_adopt(rxq.mp, rxq.nb_desc, &dev->rx_pool);
}

static int
make_pools(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct dpdk_pool_spec tx, rx;
	int rc;

	if (spec->mempool != NULL && !dev->priv->is_ours)
		return adopt_mempool(dev, spec);
	plan_pools(dev, spec, &tx, &rx);
	if (dev->priv->facts->one_pool && dev->priv->is_ours) {
		tx.budget += rx.budget;
		tx.reserve += dev->rx_shared ? 0 : rx.reserve;
		rc = weir_dpdk_pool_create(&tx, &dev->tx_pool);
		if (rc != 0)
			return rc;
		weir_dpdk_pool_get(dev->tx_pool);
		dev->rx_pool = dev->tx_pool;
		return 0;
	}
	rc = weir_dpdk_pool_create(&tx, &dev->tx_pool);
	if (rc != 0)
		return rc;
	return dev->priv->is_ours ? weir_dpdk_pool_create(&rx, &dev->rx_pool)
				  : adopt_rx_pool(dev);
}

static void
drop_pools(struct dpdk_dev *dev)
{
	if (dev->tx_pool != NULL)
		weir_dpdk_pool_put(dev->tx_pool);
	if (dev->rx_pool != NULL)
		weir_dpdk_pool_put(dev->rx_pool);
	dev->tx_pool = NULL;
	dev->rx_pool = NULL;
}

/* ---- memif's zero copy --------------------------------------------------------- */

/* The first memory list, as memif counts it: from its base, sizes added up. */
struct shown_memory {
	uintptr_t begin;
	uintptr_t end;
};

static int
add_segment(const struct rte_memseg_list *list, const struct rte_memseg *seg,
	    void *arg)
{
	struct shown_memory *shown = arg;

	if (shown->begin == 0) {
		shown->begin = (uintptr_t)list->base_va;
		shown->end = shown->begin;
	}
	if ((uintptr_t)list->base_va == shown->begin)
		shown->end += seg->len;
	return 0;
}

static bool
lies_within(const struct dpdk_pool *pool, const struct shown_memory *shown)
{
	struct rte_mempool_memhdr *chunk;

	STAILQ_FOREACH(chunk, &pool->mp->mem_list, next)
	{
		uintptr_t begin = (uintptr_t)chunk->addr;

		if (begin < shown->begin || begin + chunk->len > shown->end)
			return false;
	}
	return true;
}

/*
 * memif shows its peer one region, computed from the sum of all segments: a
 * pool in another list, or behind a hole, would be read outside the peer's
 * mapping. Where it is not certain, weir lets memif copy.
 */
static int
settle_zero_copy(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct shown_memory shown = { 0 };
	int rc;

	if (!dev->priv->memif_zero_copy)
		return 0;
	rte_memseg_walk(add_segment, &shown);
	if (lies_within(dev->tx_pool, &shown) &&
	    lies_within(dev->rx_pool, &shown)) {
		dev->refer_begin = shown.begin;
		dev->refer_end = shown.end;
		dev->tx_chains_max = MEMIF_CHAINS_MAX;
		return 0;
	}
	weir_log(WEIR_LOG_NOTICE,
		 "dpdk %s: memory is in several pieces, memif copies",
		 spec->name);
	unmake_device(dev);
	dev->priv->memif_zero_copy = false;
	rc = make_memif(dev, spec);
	return rc == 0 ? learn(dev, spec) : rc;
}

/* ---- open, start, close --------------------------------------------------------- */

static int
set_up_queues(struct dpdk_dev *dev)
{
	int rc = rte_eth_rx_queue_setup(dev->port_id, 0, dev->rx_ring_slots,
					(unsigned int)dev->numa_node, NULL,
					dev->rx_pool->mp);

	if (rc != 0)
		return rc;
	return rte_eth_tx_queue_setup(dev->port_id, 0, dev->tx_ring_slots,
				      (unsigned int)dev->numa_node, NULL);
}

static int
configure(struct dpdk_dev *dev)
{
	struct rte_eth_conf conf = { 0 };
	struct dpdk_xdp_list sockets;
	uint64_t tx = 0;
	int rc;

	if (!dev->priv->is_ours)
		return 0;
	if (dev->tx_segs_max > 1)
		tx |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((dev->tx_cksum_flags & RTE_MBUF_F_TX_UDP_CKSUM) != 0)
		tx |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	if ((dev->tx_cksum_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0)
		tx |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	conf.txmode.offloads = tx;
	conf.rxmode.offloads = dev->rx_cksum_offloads;
	/* Most virtual devices report limits that are not theirs: leave it. */
	conf.rxmode.mtu = dev->priv->conf_mtu;

	rc = rte_eth_dev_configure(dev->port_id, 1, 1, &conf);
	if (rc == 0 && driver_is(dev, "net_af_xdp")) {
		weir_dpdk_xdp_list(&sockets);
		rc = set_up_queues(dev);
		weir_dpdk_xdp_find_new(&sockets, &dev->priv->xdp);
	} else if (rc == 0) {
		rc = set_up_queues(dev);
	}
	if (rc != 0)
		return fail_with_log(rc, dev->dev_name,
				     "cannot set up its queues");
	return 0;
}

static int
open_stages(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	int rc;

	dev->priv->memif_zero_copy = spec->kind == DPDK_DEV_MEMIF &&
				     spec->role == DPDK_ROLE_CONNECTOR &&
				     weir_env_dpdk_is_ours() &&
				     weir_dpdk_memfd_keep();
	rc = make_device(dev, spec);
	if (rc == 0)
		rc = learn(dev, spec);
	if (rc == 0)
		rc = make_pools(dev, spec);
	if (rc == 0)
		rc = settle_zero_copy(dev, spec);
	if (rc == 0)
		rc = configure(dev);
	return rc;
}

static void
release_all(struct dpdk_dev *dev)
{
	struct dpdk_env_guard guard;

	weir_env_dpdk_guard_begin(&guard);
	unmake_device(dev);
	weir_env_dpdk_guard_end(&guard);
	if (dev->priv->memif != NULL)
		weir_dpdk_memif_release(dev->priv->memif);
	drop_pools(dev);
	free(dev->priv);
	free(dev);
}

int
weir_dpdk_dev_open(const struct dpdk_dev_spec *spec, struct dpdk_dev **out)
{
	const struct dpdk_env_config env = {
		.hugepages = spec->hugepages,
		.telemetry = spec->telemetry,
		.pci = spec->is_pci ? spec->name : NULL,
	};
	struct dpdk_env_guard guard;
	struct dpdk_dev *dev;
	int rc = weir_env_dpdk_start(&env);

	if (rc != 0)
		return rc;
	dev = calloc(1, sizeof(*dev));
	if (dev != NULL)
		dev->priv = calloc(1, sizeof(*dev->priv));
	if (dev == NULL || dev->priv == NULL) {
		free(dev);
		return weir_fail(-ENOMEM, "dpdk: out of memory");
	}
	dev->kind = spec->kind;
	dev->priv->xdp.fd = -1;
	weir_env_dpdk_guard_begin(&guard);
	rc = open_stages(dev, spec);
	weir_env_dpdk_guard_end(&guard);
	if (rc != 0) {
		release_all(dev);
		return rc;
	}
	weir_log(WEIR_LOG_INFO,
		 "dpdk %s: driver %s, mtu %u, %u segments, NUMA node %d%s",
		 dev->dev_name, dev->driver_name, dev->mtu, dev->tx_segs_max,
		 dev->numa_node,
		 dev->priv->memif_zero_copy ? ", zero copy" : "");
	*out = dev;
	return 0;
}

/* memif connects in EAL's interrupt thread: some round trips, 1 ms. */
static int
wait_for_listener(struct dpdk_dev *dev)
{
	uint64_t deadline_ns = weir_clock_ns() + MEMIF_CONNECT_NS;

	while (!weir_dpdk_dev_link_up(dev)) {
		if (weir_clock_ns() >= deadline_ns)
			return -EAGAIN;
		sched_yield();
	}
	return 0;
}

/* One at a time: each makes EAL's memory files disappear for a moment. */
static int
start_connector(struct dpdk_dev *dev)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	int rc;

	pthread_mutex_lock(&one);
	if (dev->priv->memif_zero_copy && !weir_dpdk_memfd_keep())
		rc = -EAGAIN; /* the next open will let memif copy */
	else
		rc = rte_eth_dev_start(dev->port_id);
	if (rc == 0) {
		rc = wait_for_listener(dev);
		if (rc != 0)
			rte_eth_dev_stop(dev->port_id);
	}
	weir_dpdk_memfd_restore();
	pthread_mutex_unlock(&one);
	return rc;
}

int
weir_dpdk_dev_start(struct dpdk_dev *dev)
{
	bool connects = dev->priv->memif != NULL &&
			dev->priv->memif->role == DPDK_ROLE_CONNECTOR;
	struct dpdk_env_guard guard;
	int rc = 0;

	if (dev->priv->is_ours) {
		weir_env_dpdk_guard_begin(&guard);
		rc = connects ? start_connector(dev)
			      : rte_eth_dev_start(dev->port_id);
		weir_env_dpdk_guard_end(&guard);
	}
	/* The listener went between our look at its lock and now. */
	if (rc != 0 && connects)
		return weir_fail(-EAGAIN,
				 "dpdk %s: the listener did not take the "
				 "connection; start it first",
				 dev->dev_name);
	if (rc != 0)
		return fail_with_log(rc, dev->dev_name, "cannot start");
	dev->started = true;
	return 0;
}

void
weir_dpdk_dev_close(struct dpdk_dev *dev)
{
	struct dpdk_env_guard guard;

	if (dev->started && dev->priv->is_ours) {
		weir_env_dpdk_guard_begin(&guard);
		rte_eth_dev_stop(dev->port_id);
		weir_env_dpdk_guard_end(&guard);
	}
	release_all(dev);
	weir_dpdk_memfd_restore();
}

bool
weir_dpdk_dev_link_up(const struct dpdk_dev *dev)
{
	struct rte_eth_link link;

	if (dev->priv->pair != NULL)
		return weir_dpdk_ring_has_peer(dev->priv->pair,
					       dev->priv->side);
	if (rte_eth_link_get_nowait(dev->port_id, &link) != 0)
		return false;
	return link.link_status == RTE_ETH_LINK_UP;
}

int
weir_dpdk_dev_stats(const struct dpdk_dev *dev, struct rte_eth_stats *out)
{
	memset(out, 0, sizeof(*out));
	return rte_eth_stats_get(dev->port_id, out);
}

/* ---- sending ---------------------------------------------------------------------- */

/* @return how many of the first have one segment, or have more. */
static uint16_t
run_of(struct rte_mbuf *const *mbufs, uint16_t count, bool chained)
{
	uint16_t run = 0;

	while (run < count && (mbufs[run]->nb_segs > 1) == chained)
		run++;
	return run;
}

uint16_t
weir_dpdk_dev_tx_runs(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
		      uint16_t count)
{
	uint16_t done = 0;

	while (done < count) {
		bool chained = mbufs[done]->nb_segs > 1;
		uint16_t run = run_of(mbufs + done, count - done, chained);
		uint16_t sent;

		if (chained)
			run = RTE_MIN(run, dev->tx_chains_max);
		sent = rte_eth_tx_burst(dev->port_id, dev->queue_id,
					mbufs + done, run);
		done += sent;
		if (sent < run)
			break;
	}
	return done;
}

/* ---- admission ------------------------------------------------------------------- */

static int
fail_admission(const struct dpdk_dev *dev, const char *way, uint32_t asked,
	       uint32_t left)
{
	return weir_fail(-ENOBUFS,
			 "dpdk %s: a link needs %u packet buffers to %s, %u "
			 "are left: open the port with more (mbufs=), or the "
			 "link with fewer credits or smaller messages",
			 dev->dev_name, asked, way, left);
}

int
weir_dpdk_dev_admit(struct dpdk_dev *dev, uint32_t tx_mbufs, uint32_t rx_mbufs)
{
	struct dpdk_pool *tx = dev->tx_pool;
	struct dpdk_pool *rx = dev->rx_pool;

	if (tx->budget < tx_mbufs)
		return fail_admission(dev, "send", tx_mbufs, tx->budget);
	tx->budget -= tx_mbufs;
	if (rx->budget < rx_mbufs) {
		tx->budget += tx_mbufs;
		return fail_admission(dev, "receive", rx_mbufs, rx->budget);
	}
	rx->budget -= rx_mbufs;
	return 0;
}

void
weir_dpdk_dev_dismiss(struct dpdk_dev *dev, uint32_t tx_mbufs,
		      uint32_t rx_mbufs)
{
	dev->tx_pool->budget += tx_mbufs;
	dev->rx_pool->budget += rx_mbufs;
}
