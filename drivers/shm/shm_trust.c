/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trust=none: a message is copied into private memory before the application
 * sees it. Otherwise it reads where the peer wrote, and a hostile peer may go
 * on writing: what was checked is then not what is used.
 *
 *     peer's segment (read-only)           private
 *     body b --recv: once, `len` bytes---> place b --> application
 *       ^                                    |
 *       +---- given back with the message ---+
 *
 * Each body has a place of its own, so there are always enough, in any order,
 * and nothing is allocated on the way. Places are laid out by us: classes of a
 * hostile segment may lie over each other. The length was read once, before.
 */

#include <string.h>
#include <sys/mman.h>

#include "shm_lane.h"

int
weir_shm_places_make(struct shm_session *s)
{
	const struct shm_header *h = &s->peer.header;
	uint64_t size = 0;
	void *at;

	if (!s->address.trust_none)
		return 0;
	for (unsigned int k = 0; k < h->class_count; k++) {
		s->places_offset[k] = size;
		size += (uint64_t)h->classes[k].stride * h->classes[k].count;
	}
	/* Memory only for what is used, as of the segment itself. */
	at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -ENOMEM;
	s->places = at;
	s->places_size = size;
	return 0;
}

void
weir_shm_places_free(struct shm_session *s)
{
	if (s->places != NULL)
		munmap(s->places, s->places_size);
}

static void
copy_in(struct shm_rx *sr, struct weir_msg *msg)
{
	const struct shm_session *s = sr->session;
	uint32_t body = (uint16_t)msg->cookie;
	unsigned int k = s->group_class[body / SHM_GROUP_SIZE];
	const struct shm_class *c = &s->peer.header.classes[k];
	uint8_t *to = s->places + s->places_offset[k] +
		      (uint64_t)(body - c->first) * c->stride;

	memcpy(to, msg->data, msg->len);
	msg->data = to;
	sr->copied_bytes += msg->len;
}

static int
recv_private(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct shm_rx *sr = WEIR_CONTAINER_OF(rx, struct shm_rx, rx);
	int rc = weir_shm_rx_ops.recv(rx, msgs, n);

	for (int i = 0; i < rc; i++)
		copy_in(sr, &msgs[i]);
	return rc;
}

void
weir_shm_rx_distrust(struct shm_rx *sr)
{
	sr->private_ops = weir_shm_rx_ops;
	sr->private_ops.recv = recv_private;
	sr->rx.ops = &sr->private_ops;
}
