/* SPDX-License-Identifier: BSD-3-Clause */
/* Two namespaces joined by a veth pair; see netns.h. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns.h"

static int
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* Become root of a user namespace of our own. */
static int
enter_userns(void)
{
	unsigned int uid = getuid(), gid = getgid();
	char map[32];

	if (unshare(CLONE_NEWUSER) != 0)
		return -1;
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (put("/proc/self/uid_map", map) != 0)
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return put("/proc/self/gid_map", map);
}

static int
enter_new(void)
{
	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	/* Router solicitations would be noise in the counters. */
	put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A process inside the namespace: ip(8) takes a pid for a place. */
static pid_t
stand_in(int netns)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setns(netns, 0) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ready[0]);
	return pid;
}

/* @return 0 if the shell command succeeded. */
static int
shell(int netns, const char *command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (netns >= 0 && setns(netns, 0) != 0)
			_exit(1);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

/* What a host does with a tap of a guest. A bridge learns both stations. */
static const char bridge_tap[] =
	"ip tuntap add dev t0 mode tap multi_queue && "
	"ip link add br0 type bridge && ip link set v0 master br0 && "
	"ip link set t0 master br0 && ip link set t0 up && ip link set br0 up";

static int
join_by_veth(int other)
{
	pid_t pid = stand_in(other);
	char command[128];
	int rc;

	if (pid < 0)
		return -1;
	snprintf(command, sizeof(command),
		 "ip link add v0 type veth peer name v0 netns %d", (int)pid);
	rc = shell(-1, command);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (rc == 0)
		rc = shell(-1, "ip link set lo up && ip link set v0 up");
	if (rc == 0)
		rc = shell(other, "ip link set lo up && ip link set v0 up");
	return rc;
}

int
netns_pair(int need_root, int taps, char *reason, unsigned int size)
{
	int other;

	if (geteuid() != 0 && need_root) {
		snprintf(reason, size, "needs root");
		return -1;
	}
	if (geteuid() != 0 && enter_userns() != 0) {
		snprintf(reason, size, "no user namespaces here: %s",
			 strerror(errno));
		return -1;
	}
	other = enter_new();
	if (other < 0 || enter_new() < 0) {
		snprintf(reason, size, "no network namespaces here: %s",
			 strerror(errno));
		return -1;
	}
	if (join_by_veth(other) != 0) {
		snprintf(reason, size, "no veth pair here (ip from iproute2)");
		return -1;
	}
	if (taps &&
	    (shell(-1, bridge_tap) != 0 || shell(other, bridge_tap) != 0)) {
		snprintf(reason, size, "no tap interface or bridge here");
		return -1;
	}
	return other;
}
