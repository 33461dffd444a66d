/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_FORK_H
#define WEIR_SHM_FORK_H

/*
 * fork(2): links and listeners stay with the process that opened them.
 *
 *     parent   goes on as if nothing had happened
 *     child    has a copy of all objects and may destroy them, or leave them
 *
 * Two things would tie the two processes together. Descriptors: as long as a
 * child has a copy of the control socket, it does not hang up when the parent
 * dies, and a copy of a listening socket keeps the name. And the segment, which
 * the child could write: a handle that it releases on its way out, say, would
 * give away a message that the parent still reads. So whoever owns such things
 * enters itself here, and is told in the child.
 *
 * A child made without the handlers of pthread_atfork(3) (vfork, posix_spawn,
 * clone) must exec; all our descriptors are close-on-exec.
 */

struct shm_fork {
	struct shm_fork *next;
	struct shm_fork **at; /* what points to us */
	void (*in_child)(struct shm_fork *entry);
};

void weir_shm_fork_add(struct shm_fork *entry,
		       void (*in_child)(struct shm_fork *entry));
void weir_shm_fork_remove(struct shm_fork *entry);

#endif /* WEIR_SHM_FORK_H */
