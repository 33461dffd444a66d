/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device that the endpoint names needs: capabilities, a network
 * interface that is up and not too wide, a PCI function bound to a driver
 * that DPDK can use.
 */

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bits of CapEff, capabilities(7). */
enum {
	NET_ADMIN = 12,
	NET_RAW = 13,
	IPC_LOCK = 14,
	SYS_ADMIN = 21,
};

/* A frame of af_xdp has to fit into one page with its headroom. */
#define AF_XDP_MTU_MAX 3498

static const struct device_kind {
	const char *prefix;
	int caps[5]; /* 0-terminated: there is no need for bit 0 */
	bool interface;
	int mtu_max; /* 0: no limit of its own */
} kinds[] = {
	{ "net_af_packet", { NET_RAW }, true, 0 },
	{ "net_af_xdp",
	  { NET_ADMIN, NET_RAW, SYS_ADMIN, IPC_LOCK },
	  true,
	  AF_XDP_MTU_MAX },
	{ "net_tap", { NET_ADMIN }, false, 0 },
	{ "net_pcap", { NET_RAW }, true, 0 },
};

static const struct {
	int bit;
	const char *name;
} cap_names[] = {
	{ NET_ADMIN, "CAP_NET_ADMIN" },
	{ NET_RAW, "CAP_NET_RAW" },
	{ IPC_LOCK, "CAP_IPC_LOCK" },
	{ SYS_ADMIN, "CAP_SYS_ADMIN" },
};

static const char *
cap_name(int bit)
{
	for (size_t i = 0; i < sizeof(cap_names) / sizeof(cap_names[0]); i++)
		if (cap_names[i].bit == bit)
			return cap_names[i].name;
	return "?";
}

static uint64_t
effective_caps(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	fclose(file);
	return caps;
}

static void
check_caps(struct check *check, const struct device_kind *kind)
{
	uint64_t have = effective_caps();
	char missing[128] = "", needed[128] = "";
	struct check_finding *f;

	for (int i = 0; kind->caps[i] != 0; i++) {
		const char *name = cap_name(kind->caps[i]);
		char *list = needed;

		for (int pass = 0; pass < 2; pass++, list = missing) {
			if (pass == 1 && (have >> kind->caps[i] & 1) != 0)
				break;
			if (list[0] != '\0')
				strcat(list, " ");
			strcat(list, name);
		}
	}
	if (missing[0] == '\0') {
		weir_check_add(check, CHECK_OK, "rights", "%s", needed);
		return;
	}
	f = weir_check_add(check, CHECK_FAIL, "rights", "%s lacks %s",
			   check->target.device, missing);
	weir_check_fix(f,
		       kind->caps[1] == 0
			       ? "run it as root, or try it in a namespace of "
				 "your own: unshare -Urnm"
			       : "run it as root");
}

/* Names to choose a near one from. */
static const char *
nearest_interface(const char *wanted)
{
	static struct if_nameindex *all;
	const char *names[65];
	int count = 0;

	if (all == NULL)
		all = if_nameindex();
	for (int i = 0; all != NULL && all[i].if_index != 0 && count < 64; i++)
		names[count++] = all[i].if_name;
	names[count] = NULL;
	return weir_opt_nearest(wanted, names);
}

static void
check_mtu(struct check *check, const struct device_kind *kind)
{
	const char *name = check->target.interface;
	struct check_finding *f;
	char line[32];
	int mtu;

	if (!weir_check_read(line, sizeof(line), "/sys/class/net/%s/mtu", name))
		return;
	mtu = atoi(line);
	f = weir_check_add(check, CHECK_OK, "mtu", "%s: %d", name, mtu);
	if (kind->mtu_max == 0 || mtu <= kind->mtu_max)
		return;
	f->state = CHECK_FAIL;
	weir_check_effect(f, "%s takes %d at most", kind->prefix,
			  kind->mtu_max);
	weir_check_fix(f, "ip link set %s mtu 1500", name);
}

static void
check_interface(struct check *check, const struct device_kind *kind)
{
	const char *name = check->target.interface, *near;
	unsigned long flags;
	struct check_finding *f;
	char line[32], state[32] = "unknown";

	if (name[0] == '\0') {
		f = weir_check_add(check, CHECK_FAIL, "interface",
				   "%s needs one", check->target.device);
		weir_check_fix(f, "add ,dev.iface=NAME to the endpoint");
		return;
	}
	if (!weir_check_read(line, sizeof(line), "/sys/class/net/%s/flags",
			     name)) {
		f = weir_check_add(check, CHECK_FAIL, "interface",
				   "%s: there is none here", name);
		near = nearest_interface(name);
		weir_check_fix(f,
			       near != NULL ? "dev.iface=%s ?"
					    : "'ip link' lists them%.0s",
			       near != NULL ? near : "");
		return;
	}
	flags = strtoul(line, NULL, 16);
	(void)weir_check_read(state, sizeof(state),
			      "/sys/class/net/%s/operstate", name);
	f = weir_check_add(check, CHECK_OK, "interface", "%s: %s, carrier %s",
			   name, (flags & IFF_UP) != 0 ? "up" : "down", state);
	if ((flags & IFF_UP) == 0) {
		f->state = CHECK_FAIL;
		weir_check_effect(f, "nothing goes through");
		weir_check_fix(f, "ip link set %s up", name);
	} else if (strcmp(state, "down") == 0 ||
		   strcmp(state, "lowerlayerdown") == 0) {
		f->state = CHECK_WARN;
		weir_check_effect(f, "the cable or the other end is missing");
	}
	check_mtu(check, kind);
}

/* ---- PCI --------------------------------------------------------------------- */

/* Drivers that leave the function to DPDK; mlx shares it with the kernel. */
static const char *const pci_drivers[] = { "vfio-pci",  "uio_pci_generic",
					   "igb_uio",   "mlx4_core",
					   "mlx5_core", "mana",
					   NULL };

static bool
is_pci_address(const char *device)
{
	unsigned int domain, bus, slot, function;
	int end = 0;

	if (sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function,
		   &end) == 4)
		return device[end] == '\0';
	return sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) ==
		       3 &&
	       device[end] == '\0';
}

static void
check_pci(struct check *check)
{
	const char *device = check->target.device, *driver = "no driver";
	char path[128], link[256], full[80];
	struct check_finding *f;
	ssize_t len;

	snprintf(full, sizeof(full), "%s%s",
		 strchr(device, ':') == strrchr(device, ':') ? "0000:" : "",
		 device);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.60s", full);
	if (access(path, F_OK) != 0) {
		f = weir_check_add(check, CHECK_FAIL, "device",
				   "%s: no such PCI device", full);
		weir_check_fix(f, "'dpdk-devbind.py -s' lists them");
		return;
	}
	strcat(path, "/driver");
	len = readlink(path, link, sizeof(link) - 1);
	if (len > 0) {
		link[len] = '\0';
		driver = strrchr(link, '/') + 1;
	}
	f = weir_check_add(check, CHECK_OK, "device", "%s: bound to %s", full,
			   driver);
	for (int i = 0; pci_drivers[i] != NULL; i++)
		if (strcmp(pci_drivers[i], driver) == 0)
			return;
	f->state = CHECK_FAIL;
	weir_check_effect(f, "DPDK needs vfio-pci there");
	weir_check_fix(f, "dpdk-devbind.py -b vfio-pci %s", full);
}

void
weir_check_device(struct check *check)
{
	const char *device = check->target.device;

	if (!check->target.given || strcmp(check->target.scheme, "dpdk") != 0)
		return;
	if (device[0] == '\0') {
		weir_check_add(check, CHECK_OK, "device",
			       "none named: a memif pair, which needs no "
			       "rights");
		return;
	}
	if (is_pci_address(device)) {
		check_pci(check);
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(device, kinds[i].prefix, strlen(kinds[i].prefix)))
			continue;
		check_caps(check, &kinds[i]);
		if (kinds[i].interface)
			check_interface(check, &kinds[i]);
	}
}
