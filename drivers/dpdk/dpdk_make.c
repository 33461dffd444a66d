/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_make: find or make the ethdev that an endpoint means, and remove it.
 *
 *     memif, vhost    a name and its lock (dpdk_memif.c), then a virtual device
 *     ring     one side of a pair in this process (dpdk_ring.c)
 *     vdev     checks of interface and rights first, then EAL
 *     existing, given    of the application: looked up, never touched
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "dpdk_dev_private.h"
#include "dpdk_tap.h"
#include "env_dpdk.h"
#include "weir_driver.h"

/* Frame of a memif or ring pair: a power of two holds a 1,900 B message. */
#define PAIR_FRAME_MAX 2048

/* af_packet: a ring each way, in locked memory, of which 8 MiB are usual. */
#define PACKET_RING_BYTES (2u << 20)

static atomic_uint vdev_serial;

/* ---- errors ---------------------------------------------------------------- */

/* The driver's own last line says more than its return value. */
int
weir_dpdk_fail_with_log(int rc, const char *subject, const char *what)
{
	char text[200];

	weir_env_dpdk_error(text, sizeof(text));
	return weir_fail(rc, "dpdk %s: %s: %s", subject, what,
			 text[0] != '\0' ? text : rte_strerror(-rc));
}

/* ---- kernel interfaces ------------------------------------------------------ */

uint32_t
weir_dpdk_iface_mtu(const char *iface)
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
		return weir_dpdk_fail_with_log(rc < 0 && rc != -1 ? rc
								  : -ENODEV,
					       name, "cannot make the device");
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

/* The name, unless we hold it already, and what it says about both ends. */
static int
claim_pair(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	   const char *suffix)
{
	bool listens = spec->role == DPDK_ROLE_LISTENER;
	struct dpdk_dev_private *priv = dev->priv;
	int rc = 0;

	if (priv->memif == NULL)
		rc = weir_dpdk_memif_claim(spec->name, suffix, spec->role,
					   &priv->memif);
	name_ends(dev, listens ? 1 : 2, listens ? 2 : 1);
	dev->frame_max = pair_frame_max(spec);
	return rc;
}

static int
make_memif(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	bool listens = spec->role == DPDK_ROLE_LISTENER;
	struct dpdk_dev_private *priv = dev->priv;
	char name[24], args[400];
	int rc = claim_pair(dev, spec, "memif");

	if (rc != 0)
		return rc;
	snprintf(name, sizeof(name), "net_memif_w%u",
		 atomic_fetch_add(&vdev_serial, 1));
	snprintf(args, sizeof(args),
		 "role=%s,id=0,socket=%s,socket-abstract=no,rsize=10,bsize=%u,"
		 "zero-copy=%s",
		 listens ? "server" : "client", priv->memif->socket_path,
		 dev->frame_max, priv->memif_zero_copy ? "yes" : "no");
	return init_vdev(dev, name, args);
}

/*
 * The connector's driver talks to the listener while it is made: one that goes
 * just then is one that is not there yet. Frames lie in one buffer each, so
 * buffers are not merged.
 */
static int
make_vhost(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	unsigned int serial = atomic_fetch_add(&vdev_serial, 1);
	bool listens = spec->role == DPDK_ROLE_LISTENER;
	char name[40], args[400];
	int rc = claim_pair(dev, spec, "vhost");

	if (rc != 0)
		return rc;
	snprintf(name, sizeof(name), "net_%s_w%u",
		 listens ? "vhost" : "virtio_user", serial);
	snprintf(args, sizeof(args),
		 listens ? "iface=%s,queues=%u"
			 : "path=%s,queues=%u,queue_size=1024,in_order=1,"
			   "mrg_rxbuf=0",
		 dev->priv->memif->socket_path, dpdk_dev_queues(spec));
	rc = init_vdev(dev, name, args);
	if (rc != 0 && !listens)
		return weir_fail(-EAGAIN,
				 "dpdk:%s: the listener did not take the "
				 "connection; start it first",
				 spec->name);
	return rc;
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
	uint32_t mtu = weir_dpdk_iface_mtu(dev->priv->iface);
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

/* An interface that net_tap makes, or one that waits for it. */
static int
prepare_tap(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec, char *args,
	    size_t size)
{
	char *iface = dev->priv->iface;

	find_arg(args, "iface", iface, sizeof(dev->priv->iface));
	return weir_dpdk_tap_prepare(spec->name, iface, args, size);
}

static bool
name_begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* How a driver is told of its queues, where configuring is not enough. */
static void
add_queues_arg(const struct dpdk_dev_spec *spec, char *args, size_t size)
{
	static const struct {
		const char *driver, *key;
	} keys[] = {
		{ "net_af_packet", "qpairs" },
		{ "net_vhost", "queues" },
		{ "net_virtio_user", "queues" },
	};
	size_t len = strlen(args);
	char given[16];

	for (size_t i = 0; i < RTE_DIM(keys); i++)
		if (name_begins(spec->name, keys[i].driver) &&
		    !find_arg(args, keys[i].key, given, sizeof(given)))
			snprintf(args + len, size - len, "%s%s=%u",
				 len != 0 ? "," : "", keys[i].key,
				 spec->queues);
}

/* Of its sockets all but one would stay open, see dpdk_xdp.h. */
static int
check_one_queue(const struct dpdk_dev_spec *spec)
{
	return spec->queues <= 1
		       ? 0
		       : weir_fail(-EOPNOTSUPP,
				   "dpdk %s: af_xdp has one queue here; leave "
				   "queues= out, or use net_af_packet",
				   spec->name);
}

static int
make_vdev(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	char args[sizeof(spec->args) + 100];
	int rc = 0;

	strcpy(args, spec->args);
	if (spec->queues > 1)
		add_queues_arg(spec, args, sizeof(args));
	if (name_begins(spec->name, "net_af_packet")) {
		rc = check_iface(dev, spec);
		if (rc == 0)
			rc = check_packet_rights(spec->name);
		if (rc == 0)
			add_packet_args(dev, args, sizeof(args));
	} else if (name_begins(spec->name, "net_af_xdp")) {
		rc = check_one_queue(spec);
		if (rc == 0)
			rc = check_iface(dev, spec);
		if (rc == 0)
			rc = weir_dpdk_xdp_check_rights(spec->name);
		if (rc == 0)
			add_xdp_args(args, sizeof(args));
		weir_dpdk_xdp_settle();
	} else if (name_begins(spec->name, "net_tap")) {
		rc = prepare_tap(dev, spec, args, sizeof(args));
	}
	if (rc != 0)
		return rc;
	return init_vdev(dev, spec->name, args);
}

/* A device of weir's own has one queue pair, or as many as queues= says. */
static int
check_own_queue(const struct dpdk_dev_spec *spec)
{
	if (spec->queue_id < dpdk_dev_queues(spec))
		return 0;
	return weir_fail(-EINVAL,
			 "dpdk: queue=%u of how many? %s is weir's own: add "
			 "queues=N, or leave queue= out",
			 spec->queue_id, spec->name);
}

static int
check_queue(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec,
	    const struct rte_eth_dev_info *info)
{
	if (spec->queue_id >= info->nb_rx_queues ||
	    spec->queue_id >= info->nb_tx_queues)
		return weir_fail(-EINVAL,
				 "dpdk: port %u has %u rx and %u tx queues, "
				 "none is number %u",
				 dev->port_id, info->nb_rx_queues,
				 info->nb_tx_queues, spec->queue_id);
	dev->queue_id = spec->queue_id;
	return 0;
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
	if (dev->priv->is_ours && spec->is_pci)
		dev->priv->pci = info.device;
	if (dev->priv->is_ours)
		return check_own_queue(spec);
	if (spec->queues > 1)
		return weir_fail(-EINVAL,
				 "dpdk %s: the application runs it, with as "
				 "many queues as it chose; leave queues= out",
				 spec->name);
	return check_queue(dev, spec, &info);
}

static int
find_given(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	struct rte_eth_dev_info info;

	if (!rte_eth_dev_is_valid_port(spec->port_id) ||
	    rte_eth_dev_info_get(spec->port_id, &info) != 0)
		return weir_fail(-ENODEV, "dpdk: there is no port %u",
				 spec->port_id);
	dev->port_id = spec->port_id;
	return check_queue(dev, spec, &info);
}

int
weir_dpdk_make(struct dpdk_dev *dev, const struct dpdk_dev_spec *spec)
{
	uint16_t port_id;

	switch (spec->kind) {
	case DPDK_DEV_MEMIF:
		return make_memif(dev, spec);
	case DPDK_DEV_VHOST:
		return make_vhost(dev, spec);
	case DPDK_DEV_RING:
		return make_ring(dev, spec);
	case DPDK_DEV_VDEV:
		/* The application may have made it with --vdev. */
		if (!weir_env_dpdk_is_ours() &&
		    rte_eth_dev_get_port_by_name(spec->name, &port_id) == 0)
			return find_existing(dev, spec);
		return check_own_queue(spec) != 0 ? -EINVAL
						  : make_vdev(dev, spec);
	case DPDK_DEV_EXISTING:
		return find_existing(dev, spec);
	default:
		return find_given(dev, spec);
	}
}

/*
 * A closed port does not come back while EAL takes its device for probed: let
 * go of that too, so that the next open finds it. Unless it has more ports.
 */
static void
forget_pci(struct rte_device *device)
{
	uint16_t port_id;

	RTE_ETH_FOREACH_DEV_OF(port_id, device)
	{
		return;
	}
	rte_dev_remove(device);
}

void
weir_dpdk_unmake(struct dpdk_dev *dev)
{
	struct dpdk_dev_private *priv = dev->priv;

	if (priv->is_ours)
		rte_eth_dev_close(dev->port_id);
	if (priv->pci != NULL)
		forget_pci(priv->pci);
	if (priv->vdev[0] != '\0')
		rte_vdev_uninit(priv->vdev);
	weir_dpdk_xdp_close(&priv->xdp);
	if (priv->pair != NULL)
		weir_dpdk_ring_close(priv->pair, priv->side);
	priv->is_ours = false;
	priv->pci = NULL;
	priv->vdev[0] = '\0';
	priv->pair = NULL;
}
