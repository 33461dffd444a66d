/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_memfd: keep EAL's memory files open. See dpdk_memfd.h.
 */

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_memory.h>

#include "dpdk_memfd.h"

/* One per memory list in use: page sizes times NUMA nodes. */
#define MEMFD_FILES_MAX 32

struct kept_file {
	int number; /* EAL's descriptor */
	int copy;   /* ours of the same file */
	dev_t dev;
	ino_t ino;
};

static struct {
	pthread_mutex_t lock;
	struct kept_file files[MEMFD_FILES_MAX];
	int count;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct kept_file *
find(int number)
{
	for (int i = 0; i < kept.count; i++)
		if (kept.files[i].number == number)
			return &kept.files[i];
	return NULL;
}

static bool
is_still(const struct kept_file *file)
{
	struct stat st;

	return fstat(file->number, &st) == 0 && st.st_dev == file->dev &&
	       st.st_ino == file->ino;
}

static bool
keep_one(int number)
{
	struct kept_file *file = find(number);
	struct stat st;

	if (file != NULL)
		return is_still(file);
	if (number < 0 || kept.count == MEMFD_FILES_MAX ||
	    fstat(number, &st) != 0)
		return false;
	file = &kept.files[kept.count];
	*file = (struct kept_file){
		.number = number,
		.copy = fcntl(number, F_DUPFD_CLOEXEC, 0),
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	if (file->copy < 0)
		return false;
	kept.count++;
	return true;
}

/* @param arg the last number seen: segments of one list follow each other. */
static int
visit(const struct rte_memseg_list *list, const struct rte_memseg *seg,
      void *arg)
{
	int *last = arg;
	int number;

	/* Memory that the application brought along is nobody's file. */
	if (list->external != 0)
		return -1;
	number = rte_memseg_get_fd(seg);
	if (number == *last)
		return 0;
	*last = number;
	return keep_one(number) ? 0 : -1;
}

bool
weir_dpdk_memfd_keep(void)
{
	int last = -1;
	bool ok;

	pthread_mutex_lock(&kept.lock);
	ok = rte_memseg_walk(visit, &last) == 0;
	pthread_mutex_unlock(&kept.lock);
	return ok;
}

void
weir_dpdk_memfd_restore(void)
{
	pthread_mutex_lock(&kept.lock);
	for (int i = 0; i < kept.count; i++) {
		struct kept_file *file = &kept.files[i];
		int got;

		if (fcntl(file->number, F_GETFD) >= 0)
			continue;
		/* Never dup2(): another thread may have taken the number. */
		got = fcntl(file->copy, F_DUPFD_CLOEXEC, file->number);
		if (got >= 0 && got != file->number)
			close(got);
	}
	pthread_mutex_unlock(&kept.lock);
}
