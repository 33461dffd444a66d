/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NETNS_H
#define NETNS_H

/*
 * Two network namespaces joined by a veth pair that is called v0 in both; with
 * taps, each has a bridge between v0 and a tap interface t0.
 * Nothing has a name outside, so all goes with the last process in them.
 */

/*
 * Enter the first namespace; call it before there are threads.
 *
 * @return descriptor of the second one, or -1 with the reason.
 */
int netns_pair(int need_root, int taps, char *reason, unsigned int size);

#endif /* NETNS_H */
