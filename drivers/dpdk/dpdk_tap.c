/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_tap: attach to a tap interface once, as net_tap will (its own log does
 * not say what failed), and keep its signals away. See dpdk_tap.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dpdk_tap.h"
#include "weir_driver.h"

#define TUN_PATH "/dev/net/tun"

static int
fail_attach(const char *name, const char *iface, int error)
{
	if (error == EPERM)
		return weir_fail(-error,
				 "dpdk %s: may not make or use a tap interface "
				 "here: run as root, with CAP_NET_ADMIN, or "
				 "under weir lab run",
				 name);
	if (error == EINVAL)
		return weir_fail(-error,
				 "dpdk %s: '%s' is no tap interface of several "
				 "queues; make one by ip tuntap add dev NAME "
				 "mode tap multi_queue, or give a new name",
				 name, iface);
	return weir_fail(-error, "dpdk %s: cannot attach to '%s': %s", name,
			 iface, strerror(error));
}

/* A new interface goes again with the descriptor. */
static int
try_to_attach(const char *name, const char *iface)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_MULTI_QUEUE };
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return weir_fail(-errno,
				 "dpdk %s: cannot open " TUN_PATH
				 " (%s): load the module tun, or let this "
				 "user open it",
				 name, strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	if (ioctl(fd, TUNSETIFF, &request) != 0)
		rc = fail_attach(name, iface, errno);
	close(fd);
	return rc;
}

/* net_tap would give it a new one at random. */
static void
keep_mac(const char *iface, char *args, size_t size)
{
	struct ifreq request = { 0 };
	const char *mac = request.ifr_hwaddr.sa_data;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t len = strlen(args);

	if (fd < 0)
		return;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		snprintf(args + len, size - len,
			 "%smac=%02hhx:%02hhx:%02hhx:%02hhx:%02hhx:%02hhx",
			 len > 0 ? "," : "", mac[0], mac[1], mac[2], mac[3],
			 mac[4], mac[5]);
	close(fd);
}

int
weir_dpdk_tap_prepare(const char *name, const char *iface, char *args,
		      size_t size)
{
	/* Looked at first: the attempt may make one, for a moment. */
	bool exists = iface[0] != '\0' && if_nametoindex(iface) != 0;
	int rc = try_to_attach(name, iface);

	if (rc == 0 && exists && strstr(args, "mac=") == NULL)
		keep_mac(iface, args, size);
	return rc;
}

static bool
swap_handler(int signo, sighandler_t from, sighandler_t to)
{
	struct sigaction action;

	if (sigaction(signo, NULL, &action) != 0 || action.sa_handler != from)
		return false;
	action = (struct sigaction){ .sa_handler = to };
	return sigaction(signo, &action, NULL) == 0;
}

void
weir_dpdk_tap_hide_signals(struct dpdk_tap_signals *signals)
{
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
		signals->hidden[signo] = swap_handler(signo, SIG_DFL, SIG_IGN);
}

void
weir_dpdk_tap_show_signals(const struct dpdk_tap_signals *signals)
{
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
		if (signals->hidden[signo])
			swap_handler(signo, SIG_IGN, SIG_DFL);
}
