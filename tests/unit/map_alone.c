/* SPDX-License-Identifier: BSD-3-Clause */
/* See map_alone.h. */

#include "map_alone.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PAGE     4096u
#define MAPS_MAX 64u

static struct {
	uint8_t *base; /* NULL: free; of nobody's pages and the mapping */
	size_t size;
	uint8_t *at; /* the mapping itself */
} maps[MAPS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_mmap64(void *, size_t, int, int, int, off_t);
int __wrap_munmap(void *, size_t);

static void
note(uint8_t *base, size_t size, uint8_t *at)
{
	unsigned int i = 0;

	pthread_mutex_lock(&lock);
	while (maps[i].base != NULL)
		if (++i == MAPS_MAX)
			abort();
	maps[i].base = base;
	maps[i].size = size;
	maps[i].at = at;
	pthread_mutex_unlock(&lock);
}

static uintptr_t
round_up(uintptr_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* @return the page size of a file's mappings. */
static size_t
page_of(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_blksize < PAGE)
		return PAGE;
	return (size_t)st.st_blksize;
}

static void *
map_alone(size_t size, int prot, int flags, int fd, off_t offset)
{
	size_t page = page_of(fd), room = round_up(size, page) + 2 * page;
	uint8_t *base = __real_mmap(NULL, room, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				    -1, 0);
	uint8_t *at;

	if (base == MAP_FAILED)
		return MAP_FAILED;
	at = base + (round_up((uintptr_t)base + PAGE, page) - (uintptr_t)base);
	if (__real_mmap(at, size, prot, flags | MAP_FIXED, fd, offset) ==
	    MAP_FAILED) {
		int error = errno;

		(void)__real_munmap(base, room);
		errno = error;
		return MAP_FAILED;
	}
	note(base, room, at);
	return at;
}

void *
__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (addr == NULL)
		return map_alone(size, prot, flags, fd, offset);
	return __real_mmap(addr, size, prot, flags, fd, offset);
}

/* What mmap() is called where files may be large. */
void *
__wrap_mmap64(void *addr, size_t size, int prot, int flags, int fd,
	      off_t offset)
{
	return __wrap_mmap(addr, size, prot, flags, fd, offset);
}

int
__wrap_munmap(void *addr, size_t size)
{
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < MAPS_MAX; i++) {
		if (maps[i].base == NULL || maps[i].at != addr)
			continue;
		addr = maps[i].base;
		size = maps[i].size;
		maps[i].base = NULL;
	}
	pthread_mutex_unlock(&lock);
	return __real_munmap(addr, size);
}

unsigned int
maps_alone(void)
{
	unsigned int count = 0;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < MAPS_MAX; i++)
		count += maps[i].base != NULL;
	pthread_mutex_unlock(&lock);
	return count;
}
