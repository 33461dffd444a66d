/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is the id that the kernel tells of a peer somebody's? In a user namespace that
 * has no name for every user of the machine, all those without one are told as
 * one and the same id, the overflow id, usually 65534. Should that also be the
 * name of someone in the namespace, perhaps ours, the two look alike.
 */

#include <inttypes.h>
#include <stdio.h>

#include "shm_handshake.h"

#define IDS UINT32_C(4294967295) /* all but -1, which is nobody's */

static uint32_t
overflow_id(const char *path)
{
	FILE *file = fopen(path, "re");
	uint32_t id = 65534;

	if (file == NULL)
		return id;
	if (fscanf(file, "%" SCNu32, &id) != 1)
		id = 65534;
	fclose(file);
	return id;
}

/* Has each id of the machine a name here? Where that cannot be read: no. */
static bool
all_have_names(const char *path)
{
	FILE *file = fopen(path, "re");
	uint32_t first, outside, count;
	uint64_t sum = 0;

	if (file == NULL)
		return false;
	while (fscanf(file, "%" SCNu32 " %" SCNu32 " %" SCNu32, &first,
		      &outside, &count) == 3)
		sum += count;
	fclose(file);
	return sum >= IDS;
}

bool
weir_shm_user_known(int64_t uid)
{
	return uid != overflow_id("/proc/sys/kernel/overflowuid") ||
	       all_have_names("/proc/self/uid_map");
}

bool
weir_shm_group_known(int64_t gid)
{
	return gid != overflow_id("/proc/sys/kernel/overflowgid") ||
	       all_have_names("/proc/self/gid_map");
}
