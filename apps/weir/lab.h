/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_LAB_H
#define WEIR_LAB_H

/*
 * lab: two hosts in one, for links over a network that nobody else sees.
 *
 *     weir lab run           guardian                   what it runs
 *     (the terminal's) ----> holds both namespaces ---> end b: connects
 *                            reaps, forwards signals -> end a: listens
 *
 *     namespace a  v0 ======== veth ======== v0  namespace b
 *       10.7.0.1                                   10.7.0.2
 *       fd00:7::1                                  fd00:7::2
 *
 * Nothing has a name outside: no file, no interface, no entry of ip netns.
 * The kernel removes namespaces and interfaces with the last process inside,
 * and the guardian ends all processes, whoever of the three is killed. The
 * addresses are weir's own; the kernel's network stack has none.
 */

#include <stdbool.h>
#include <sys/types.h>

#define LAB_IFACE    "v0"
#define LAB_LOOP_A   "v1"
#define LAB_LOOP_B   "v2"
#define LAB_UDP_PORT 7400

/* Of the two ends, and the length of their network. */
#define LAB_IP4_A    "10.7.0.1"
#define LAB_IP4_B    "10.7.0.2"
#define LAB_IP4_BITS 24
#define LAB_IP6_A    "fd00:7::1"
#define LAB_IP6_B    "fd00:7::2"
#define LAB_IP6_BITS 64

struct lab_net {
	int ns_fd[2];  /* end a, end b */
	bool has_loop; /* wanted: a second cable, with both ends in a */
};

/* Why it failed: one line, subject and cause and what to do. */
struct lab_error {
	char text[256];
};

/*
 * Enter a user namespace of our own unless we are root, make the two network
 * namespaces and join them. The caller is in end a afterwards, and must have
 * a single thread.
 *
 * @return 0, or -errno and *error.
 */
int weir_lab_net_make(struct lab_net *net, unsigned int mtu,
		      struct lab_error *error);

/* Move the calling process into an end, 0 or 1. @return 0, -errno. */
int weir_lab_net_enter(const struct lab_net *net, int end);

/* One process of a lab. */
struct lab_job {
	int end;           /* 0: a, 1: b */
	char *const *argv; /* argv[0] NULL: none */
	bool is_weir;      /* argv is a weir command: run this program */
	bool quiet_stdin;  /* /dev/null */
	bool quiet_stdout; /* /dev/null */
	int cpu;           /* pin to the n-th allowed CPU; -1: leave */
};

struct lab_run {
	struct lab_net net;
	struct lab_job listener; /* optional */
	struct lab_job main;     /* its exit code is ours */
	bool stop_listener; /* when main has ended; else it ends by itself */
};

/*
 * Run the jobs until main has ended, and end every process that descends from
 * here. lifeline is readable (end of file) when the starter has died.
 *
 * @return the exit code.
 */
int weir_lab_guard(const struct lab_run *run, int lifeline);

/* Hold the namespaces until SIGTERM comes; take connections and drop them. */
void weir_lab_hold(int listen_fd);

#endif /* WEIR_LAB_H */
