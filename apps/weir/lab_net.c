/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lab_net: two network namespaces and the cable between them. See lab.h.
 *
 * The cable is ordered from the kernel by one rtnetlink message, so that the
 * tool needs no other program for it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

static int
fail(struct lab_error *error, const char *subject, const char *what_to_do)
{
	int rc = errno > 0 ? -errno : -EIO;

	snprintf(error->text, sizeof(error->text), "%s: %s; %s", subject,
		 strerror(-rc), what_to_do);
	return rc;
}

static bool
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* ---- namespaces --------------------------------------------------------------- */

/* Root inside, still ourselves outside. */
static int
enter_user_namespace(struct lab_error *error)
{
	const char *hint = "run as root, or allow user namespaces (sysctl "
			   "user.max_user_namespaces, "
			   "kernel.unprivileged_userns_clone)";
	unsigned int uid = getuid(), gid = getgid();
	char map[32];

	if (unshare(CLONE_NEWUSER) != 0)
		return fail(error, "user namespace", hint);
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!write_file("/proc/self/uid_map", map))
		return fail(error, "user namespace", hint);
	/* Needed before an unprivileged process may map its group. */
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (!write_file("/proc/self/gid_map", map))
		return fail(error, "user namespace", hint);
	/* Our /proc entries stay readable to ourselves: weir lab enter. */
	prctl(PR_SET_DUMPABLE, 1);
	return 0;
}

static int
new_network(struct lab_error *error)
{
	const char *hint = "run as root";
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		return fail(error, "network namespace", hint);
	/* The kernel's own packets would be noise on the cable. */
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(error, "network namespace", "mount /proc");
	return fd;
}

int
weir_lab_net_enter(const struct lab_net *net, int end)
{
	return setns(net->ns_fd[end], CLONE_NEWNET) == 0 ? 0 : -errno;
}

/* ---- the cable ---------------------------------------------------------------- */

struct link_message {
	struct nlmsghdr header;
	struct ifinfomsg info;
	uint8_t attributes[256];
};

static struct rtattr *
end_of(struct link_message *message)
{
	return (struct rtattr *)(void *)((uint8_t *)message +
					 NLMSG_ALIGN(
						 message->header.nlmsg_len));
}

static struct rtattr *
put(struct link_message *message, unsigned short type, const void *data,
    size_t len)
{
	struct rtattr *attribute = end_of(message);

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(attribute), data, len);
	message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) +
				    (uint32_t)RTA_ALIGN(attribute->rta_len);
	return attribute;
}

/* An attribute holds what was put since. */
static void
close_nest(struct link_message *message, struct rtattr *attribute)
{
	attribute->rta_len = (unsigned short)((uint8_t *)end_of(message) -
					      (uint8_t *)attribute);
}

static void
put_name(struct link_message *message, const char *name)
{
	put(message, IFLA_IFNAME, name, strlen(name) + 1);
}

static void
build_veth(struct link_message *message, const char *name,
	   const char *peer_name, int peer_ns_fd)
{
	const struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	struct rtattr *link_info, *data, *peer_info;

	memset(message, 0, sizeof(*message));
	message->header.nlmsg_len = NLMSG_LENGTH(sizeof(message->info));
	message->header.nlmsg_type = RTM_NEWLINK;
	message->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE |
				      NLM_F_EXCL | NLM_F_ACK;
	put_name(message, name);
	link_info = put(message, IFLA_LINKINFO, NULL, 0);
	put(message, IFLA_INFO_KIND, "veth", sizeof("veth") - 1);
	data = put(message, IFLA_INFO_DATA, NULL, 0);
	peer_info = put(message, VETH_INFO_PEER, &peer, sizeof(peer));
	put_name(message, peer_name);
	put(message, IFLA_NET_NS_FD, &peer_ns_fd, sizeof(peer_ns_fd));
	close_nest(message, peer_info);
	close_nest(message, data);
	close_nest(message, link_info);
}

/* @return 0, or -1 and errno: the kernel's answer. */
static int
ask_kernel(struct link_message *message)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (send(fd, message, message->header.nlmsg_len, 0) >= 0)
		n = recv(fd, &answer, sizeof(answer), 0);
	close(fd);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) ||
	    answer.header.nlmsg_type != NLMSG_ERROR) {
		errno = n < 0 ? errno : EPROTO;
		return -1;
	}
	errno = -answer.error.error;
	return errno == 0 ? 0 : -1;
}

static int
bring_up(const char *iface, unsigned int mtu)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = -1;

	if (fd < 0)
		return -1;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", iface);
	if (mtu != 0) {
		request.ifr_mtu = (int)mtu;
		if (ioctl(fd, SIOCSIFMTU, &request) != 0)
			goto out;
	}
	if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
		goto out;
	request.ifr_flags |= IFF_UP;
	rc = ioctl(fd, SIOCSIFFLAGS, &request);
out:
	close(fd);
	return rc;
}

static int
fail_interface(struct lab_error *error)
{
	return fail(error, "interface of the lab", "choose another --mtu");
}

/* In the namespace of end a. */
static int
lay_cable(const struct lab_net *net, unsigned int mtu, struct lab_error *error)
{
	struct link_message message;

	build_veth(&message, LAB_IFACE, LAB_IFACE, net->ns_fd[1]);
	if (ask_kernel(&message) != 0)
		return fail(error, "veth pair",
			    "the kernel needs veth (modprobe veth)");
	/* The far end first: the near one must come back here last. */
	for (int end = 1; end >= 0; end--) {
		int rc = weir_lab_net_enter(net, end);

		if (rc != 0) {
			errno = -rc;
			return fail(error, "network namespace", "run as root");
		}
		if (bring_up("lo", 0) != 0 || bring_up(LAB_IFACE, mtu) != 0)
			return fail_interface(error);
	}
	return 0;
}

/* Both plugs in end a: weir's frames do not ask the kernel for a way. */
static int
lay_loop(const struct lab_net *net, unsigned int mtu, struct lab_error *error)
{
	struct link_message message;

	build_veth(&message, LAB_LOOP_A, LAB_LOOP_B, net->ns_fd[0]);
	if (ask_kernel(&message) != 0)
		return fail(error, "veth pair",
			    "the kernel needs veth (modprobe veth)");
	if (bring_up(LAB_LOOP_A, mtu) != 0 || bring_up(LAB_LOOP_B, mtu) != 0)
		return fail_interface(error);
	return 0;
}

int
weir_lab_net_make(struct lab_net *net, unsigned int mtu,
		  struct lab_error *error)
{
	int rc = 0;

	if (geteuid() != 0)
		rc = enter_user_namespace(error);
	if (rc != 0)
		return rc;
	for (int end = 1; end >= 0; end--) {
		net->ns_fd[end] = new_network(error);
		if (net->ns_fd[end] < 0)
			return net->ns_fd[end];
	}
	rc = lay_cable(net, mtu, error);
	return rc == 0 && net->has_loop ? lay_loop(net, mtu, error) : rc;
}
