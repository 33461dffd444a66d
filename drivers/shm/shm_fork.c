/* SPDX-License-Identifier: BSD-3-Clause */
/* See shm_fork.h. */

#include "shm_fork.h"

#include <pthread.h>
#include <stddef.h>

#include "shm_lane.h"

static struct shm_fork *entries;
static pthread_mutex_t entries_lock = PTHREAD_MUTEX_INITIALIZER;

static void
prepare(void)
{
	pthread_mutex_lock(&entries_lock);
	weir_shm_orphans_freeze();
}

static void
parent(void)
{
	weir_shm_orphans_thaw();
	pthread_mutex_unlock(&entries_lock);
}

static void
child(void)
{
	weir_shm_orphans_thaw();
	for (struct shm_fork *e = entries; e != NULL; e = e->next)
		e->in_child(e);
	pthread_mutex_unlock(&entries_lock);
}

/* Should it fail, a forked child keeps copies until it ends. */
static void
start(void)
{
	(void)pthread_atfork(prepare, parent, child);
}

void
weir_shm_fork_add(struct shm_fork *entry,
		  void (*in_child)(struct shm_fork *entry))
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	entry->in_child = in_child;
	pthread_mutex_lock(&entries_lock);
	entry->next = entries;
	entry->at = &entries;
	if (entries != NULL)
		entries->at = &entry->next;
	entries = entry;
	pthread_mutex_unlock(&entries_lock);
}

void
weir_shm_fork_remove(struct shm_fork *entry)
{
	pthread_mutex_lock(&entries_lock);
	*entry->at = entry->next;
	if (entry->next != NULL)
		entry->next->at = entry->at;
	pthread_mutex_unlock(&entries_lock);
}
