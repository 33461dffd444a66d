/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_TAP_H
#define DPDK_TAP_H

/*
 * dpdk_tap: what net_tap must be told, and what it does not tell.
 *
 *     weir's station --- port [ net_tap ] t0 --- the kernel: a bridge, a route
 *
 * The interface may be there already (ip tuntap add dev t0 mode tap
 * multi_queue): then it keeps its MAC, and a bridge that it is a port of.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Before the device is made: may we attach to the interface? Then write the
 * device's mac= behind args, if the interface has one to keep.
 *
 * @param name of the device, for errors.
 * @param iface its interface, or "": the driver finds a name.
 * @return 0, or -errno with weir_fail().
 */
int weir_dpdk_tap_prepare(const char *name, const char *iface, char *args,
			  size_t size);

/*
 * net_tap has a real-time signal sent to the process for every frame, so as not
 * to read an empty queue: whoever sleeps in a system call anywhere in the
 * program is woken by EINTR. Where it finds no signal free it reads whenever it
 * is asked, which is what we want: hide them while the device is set up.
 */
struct dpdk_tap_signals {
	bool hidden[_NSIG];
};

void weir_dpdk_tap_hide_signals(struct dpdk_tap_signals *signals);
void weir_dpdk_tap_show_signals(const struct dpdk_tap_signals *signals);

#endif /* DPDK_TAP_H */
