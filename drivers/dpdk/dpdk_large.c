/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping and unmapping of large buffers. */

#include <errno.h>
#include <sys/mman.h>

#include "dpdk_large.h"
#include "dpdk_poison.h"

#define PAGE 4096u

/* Up to here the pages are made at once, so that no message pays for it. */
#define POPULATE_MAX (4u << 20)

int
weir_dpdk_large_map(struct dpdk_large *large, size_t size, uint32_t count)
{
	size_t stride = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *base;

	if (stride * count <= POPULATE_MAX)
		flags |= MAP_POPULATE;
	base = mmap(NULL, stride * count, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	*large = (struct dpdk_large){ .base = base,
				      .stride = stride,
				      .count = count };
	for (uint32_t i = count; i-- > 0;)
		dpdk_large_give(large, i);
	return 0;
}

void
weir_dpdk_large_unmap(struct dpdk_large *large)
{
	if (large->base != NULL) {
		dpdk_unpoison(large->base, large->stride * large->count);
		munmap(large->base, large->stride * large->count);
	}
	large->base = NULL;
}
