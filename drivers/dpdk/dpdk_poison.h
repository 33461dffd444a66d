/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_POISON_H
#define DPDK_POISON_H

/*
 * dpdk_poison: AddressSanitizer knows nothing of mbufs, since their memory is
 * one block to it. Here it is told what of a data room may be touched. Empty
 * in other builds.
 *
 *     state of the room             | headroom | slot or message | tailroom |
 *     place that is free            |    x     |        x        |    x     |
 *     slot, from alloc to commit    |    x     |   exactly len   |    x     |
 *     committed, being received     |          |                 |          |
 *     message, from recv on         |    x     |   exactly len   |    x     |
 *     message, released             |    x     |        x        |    x     |
 *     back in its pool              |          |                 |          |
 *
 * x is poisoned. Devices, callbacks and net_ring's other end take mbufs out of
 * pools without asking, and some write by the C library's memcpy, which the
 * sanitizer watches too: so rooms are open in pools, and who reads a released
 * message is caught until the port has taken it back.
 *
 * ASan counts in words of 8 bytes from the front: one byte too far is always
 * seen, one byte before the beginning if that is on a word.
 */

#include <stddef.h>
#include <stdint.h>
#include <rte_mbuf.h>

#if defined(__SANITIZE_ADDRESS__)
#define DPDK_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DPDK_POISON 1
#endif
#endif

#ifdef DPDK_POISON

#include <sanitizer/asan_interface.h>

static inline void
dpdk_poison(const void *at, size_t len)
{
	__asan_poison_memory_region(at, len);
}

static inline void
dpdk_unpoison(const void *at, size_t len)
{
	__asan_unpoison_memory_region(at, len);
}

#else

static inline void
dpdk_poison(const void *at, size_t len)
{
	(void)at;
	(void)len;
}

static inline void
dpdk_unpoison(const void *at, size_t len)
{
	(void)at;
	(void)len;
}

#endif

/* Nothing of the data room may be touched. */
static inline void
dpdk_poison_room(const struct rte_mbuf *m)
{
	dpdk_poison(m->buf_addr, m->buf_len);
}

static inline void
dpdk_unpoison_room(const struct rte_mbuf *m)
{
	dpdk_unpoison(m->buf_addr, m->buf_len);
}

/* Nothing but these bytes of the data room, if they are in it. */
static inline void
dpdk_poison_around(const struct rte_mbuf *m, const uint8_t *at, uint32_t len)
{
	const uint8_t *room = m->buf_addr;

	if (at < room || at + len > room + m->buf_len)
		return;
	dpdk_poison(room, (size_t)(at - room));
	dpdk_poison(at + len, (size_t)(room + m->buf_len - (at + len)));
}

#endif /* DPDK_POISON_H */
