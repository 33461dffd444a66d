/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SLEEPERS_H
#define WEIR_SLEEPERS_H

/*
 * Which threads have armed one half that several threads use, and for what.
 *
 * A doorbell is one word and one descriptor; what one thread drains another one
 * may have been waiting for. So a thread disarms only what it armed itself, and
 * who drains wakes the others if there is something left for them:
 *
 *     sleeper                            who gives room, from this process
 *     weir_sleepers_add(what)            give (sequentially consistent)
 *     look again; nothing there?         wants & what there is? wake
 *     sleep on the descriptor
 *     weir_sleepers_remove(), drain
 *
 * add and remove are called under a lock of the caller; wants is looked at
 * without. It stays set while anybody is in the list.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_SLEEPERS_MAX 32u

struct weir_sleepers {
	_Atomic uint32_t wants; /* all of theirs; 0: nobody has armed */
	uint32_t count;
	struct {
		const void *thread;
		uint32_t wants;
	} list[WEIR_SLEEPERS_MAX];
};

/* The calling thread arms, for what is not 0; once more replaces the first.
 * @return false: the list is full. */
bool weir_sleepers_add(struct weir_sleepers *s, uint32_t wants);

/* @return true: the calling thread had armed. */
bool weir_sleepers_remove(struct weir_sleepers *s);

#endif /* WEIR_SLEEPERS_H */
